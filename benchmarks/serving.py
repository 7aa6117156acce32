"""K8: what does a prediction cost beside an empty endpoint of the same app?

16 connections ask for one query at a time, the next as soon as the last is answered. The server
has one core, the load another. The empty endpoint reads and checks the same request and writes an
answer of the same schema (`empty_endpoint.py`). Every answer is compared, byte by byte, with what
a lone request was answered.

    python -m benchmarks.serving [--quick]
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.data import sample
from benchmarks.empty_endpoint import pinned_service
from benchmarks.load import Served, load_process, prediction_calls, split_cores
from benchmarks.racing import turned
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.script import Options, run

CONNECTIONS = 16
QUERIES = 64
FITS: dict[str, tuple[int, Mapping[str, Any]]] = {
    "knn, k=10": (100_000, {"method": "knn", "n_neighbors": 10}),
    "local linear, k=50": (100_000, {"method": "local_linear", "n_neighbors": 50}),
    "kriging, k=20": (
        100_000,
        {"method": "kriging", "kernel": "matern32", "length_scale": 0.2, "n_neighbors": 20},
    ),
    "kriging, all of 1,000 rows": (1_000, {"method": "kriging", "length_scale": 0.2}),
}
"""By name: the rows of the dataset, in three dimensions, and the fit."""

EMPTY = "empty endpoint"


def measure(options: Options) -> Record:
    """Return requests a second and latencies of the empty endpoint and of each fit."""
    seconds = 0.3 if options.quick else 0.6
    server_cores, load_cores = split_cores()
    queries = sample(1, 3, QUERIES, seed=1).queries
    with pinned_service(server_cores) as client, load_process(load_cores) as load:
        url = str(client.base_url)
        ids: dict[int, str] = {}
        for n in {n for n, _ in FITS.values()}:
            data = sample(n, 3, 1)
            upload = client.post("/datasets", json={"x": data.x.tolist(), "y": data.y.tolist()})
            ids[n] = upload.raise_for_status().json()["id"]
        asked = {
            name: ("/predict", {"dataset_id": ids[n], "fit": fit})
            for name, (n, fit) in FITS.items()
        }
        asked[EMPTY] = ("/empty", next(iter(asked.values()))[1])
        calls = {
            name: prediction_calls(client, path, document, queries)
            for name, (path, document) in asked.items()
        }
        served: dict[str, list[Served]] = {name: [] for name in calls}
        for turn in range(options.rounds):
            for name in turned(list(calls), turn):
                served[name].append(load.run(url, calls[name], CONNECTIONS, seconds))
    return record_of(served, seconds)


def record_of(served: Mapping[str, list[Served]], seconds: float) -> Record:
    """Return the record of what was served to each contestant, one run a round."""
    rates = _comparison("requests", "requests/s", served, lambda one: one.per_second)
    middle = _comparison(
        "half of the answers within", "ms", served, lambda one: one.quantile_ms(0.5)
    )
    tail = _comparison(
        "99 % of the answers within", "ms", served, lambda one: one.quantile_ms(0.99)
    )
    targets = []
    for name in served:
        if name != EMPTY:
            claim = f"of the empty endpoint's requests a second, {name}"
            targets.append(Target("K8", claim, rates.ratio(name), 0.8))
            claim = f"of the empty endpoint's p99, {name}"
            targets.append(Target("K8", claim, tail.ratio(name), 1.5, at_most=True))
    return Record(
        "serving",
        "K8: one query a request, on one core",
        {"connections": CONNECTIONS, "seconds a run": seconds, "d": 3, "queries": QUERIES},
        (rates, middle, tail),
        tuple(targets),
    )


def _comparison(
    title: str, unit: str, served: Mapping[str, list[Served]], figure: Any
) -> Comparison:
    samples = {name: Samples(tuple(map(figure, runs))) for name, runs in served.items()}
    return Comparison(title, unit, samples, baseline=EMPTY)


if __name__ == "__main__":
    run(measure, __doc__, rounds=9)
