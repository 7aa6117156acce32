"""How long do predictions wait while the search for the best fit goes on?

Four clients ask for one query each, with a pause in between, of a local line on 20,000 rows of 8
features; first of an idle service, then while a search runs over the same rows.

    python -m benchmarks.beside_search [--quick]
"""

import time

import httpx
import orjson

from benchmarks.data import sample
from benchmarks.load import Served, load_process, prediction_calls
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run

CLIENTS = 4
PAUSE_S = 0.002
LOAD_S = 4.0
IDLE, BUSY = "alone", "beside a search"
LIMIT = 2.0
SHARES = (0.5, 0.99)


def measure(options: Options) -> Record:
    """Return the latencies of small requests alone and beside a search."""
    n, d = (2_000, 3) if options.quick else (20_000, 8)
    load_s = 0.5 if options.quick else LOAD_S
    data = sample(n, d, 64)
    served: dict[str, list[Served]] = {IDLE: [], BUSY: []}
    with service(NEARFIT_SAMPLE="false") as client, load_process() as load:
        rows = orjson.dumps({"x": data.x, "y": data.y}, option=orjson.OPT_SERIALIZE_NUMPY)
        upload = client.post(
            "/datasets", content=rows, headers={"Content-Type": "application/json"}
        )
        dataset_id = upload.raise_for_status().json()["id"]
        fit = {"method": "local_linear", "n_neighbors": 50}
        calls = prediction_calls(
            client, "/predict", {"dataset_id": dataset_id, "fit": fit}, data.queries
        )
        url = str(client.base_url)
        for _ in range(options.rounds):
            served[IDLE].append(load.run(url, calls, CLIENTS, load_s, PAUSE_S))
            job = _begun(client, dataset_id, 2 * load_s)
            time.sleep(0.3 * load_s)  # past the grid's first, cheapest candidates
            served[BUSY].append(load.run(url, calls, CLIENTS, load_s, PAUSE_S))
            client.delete(job).raise_for_status()
    comparisons = {
        share: {
            name: Samples(tuple(one.quantile_ms(share) for one in runs))
            for name, runs in served.items()
        }
        for share in SHARES
    }
    return Record(
        "beside_search",
        "Predictions beside a search for the best fit",
        {"n": n, "d": d, "clients": CLIENTS, "pause_s": PAUSE_S},
        tuple(
            Comparison(f"{share:.0%} of the answers within", "ms", found, baseline=IDLE)
            for share, found in comparisons.items()
        ),
        tuple(
            Target(
                "search",
                f"time in which {share:.0%} are answered beside a search ÷ alone",
                found[BUSY].median / found[IDLE].median,
                LIMIT,
                at_most=True,
            )
            for share, found in comparisons.items()
        ),
    )


def _begun(client: httpx.Client, dataset_id: str, seconds: float) -> str:
    """Begin a search; return the address of its job."""
    answer = client.post(
        "/tune",
        json={"dataset_id": dataset_id, "budget_s": seconds},
        headers={"Prefer": "respond-async"},
    )
    return answer.raise_for_status().headers["Location"]


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
