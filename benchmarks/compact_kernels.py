"""K4: does a kernel that ends cost only the rows in its reach?

K3's queries with the Epanechnikov and the tricube kernel, beside K3 by brute force: the Gaussian
over all rows, which `NEARFIT_PLAN=scan` forces.

    python -m benchmarks.compact_kernels [--quick]
"""

from functools import partial

from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.racing import Contestant, Disagreement, compared, share_wrong
from benchmarks.records import Record, Target
from benchmarks.script import Options, run
from service.domain.kernels import Kernel
from service.estimators.fits import NadarayaWatson

KERNELS = (Kernel.EPANECHNIKOV, Kernel.TRICUBE)
BRUTE_FORCE = "gaussian, all rows"


def measure(options: Options) -> Record:
    """Return the times of each kernel."""
    n, m = (20_000, 500) if options.quick else (100_000, 10_000)
    d, h = 3, 0.05
    data = sample(n, d, m)
    with engine() as calls, engine(plan="scan") as scan:
        dataset_id = calls.upload(data.x, data.y)
        scanned_id = scan.upload(data.x, data.y)
        gaussian = NadarayaWatson(kernel=Kernel.GAUSSIAN, bandwidth=h)
        contestants = {
            BRUTE_FORCE: Contestant(lambda: scan.mean(scanned_id, data.queries, gaussian))
        }
        for kernel in KERNELS:
            fit = NadarayaWatson(kernel=kernel, bandwidth=h)
            contestants[kernel.value] = Contestant(
                partial(calls.mean, dataset_id, data.queries, fit)
            )
            few = data.queries[:200]
            expected = scan.mean(scanned_id, few, fit)
            if share_wrong(calls.mean(dataset_id, few, fit), expected, 1e-12) > 0:
                raise Disagreement(f"{kernel} differs from the sum over all rows")
        times = compared("kernel", contestants, rounds=options.rounds, baseline=BRUTE_FORCE)
    return Record(
        "compact_kernels",
        "K4: Nadaraya-Watson with kernels that end",
        {"n": n, "d": d, "m": m, "bandwidth": h},
        (times,),
        tuple(
            Target("K4", f"time of K3 by brute force ÷ {kernel}'s", 1 / times.ratio(kernel), 10)
            for kernel in KERNELS
        ),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
