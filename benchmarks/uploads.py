"""How long does a million rows of ten features take to upload, and who waits meanwhile?

The same rows as CSV and as Parquet, by turns, as the body of one request to a service in a process
of its own. Beside them /livez is asked every 5 ms from another process; and the memory of the
service is looked at, over what it had before. The client sends bytes that are ready, by http.client
of the standard library, which does little itself.

    python -m benchmarks.uploads [--quick]
"""

import json
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Self

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import LivezWatch, service_process
from benchmarks.script import Options, run

ROWS, QUICK_ROWS, FEATURES = 1_000_000, 100_000, 10
CSV_LIMIT_S, PARQUET_LIMIT_S, WAIT_LIMIT_MS, MEMORY_LIMIT = 5.0, 2.0, 100.0, 2.0
PAUSE_S = 0.01
MEDIA_TYPES = {"CSV": "text/csv", "Parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True)
class Upload:
    """What one upload took.

    Attributes:
        seconds: From the first byte sent to the answer.
        wait_ms: The longest answer of /livez meanwhile.
        growth: The most memory meanwhile over the array, as multiples of the array.
    """

    seconds: float
    wait_ms: float
    growth: float


def files(rows: int) -> dict[str, bytes]:
    """Return the rows as a file of each kind; ten features and their target."""
    values = np.random.default_rng(0).normal(size=(rows, FEATURES + 1))
    names = [*(f"x{j + 1}" for j in range(FEATURES)), "y"]
    table = pa.table({name: values[:, j] for j, name in enumerate(names)})
    as_csv, as_parquet = pa.BufferOutputStream(), pa.BufferOutputStream()
    arrow_csv.write_csv(table, as_csv)
    pq.write_table(table, as_parquet)
    return {"CSV": as_csv.getvalue().to_pybytes(), "Parquet": as_parquet.getvalue().to_pybytes()}


class Memory:
    """Looks at the memory of a process until it is stopped.

    Attributes:
        growth: The most over what it had at first, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = self._process.memory_info().rss
        self.growth = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self.growth = max(self.growth, self._process.memory_info().rss - self._before)


def upload(client: httpx.Client, pid: int, livez: LivezWatch, body: bytes, kind: str) -> Upload:
    """Upload a file to a service that has nothing of it, and delete the dataset again."""
    livez.slowest_ms()
    connection = HTTPConnection(client.base_url.host, client.base_url.port, timeout=300)
    with Memory(pid) as memory:
        started = time.perf_counter()
        connection.request("POST", "/datasets", body, {"Content-Type": kind})
        answer = connection.getresponse()
        described = json.loads(answer.read())
        seconds = time.perf_counter() - started
    assert answer.status == 201, described
    slowest_ms = livez.slowest_ms()
    client.delete(f"/datasets/{described['id']}").raise_for_status()
    return Upload(seconds, slowest_ms, memory.growth / described["bytes"])


def measure(options: Options) -> Record:
    """Return what the uploads took."""
    rows = QUICK_ROWS if options.quick else ROWS
    bodies = files(rows)
    found: dict[str, list[Upload]] = {name: [] for name in bodies}
    settings = {"NEARFIT_PREPARE": "false", "NEARFIT_TUNE_S": "0"}
    with service_process(**settings) as (client, pid):
        livez = LivezWatch(str(client.base_url))
        try:
            for _ in range(options.rounds):
                for name, body in bodies.items():
                    found[name].append(upload(client, pid, livez, body, MEDIA_TYPES[name]))
        finally:
            livez.end()
    parts = {
        "time": ("s", "seconds"),
        "longest wait for /livez": ("ms", "wait_ms"),
        "memory over the array": ("×", "growth"),
    }
    comparisons = tuple(
        Comparison(
            title,
            unit,
            {name: Samples(tuple(getattr(u, field) for u in ups)) for name, ups in found.items()},
            baseline=None,
        )
        for title, (unit, field) in parts.items()
    )
    times, waits, growths = (comparison.samples for comparison in comparisons)
    targets = (
        Target("U1", "CSV", times["CSV"].median, CSV_LIMIT_S, at_most=True, unit="s"),
        Target("U2", "Parquet", times["Parquet"].median, PARQUET_LIMIT_S, at_most=True, unit="s"),
        Target(
            "U3",
            "the longest wait for /livez in all uploads",
            max(max(samples.values) for samples in waits.values()),
            WAIT_LIMIT_MS,
            at_most=True,
            unit="ms",
        ),
        *(
            Target(
                "U4",
                f"{name}: memory over the array",
                samples.median,
                MEMORY_LIMIT,
                at_most=True,
            )
            for name, samples in growths.items()
        ),
    )
    setting = {"rows": rows, "features": FEATURES, "rounds": options.rounds}
    sizes = ", ".join(f"{name} {len(body):,} bytes" for name, body in bodies.items())
    notes = (f"The bodies: {sizes}.", "Rows are not made ready ahead, and no fit is searched for.")
    return Record(
        "uploads", (__doc__ or "").partition("\n")[0], setting, comparisons, targets, notes
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
