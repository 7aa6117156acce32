"""The load generator, against a server of a few lines, and what is made of its figures."""

import asyncio
import threading
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest

from benchmarks import batching, serving
from benchmarks.load import Call, Served, drive, post


class OneByOne(asyncio.Protocol):
    """Answers each request with its body, and 'boom' with 500."""

    opened: ClassVar[list[asyncio.Transport]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.opened.append(transport)

    def data_received(self, data: bytes) -> None:
        body = data.partition(b"\r\n\r\n")[2]
        status = b"500 Oh" if body == b"boom" else b"200 OK"
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        # In two pieces, as they may come.
        self.transport.write(head + body[:1])
        self.transport.write(body[1:])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(OneByOne, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/echo"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for transport in OneByOne.opened:
        transport.abort()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


def echoed(url: str, *bodies: bytes) -> list[Call]:
    return [Call(post(url, body), body) for body in bodies]


def test_what_is_served_is_counted_and_timed(url: str) -> None:
    served = drive(url, echoed(url, b"a", b"bc"), connections=3, seconds=1.0)
    assert served.elapsed_s == 1.0
    assert served.per_second == len(served.latencies_s) > 0
    assert list(served.latencies_s) == sorted(served.latencies_s)
    assert 0 < served.quantile_ms(0.5) <= served.quantile_ms(1.0)


def test_a_pause_lowers_the_rate(url: str) -> None:
    served = drive(url, echoed(url, b"a"), connections=1, seconds=1.0, pause_s=0.1)
    assert 1 <= len(served.latencies_s) <= 10


@pytest.mark.parametrize(
    "call",
    [
        lambda url: Call(post(url, b"right"), b"wrong"),
        lambda url: Call(post(url, b"boom"), b"boom"),
    ],
    ids=["other bytes", "other status"],
)
def test_a_wrong_answer_ends_the_run(url: str, call: object) -> None:
    assert callable(call)
    with pytest.raises(AssertionError, match="wrong answer"):
        drive(url, [call(url)], connections=2, seconds=0.1)


def test_a_request_is_written_as_http_has_it() -> None:
    assert post("http://host:80/predict", b"{}", "text/csv", Accept="a/b") == (
        b"POST /predict HTTP/1.1\r\nHost: host:80\r\nContent-Type: text/csv\r\n"
        b"Content-Length: 2\r\nAccept: a/b\r\n\r\n{}"
    )


def runs(rate: int, latency_s: float) -> list[Served]:
    return [Served(tuple(np.full(rate, latency_s).tolist()), 1.0)] * 3


def test_serving_is_measured_against_the_empty_endpoint() -> None:
    record = serving.record_of({"knn": runs(90, 0.003), serving.EMPTY: runs(100, 0.002)}, 1.0)
    assert [target.measured for target in record.targets] == pytest.approx([0.9, 1.5])
    assert all(target.is_reached for target in record.targets)


def test_batching_is_measured_against_none() -> None:
    found = {batching.JOINED: runs(400, 0.1), batching.ALONE: runs(100, 0.5)}
    (target,) = batching.record_of({"gaussian": found}, {}).targets
    assert target.measured == pytest.approx(4)
    assert not target.is_reached
