"""K10: what do a thousand times more rows cost, in time a query, in memory, and to upload?

The time of 10,000 queries through the engine, on 10,000 to 10,000,000 rows in three dimensions, for
fits that look at 32 or 50 rows each. Then, for each size, a fresh `nearfit serve`: the rows are
uploaded as an Arrow stream and queried; its resident memory is read after that.

    python -m benchmarks.growth [--quick]
"""

import time
from contextlib import ExitStack
from functools import partial

import httpx
import numpy as np
import orjson
import psutil
import pyarrow as pa

from benchmarks.data import Sample, sample
from benchmarks.engine_calls import EngineCalls, engine
from benchmarks.load import post
from benchmarks.racing import Contestant, timed, turned
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service_process
from benchmarks.script import Options, run
from benchmarks.wire import ARROW, Exchange
from service.domain.kernels import Kernel
from service.estimators.fits import Fit, Knn, LocalPolynomial, NadarayaWatson

D, M = 3, 10_000
IN_REACH = 50
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (1_000, 100_000)
KNN, LOCAL_LINEAR, EPANECHNIKOV = "knn, k = 32", "local linear, k = 50", "epanechnikov, 50 in reach"
SETTLED_S = 2.0


def fits(n: int) -> dict[str, Fit]:
    """Return the fits on n rows; the bandwidth is the radius of a ball that holds 50 of them."""
    radius = (IN_REACH / n * 3 / (4 * np.pi)) ** (1 / 3)
    return {
        KNN: Knn(n_neighbors=32),
        LOCAL_LINEAR: LocalPolynomial(degree=1, kernel=Kernel.TRICUBE, n_neighbors=50),
        EPANECHNIKOV: NadarayaWatson(kernel=Kernel.EPANECHNIKOV, bandwidth=radius),
    }


def contestants(calls: EngineCalls, data: Sample) -> dict[str, Contestant]:
    """Return the fits as contestants, each run once before."""
    dataset_id = calls.upload(data.x, data.y)
    found = {
        name: Contestant(partial(calls.mean, dataset_id, data.queries, fit))
        for name, fit in fits(len(data.x)).items()
    }
    for one in found.values():
        one.run()
    return found


def time_a_query(sizes: tuple[int, ...], rounds: int) -> list[Comparison]:
    """Return the seconds a query of each fit, a comparison a size; sizes and fits take turns."""
    with engine() as calls:
        by_size = {str(n): contestants(calls, sample(n, D, M)) for n in sizes}
        seconds: dict[str, dict[str, list[float]]] = {
            size: {name: [] for name in fits} for size, fits in by_size.items()
        }
        for turn in range(rounds):
            for size in turned(list(by_size), turn):
                for name, one in by_size[size].items():
                    seconds[size][name].append(timed(one) / M)
    return [
        Comparison(
            f"n = {int(size):,}",
            "s",
            {name: Samples(tuple(values)) for name, values in found.items()},
            None,
        )
        for size, found in seconds.items()
    ]


def arrow_stream(data: Sample) -> bytes:
    """Return the rows as an Arrow stream: x as a column of lists, y as one of numbers."""
    points = pa.FixedSizeListArray.from_arrays(pa.array(data.x.ravel()), data.x.shape[1])
    batch = pa.record_batch([points, pa.array(data.y)], names=["x", "y"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def predict(client: httpx.Client, dataset_id: str, data: Sample, fit: dict[str, object]) -> None:
    """Ask for the estimates of all queries over HTTP."""
    request = {"dataset_id": dataset_id, "queries": data.queries, "fit": fit}
    body = orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY)
    client.post(
        "/predict", content=body, headers={"Content-Type": "application/json"}
    ).raise_for_status()


def over_http(n: int, rounds: int) -> tuple[Comparison, Comparison]:
    """Return the seconds from upload to answers, and the server's memory over that of the rows."""
    data = sample(n, D, M)
    body = arrow_stream(data)
    raw = data.x.nbytes + data.y.nbytes
    uploading, queryable = [], []
    with ExitStack() as stack:
        client, process_id = stack.enter_context(
            service_process(
                NEARFIT_SAMPLE="false", NEARFIT_MAX_BODY_BYTES=str(max(2**28, 2 * len(body)))
            )
        )
        # Not by httpx, whose client copies what is left of a body each time it has sent a part.
        url = str(client.base_url).rstrip("/") + "/datasets"
        exchange, request = Exchange(url), post(url, body, ARROW)
        stack.callback(exchange.end)
        server = psutil.Process(process_id)
        before = server.memory_info().rss
        for last in [False] * (rounds - 1) + [True]:
            started = time.perf_counter()
            uploading.append(exchange.ask(request))
            dataset_id = orjson.loads(exchange.body)["id"]
            predict(client, dataset_id, data, {"method": "knn", "n_neighbors": 32})
            queryable.append(time.perf_counter() - started)
            if not last:
                client.delete(f"/datasets/{dataset_id}").raise_for_status()
        predict(client, dataset_id, data, {"method": "local_linear", "n_neighbors": 50})
        time.sleep(SETTLED_S)
        after = server.memory_info().rss
    title = f"n = {n:,}"
    return (
        Comparison(
            title,
            "s",
            {
                "upload as Arrow": Samples(tuple(uploading)),
                "upload, and 10,000 queries answered": Samples(tuple(queryable)),
            },
            None,
        ),
        Comparison(
            title,
            "MB",
            {
                "the rows, float64": Samples((raw / 1e6,)),
                "resident, the whole server": Samples((after / 1e6,)),
                "resident, beyond the empty server": Samples(((after - before) / 1e6,)),
            },
            None,
        ),
    )


def measure(options: Options) -> Record:
    """Return times, memory and uploads at each size."""
    sizes = QUICK_SIZES if options.quick else SIZES
    times = time_a_query(sizes, options.rounds)
    uploads, memory = zip(*(over_http(n, min(3, options.rounds)) for n in sizes), strict=True)
    least, most = times[0], times[-1]
    targets = [
        Target(
            "K10",
            f"{name}: time a query at n = {sizes[-1]:,} ÷ at {sizes[0]:,}",
            most.samples[name].median / least.samples[name].median,
            3,
            at_most=True,
        )
        for name in (KNN, LOCAL_LINEAR, EPANECHNIKOV)
    ]
    of_most = memory[-1].samples
    targets.append(
        Target(
            "K10",
            f"memory of the whole server ÷ that of the rows, n = {sizes[-1]:,}",
            of_most["resident, the whole server"].median / of_most["the rows, float64"].median,
            3,
            at_most=True,
        )
    )
    queryable = uploads[-1].samples["upload, and 10,000 queries answered"].median
    claim = f"{sizes[-1]:,} rows uploaded as Arrow, and 10,000 queries answered"
    targets.append(Target("K10", claim, queryable, 15, at_most=True, unit="s"))
    return Record(
        "growth",
        "K10: from ten thousand rows to ten million",
        {"d": D, "m": M},
        (*times, *uploads, *memory),
        tuple(targets),
        ("Time a query is that of 10,000 queries in one call, divided by 10,000.",),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
