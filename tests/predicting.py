"""How the tests ask a backend for a prediction, without HTTP."""

import time
from typing import Protocol

from service.backends.base import Backend
from service.domain.arrays import Floats
from service.domain.dataset import make_dataset
from service.domain.prediction import Prediction
from service.engine.prepared import PreparedCache
from service.engine.task import SerialBlocks, run_task
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
    block_size: int = 1000,
) -> Task:
    """Return the task for these rows and queries."""
    limit = 10**6 if neighbors else None
    return Task(make_dataset(x, y), fit, q, block_size, limit, diagnostics)


def predict_here(task: Task, backend: Backend) -> Prediction:
    """Run the task in this thread."""
    return run_task(task, backend, PreparedCache(0), SerialBlocks(time.monotonic() + TIME_S))
