"""Services to ask: one with the defaults, one with limits small enough to reach."""

from collections.abc import Iterator

import httpx
import pytest

from tests.live import live_client

SMALL_BODY = 20_000


@pytest.fixture(scope="session")
def api() -> Iterator[httpx.Client]:
    """A client of a native service with the default settings."""
    with live_client() as client:
        yield client


@pytest.fixture(scope="session")
def small() -> Iterator[httpx.Client]:
    """A client of a native service that takes little."""
    with live_client(
        max_body_bytes=SMALL_BODY,
        max_queries=5,
        max_features=3,
        max_targets=2,
        max_neighbor_entries=12,
        max_timeout_s=10,
        default_timeout_s=5,
        memory_budget_bytes=4_000,
    ) as client:
        yield client
