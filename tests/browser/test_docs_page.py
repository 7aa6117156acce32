"""/docs as a person uses it: operations opened, and their first examples sent from the page.

Swagger UI takes a second or two of computing for each operation that is opened; so one of each tag
is, and all of them where NEARFIT_TEST_EVERY_OPERATION is set. That every example of every operation
runs is said by tests/api/test_openapi.py.
"""

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from service.api.export_openapi import openapi_text

pytestmark = pytest.mark.browser

DOCUMENT: Final[dict[str, Any]] = json.loads(openapi_text())
MADE_UP: Final = re.compile(r"additionalProp\d")
"""What Swagger UI writes where the document says nothing of the members of an object."""

WITHIN_MS: Final = 30_000


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield tag, id, method and document of each operation, in the order of the page."""
    found = [
        (operation["tags"][0], operation["operationId"], method, operation)
        for path in DOCUMENT["paths"].values()
        for method, operation in path.items()
    ]
    order = [tag["name"] for tag in DOCUMENT["tags"]]
    yield from sorted(found, key=lambda case: order.index(case[0]))


OPERATIONS: Final = {case[1]: case for case in operations()}
FIRST: Final = {case[0]: case[1] for case in reversed(OPERATIONS.values())}.values()
SHOWN_AS_IMAGE: Final = "get_plot_png"
WALKED: Final[Collection[str]] = (
    OPERATIONS if "NEARFIT_TEST_EVERY_OPERATION" in os.environ else (*FIRST, SHOWN_AS_IMAGE)
)

UPLOAD_ID: Final = "from-a-page"


def opened(page: Page, operation: str) -> Locator:
    """Open the operation, and return its part of the page, ready to be tried out."""
    tag = OPERATIONS[operation][0]
    part = page.locator(f"#operations-{tag}-{operation}")
    part.locator(".opblock-summary-control").click()
    expect(part.locator(".execute")).to_be_visible(timeout=WITHIN_MS)
    return part


def executed(part: Locator) -> str:
    """Send what the form says, and return the status of the answer."""
    part.locator(".execute").click()
    status = part.locator(".live-responses-table .response .response-col_status")
    expect(status).to_have_text(re.compile(r"\d{3}"), timeout=WITHIN_MS)
    return status.inner_text()[:3]


@pytest.fixture
def docs(page: Page) -> Page:
    """The page, with its operations listed."""
    page.goto("/docs")
    expect(page.locator(".opblock")).to_have_count(len(OPERATIONS), timeout=WITHIN_MS)
    return page


def test_the_page_shows_what_there_is_and_runs_it_as_it_stands(docs: Page, site: str) -> None:
    order = [tag["name"] for tag in DOCUMENT["tags"]]
    shown = docs.locator(".opblock-tag").evaluate_all("tags => tags.map(tag => tag.dataset.tag)")
    assert shown == order
    links = docs.locator(".info a").evaluate_all("links => links.map(link => link.href)")
    assert {f"{site}/explore", f"{site}/guide/"} <= set(links)
    # What two operations look at has to be there.
    with httpx.Client(base_url=site, trust_env=False) as client:
        rows = {"x": [1, 2, 3], "y": [1, 2, 4]}
        client.post("/datasets", json=rows, headers={"Upload-Id": UPLOAD_ID})
        tuning = {"dataset_id": "motorcycle", "budget_s": 0.1}
        job = client.post("/tune", json=tuning, headers={"Prefer": "respond-async"}).json()
    given = {"get_job": ("job_id", job["id"]), "get_upload": ("upload_id", UPLOAD_ID)}
    for name in WALKED:
        part = opened(docs, name)
        if name in given:
            field, value = given[name]
            part.get_by_placeholder(field).fill(value)
        if OPERATIONS[name][2] in ("get", "post"):
            assert executed(part).startswith("2"), f"{name}: {part.inner_text()}"
        assert not MADE_UP.search(part.inner_text()), name
        part.locator(".opblock-summary-control").click()


def test_a_file_is_uploaded_from_the_page(docs: Page, tmp_path: Path) -> None:
    file = tmp_path / "trees.csv"
    file.write_text("width,height,weight\n1,2,2.1\n2,2.5,5.2\n3,1.5,4.4\n", encoding="utf-8")
    part = opened(docs, "create_dataset")
    part.get_by_label("Request content type").select_option("multipart/form-data")
    part.locator("input[type=file]").set_input_files(file)
    form = part.locator(".opblock-section-request-body")
    form.get_by_placeholder("name").fill("trees")
    target = form.locator("tr", has=docs.get_by_text("target", exact=True))
    target.get_by_role("button", name="Add string item").click()
    target.locator("input[type=text]").fill("height")
    assert not MADE_UP.search(part.inner_text())
    assert executed(part) == "201", part.inner_text()
    answer = part.locator(".live-responses-table .highlight-code").first.inner_text()
    made = json.loads(answer[answer.index("{") :])
    assert made["name"] == "trees"
    assert made["feature_names"] == ["width", "weight"]
    assert made["target_names"] == ["height"]
