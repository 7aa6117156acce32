"""One prediction as a unit of work, the same wherever it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from service.backends.base import Backend, Resident
from service.domain.arrays import Floats
from service.domain.dataset import LARGEST_VALUE, Dataset
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.domain.prediction import Prediction, Status, concatenated, issues_where
from service.engine.prepared import Prepared
from service.engine.workers.base import Task
from service.estimators import kriging, local_polynomial, nadaraya_watson, neighbors
from service.estimators.blocks import Blocks
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    LocalPolynomial,
    NadarayaWatson,
    metric_scale,
    rows_listed,
)
from service.estimators.reach import LEAST_BANDWIDTH, check_entries

T = TypeVar("T")

PORTION_S = 0.05
"""Computing time between two looks at the clock."""

FIRST_PORTION = 16

LARGEST_BANDWIDTH = 1e20
"""In ranges of the data. There, all weights are equal to rounding; beyond, z⁴ would underflow."""

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


class Portions:
    """How many queries come next: few at first, then as many as take `PORTION_S`.

    What a query costs depends on the data (a thousand rows at one place, say), so no plan can know
    it. A query's bits do not depend on its portion.

    Args:
        m: Queries in all.
        largest: The most at once.
    """

    def __init__(self, m: int, largest: int) -> None:
        self._m = m
        self._largest = largest
        self._size = min(FIRST_PORTION, largest)
        self._start = 0

    @property
    def has_more(self) -> bool:
        """True while queries are left."""
        return self._start < self._m

    def next(self) -> slice:
        """Return the next portion."""
        part = slice(self._start, min(self._start + self._size, self._m))
        self._start = part.stop
        return part

    def took(self, part: slice, seconds: float) -> None:
        """Learn from how long a portion took."""
        fitting = (part.stop - part.start) * PORTION_S / max(seconds, 1e-6)
        self._size = max(1, min(int(fitting), 4 * self._size, self._largest))


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
        portions = Portions(m, block_size)
        while portions.has_more:
            self.check()
            part = portions.next()
            started = time.monotonic()
            parts.append(work(part))
            portions.took(part, time.monotonic() - started)
        return parts

    def inside(self) -> "SerialBlocks":
        """Return blocks on the same clock for use inside of a slice."""
        return SerialBlocks(self._deadline, self._cancelled)

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


def run_task(task: Task, backend: Backend, cache: Prepared, blocks: Blocks) -> Prediction:
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
    dataset, metric = task.dataset, task.fit.metric
    rows = cache.get(
        dataset,
        (backend.name, metric),
        lambda: _prepare_rows(dataset, metric_scale(metric, dataset.x), backend),
        blocks.check,
    )
    q = task.q if rows.scale is None else _scaled(task.q, rows.scale)
    fit = _bounded_bandwidth(task.fit, rows)
    predict = _within_limit(task, _predictor(task, fit, rows.resident, cache, backend, blocks))
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


def _scaled(points: Floats, scale: Floats) -> Floats:
    """Return the points over the scale of each feature.

    Raises:
        InvalidInput: They become so large that their squares are no 64-bit numbers.
    """
    scaled = points / scale
    largest = np.max(np.abs(scaled), axis=0)
    if (largest > LARGEST_VALUE).any():
        j = int(np.argmax(largest))
        raise InvalidInput.at(
            "/fit/metric",
            f"Feature {j} over its scale, {scale[j]:g}, reaches {largest[j]:g}, and at most "
            f"{LARGEST_VALUE:g} can be computed with: send a larger scale.",
        )
    return scaled


def _bounded_bandwidth(fit: Fit, rows: PreparedRows) -> Fit:
    """Return the fit with its bandwidth cut to `LARGEST_BANDWIDTH` ranges of the data."""
    extent = float(np.max(rows.high - rows.low))
    if (
        isinstance(fit, NadarayaWatson | LocalPolynomial)
        and fit.bandwidth is not None
        and extent > 0
    ):
        largest = max(LARGEST_BANDWIDTH * extent, LEAST_BANDWIDTH)
        return replace(fit, bandwidth=min(fit.bandwidth, largest))
    return fit


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
    x = dataset.x if scale is None else _scaled(dataset.x, scale)
    return PreparedRows(backend.load(x, dataset.y), scale, np.min(x, axis=0), np.max(x, axis=0))


def _predictor(
    task: Task, fit: Fit, rows: Resident, cache: Prepared, backend: Backend, blocks: Blocks
) -> Callable[[Floats], Prediction]:
    """Return the function that predicts for a block of queries, with all preparation done."""
    limit, diagnostics = task.neighbor_limit, task.wants_diagnostics
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
                blocks=blocks.inside(),
            )
