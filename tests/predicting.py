"""How the tests ask a backend for a prediction, without HTTP."""

import time
from dataclasses import replace
from typing import Protocol

from service.backends.base import Backend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.prediction import Prediction, Wanted
from service.engine.plan import NOTHING_FORCED, Forced, Plan, choose
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers.base import Task
from service.estimators.fits import Fit

TIME_S = 60.0


class Predict(Protocol):
    """Predicts on one of the backends."""

    def __call__(
        self,
        x: Floats,
        y: Floats,
        fit: Fit,
        q: Floats,
        *,
        neighbors: bool = False,
        diagnostics: bool = False,
        block_size: int = 1000,
    ) -> Prediction: ...


class RunTask(Protocol):
    """Runs a task on one of the backends."""

    def __call__(self, task: Task) -> Prediction: ...


def make_task(
    x: Floats,
    y: Floats,
    fit: Fit,
    q: Floats,
    *,
    neighbors: bool = False,
    diagnostics: bool = False,
    wanted: Wanted | None = None,
    block_size: int = 1000,
    forced: Forced = NOTHING_FORCED,
) -> Task:
    """Return the task for these rows and queries."""
    wanted = wanted or Wanted(10**6 if neighbors else None, diagnostics)
    dataset = make_dataset(x, y)
    return Task(dataset, fit, q, plan_of(fit, dataset, forced, block_size), wanted)


def plan_of(
    fit: Fit, dataset: Dataset, forced: Forced = NOTHING_FORCED, block_size: int = 1000
) -> Plan:
    """Return the native plan for the fit, in blocks of this size."""
    n, d = dataset.x.shape
    chosen = choose(fit, n=n, m=1, d=d, t=1, backend="native", device="cpu", cores=1, forced=forced)
    return replace(chosen, block_size=block_size, first_block=16)


def predict_here(task: Task, backend: Backend) -> Prediction:
    """Run the task in this thread."""
    return run_task(task, backend, PreparedCache(0), SerialBlocks(time.monotonic() + TIME_S))
