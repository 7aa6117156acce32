"""How /livez answers while KeOps computes for seconds.

Starts the service on KeOps, asks for a Gaussian local linear fit of 2,000 queries on 200,000 rows,
4·10⁸ pairs, and polls /livez every 5 ms from another process until the answer is there.

    python -m benchmarks.busy_worker [--quick]
"""

import time

import httpx
import numpy as np

from benchmarks.records import Comparison, Record, Samples
from benchmarks.running import LivezWatch, service
from benchmarks.script import Options, run

PREDICTION, LIVEZ = "the prediction", "the slowest /livez meanwhile"


def one_round(
    client: httpx.Client, livez: LivezWatch, rows: int, queries: int, seed: int
) -> dict[str, float]:
    """Return the seconds of one round."""
    rng = np.random.default_rng(seed)
    x, q = rng.random((rows, 3)), rng.random((queries, 3))
    uploaded = client.post("/datasets", json={"x": x.tolist(), "y": x[:, 0].tolist()})
    dataset_id = uploaded.raise_for_status().json()["id"]
    request = {
        "dataset_id": dataset_id,
        "queries": q.tolist(),
        "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.3},
        "include": ["diagnostics"],
        "timeout_s": 300,
    }
    livez.slowest_ms()
    started = time.perf_counter()
    answer = client.post("/predict", json=request).raise_for_status().json()
    elapsed = time.perf_counter() - started
    slowest_s = livez.slowest_ms() / 1000
    assert answer["diagnostics"]["plan"]["backend"] == "keops"
    client.delete(f"/datasets/{dataset_id}").raise_for_status()
    return {PREDICTION: elapsed, LIVEZ: slowest_s}


def measure(options: Options) -> Record:
    """Return how long a prediction takes, and the slowest answer to /livez meanwhile."""
    rows, queries = (20_000, 200) if options.quick else (200_000, 2_000)
    with service(NEARFIT_BACKEND="keops") as client:
        livez = LivezWatch(str(client.base_url))
        rounds = [one_round(client, livez, rows, queries, seed) for seed in range(options.rounds)]
        livez.end()
    samples = {name: Samples(tuple(one[name] for one in rounds)) for name in (PREDICTION, LIVEZ)}
    return Record(
        "busy_worker",
        "The service while KeOps computes",
        {"rows": rows, "queries": queries},
        (Comparison("local linear on KeOps", "s", samples, None),),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=3)
