"""How good predictions are, against targets that they have not seen.

With e_i = y_i - f(x_i) over s rows, and ȳ the mean of their targets, both weighted where the rows
have weights, Σ p_i e_i² / Σ p_i in the place of Σ e_i² / s,

    RMSE = √(Σ e_i² / s)      MAE = Σ |e_i| / s      R² = 1 - Σ e_i² / Σ (y_i - ȳ)²

each for every target by itself. A row without a prediction has no e_i: it is counted, and in none
of the three. Intervals are judged by how many of the targets they hold, and by how wide they are.

Where the e_i are leave-one-out residuals, the conformal intervals made of them would hold them by
construction. So those of one half of the rows are held against the other half, and the other way
round.

Sources: Gneiting & Raftery (2007), JASA 102(477), 359-378, for intervals by coverage and width;
Vovk (2015), Annals of Mathematics and Artificial Intelligence 74, 9-28, for the halves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.estimators.bandwidths import aicc, gcv
from service.estimators.intervals import (
    Interval,
    conformal_interval,
    conformal_quantiles,
    local_scale,
)
from service.estimators.row_weights import mean_of


@dataclass(frozen=True, eq=False)
class Errors:
    """The size of the errors, in the unit of each target.

    Attributes:
        rmse: (t,); NaN where no row has a prediction.
        mae: (t,); NaN likewise.
        r2: (t,); 1 for no error, 0 for the errors of the mean; NaN where the targets are all equal.
        missing: How many rows have no prediction.
    """

    rmse: Floats
    mae: Floats
    r2: Floats
    missing: int


@dataclass(frozen=True, eq=False)
class Held:
    """How often intervals hold their targets.

    Attributes:
        coverage: The share of targets within, (t,); NaN where no row has an interval.
        mean_width: (t,); infinite where one has no bound.
    """

    coverage: Floats
    mean_width: Floats


@dataclass(frozen=True, eq=False)
class Smoothing:
    """How much a fit smooths, and the criteria that weigh this against its residuals.

    Attributes:
        trace: ν, that of the hat matrix; None where each target has another.
        gcv: (t,); see `bandwidths`.
        aicc: (t,).
    """

    trace: float | None
    gcv: Floats
    aicc: Floats


def errors_of(y: Floats, prediction: Floats, row_weights: Floats | None = None) -> Errors:
    """Return the size of the errors y - f, both (s, t); NaN in f where there is no prediction.

    Weights of the rows, (s,), weigh their errors; None where all count 1.
    """
    known = ~np.isnan(prediction).any(axis=1)
    missing = int(len(y) - known.sum())
    nothing = np.full(y.shape[1], np.nan)
    if missing == len(y):
        return Errors(nothing, nothing, nothing, missing)
    p = None if row_weights is None else row_weights[known]
    if p is not None and not p.any():
        return Errors(nothing, nothing, nothing, missing)
    y, error = y[known], y[known] - prediction[known]
    # Equal targets have a mean that differs from them by rounding, so the range tells.
    spread = np.where(np.ptp(y, axis=0) > 0, mean_of(np.square(y - mean_of(y, p)), p), np.nan)
    mean_sq = mean_of(np.square(error), p)
    return Errors(
        rmse=np.sqrt(mean_sq),
        mae=mean_of(np.abs(error), p),
        r2=1.0 - mean_sq / spread,
        missing=missing,
    )


def held_by(interval: Interval, y: Floats, row_weights: Floats | None = None) -> Held:
    """Return how the intervals fare with the targets (s, t), of rows with weights (s,) perhaps."""
    known = ~np.isnan(interval.lower).any(axis=1)
    p = None if row_weights is None else row_weights[known]
    if not known.any() or (p is not None and not p.any()):
        nothing = np.full(y.shape[1], np.nan)
        return Held(nothing, nothing)
    lower, upper, y = interval.lower[known], interval.upper[known], y[known]
    return Held(
        coverage=mean_of(((lower <= y) & (y <= upper)).astype(np.float64), p),
        mean_width=mean_of(upper - lower, p),
    )


def smoothing_of(
    hat_diagonal: Floats, residual: Floats, n: int, row_weights: Floats | None = None
) -> Smoothing:
    """Return the criteria for a fit to n rows that count.

    Args:
        hat_diagonal: l_i(x_i) of some rows, (s,); their mean stands for that of all.
        residual: y_i - f(x_i) of these rows, with all rows in the fit, (s, t).
        n: The number of all rows that count.
        row_weights: Of these rows, (s,); None where all count 1.
    """
    trace = n * float(hat_diagonal.mean())
    columns = residual.T
    return Smoothing(
        trace,
        np.array([gcv(column, trace, n, row_weights) for column in columns]),
        np.array([aicc(column, trace, n, row_weights) for column in columns]),
    )


def joined(targets: Sequence[Smoothing]) -> Smoothing:
    """Return those of single targets, each with a trace of its own, as one."""
    return Smoothing(
        None,
        np.concatenate([each.gcv for each in targets]),
        np.concatenate([each.aicc for each in targets]),
    )


def intervals_by_halves(
    x: Floats,
    prediction: Floats,
    residual: Floats,
    level: float,
    load: Callable[[Floats, Floats], Resident],
    seed: int = 0,
    unit: Floats | None = None,
) -> Interval:
    """Return the conformal interval of each row, made from the residuals of the other half.

    Args:
        x: Rows in the metric of the fit, (s, d).
        prediction: f₋ᵢ(x_i), (s, t).
        residual: y_i - f₋ᵢ(x_i), (s, t); NaN where there is no prediction.
        level: Between 0 and 1.
        load: Makes rows and their numbers resident.
        seed: Of the choice of the halves.
        unit: What makes each residual like one of a row of weight 1, (s,); None for nothing.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    halves = np.sort(order[: len(x) // 2]), np.sort(order[len(x) // 2 :])
    lower, upper = np.empty_like(prediction), np.empty_like(prediction)
    column = np.ones((len(x), 1)) if unit is None else unit[:, None]
    residual = residual * column
    for known, judged in (halves, halves[::-1]):
        half = _half_width(x, residual, known, judged, level, load) / column[judged]
        lower[judged] = prediction[judged] - half
        upper[judged] = prediction[judged] + half
    return Interval(lower, upper, level)


def _half_width(
    x: Floats,
    residual: Floats,
    known: Rows,
    judged: Rows,
    level: float,
    load: Callable[[Floats, Floats], Resident],
) -> Floats:
    """Return half the width of each interval at `judged`, (s, t), from the residuals `known`."""
    size = np.abs(residual[known])
    finite = np.isfinite(size).all(axis=1)
    if finite.sum() < 2:
        return np.full((len(judged), residual.shape[1]), np.inf)
    scale = local_scale(load(np.ascontiguousarray(x[known[finite]]), size[finite]))
    without = np.full((int((~finite).sum()), residual.shape[1]), np.inf)
    quantiles = conformal_quantiles(np.concatenate([scale.scores(), without]), level)
    at = scale.at(np.ascontiguousarray(x[judged]))
    return conformal_interval(np.zeros_like(at), at, quantiles, level).upper
