"""How a running service bears a million rows: uploads, queries, and /livez meanwhile.

Uploads 1,000,000 × 3 rows as JSON and as CSV, asks 10,000 queries (knn, k = 32), and polls /livez
every 5 ms from another process all the while.

    python -m benchmarks.million_rows [--quick]
"""

import time

import httpx
import numpy as np
import orjson

from benchmarks.load import post
from benchmarks.records import Comparison, Record, Samples
from benchmarks.running import LivezWatch, service
from benchmarks.script import Options, run
from benchmarks.wire import Exchange


def bodies(rows: int) -> dict[str, bytes]:
    """Return the same rows as JSON and as CSV."""
    rng = np.random.default_rng(0)
    x, y = rng.random((rows, 3)), rng.random(rows)
    numbers = orjson.dumps({"x": x, "y": y}, option=orjson.OPT_SERIALIZE_NUMPY)
    lines = "\n".join(
        f"{a!r},{b!r},{c!r},{d!r}" for (a, b, c), d in zip(x.tolist(), y.tolist(), strict=True)
    )
    return {"application/json": numbers, "text/csv": f"a,b,c,y\n{lines}\n".encode()}


def one_round(
    client: httpx.Client, livez: LivezWatch, uploads: dict[str, bytes], seed: int
) -> dict[str, float]:
    """Return the seconds of one round."""
    url = str(client.base_url).rstrip("/") + "/datasets"
    figures: dict[str, float] = {}
    queries = np.random.default_rng(seed).random((10_000, 3)).tolist()
    for kind, body in uploads.items():
        name = kind.split("/")[1]
        exchange, upload = Exchange(url), post(url, body, kind)
        livez.slowest_ms()
        figures[f"{name} upload"] = exchange.ask(upload)
        dataset_id = orjson.loads(exchange.body)["id"]
        exchange.end()
        figures[f"{name} upload, slowest /livez"] = livez.slowest_ms() / 1000
        fit = {"method": "knn", "n_neighbors": 32}
        request = {"dataset_id": dataset_id, "queries": queries, "fit": fit}
        for when in ("first", "second"):
            started = time.perf_counter()
            client.post("/predict", json=request).raise_for_status()
            figures[f"{name} 10,000 queries, {when}"] = time.perf_counter() - started
        figures[f"{name} queries, slowest /livez"] = livez.slowest_ms() / 1000
        # The same rows in the other format would else be found to be there already.
        client.delete(f"/datasets/{dataset_id}").raise_for_status()
    return figures


def measure(options: Options) -> Record:
    """Return how long uploads and queries take, and the slowest answers to /livez meanwhile."""
    rows = 100_000 if options.quick else 1_000_000
    uploads = bodies(rows)
    with service() as client:
        livez = LivezWatch(str(client.base_url))
        rounds = [one_round(client, livez, uploads, seed) for seed in range(options.rounds)]
        livez.end()
    samples = {name: Samples(tuple(one[name] for one in rounds)) for name in rounds[0]}
    return Record(
        "million_rows",
        "The service under large bodies",
        {"rows": rows},
        (Comparison("over HTTP", "s", samples, None),),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=3)
