"""How long do small requests wait while a request of a million queries is answered?

Four clients ask for one query each, with a pause in between, first of an idle service, then while a
request of 1,000,000 queries (knn, k = 10, on 1,000,000 rows) is read, computed and written.

    python -m benchmarks.fairness [--quick]
"""

import time

import orjson

from benchmarks.data import sample
from benchmarks.load import Served, load_process, post, prediction_calls
from benchmarks.records import Comparison, Record, Samples
from benchmarks.running import service
from benchmarks.script import Options, run
from benchmarks.wire import Exchange

CLIENTS = 4
PAUSE_S = 0.002
IDLE, BUSY = "alone", "beside a million queries"


def measure(options: Options) -> Record:
    """Return the latencies of small requests alone and beside a large one."""
    n, m = (50_000, 100_000) if options.quick else (1_000_000, 1_000_000)
    data = sample(n, 3, m)
    fit = {"method": "knn", "n_neighbors": 10}
    served: dict[str, list[Served]] = {IDLE: [], BUSY: []}
    large_s = []
    with service(NEARFIT_SAMPLE="false") as client, load_process() as load:
        rows = orjson.dumps({"x": data.x, "y": data.y}, option=orjson.OPT_SERIALIZE_NUMPY)
        upload = client.post(
            "/datasets", content=rows, headers={"Content-Type": "application/json"}
        )
        document = {"dataset_id": upload.raise_for_status().json()["id"], "fit": fit}
        calls = prediction_calls(client, "/predict", document, data.queries[:64])
        url = str(client.base_url)
        body = orjson.dumps(
            {**document, "queries": data.queries, "timeout_s": 300},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        large = post(url.rstrip("/") + "/predict", body)
        alone_s = _seconds(url, large)
        for _ in range(options.rounds):
            served[IDLE].append(load.run(url, calls, CLIENTS, min(alone_s, 3.0), PAUSE_S))
            load.begin(url, calls, CLIENTS, alone_s, PAUSE_S)
            time.sleep(0.3)  # the clients settle
            large_s.append(_seconds(url, large))
            served[BUSY].append(load.result())
    return Record(
        "fairness",
        "Small requests beside a large one",
        {"n": n, "m": m, "d": 3, "k": 10, "clients": CLIENTS, "pause_s": PAUSE_S},
        (
            *(
                Comparison(
                    f"{share:.1%} of the small answers within",
                    "ms",
                    {
                        name: Samples(tuple(one.quantile_ms(share) for one in runs))
                        for name, runs in served.items()
                    },
                    baseline=IDLE,
                )
                for share in (0.5, 0.99, 1.0)
            ),
            Comparison(
                "the large request", "s", {"beside small ones": Samples(tuple(large_s))}, None
            ),
        ),
    )


def _seconds(url: str, request: bytes) -> float:
    exchange = Exchange(url)
    try:
        return exchange.ask(request)
    finally:
        exchange.end()


if __name__ == "__main__":
    run(measure, __doc__, rounds=3)
