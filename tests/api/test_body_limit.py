"""A body over the limit is answered before it is read, and the client sees the answer."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import orjson
import pytest

from service.api import limits
from tests.api.conftest import SMALL_BODY
from tests.api.problems import problem
from tests.live import live_client


@contextmanager
def connection(client: httpx.Client) -> Iterator[socket.socket]:
    """A bare connection to the service behind the client."""
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as opened:
        yield opened


def request_head(*headers: str, path: str = "/datasets") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Content-Type: text/csv", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(opened: socket.socket) -> tuple[int, dict[str, object]]:
    """Return the status and the document of the answer, without waiting for the end."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(opened)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _some(opened)
    return int(head.split()[1]), orjson.loads(body)


def _some(opened: socket.socket) -> bytes:
    piece = opened.recv(65536)
    assert piece, "the connection was closed before the answer"
    return piece


def ends(opened: socket.socket) -> bool:
    """Return whether the service closes the connection."""
    try:
        return opened.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_a_declared_length_over_the_limit_is_refused_before_the_body(small: httpx.Client) -> None:
    with connection(small) as opened:
        opened.sendall(request_head(f"Content-Length: {10**12}"))
        status, document = read_answer(opened)  # not a byte of the body was sent
    assert status == 413
    detail = str(document["detail"])
    assert "1,000,000,000,000 bytes" in detail
    assert f"{SMALL_BODY:,}" in detail
    assert "max_body_bytes" in detail


def test_it_is_refused_at_once_to_a_client_that_waits_for_100_continue(
    small: httpx.Client,
) -> None:
    with connection(small) as opened:
        opened.sendall(request_head("Content-Length: 1000000", "Expect: 100-continue"))
        status, _ = read_answer(opened)
        assert status == 413
        assert ends(opened)


def test_a_client_that_sends_all_first_still_sees_the_answer(small: httpx.Client) -> None:
    body = b"x" * (SMALL_BODY * 500)  # ten megabytes: far more than the buffers of a socket
    with connection(small) as opened:
        opened.sendall(request_head(f"Content-Length: {len(body)}") + body)
        status, _ = read_answer(opened)
        assert status == 413
        assert ends(opened)
    problem(small.post("/datasets", content=body, headers={"Content-Type": "text/csv"}), 413)


def test_a_chunked_body_is_counted(small: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            yield b"1,2\n" * 1_000

    headers = {"Content-Type": "text/csv"}
    answer = small.post("/datasets", content=pieces(), headers=headers)
    assert "more than 20,000 bytes" in problem(answer, 413)["detail"]


def test_a_chunked_body_is_refused_while_it_is_still_coming(small: httpx.Client) -> None:
    chunk = b"%x\r\n" % 8_000 + b"x" * 8_000 + b"\r\n"
    with connection(small) as opened:
        opened.sendall(request_head("Transfer-Encoding: chunked") + chunk * 3)
        status, _ = read_answer(opened)  # the last chunk never comes
    assert status == 413


def until(status: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask again until the answer has this status."""
    stop = time.monotonic() + 10
    while (answer := ask()).status_code != status:
        assert time.monotonic() < stop, answer.text
    return answer


def test_the_bodies_under_way_are_bounded_together(small: httpx.Client) -> None:
    headers = {"Content-Type": "text/csv"}
    body = b"x" * (SMALL_BODY - 1_000)

    def whole() -> httpx.Response:
        return small.post("/datasets", content=body, headers=headers)

    def in_chunks() -> httpx.Response:
        return small.post("/datasets", content=iter([body]), headers=headers)

    with ExitStack() as stack:
        for length in (f"Content-Length: {SMALL_BODY}", "Transfer-Encoding: chunked") * 2:
            opened = stack.enter_context(connection(small))
            chunk = b"%x\r\n" % len(body) if "chunked" in length else b""
            opened.sendall(request_head(length) + chunk + body)  # and the rest never comes
        for ask in (whole, in_chunks):
            answer = until(503, ask)
            assert problem(answer, 503)["type"] == "/guide/troubleshooting/#overloaded"
            assert "max_body_bytes" in answer.text
            assert int(answer.headers["retry-after"]) > 0
        with connection(small) as opened:
            opened.sendall(request_head(f"Content-Length: {len(body)}"))
            assert read_answer(opened)[0] == 503  # not a byte of the body was sent
        # There is room for short ones, and announced bytes that do not come take none.
        announced = stack.enter_context(connection(small))
        announced.sendall(request_head(f"Content-Length: {SMALL_BODY // 10}"))
        for _ in range(3):
            request = {"dataset_id": "motorcycle", "queries": [15]}
            assert small.post("/predict", json=request).is_success
    for ask in (whole, in_chunks):
        for _ in range(10):  # what was refused or answered is counted no more
            until(422, ask)


def test_a_length_below_the_truth_is_refused_by_the_server(small: httpx.Client) -> None:
    before = small.get("/datasets").json()
    with connection(small) as opened:
        # What follows the length would begin another request, and is none.
        opened.sendall(request_head("Content-Length: 4") + b"x,y\n" + b"1,2\n" * 1_000)
        assert b" 400 " in _some(opened)
        assert ends(opened)
    assert small.get("/datasets").json() == before


def test_a_length_above_the_truth_gets_no_answer_and_leaves_nothing(small: httpx.Client) -> None:
    before = small.get("/datasets").json()
    with connection(small) as opened:
        opened.sendall(request_head("Content-Length: 10000") + b"x,y\n1,2\n3,4\n")
    assert small.get("/datasets").json() == before
    assert small.get("/livez").is_success


def test_a_body_at_the_limit_is_read(small: httpx.Client) -> None:
    body = b"x,y\n1,2\n3,4\n"
    body += b"\n" * (SMALL_BODY - len(body))
    headers = {"Content-Type": "text/csv"}
    answer = small.post("/datasets", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    small.delete(answer.headers["location"])
    problem(small.post("/datasets", content=body + b"\n", headers=headers), 413)


def test_an_answer_before_the_body_is_seen_whatever_it_says(small: httpx.Client) -> None:
    body = b"x" * (SMALL_BODY - 1)
    for path, status in (("/nothing", 404), ("/livez", 405), ("/datasets", 415)):
        problem(small.post(path, content=body, headers={"Content-Type": "text/xml"}), status)


def test_a_refused_client_that_stalls_is_let_go(
    small: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DRAIN_SECONDS", 0.2)
    with connection(small) as opened:
        opened.sendall(request_head(f"Content-Length: {10**9}"))
        read_answer(opened)
        started = time.monotonic()
        assert ends(opened)
        assert time.monotonic() - started < 5


def test_a_body_of_which_nothing_comes_any_more_is_given_up() -> None:
    with live_client(body_timeout_s=0.2) as client:
        for sent in (b"", b"t,z\n1,2\n"):
            with connection(client) as opened:
                opened.sendall(request_head("Content-Length: 1000") + sent)
                started = time.monotonic()
                status, document = read_answer(opened)
                assert status == 408
                assert f"after {len(sent)} bytes" in str(document["detail"])
                assert ends(opened)
                assert time.monotonic() - started < 5  # it is not drained either


def test_a_body_that_comes_slowly_is_taken() -> None:
    with live_client(body_timeout_s=0.5) as client, connection(client) as opened:
        body = b"t,z\n" + b"1,2\n" * 6
        opened.sendall(request_head(f"Content-Length: {len(body)}"))
        for start in range(0, len(body), 4):
            opened.sendall(body[start : start + 4])
            time.sleep(0.15)  # in all longer than the limit
        assert read_answer(opened)[0] == 201
