"""How good a fit is: by rows that it has not seen, or by each row without itself."""

from dataclasses import replace

import numpy as np

from service.backends.base import Backend, Resident
from service.backends.native.planning import preferred_search
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.prediction import IntervalKind, Prediction, Wanted
from service.engine.calibration import Calibration
from service.engine.commands import Answer, ScoreCard, ScoreCommand
from service.engine.prepared import Prepared
from service.engine.residuals import LeftOut
from service.engine.task import calibrations_of, run_task
from service.engine.wanted import check_wanted
from service.engine.workers.base import Task
from service.estimators.blocks import Blocks
from service.estimators.classes import Classified, classified
from service.estimators.fits import Fit, Kriging
from service.estimators.intervals import Interval
from service.estimators.kriging_system import noise_of
from service.estimators.leave_one_out import hat_diagonal
from service.estimators.linear import squared_norms
from service.estimators.row_weights import counted, weights_at
from service.estimators.scores import (
    Held,
    errors_of,
    held_by,
    intervals_by_halves,
    joined,
    smoothing_of,
)

HATS_AT_ONCE = 64
"""Rows between two looks at the clock."""


def intervals_wanted(command: ScoreCommand, fit: Fit) -> Wanted:
    """Return which intervals are asked of the predictions of rows sent along.

    Raises:
        InvalidInput: The fit has none.
    """
    wanted = Wanted(interval=command.interval, level=command.level)
    try:
        check_wanted(wanted, fit)
    except InvalidInput as refused:
        detail = f"{refused.detail} Here, interval_kind null does: no intervals are judged then."
        raise InvalidInput.at("/interval_kind", detail) from refused
    return wanted


def scored_by_rows(
    answer: Answer,
    y: Floats,
    row_weights: Floats | None,
    interval: IntervalKind | None,
    level: float,
) -> ScoreCard:
    """Return how the answer fares with the targets (m, t) of its queries, weighted by (m,)."""
    found = answer.prediction
    return ScoreCard(
        dataset=answer.dataset,
        fit=answer.fit,
        rows=len(y),
        is_sampled=False,
        errors=errors_of(y, found.mean, row_weights),
        interval=interval,
        level=level,
        held=_held(found, y, row_weights),
        smoothing=None,
        classified=_classified(answer.dataset, y, found.mean, row_weights),
    )


def _classified(
    dataset: Dataset, y: Floats, prediction: Floats, row_weights: Floats | None
) -> Classified | None:
    return None if dataset.classes is None else classified(y, prediction, row_weights)


def _held(found: Prediction, y: Floats, row_weights: Floats | None) -> Held | None:
    intervals = found.intervals
    if intervals is None:
        return None
    return held_by(Interval(intervals.lower, intervals.upper, intervals.level), y, row_weights)


def scored_by_others(
    task: Task,
    interval: IntervalKind | None,
    level: float,
    backend: Backend,
    cache: Prepared,
    blocks: Blocks,
) -> ScoreCard:
    """Return how each row of a task's dataset, or of a sample, is predicted by all the others.

    Args:
        task: The dataset, the fit and the plan; it has no queries.
        interval: "conformal", or None for no intervals.
        level: Of the intervals.
        backend: Where the reductions run.
        cache: Keeps what was prepared, and the residuals.
        blocks: Runs pieces of the work.

    Raises:
        DeadlineExceeded: The time is over.
        InvalidInput: The fit cannot be made on these rows.
    """
    dataset = task.dataset
    calibrations = calibrations_of(task, backend, cache, blocks)
    calibration, left_out = calibrations[0], calibrations[0].left_out()
    at, y, p = left_out.at, dataset.y[left_out.at], left_out.row_weights
    residual = left_out.residual
    if len(calibrations) > 1:
        columns = [each.left_out().residual[:, c] for c, each in enumerate(calibrations)]
        residual = np.stack(columns, axis=1)
    prediction = y - residual
    held = None
    if interval is not None:

        def load(x: Floats, size: Floats) -> Resident:
            return backend.load(x, size, preferred_search(*x.shape)[0])

        held = held_by(
            intervals_by_halves(
                calibration.rows.x[at], prediction, residual, level, load,
                unit=left_out.unit,
            ),
            y,
            p,
        )  # fmt: skip
    fitted = run_task(replace(task, q=np.ascontiguousarray(dataset.x[at])), backend, cache, blocks)
    n, rest = len(counted(calibration.rows)), y - fitted.mean
    diagonals = [_hat_diagonal(each, left_out) for each in calibrations]
    smoothing = smoothing_of(diagonals[0], rest, n, p)
    if len(diagonals) > 1:
        smoothing = joined(
            [
                smoothing_of(diagonal, rest[:, c : c + 1], n, p)
                for c, diagonal in enumerate(diagonals)
            ]
        )
    return ScoreCard(
        dataset=dataset,
        fit=task.fit,
        rows=len(at),
        is_sampled=len(at) < len(counted(calibration.rows)),
        errors=errors_of(y, prediction, p),
        interval=interval,
        level=level,
        held=held,
        smoothing=smoothing,
        classified=_classified(dataset, y, prediction, p),
    )


def _hat_diagonal(calibration: Calibration, left_out: LeftOut) -> Floats:
    """Return the weight of each target in the prediction at its own row, (s,).

    Of kriging over all rows 1 - α [K_α⁻¹]_ii, which the variance of the residual has in it.
    """
    fit, system, at = calibration.fit, calibration.system, left_out.at
    if system is not None and isinstance(fit, Kriging) and left_out.variance is not None:
        noise = noise_of(calibration.rows, fit.alpha, at)
        return 1.0 - (noise + system.report.jitter) / left_out.variance
    if calibration.plane is not None:  # L is a projection, LLᵀ = L
        norms = squared_norms(calibration.plane, np.ascontiguousarray(calibration.rows.x[at]))
        return weights_at(calibration.rows, at) * norms

    def look(part: slice) -> Floats:
        return hat_diagonal(calibration.fitted, fit, at[part])

    return np.concatenate(calibration.blocks(look, len(at), HATS_AT_ONCE))
