"""K7: how fast is kriging with the nearest rows of each query, a small system each?

10,000 queries of k = 50 on 100,000 rows in eight dimensions, beside NumPy on blocks of systems, on
all cores: once with the neighbours from SciPy's kd-tree, as one would put it together, and once
with those from nearfit's own, so that the systems alone make the difference.

    python -m benchmarks.local_kriging [--quick]
"""

import functools

from scipy.spatial import cKDTree

from benchmarks import blocked_numpy
from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.racing import Contestant, race
from benchmarks.records import Record, Target
from benchmarks.script import Options, run
from service.backends.base import Nearest
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.fits import Kriging

WITH_SCIPY = "NumPy, with SciPy's search"
WITH_NEARFIT = "NumPy, with nearfit's search"


def measure(options: Options) -> Record:
    """Return the times of nearfit and of NumPy."""
    n, m = (5_000, 1_000) if options.quick else (100_000, 10_000)
    d, k = 8, 50
    data = sample(n, d, m)
    fit = Kriging(kernel=Covariance.GAUSSIAN, length_scale=0.5, alpha=0.01, n_neighbors=k)
    resident, tree = NativeBackend().load(data.x, data.y[:, None]), cKDTree(data.x)

    def by_scipy(q: Floats) -> Nearest:
        return Nearest(*tree.query(q, k))

    in_numpy = functools.partial(
        blocked_numpy.local_kriging,
        data.x,
        data.y,
        data.queries,
        length_scale=fit.length_scale,
        alpha=fit.alpha,
    )
    with engine() as calls:
        dataset_id = calls.upload(data.x, data.y)
        contestants = {
            "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, fit)),
            WITH_SCIPY: Contestant(lambda: in_numpy(by_scipy)),
            WITH_NEARFIT: Contestant(lambda: in_numpy(lambda q: resident.nearest(q, k))),
        }
        times = race("local kriging", contestants, rounds=options.rounds)
    return Record(
        "local_kriging",
        "K7: kriging with the nearest rows",
        {"n": n, "d": d, "m": m, "k": k, "length_scale": fit.length_scale, "alpha": fit.alpha},
        (times,),
        tuple(
            Target("K7", f"time of {peer} ÷ nearfit's", times.ratio(peer), 3)
            for peer in (WITH_SCIPY, WITH_NEARFIT)
        ),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
