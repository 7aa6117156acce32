"""/docs works without the internet."""

import re

import httpx

from tests.api.problems import problem


def test_the_page_fetches_from_this_service_alone(api: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        assert not re.match("https?:|//", address)
        if not address.startswith("data:"):
            asset = api.get(f"/{address}")
            assert asset.is_success, address
            assert asset.headers["content-type"].startswith(("text/javascript", "text/css"))
            # The browser refuses what is fetched from elsewhere; nothing may depend on it.
            assert "@import" not in asset.text[:1000]


def test_the_start_script_asks_no_validator_and_opens_try_it_out(api: httpx.Client) -> None:
    script = api.get("/docs/start.js").text
    assert "validatorUrl: null" in script
    assert "tryItOutEnabled: true" in script
    assert 'url: new URL("openapi.json", document.baseURI)' in script


def test_only_the_assets_of_the_page_are_served(api: httpx.Client) -> None:
    for path in ("/docs/redoc.standalone.js", "/docs/..%2Fcore.py", "/docs/__init__.py"):
        problem(api.get(path), 404)
