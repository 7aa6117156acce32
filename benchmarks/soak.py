"""Does the service come through 10,000 requests of all sorts as it was before?

Clients leave in the middle of a body or of the wait, ask for answers in no time, send nonsense,
upload, append to and delete datasets, with every fit. Then 1,000 plain requests must all be right,
to the byte that each was answered alone before, with resident memory back within 10 % and no work
left over. A part of the same goes ahead, so that what is compared are two states of a used service.

    python -m benchmarks.soak [--quick]
"""

import asyncio
import statistics
import time
from collections import Counter
from typing import Any

import httpx
import psutil
import uvloop

from benchmarks.data import sample
from benchmarks.hostile import Clients
from benchmarks.load import Call, prediction_calls
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run

AT_ONCE = 32
SETTLED_S, SETTLES_WITHIN_S = 2.0, 60.0
IDLE_SHARE = 0.05
"""Of a core: what an idle service may use."""

FITS: tuple[dict[str, Any], ...] = (
    {"method": "knn", "n_neighbors": 8},
    {"method": "knn", "n_neighbors": 8, "weights": "distance", "metric": "standardized"},
    {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.2},
    {"method": "nadaraya_watson", "kernel": "epanechnikov", "n_neighbors": 30},
    {"method": "local_linear", "kernel": "tricube", "n_neighbors": 40},
    {"method": "local_polynomial", "degree": 2, "kernel": "tricube", "n_neighbors": 80},
    {"method": "kriging", "kernel": "matern32", "length_scale": 0.3, "n_neighbors": 20},
    {"method": "kriging", "kernel": "gaussian", "length_scale": 0.5, "alpha": 0.1},
    {"method": "auto"},
)
DATASETS = ((500, 1), (20_000, 3), (3_000, 8))
"""Rows and features of those that stay."""


def measure(options: Options) -> Record:
    """Return memory, work left over and answers before and after."""
    hostile, plain = (600, 200) if options.quick else (10_000, 1_000)
    warm = hostile // 5
    with service(NEARFIT_DEFAULT_TIMEOUT_S="60") as client:
        server = _server_process()
        clients = _clients(client)
        outcomes: Counter[str] = Counter()
        memory_mb, files, seconds = [], [], []
        for turn, requests in enumerate((warm, hostile)):
            clients.outcomes.clear()
            started = time.perf_counter()
            _run(clients.send(requests, AT_ONCE, seed=turn))
            seconds.append(time.perf_counter() - started)
            outcomes = Counter(clients.outcomes)
            _run(clients.check_plain(plain, AT_ONCE))
            idle_share = _settled(server)
            memory_mb.append(server.memory_info().rss / 1e6)
            files.append(server.num_fds())
        growth = memory_mb[1] / memory_mb[0]
        left = _datasets(client) - 1 - len(DATASETS)
    counts = {name: float(outcomes[name]) for name in sorted(outcomes)}
    return Record(
        "soak",
        "10,000 requests of all sorts, then 1,000 plain ones",
        {"requests": hostile, "before": warm, "plain": plain, "at once": AT_ONCE},
        (
            Comparison(
                "resident memory",
                "MB",
                {"before": Samples((memory_mb[0],)), "after": Samples((memory_mb[1],))},
                baseline="before",
            ),
            Comparison(
                "open files",
                "files",
                {"before": Samples((files[0],)), "after": Samples((files[1],))},
                baseline="before",
            ),
            Comparison(
                "requests by what became of them",
                "requests",
                {name: Samples((count,)) for name, count in counts.items()},
                baseline=None,
            ),
        ),
        (
            Target("soak", "resident memory after ÷ before", growth, 1.10, at_most=True),
            Target("soak", "processor of the idle service", idle_share, IDLE_SHARE, True, "cores"),
            Target("soak", "datasets left over", float(left), 0.0, True, "datasets"),
        ),
        (
            f"All {plain} plain requests were answered as before, to the byte; the requests of all "
            f"sorts took {seconds[1]:.0f} s.",
        ),
    )


def _clients(client: httpx.Client) -> Clients:
    plain: list[Call] = []
    large = []
    for n, d in DATASETS:
        data = sample(n, d, 6, seed=d)
        upload = client.post("/datasets", json={"x": data.x.tolist(), "y": data.y.tolist()})
        dataset_id = upload.raise_for_status().json()["id"]
        for fit in FITS:
            document = {"dataset_id": dataset_id, "fit": fit}
            if fit["method"] == "kriging" and "n_neighbors" not in fit and n > 5_000:
                continue  # minutes of solving are another benchmark's question
            plain += prediction_calls(client, "/predict", document, data.queries)
            large.append((document, d))
    return Clients(str(client.base_url).rstrip("/"), plain, large)


def _run(work: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _server_process() -> psutil.Process:
    """Return the process of the service that this one has started."""
    (server,) = [
        child for child in psutil.Process().children() if "service.cli" in " ".join(child.cmdline())
    ]
    return server


def _settled(server: psutil.Process) -> float:
    """Wait until the service works no more; return the share of a core that it uses then.

    Raises:
        TimeoutError: It still works long after the last request.
    """
    until = time.monotonic() + SETTLES_WITHIN_S
    while time.monotonic() < until:
        server.cpu_percent()
        shares = []
        for _ in range(4):
            time.sleep(SETTLED_S / 4)
            shares.append(server.cpu_percent() / 100)
        if max(shares) <= IDLE_SHARE:
            return statistics.mean(shares)
    raise TimeoutError(f"the service still works {SETTLES_WITHIN_S:g} s after the last request")


def _datasets(client: httpx.Client) -> int:
    """Return how many datasets there are."""
    return len(client.get("/datasets").raise_for_status().json()["datasets"])


if __name__ == "__main__":
    run(measure, __doc__, rounds=1)
