"""A load generator: closed-loop HTTP/1.1 clients that cost a small part of what a server does.

Requests are written ahead as bytes, one process drives all connections, and every answer is
compared with the bytes that it should have. What it can drive at most: see `load_capacity.py`.
"""

import asyncio
import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools
import httpx
import numpy as np
import orjson
import uvloop

SPAWN: Final = multiprocessing.get_context("spawn")

SETTLE_S: Final = 0.15
"""At the start of a run, and not counted: connections open, and everything fills its caches."""


HANG_S: Final = 60.0
"""After the end of a run, for answers under way; then the server hangs."""


@dataclass(frozen=True)
class Call:
    """One request, as it goes over the wire.

    Attributes:
        request: Head and body.
        answer: The body that must come back with the status 200; None where any may.
    """

    request: bytes
    answer: bytes | None = None


@dataclass(frozen=True)
class Served:
    """What came back within the time that counts.

    Attributes:
        latencies_s: Ascending, one an answer.
        elapsed_s: From the first to the last moment that counts.
    """

    latencies_s: tuple[float, ...]
    elapsed_s: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.elapsed_s

    def quantile_ms(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed, in milliseconds."""
        return 1e3 * float(np.quantile(self.latencies_s, share, method="higher"))


def post(url: str, body: bytes, content_type: str = "application/json", **headers: str) -> bytes:
    """Return a POST request as bytes."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def prediction_calls(
    client: httpx.Client, path: str, document: Mapping[str, Any], queries: np.ndarray[Any, Any]
) -> list[Call]:
    """Return one call a query, with the body that a lone request is answered with now."""
    calls = []
    for query in queries:
        body = orjson.dumps({**document, "queries": [query.tolist()]})
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        answer.raise_for_status()
        calls.append(Call(post(f"{client.base_url}".rstrip("/") + path, body), answer.content))
    return calls


class _Connection(asyncio.Protocol):
    """Sends the next call when the last is answered, until its time is over."""

    def __init__(
        self,
        calls: Iterator[Call],
        is_over: Callable[[], bool],
        pause_s: float,
        ended: asyncio.Future[None],
    ) -> None:
        self._calls = calls
        self._pause_s = pause_s
        self._is_over = is_over
        self._ended = ended
        self.closed = asyncio.Event()
        self.answered: list[tuple[float, float]] = []  # (when, latency)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._send()

    def _send(self) -> None:
        self._call = next(self._calls)
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(self._call.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self.answered.append((now, now - self._sent))
        status = self._parser.get_status_code()
        expected = self._call.answer
        if status != 200 or (expected is not None and self._body != expected):
            self._end(AssertionError(f"wrong answer, {status}: {self._body[:300]!r}"))
        elif self._is_over():
            self._end(None)
        elif self._pause_s:
            asyncio.get_running_loop().call_later(self._pause_s, self._send)
        else:
            self._send()

    def close(self) -> None:
        """Hang up; what still comes is not read."""
        self._transport.abort()

    def connection_lost(self, problem: Exception | None) -> None:
        self.closed.set()
        if not self._ended.done():
            self._ended.set_exception(problem or ConnectionError("the server hung up"))

    def _end(self, problem: Exception | None) -> None:
        if not self._ended.done():
            if problem is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(problem)
        self._transport.close()


async def _drive(
    url: str, calls: Sequence[Call], connections: int, seconds: float, pause_s: float
) -> Served:
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    counted_from = time.perf_counter() + SETTLE_S
    until = counted_from + seconds
    opened: list[_Connection] = []
    ended = []
    try:
        for number in range(connections):
            future: asyncio.Future[None] = loop.create_future()
            start = number * len(calls) // connections
            connection = _Connection(
                _turns(calls, start), functools.partial(_is_past, until), pause_s, future
            )
            await loop.create_connection(_same(connection), parts.hostname or "", parts.port or 80)
            opened.append(connection)
            ended.append(future)
        async with asyncio.timeout(seconds + HANG_S):
            await asyncio.gather(*ended)
    finally:
        # All of them, also where one has failed: the loop is closed next.
        for connection in opened:
            connection.close()
        await asyncio.gather(*(connection.closed.wait() for connection in opened))
        await asyncio.gather(*ended, return_exceptions=True)
    latencies = sorted(
        latency
        for connection in opened
        for when, latency in connection.answered
        if counted_from <= when <= until
    )
    return Served(tuple(latencies), seconds)


def _turns(calls: Sequence[Call], start: int) -> Iterator[Call]:
    """Yield the calls for ever, from this one on."""
    while True:
        yield calls[start % len(calls)]
        start += 1


def _same(connection: _Connection) -> Callable[[], _Connection]:
    return lambda: connection


def _is_past(until: float) -> bool:
    return time.perf_counter() >= until


def drive(
    url: str, calls: Sequence[Call], connections: int, seconds: float, pause_s: float = 0.0
) -> Served:
    """Send the calls in turn over so many connections, from this process.

    Args:
        url: Of the server.
        calls: Each connection begins with another one.
        connections: Each waits for an answer before it sends the next call.
        seconds: How long what is served counts.
        pause_s: Between an answer and the next call.

    Raises:
        AssertionError: An answer was not the one expected.
        TimeoutError: The server does not answer any more.
        ConnectionError: The server hung up.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(url, calls, connections, seconds, pause_s))


def keep_busy(url: str, seconds: float, connections: int = 16) -> None:
    """Ask for one prediction after the other on the sample dataset, for a profiler to look at."""
    document = {"dataset_id": "motorcycle", "fit": {"method": "knn", "n_neighbors": 5}}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        queries = np.linspace(3.0, 57.0, 64)[:, None]
        calls = prediction_calls(client, "/predict", document, queries)
    drive(url, calls, connections, seconds)


class LoadProcess:
    """The load generator in a process of its own, on cores of its own.

    Args:
        cores: Where it may run; empty for anywhere.
    """

    def __init__(self, cores: Sequence[int] = ()) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve_loads, args=(theirs, tuple(cores)))
        self._process.start()
        theirs.close()

    def run(self, *arguments: Any) -> Served:
        """Return what `drive` gives there."""
        self.begin(*arguments)
        return self.result()

    def begin(self, *arguments: Any) -> None:
        """Start `drive` there; its result is waited for with `result`."""
        self._pipe.send(arguments)

    def result(self) -> Served:
        """Return the result of the run that was begun; raises what it raised."""
        outcome: Served | Exception = self._pipe.recv()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def end(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve_loads(pipe: Any, cores: tuple[int, ...]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(drive(*arguments))
        except Exception as problem:
            pipe.send(problem)


@contextmanager
def load_process(cores: Sequence[int] = ()) -> Iterator[LoadProcess]:
    """Give a load generator, and end it."""
    load = LoadProcess(cores)
    try:
        yield load
    finally:
        load.end()


def split_cores() -> tuple[list[int], list[int]]:
    """Return one core for a server and the others for the load; both all, where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[:1], cores[1:]) if len(cores) > 1 else (cores, cores)
