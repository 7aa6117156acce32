"""A browser that reaches nothing but the service, and pages that must stay clean."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.live import live_client

CHROMIUM: Final = Path("/usr/bin/chromium")
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
OWN_SCHEMES: Final = ("data:", "blob:")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window and without the internet."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of a service with the sample dataset, without a slash at the end."""
    with live_client() as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def page(chromium: Browser, site: str) -> Iterator[Page]:
    """A page of a browser with no history, which must log no error and ask no other host."""
    with chromium.new_context(base_url=site) as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((f"{site}/", *OWN_SCHEMES))
                else faults.append(f"a request to {request.url}")
            ),
        )
        yield page
    assert not faults
