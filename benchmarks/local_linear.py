"""K5: what does local linear regression cost beyond the search for its neighbours?

10,000 queries, tricube, k = 100, on a million rows in three dimensions, beside the search for the
same neighbours: alone on the bare backend, and as a mean through the engine. Then on 10,000 rows
beside statsmodels, which knows product kernels of one bandwidth only: there the Gaussian, whose
product is radial, gives the same fit in both. statsmodels works on one core; it is timed on the
first queries alone, and its time is scaled to all of them.

    python -m benchmarks.local_linear [--quick]
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import cKDTree
from statsmodels.nonparametric.kernel_regression import KernelReg

from benchmarks.data import Sample, sample
from benchmarks.engine_calls import EngineCalls, engine
from benchmarks.racing import (
    Answer,
    Contestant,
    Disagreement,
    compared,
    disagreeing,
    share_wrong,
)
from benchmarks.records import Comparison, Record, Target
from benchmarks.script import Options, run
from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.estimators.fits import Knn, LocalPolynomial
from service.settings import available_cores

K = 100
BLOCK = 512
SAME_FIT = "nearfit, gaussian"
STATSMODELS = "statsmodels KernelReg ll"
STATSMODELS_ROWS, STATSMODELS_QUERIES, BANDWIDTH = 10_000, 100, 0.1
TRICUBE = LocalPolynomial(degree=1, kernel=Kernel.TRICUBE, n_neighbors=K)


def by_least_squares(data: Sample, queries: Floats) -> Floats:
    """Return TRICUBE's estimates, each by NumPy's least squares on SciPy's neighbours."""
    distances, rows = map(np.asarray, cKDTree(data.x).query(queries, K))
    estimates = []
    for q, distance, nearest in zip(queries, distances, rows, strict=True):
        root = np.sqrt((1 - (distance / distance[-1]) ** 3) ** 3)
        design = np.column_stack([np.ones(K), data.x[nearest] - q])
        found = np.linalg.lstsq(design * root[:, None], data.y[nearest] * root, rcond=None)
        estimates.append(found[0][0])
    return np.array(estimates)


def search_alone(resident: Resident, queries: Floats) -> Answer:
    """Return the distances to the nearest rows, in blocks on all cores."""
    parts = [queries[start : start + BLOCK] for start in range(0, len(queries), BLOCK)]
    with ThreadPoolExecutor(available_cores()) as pool:
        found = pool.map(lambda part: resident.nearest(part, K), parts)
        return np.concatenate([one.distances for one in found])


def beside_the_search(calls: EngineCalls, data: Sample, rounds: int) -> Comparison:
    """Return the times of local linear regression and of the search for its neighbours."""
    dataset_id = calls.upload(data.x, data.y)
    few = data.queries[:100]
    if share_wrong(calls.mean(dataset_id, few, TRICUBE), by_least_squares(data, few), 1e-9) > 0:
        raise Disagreement("local linear regression differs from NumPy's least squares")
    resident = NativeBackend().load(data.x, data.y[:, None])
    contestants = {
        "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, TRICUBE)),
        "the search alone": Contestant(lambda: search_alone(resident, data.queries)),
        "nearfit, knn mean": Contestant(
            lambda: calls.mean(dataset_id, data.queries, Knn(n_neighbors=K))
        ),
    }
    times = compared(f"local linear, n = {len(data.x):,}", contestants, rounds=rounds)
    calls.delete(dataset_id)
    return times


def beside_statsmodels(calls: EngineCalls, data: Sample, rounds: int) -> Comparison:
    """Return the times on fewer rows, where statsmodels ends."""
    m, few = len(data.queries), data.queries[:STATSMODELS_QUERIES]
    d = data.x.shape[1]
    dataset_id = calls.upload(data.x, data.y)
    same_fit = LocalPolynomial(degree=1, kernel=Kernel.GAUSSIAN, bandwidth=BANDWIDTH)
    kernel_reg = KernelReg(data.y, data.x, "c" * d, reg_type="ll", bw=np.full(d, BANDWIDTH), rng=0)
    contestants = {
        SAME_FIT: Contestant(lambda: calls.mean(dataset_id, data.queries, same_fit)),
        STATSMODELS: Contestant(
            lambda: kernel_reg.fit(few)[0],
            part=len(few) / m,
            note=f"gaussian, {len(few)} queries, scaled",
        ),
    }
    disagreeing(contestants, SAME_FIT)
    k5 = Contestant(lambda: calls.mean(dataset_id, data.queries, TRICUBE), note="tricube")
    contestants = {"nearfit": k5, **contestants}
    return compared(f"local linear, n = {len(data.x):,}", contestants, rounds=rounds)


def measure(options: Options) -> Record:
    """Return the times beside the search, and beside statsmodels."""
    n, m = (20_000, 1_000) if options.quick else (1_000_000, 10_000)
    d = 3
    with engine() as calls:
        searching = beside_the_search(calls, sample(n, d, m), options.rounds)
        fitting = beside_statsmodels(calls, sample(STATSMODELS_ROWS, d, m), options.rounds)
    return Record(
        "local_linear",
        "K5: local linear regression",
        {"n": n, "d": d, "m": m, "k": K},
        (searching, fitting),
        (
            Target(
                "K5",
                "time ÷ that of its neighbour search alone",
                1 / searching.ratio("the search alone"),
                2,
                at_most=True,
            ),
            Target(
                "K5",
                "n = 10,000: statsmodels' time, gaussian, ÷ nearfit's, tricube",
                fitting.ratio(STATSMODELS),
                500,
            ),
            Target(
                "K5",
                "n = 10,000: statsmodels' time ÷ nearfit's, gaussian in both",
                fitting.ratio(STATSMODELS) / fitting.ratio(SAME_FIT),
                500,
            ),
        ),
    )


if __name__ == "__main__":
    run(measure, __doc__)
