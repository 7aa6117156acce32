"""K3: how fast is a Gaussian kernel regression, beside those that sum over all rows?

Nadaraya-Watson of 10,000 queries on 100,000 rows in three dimensions: a billion pairs. statsmodels
works on one core and has no other way; it is timed on the first queries alone, and its time is
scaled to all of them.

    python -m benchmarks.kernel_sums [--quick]
"""

import numpy as np
from statsmodels.nonparametric.kernel_regression import KernelReg

from benchmarks import blocked_numpy
from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.keops_peer import keops_peer
from benchmarks.racing import Contestant, race
from benchmarks.records import Record, Target
from benchmarks.script import Options, run
from service.domain.kernels import Kernel
from service.estimators.fits import NadarayaWatson

STATSMODELS_QUERIES = 20


def measure(options: Options) -> Record:
    """Return the times of nearfit and of each peer."""
    n, m = (20_000, 500) if options.quick else (100_000, 10_000)
    d, h = 3, 0.05
    data = sample(n, d, m)
    fit = NadarayaWatson(kernel=Kernel.GAUSSIAN, bandwidth=h)
    few = data.queries[:STATSMODELS_QUERIES]
    kernel_reg = KernelReg(data.y, data.x, "c" * d, reg_type="lc", bw=np.full(d, h), rng=0)
    in_numpy = {
        dtype: blocked_numpy.nadaraya_watson(data.x, data.y, h, dtype)
        for dtype in (np.float64, np.float32)
    }
    with engine() as calls, keops_peer(data.x, data.y, data.queries, h) as keops:
        dataset_id = calls.upload(data.x, data.y)
        contestants = {
            "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, fit)),
            "statsmodels KernelReg lc": Contestant(
                lambda: kernel_reg.fit(few)[0],
                part=len(few) / m,
                note=f"{len(few)} queries, scaled",
            ),
            "KeOps on the CPU, float64": Contestant(lambda: keops.predict("float64")),
            "KeOps on the CPU, float32": Contestant(lambda: keops.predict("float32"), rtol=1e-4),
            "NumPy in blocks, float64": Contestant(lambda: in_numpy[np.float64](data.queries)),
            "NumPy in blocks, float32": Contestant(
                lambda: in_numpy[np.float32](data.queries), rtol=1e-3
            ),
        }
        times = race("Gaussian mean", contestants, rounds=options.rounds)
    statsmodels_ratio = times.ratio("statsmodels KernelReg lc")
    keops_ratio = min(times.ratio(name) for name in times.samples if "KeOps" in name)
    numpy_ratio = min(times.ratio(name) for name in times.samples if "NumPy" in name)
    return Record(
        "kernel_sums",
        "K3: Nadaraya-Watson with the Gaussian kernel",
        {"n": n, "d": d, "m": m, "bandwidth": h},
        (times,),
        (
            Target("K3", "statsmodels' time ÷ nearfit's", statsmodels_ratio, 500),
            Target("K3", "time of KeOps on the CPU ÷ nearfit's", keops_ratio, 10),
            Target("K3", "time of NumPy in blocks ÷ nearfit's", numpy_ratio, 30),
        ),
        ("KeOps in float32 agrees to 1e-4, NumPy in float32 to 1e-3, all others to 1e-9.",),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=5)
