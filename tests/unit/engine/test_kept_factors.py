"""The memory of kriging over all rows is that of the factors within the budget."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from service.backends.native.backend import NativeBackend
from service.domain.dataset import make_dataset
from service.domain.kernels import Covariance
from service.engine.plan import choose
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers.base import Task
from service.estimators.fits import Kriging

N = 2200
FACTOR_BYTES = 8 * N**2


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_factors_beyond_the_budget_are_let_go() -> None:
    rng = np.random.default_rng(0)
    rows = replace(make_dataset(rng.random((N, 3)), rng.random((N, 1))), id="rows")
    cache, used = PreparedCache(int(1.5 * FACTOR_BYTES)), []
    for j in range(5):
        fit = Kriging(Covariance.LAPLACIAN, 0.3 + 0.1 * j, 1e-6)
        plan = choose(fit, n=N, m=1, d=3, t=1, backend="native", device="cpu", cores=1)
        blocks = SerialBlocks(deadline=float("inf"))
        run_task(Task(rows, fit, rows.x[:1].copy(), plan), NativeBackend(), cache.lease(), blocks)
        assert FACTOR_BYTES < cache.used_bytes <= 1.5 * FACTOR_BYTES
        used.append(resident_bytes())
    assert used[-1] - used[0] < FACTOR_BYTES
