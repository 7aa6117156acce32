"""What the network does wrong reaches people as what it means; both clients see it alike."""

import asyncio
import io
import sys
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service.client import AsyncClient, Client, Deadline, NoConnection, Retry, Unavailable
from service.client import progress as progress_bars
from service.client.transport import address

QUICK = Retry(tries=3, base_s=0.001)
Handler = Callable[[httpx.Request], httpx.Response]


def list_datasets(handler: Handler, *, is_async: bool, **options: Any) -> list[Any]:
    transport: Any = httpx.MockTransport(handler)
    if not is_async:
        with Client(transport=transport, retry=QUICK, **options) as client:
            return client.datasets.list()

    async def ask() -> list[Any]:
        async with AsyncClient(transport=transport, retry=QUICK, **options) as client:
            return await client.datasets.list()

    return asyncio.run(ask())


both = pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "asynchronous"])


@both
@pytest.mark.parametrize(
    ("failure", "expected", "said"),
    [
        (httpx.ConnectError("Connection refused"), NoConnection, "No service answers"),
        (httpx.ConnectTimeout(""), NoConnection, "ConnectTimeout"),
        (httpx.ReadError("reset by peer"), NoConnection, "broke before.*reset by peer"),
        (httpx.RemoteProtocolError("closed"), NoConnection, "broke before"),
        (httpx.ReadTimeout("timed out"), Deadline, "within 300 s"),
    ],
)
def test_a_failure_of_the_network_is_said_as_what_it_means(
    failure: httpx.TransportError, expected: type[Exception], said: str, is_async: bool
) -> None:
    tries = []

    def fail(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise failure

    with pytest.raises(expected, match=said):
        list_datasets(fail, is_async=is_async)
    assert len(tries) == QUICK.tries


@both
def test_a_busy_service_is_asked_again(is_async: bool) -> None:
    answers = [
        httpx.Response(503, json={"status": 503, "detail": "Busy."}),
        httpx.Response(200, json={"datasets": [], "next": None}),
    ]
    assert list_datasets(lambda _: answers.pop(0), is_async=is_async) == []
    with pytest.raises(Unavailable):
        list_datasets(lambda _: httpx.Response(503), is_async=is_async)


@both
def test_all_pages_are_read(is_async: bool) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        item, following = ({"id": "a"}, "1") if after is None else ({"id": "b"}, None)
        return httpx.Response(200, json={"datasets": [item], "next": following})

    assert [found.id for found in list_datasets(page, is_async=is_async)] == ["a", "b"]


@both
def test_headers_of_ones_own_are_sent_and_ids_are_quoted(is_async: bool) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.raw_path, request.headers["authorization"]))
        return httpx.Response(200, json={"datasets": [], "next": None})

    list_datasets(answer, is_async=is_async, headers={"Authorization": "Bearer a"})
    assert seen == [(b"/datasets?limit=1000", "Bearer a")]
    with Client(transport=httpx.MockTransport(answer), headers={"Authorization": "b"}) as client:
        client.datasets.get("a/b c")
    assert seen[1] == (b"/datasets/a%2Fb%20c", "b")


def test_a_file_is_sent_again_from_its_beginning(tmp_path: Any) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,2\n3,4\n")
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(503 if len(bodies) % 2 else 200, json={"id": "a"})

    with Client(transport=httpx.MockTransport(answer), retry=QUICK) as client:
        for source in (path, io.BytesIO(path.read_bytes())):
            client.datasets.upload(source, media_type="text/csv")
    assert bodies == [path.read_bytes()] * 4


def test_the_address_is_given_or_from_the_environment_or_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NEARFIT_URL", raising=False)
    assert address(None) == "http://127.0.0.1:8000"
    monkeypatch.setenv("NEARFIT_URL", "http://there:1/below/")
    assert address(None) == "http://there:1/below"
    assert address("https://here") == "https://here"
    for wrong in ("here:80", "file:///tmp", "http://", "there"):
        with pytest.raises(ValueError, match="give one such as"):
            address(wrong)


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_a_bar_appears_on_a_terminal_once_it_takes_long(
    nearfit: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience_s, is_seen in ((0.0, True), (60.0, False)):
        monkeypatch.setattr(progress_bars, "PATIENCE_S", patience_s)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        dataset = nearfit.datasets.upload(np.arange(20.0), np.arange(20.0) % 3)
        assert ("Uploading" in terminal.getvalue()) is is_seen
        nearfit.tune(dataset, budget_s=1, methods=["knn"])
        assert ("Tuning" in terminal.getvalue()) is is_seen
        nearfit.datasets.delete(dataset)
