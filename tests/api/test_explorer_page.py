"""/explore: its page and assets, as HTTP. What it does in a browser is in tests/browser."""

import re
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from service.api.explorer import FOLDER
from tests.api.problems import problem


def test_the_page_fetches_from_this_service_alone(api: httpx.Client) -> None:
    page = api.get("/explore")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    addresses = re.findall(r'<(?:script|link)[^>]*?(?:src|href)="([^"]+)"', page.text)
    assert [address for address in addresses if not address.startswith("data:")] == [
        "explore/explorer.css",
        "explore/plotly.min.js",
        "explore/app.js",
    ]


def test_every_script_finds_what_it_imports(api: httpx.Client) -> None:
    scripts = [path.name for path in FOLDER.iterdir() if path.suffix == ".js"]
    assert len(scripts) > 10
    for script in scripts:
        text = api.get(f"/explore/{script}").text
        for name in re.findall(r'from "\./([^"]+)"', text):
            answer = api.get(f"/explore/{name}")
            assert answer.headers["content-type"].startswith("text/javascript"), (script, name)
        assert not re.search(r"\bhttps?://(?!www\.w3\.org/)", text), script


@pytest.mark.parametrize("path", ["/explore", "/explore/app.js", "/explore/plotly.min.js"])
def test_a_browser_that_has_it_is_not_sent_it_again(api: httpx.Client, path: str) -> None:
    first = api.get(path)
    assert first.status_code == 200
    assert len(first.content) == int(first.headers["content-length"])
    etag = first.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = api.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_library_comes_whole_from_its_package(api: httpx.Client) -> None:
    package = find_spec("plotly")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "package_data" / "plotly.min.js"
    answer = api.get("/explore/plotly.min.js")
    assert answer.content == library.read_bytes()
    assert answer.headers["cache-control"] == "public, max-age=86400"


def test_only_the_assets_of_the_page_are_served(api: httpx.Client) -> None:
    for path in ("/explore/index.html", "/explore/..%2Fcli.py", "/explore/app.jsx", "/explore/"):
        problem(api.get(path), 404)
    problem(api.post("/explore"), 405)


def test_the_address_alone_leads_to_the_page(api: httpx.Client) -> None:
    answer = api.get("/")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/explore"
