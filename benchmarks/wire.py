"""K9: what does HTTP add to a prediction of 100,000 queries?

The same queries, knn on 100,000 rows in three dimensions, as JSON and as an Arrow stream over HTTP,
and as an engine call in a process of its own, by turns. A client writes its request from bytes
that are ready and reads the answer to its last byte; it neither encodes nor decodes, so what is
left beside the engine call is what the service and the loopback add.

    python -m benchmarks.wire [--quick]
"""

import multiprocessing
import re
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import httptools
import httpx
import numpy as np
import orjson
import pyarrow as pa

from benchmarks.data import Sample, sample
from benchmarks.engine_calls import engine
from benchmarks.load import post
from benchmarks.racing import turned
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run
from service.domain.arrays import Floats
from service.estimators.fits import Knn

SPAWN = multiprocessing.get_context("spawn")

ARROW = "application/vnd.apache.arrow.stream"
ROWS, FEATURES, NEIGHBORS = 100_000, 3, 5
JSON_LIMIT_MS, ARROW_LIMIT_MS = 60.0, 10.0
WARM_RUNS = 3

ENGINE, JSON_HTTP, ARROW_HTTP = "engine call", "over HTTP as JSON", "over HTTP as Arrow"


def json_body(document: dict[str, Any], queries: Floats) -> bytes:
    """Return the request as JSON."""
    return orjson.dumps({**document, "queries": queries}, option=orjson.OPT_SERIALIZE_NUMPY)


def arrow_body(document: dict[str, Any], queries: Floats) -> bytes:
    """Return the request as an Arrow stream: the queries as a column, the rest as metadata."""
    points = pa.FixedSizeListArray.from_arrays(pa.array(queries.ravel()), queries.shape[1])
    schema = pa.schema(
        [pa.field("queries", points.type)], metadata={"nearfit": orjson.dumps(document)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.record_batch([points], schema=schema))
    return bytes(sink.getvalue())


def mean_of(body: bytes, content_type: str) -> Floats:
    """Return the estimates of an answer."""
    if content_type.startswith(ARROW):
        return np.asarray(pa.ipc.open_stream(body).read_all()["mean"].to_numpy())
    return np.asarray(orjson.loads(body)["mean"])


class Exchange:
    """One keep-alive connection that sends bytes and reads whole answers.

    Args:
        url: Of the service.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(2**20)

    def ask(self, request: bytes) -> float:
        """Return the seconds to the last byte of the answer, which `body` and `headers` hold."""
        self._pieces: list[bytes] = []
        self.headers: dict[str, str] = {}
        self._is_complete = False
        parser = httptools.HttpResponseParser(self)
        started = time.perf_counter()
        self._socket.sendall(request)
        while not self._is_complete:
            received = self._socket.recv_into(self._buffer)
            if not received:
                raise ConnectionError("the service hung up")
            parser.feed_data(memoryview(self._buffer)[:received])
        seconds = time.perf_counter() - started
        if not 200 <= parser.get_status_code() < 300:
            raise AssertionError(f"{parser.get_status_code()}: {self.body[:300]!r}")
        return seconds

    @property
    def body(self) -> bytes:
        """Of the last answer."""
        return b"".join(self._pieces)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._is_complete = True

    def end(self) -> None:
        """Close the connection."""
        self._socket.close()


@contextmanager
def engine_process(data: Sample) -> Iterator[Connection]:
    """Give a pipe to a process with an engine: it sends the estimates, then seconds when asked."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_call_engine, args=(theirs, data))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _call_engine(pipe: Connection, data: Sample) -> None:
    fit = Knn(n_neighbors=NEIGHBORS)
    with engine() as calls:
        dataset_id = calls.upload(data.x, data.y)
        for _ in range(WARM_RUNS):
            mean = calls.mean(dataset_id, data.queries, fit)
        pipe.send(mean[:, 0])
        while True:
            try:
                pipe.recv()
            except EOFError:
                return
            started = time.perf_counter()
            calls.mean(dataset_id, data.queries, fit)
            pipe.send(time.perf_counter() - started)


def server_timing_ms(header: str) -> dict[str, float]:
    """Return the parts of a Server-Timing header."""
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", header)}


def measure(options: Options) -> Record:
    """Return the times of the engine call and of both formats over HTTP."""
    m = 20_000 if options.quick else 100_000
    data = sample(ROWS, FEATURES, m)
    document: dict[str, Any] = {"fit": {"method": "knn", "n_neighbors": NEIGHBORS}}
    with service(NEARFIT_SAMPLE="false") as client, engine_process(data) as pipe:
        document["dataset_id"] = _upload(client, data)
        expected = pipe.recv()
        url = f"{client.base_url}".rstrip("/") + "/predict"
        requests = {
            JSON_HTTP: post(url, json_body(document, data.queries)),
            ARROW_HTTP: post(url, arrow_body(document, data.queries), ARROW, Accept=ARROW),
        }
        exchange = Exchange(url)
        for request in requests.values():
            for _ in range(WARM_RUNS):
                exchange.ask(request)
            answer = mean_of(exchange.body, exchange.headers["content-type"])
            if not np.array_equal(answer, expected):
                raise AssertionError("over HTTP, the estimates are not those of the engine call")
        seconds: dict[str, list[float]] = {ENGINE: [], **{name: [] for name in requests}}
        parts: dict[str, list[dict[str, float]]] = {name: [] for name in requests}
        for turn in range(options.rounds):
            for name in turned(list(seconds), turn):
                if name == ENGINE:
                    pipe.send("once more")
                    seconds[name].append(pipe.recv())
                else:
                    seconds[name].append(exchange.ask(requests[name]))
                    parts[name].append(server_timing_ms(exchange.headers["server-timing"]))
        exchange.end()
    setting = {"n": ROWS, "d": FEATURES, "m": m, "k": NEIGHBORS}
    sizes = {name: len(request) for name, request in requests.items()}
    return record_of(seconds, parts, {**setting, "request bytes": sizes})


def _upload(client: httpx.Client, data: Sample) -> str:
    answer = client.post("/datasets", json={"x": data.x.tolist(), "y": data.y.tolist()})
    return str(answer.raise_for_status().json()["id"])


def record_of(
    seconds: dict[str, list[float]],
    parts: dict[str, list[dict[str, float]]],
    setting: dict[str, Any],
) -> Record:
    """Return the record: all times, and what HTTP adds to the engine call of the same round."""
    total = {name: Samples(tuple(1e3 * s for s in found)) for name, found in seconds.items()}
    added = {
        name: Samples(
            tuple(
                1e3 * (http - call)
                for http, call in zip(seconds[name], seconds[ENGINE], strict=True)
            ),
            note="by the service's own account: " + _account(parts[name]),
        )
        for name in (JSON_HTTP, ARROW_HTTP)
    }
    return Record(
        "wire",
        "K9: 100,000 queries in one request",
        setting,
        (
            Comparison("a request", "ms", total, baseline=ENGINE),
            Comparison("added to the engine call", "ms", added, baseline=None),
        ),
        tuple(
            Target("K9", f"added {name}", added[name].median, limit, at_most=True, unit="ms")
            for name, limit in ((JSON_HTTP, JSON_LIMIT_MS), (ARROW_HTTP, ARROW_LIMIT_MS))
        ),
    )


def _account(parts: list[dict[str, float]]) -> str:
    return ", ".join(
        f"{name} {statistics.median(part[name] for part in parts):.1f} ms" for name in parts[0]
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=15)
