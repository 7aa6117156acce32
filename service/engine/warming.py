"""Predictions that nobody asked for, so that no first request waits for compiled code."""

from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from service.backends.base import Backend
from service.domain.dataset import make_dataset
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import MEAN_ALONE, Wanted
from service.engine.plan import choose
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.wanted import check_wanted
from service.engine.workers.base import Task
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver

ROWS: Final = 8
K: Final = 6

FITS: Final[tuple[Fit, ...]] = (
    Knn(2),
    NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0),
    NadarayaWatson(Kernel.TRICUBE, n_neighbors=K),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=K),
    LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=1.0),
    Linear(),
    Kriging(Covariance.GAUSSIAN),
    Kriging(Covariance.LAPLACIAN),
    Kriging(Covariance.MATERN52, n_neighbors=K, mean="constant"),
)
"""One for each way through compiled code that few rows take, but for `SOLVERS`."""

SOLVERS: Final = tuple(Solver)
"""Of kriging over all rows; the planner takes some of them for more rows only."""

EXTRAS: Final = (
    Wanted(std=True, interval="conformal"),
    Wanted(slope=True),
    Wanted(gradient=True),
)
"""Asked of each fit that has them."""


def warm_up(backend: Backend) -> None:
    """Predict by each method on rows of one feature, and of two, with each extra that it has."""
    blocks = SerialBlocks(deadline=inf)
    nothing_kept = PreparedCache(0).lease()
    rng = np.random.default_rng(0)
    for d in (1, 2):
        dataset = make_dataset(rng.random((ROWS, d)), rng.random((ROWS, 1)))
        for fit in FITS:
            for wanted in (MEAN_ALONE, *EXTRAS)[: 1 if d == 1 else None]:
                try:
                    check_wanted(wanted, fit)
                except InvalidInput:
                    continue
                plan = choose(
                    fit, n=ROWS, m=1, d=d, t=1, backend="native", device="cpu", cores=1,
                    has_extras=wanted.has_extras,
                )  # fmt: skip
                for solver in (None,) if plan.solver is None else SOLVERS:
                    task = Task(
                        dataset, fit, dataset.x[:1].copy(), replace(plan, solver=solver), wanted
                    )
                    run_task(task, backend, nothing_kept, blocks)
