"""How /livez answers while KeOps computes for seconds.

Starts the service on KeOps, asks for a Gaussian local linear fit of 2,000 queries on 200,000 rows,
4·10⁸ pairs, and polls /livez every 5 ms from another process until the answer is there.

    python benchmarks/busy_worker.py [--rounds 3]
"""

import argparse
import time

import httpx
import numpy as np
from running import LivezWatch, report, service


def measure(client: httpx.Client, livez: LivezWatch, seed: int) -> dict[str, float]:
    """Return the figures of one round."""
    rng = np.random.default_rng(seed)
    x, queries = rng.random((200_000, 3)), rng.random((2_000, 3))
    uploaded = client.post("/datasets", json={"x": x.tolist(), "y": x[:, 0].tolist()})
    dataset_id = uploaded.raise_for_status().json()["id"]
    request = {
        "dataset_id": dataset_id,
        "queries": queries.tolist(),
        "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.3},
        "include": ["diagnostics"],
        "timeout_s": 300,
    }
    livez.slowest_ms()
    started = time.perf_counter()
    answer = client.post("/predict", json=request).raise_for_status().json()
    elapsed = time.perf_counter() - started
    slowest = livez.slowest_ms()
    assert answer["diagnostics"]["plan"]["backend"] == "keops"
    client.delete(f"/datasets/{dataset_id}").raise_for_status()
    return {"the prediction, s": elapsed, "slowest /livez meanwhile, ms": slowest}


def main() -> None:
    """Run, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with service(NEARFIT_BACKEND="keops") as client:
        livez = LivezWatch(str(client.base_url))
        rounds = [measure(client, livez, seed) for seed in range(options.rounds)]
        livez.end()
    report("busy_worker", rounds)


if __name__ == "__main__":
    main()
