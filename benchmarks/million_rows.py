"""How a running service bears a million rows: uploads, queries, and /livez meanwhile.

Starts `nearfit serve` as a process of its own, uploads 1,000,000 × 3 rows as JSON and as CSV, asks
10,000 queries (knn, k = 32), and polls /livez every 5 ms from a third process all the while.

    python benchmarks/million_rows.py [--rows 1000000] [--repeats 3]
"""

import argparse
import json
import multiprocessing
import platform
import re
import statistics
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

RESULTS = Path(__file__).parent / "results"
POLL_S = 0.005


def poll_livez(url: str, pipe: Connection) -> None:
    """Send the slowest /livez since the last message, in ms, each time a message comes."""
    slowest_ms = 0.0
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get("/livez")
        pipe.send(None)
        while True:
            started = time.perf_counter()
            client.get("/livez").raise_for_status()
            slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - started))
            if pipe.poll(POLL_S):
                if pipe.recv() == "end":
                    return
                pipe.send(slowest_ms)
                slowest_ms = 0.0


def bodies(rows: int, seed: int) -> dict[str, bytes]:
    """Return the same kind of rows as JSON and as CSV."""
    rng = np.random.default_rng(seed)
    x, y = rng.random((rows, 3)), rng.random(rows)
    numbers = orjson.dumps({"x": x, "y": y}, option=orjson.OPT_SERIALIZE_NUMPY)
    lines = "\n".join(
        f"{a!r},{b!r},{c!r},{d!r}" for (a, b, c), d in zip(x.tolist(), y.tolist(), strict=True)
    )
    return {"application/json": numbers, "text/csv": f"a,b,c,y\n{lines}\n".encode()}


def measure(client: httpx.Client, pipe: Connection, rows: int, seed: int) -> dict[str, float]:
    """Return the figures of one round, seconds and milliseconds."""

    def slowest_livez_ms() -> float:
        pipe.send("how slow?")
        return float(pipe.recv())

    figures: dict[str, float] = {}
    queries = np.random.default_rng(seed).random((10_000, 3)).tolist()
    for kind, body in bodies(rows, seed).items():
        name = kind.split("/")[1]
        slowest_livez_ms()
        started = time.perf_counter()
        answer = client.post("/datasets", content=body, headers={"Content-Type": kind})
        figures[f"{name} upload, s"] = time.perf_counter() - started
        answer.raise_for_status()
        dataset_id = answer.json()["id"]
        figures[f"{name} upload, slowest /livez, ms"] = slowest_livez_ms()
        fit = {"method": "knn", "n_neighbors": 32}
        request = {"dataset_id": dataset_id, "queries": queries, "fit": fit}
        for when in ("first", "second"):
            started = time.perf_counter()
            client.post("/predict", json=request).raise_for_status()
            figures[f"{name} 10,000 queries, {when}, s"] = time.perf_counter() - started
        figures[f"{name} queries, slowest /livez, ms"] = slowest_livez_ms()
        # The other format of the same rows would else be found to be there already.
        client.delete(f"/datasets/{dataset_id}").raise_for_status()
    return figures


def main() -> None:
    """Run, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    found = re.search(r"http://\S+", server.stderr.readline())
    assert found, "the service did not say where it answers"
    url = found.group()
    here, there = multiprocessing.get_context("spawn").Pipe()
    poller = multiprocessing.get_context("spawn").Process(target=poll_livez, args=(url, there))
    rounds: list[dict[str, float]] = []
    try:
        with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
            while not client.get("/readyz").is_success:
                time.sleep(0.1)
            poller.start()
            here.recv()
            for seed in range(options.repeats):
                rounds.append(measure(client, here, options.rows, seed))
            here.send("end")
    finally:
        server.terminate()
        server.wait()
        if poller.pid:
            poller.join()
    write(options.rows, rounds)


def write(rows: int, rounds: list[dict[str, float]]) -> None:
    """Print the medians and the extremes, and write them to results/."""
    summary: dict[str, Any] = {}
    print(f"{'figure':44} {'median':>9} {'min':>9} {'max':>9}")
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        summary[name] = {
            "median": statistics.median(values), "min": min(values), "max": max(values),
        }  # fmt: skip
        print(f"{name:44} {statistics.median(values):9.3f} {min(values):9.3f} {max(values):9.3f}")
    RESULTS.mkdir(exist_ok=True)
    machine = {"processor": platform.machine(), "cores": multiprocessing.cpu_count()}
    record = {"rows": rows, "machine": machine, "repeats": len(rounds), "figures": summary}
    (RESULTS / "million_rows.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
