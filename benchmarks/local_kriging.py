"""K7: how fast is kriging with the nearest rows of each query, a small system each?

10,000 queries of k = 50 on 100,000 rows in eight dimensions, beside NumPy on blocks of systems.
Both search with nearfit's backend, on all cores, so that the systems make the difference.

    python -m benchmarks.local_kriging [--quick]
"""

from benchmarks import blocked_numpy
from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.racing import Contestant, race
from benchmarks.records import Record, Target
from benchmarks.script import Options, run
from service.backends.native.backend import NativeBackend
from service.domain.kernels import Covariance
from service.estimators.fits import Kriging

IN_NUMPY = "NumPy, systems in blocks"


def measure(options: Options) -> Record:
    """Return the times of nearfit and of NumPy."""
    n, m = (5_000, 1_000) if options.quick else (100_000, 10_000)
    d, k = 8, 50
    data = sample(n, d, m)
    fit = Kriging(kernel=Covariance.GAUSSIAN, length_scale=0.5, alpha=0.01, n_neighbors=k)
    resident = NativeBackend().load(data.x, data.y[:, None])
    with engine() as calls:
        dataset_id = calls.upload(data.x, data.y)
        contestants = {
            "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, fit)),
            IN_NUMPY: Contestant(
                lambda: blocked_numpy.local_kriging(
                    data.x,
                    data.y,
                    data.queries,
                    lambda q: resident.nearest(q, k),
                    length_scale=fit.length_scale,
                    alpha=fit.alpha,
                )
            ),
        }
        times = race("local kriging", contestants, rounds=options.rounds)
    return Record(
        "local_kriging",
        "K7: kriging with the nearest rows",
        {"n": n, "d": d, "m": m, "k": k, "length_scale": fit.length_scale, "alpha": fit.alpha},
        (times,),
        (Target("K7", "time of NumPy ÷ nearfit's", times.ratio(IN_NUMPY), 3),),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
