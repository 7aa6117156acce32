"""K11: what does it give to join the queries of many clients?

64 clients ask for one query each, the next as soon as the last is answered, from a kriging fit over
all of 100,000 rows: each query is a pass over all rows. Two services with the same data, one of
which joins no requests (NEARFIT_MAX_BATCH_ROWS=1), by turns. The coefficients are made beforehand.

    python -m benchmarks.batching [--quick]
"""

from contextlib import ExitStack
from typing import Any

import httpx

from benchmarks.data import sample
from benchmarks.load import Served, load_process, prediction_calls
from benchmarks.racing import turned
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run

CLIENTS = 64
QUERIES = 128
FITS: dict[str, dict[str, Any]] = {
    "gaussian": {"method": "kriging", "kernel": "gaussian", "length_scale": 1.0, "alpha": 0.1},
    "matern52": {"method": "kriging", "kernel": "matern52", "length_scale": 1.0, "alpha": 1.0},
}
PREPARE_S = 300.0

JOINED, ALONE = "nearfit", "without batching"
SERVICES = {JOINED: {}, ALONE: {"NEARFIT_MAX_BATCH_ROWS": "1"}}


def measure(options: Options) -> Record:
    """Return requests a second and latencies with and without batching."""
    n, seconds = (10_000, 0.5) if options.quick else (100_000, 1.5)
    data = sample(n, 3, 1)
    queries = sample(1, 3, QUERIES, seed=1).queries
    fits = dict(list(FITS.items())[:1]) if options.quick else FITS
    served: dict[str, dict[str, list[Served]]] = {
        fit: {name: [] for name in SERVICES} for fit in fits
    }
    with ExitStack() as stack:
        load = stack.enter_context(load_process())
        asked = {}
        for name, environment in SERVICES.items():
            client = stack.enter_context(service(NEARFIT_SAMPLE="false", **environment))
            upload = client.post("/datasets", json={"x": data.x.tolist(), "y": data.y.tolist()})
            dataset_id = upload.raise_for_status().json()["id"]
            for fit, specification in fits.items():
                document = {"dataset_id": dataset_id, "fit": specification}
                _prepare(client, document, queries[:1].tolist())
                calls = prediction_calls(client, "/predict", document, queries)
                asked[fit, name] = (str(client.base_url), calls)
        for fit in fits:
            # The same rows, so the same answers: what one service gave alone, both must give.
            if [c.answer for c in asked[fit, JOINED][1]] != [
                c.answer for c in asked[fit, ALONE][1]
            ]:
                raise AssertionError(f"the two services answer differently with {fit}")
        for turn in range(options.rounds):
            for fit, name in turned(list(asked), turn):
                url, calls = asked[fit, name]
                served[fit][name].append(load.run(url, calls, CLIENTS, seconds))
    return record_of(served, {"n": n, "d": 3, "clients": CLIENTS, "seconds a run": seconds})


def _prepare(client: httpx.Client, document: dict[str, Any], queries: list[list[float]]) -> None:
    request = {**document, "queries": queries, "timeout_s": PREPARE_S}
    client.post("/predict", json=request, timeout=PREPARE_S + 10).raise_for_status()


def record_of(served: dict[str, dict[str, list[Served]]], setting: dict[str, Any]) -> Record:
    """Return the record of what was served with each fit and by each service."""
    comparisons, targets = [], []
    for fit, runs in served.items():
        rates = Comparison(
            f"requests, {fit}",
            "requests/s",
            {name: Samples(tuple(one.per_second for one in found)) for name, found in runs.items()},
        )
        waits = Comparison(
            f"half of the answers within, {fit}",
            "ms",
            {
                name: Samples(tuple(one.quantile_ms(0.5) for one in found))
                for name, found in runs.items()
            },
        )
        comparisons += [rates, waits]
        gain = 1 / rates.ratio(ALONE)
        targets.append(Target("K11", f"the throughput without batching, {fit}", gain, 5))
    return Record(
        "batching",
        "K11: 64 clients, one query each, kriging with all rows",
        setting,
        tuple(comparisons),
        tuple(targets),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
