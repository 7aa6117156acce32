"""One prediction as a unit of work, the same wherever it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from service.backends.base import Backend, Resident
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import DeadlineExceeded
from service.domain.prediction import Prediction, Status, concatenated, issues_where
from service.engine.prepared import PreparedCache
from service.engine.workers.base import Task
from service.estimators import kriging, local_polynomial, nadaraya_watson, neighbors
from service.estimators.blocks import Blocks
from service.estimators.fits import (
    Knn,
    Kriging,
    LocalPolynomial,
    NadarayaWatson,
    metric_scale,
    rows_listed,
)
from service.estimators.reach import check_entries

T = TypeVar("T")

OUTSIDE = (
    "These queries lie outside the range of the data in at least one feature: the answers are "
    "extrapolations and can be far off."
)


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """A dataset version in the metric of a fit, resident on a backend.

    Attributes:
        resident: The rows, ready for reductions.
        scale: What the features were divided by, (d,), or None.
        low: Smallest value of each feature, scaled, (d,).
        high: Largest value of each feature, scaled, (d,).
    """

    resident: Resident
    scale: Floats | None
    low: Floats
    high: Floats

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the dataset's own arrays."""
        return self.resident.nbytes + (self.resident.x.nbytes if self.scale is not None else 0)


class SerialBlocks:
    """Runs the blocks of a task one after the other, and stops when its time is over.

    Args:
        deadline: On the clock of `time.monotonic`.
        cancelled: Asked between two blocks; True ends the task like a deadline.
    """

    def __init__(self, deadline: float, cancelled: Callable[[], bool] | None = None) -> None:
        self._deadline = deadline
        self._cancelled = cancelled

    def __call__(self, work: Callable[[slice], T], m: int, block_size: int) -> list[T]:
        """Return what `work` gives for each slice of at most block_size queries, in order."""
        parts = []
        for start in range(0, m, block_size):
            self.check()
            parts.append(work(slice(start, min(start + block_size, m))))
        return parts

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time of the task is over."""
        if time.monotonic() > self._deadline or (self._cancelled and self._cancelled()):
            raise too_late()


def too_late() -> DeadlineExceeded:
    """Return the error for a task whose time is over."""
    return DeadlineExceeded(
        "The prediction took longer than its time: send fewer queries, a larger timeout_s, or a "
        "fit that looks at fewer rows (n_neighbors)."
    )


def run_task(task: Task, backend: Backend, cache: PreparedCache, blocks: Blocks) -> Prediction:
    """Return the prediction that the task asks for.

    Args:
        task: What to predict.
        backend: Where the reductions run.
        cache: Keeps the rows and coefficients of earlier tasks.
        blocks: Cuts the work, and ends it when its time is over.

    Raises:
        DeadlineExceeded: The time of the task is over.
        InvalidInput: The fit cannot be made on these rows.
    """
    blocks.check()
    dataset, fit = task.dataset, task.fit
    rows = cache.get(
        dataset,
        (backend.name, fit.metric),
        lambda: _prepare_rows(dataset, metric_scale(fit.metric, dataset.x), backend),
        blocks.check,
    )
    q = task.q if rows.scale is None else task.q / rows.scale
    predict = _within_limit(task, _predictor(task, rows.resident, cache, backend, blocks))
    prediction = concatenated(blocks(lambda part: predict(q[part]), len(q), task.block_size))
    outside = np.any((q < rows.low) | (q > rows.high), axis=1)
    for issue in prediction.issues:
        # Nothing was extrapolated where there is no answer, and once is enough to say so.
        if issue.status in (Status.NO_SUPPORT, Status.EXTRAPOLATED):
            outside[issue.queries] = False
    return replace(
        prediction,
        issues=prediction.issues + issues_where(outside, Status.EXTRAPOLATED, OUTSIDE),
    )


def _within_limit(
    task: Task, predict: Callable[[Floats], Prediction]
) -> Callable[[Floats], Prediction]:
    """Return `predict`, refusing as soon as the blocks list more neighbours than the limit.

    Raises:
        InvalidInput: That is known ahead.
    """
    limit = task.neighbor_limit
    if limit is None:
        return predict
    check_entries(rows_listed(task.fit, len(task.q), task.dataset.n_rows) or 0, limit)
    listed = 0

    def counted(q: Floats) -> Prediction:
        nonlocal listed
        prediction = predict(q)
        if prediction.neighbors is not None:
            listed += len(prediction.neighbors.rows)
        check_entries(listed, limit)
        return prediction

    return counted


def _prepare_rows(dataset: Dataset, scale: Floats | None, backend: Backend) -> PreparedRows:
    x = dataset.x if scale is None else dataset.x / scale
    return PreparedRows(backend.load(x, dataset.y), scale, np.min(x, axis=0), np.max(x, axis=0))


def _predictor(
    task: Task, rows: Resident, cache: PreparedCache, backend: Backend, blocks: Blocks
) -> Callable[[Floats], Prediction]:
    """Return the function that predicts for a block of queries, with all preparation done."""
    fit, limit, diagnostics = task.fit, task.neighbor_limit, task.wants_diagnostics
    match fit:
        case Knn():
            return lambda q: neighbors.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case NadarayaWatson():
            return lambda q: nadaraya_watson.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case LocalPolynomial():
            return lambda q: local_polynomial.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case Kriging():
            coefficients = cache.get(
                task.dataset,
                (backend.name, fit),
                lambda: kriging.prepare(rows, fit, blocks),
                blocks.check,
            )
            return lambda q: kriging.predict(
                rows,
                fit,
                coefficients,
                q,
                neighbor_limit=limit,
                diagnostics=diagnostics,
                blocks=blocks,
            )
