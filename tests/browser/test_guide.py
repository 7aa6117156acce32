"""/guide in a browser: nothing is fetched from elsewhere, and the search works without it.

The fixture `page` fails on a fault in the console and on a request to another host. That all files
that any page needs are in the site is in tests/api/test_guide.py.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.api import guide

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _built(built_guide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide, "SITE", built_guide)


def test_pages_open_without_a_fault_and_fit_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    for name in ("", "methods/local_polynomial/", "http/", "pictures/", "reference/"):
        page.goto(f"guide/{name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_the_search_finds_a_page_by_its_words(page: Page) -> None:
    page.goto("guide/")
    page.keyboard.press("/")
    page.keyboard.type("Tukey bisquare")
    page.locator(".md-search-result__link").first.click()
    expect(page).to_have_url(re.compile("/guide/methods/local_polynomial/"))


def test_the_type_of_a_problem_opens_its_paragraph(page: Page, site: str) -> None:
    answer = page.request.get(f"{site}/datasets/none")
    assert answer.status == 404
    page.goto(f"{site}{answer.json()['type']}")
    expect(page.locator("h3#dataset-not-found")).to_be_in_viewport()


def test_the_browser_draws_formulas_by_itself(page: Page) -> None:
    page.goto("guide/methods/knn/")
    above, below = page.locator('math[display="block"] mfrac > *').all()[:2]
    top, bottom = above.bounding_box(), below.bounding_box()
    assert top is not None
    assert bottom is not None
    assert top["y"] + top["height"] <= bottom["y"] + 1


def test_the_copy_button_copies_a_command_without_its_output(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("guide/quickstart/")
    console = page.locator(".highlight[data-copy]").first
    console.hover()
    console.get_by_role("button", name="Copy to clipboard").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -s http://127.0.0.1:8000/predict ")
    assert copied.endswith('"queries": [15, 25, 35]}\'')
