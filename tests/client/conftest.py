"""A service to ask, and clients of it."""

from collections.abc import Iterator

import pytest

from service.client import Client
from tests.live import live_client


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a native service with the default settings."""
    with live_client() as client:
        yield str(client.base_url)


@pytest.fixture
def nearfit(url: str) -> Iterator[Client]:
    """A client of it."""
    with Client(url) as client:
        yield client
