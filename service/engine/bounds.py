"""The bounds of intervals, from deviations or from leave-one-out residuals."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from service.domain.arrays import Floats
from service.domain.prediction import Prediction, Wanted
from service.engine.calibration import Calibration
from service.estimators.blocks import Blocks
from service.estimators.fits import Kriging, Linear
from service.estimators.intervals import (
    Interval,
    conformal_interval,
    conformal_quantiles,
    t_interval,
)
from service.estimators.jackknife import (
    jackknife_plus,
    kriging_without,
    predictions_without,
    weights_over_all,
)

MOST_WITHOUT: Final = 2**20
"""Predictions without a row that are held at once: 8 MB."""

Bounds: TypeAlias = Callable[[Floats, Prediction], Interval]
"""Returns the interval at each query of a block, given what is predicted there."""


def bounds_of(calibration: Calibration, wanted: Wanted, blocks: Blocks) -> Bounds:
    """Return the bounds of the wanted kind, with their preparation done.

    Args:
        calibration: Of the fit.
        wanted: The kind of interval, its level, and what the noise is supposed to be.
        blocks: For use inside of a block.

    Raises:
        DeadlineExceeded: The time of the task is over.
    """
    match wanted.interval:
        case "jackknife_plus":
            return _jackknife_plus(calibration, wanted.level, blocks)
        case "confidence" | "prediction":
            return _from_deviations(calibration, wanted)
        case _:
            return _conformal(calibration, wanted.level)


def _from_deviations(calibration: Calibration, wanted: Wanted) -> Bounds:
    is_local = wanted.noise == "local"
    freedom = calibration.local_noise().k if is_local else calibration.noise().freedom

    def bounds(q: Floats, prediction: Prediction) -> Interval:
        found = prediction.deviations
        if found is None:
            raise TypeError("the deviations come first")
        deviation = found.estimate if wanted.interval == "confidence" else found.observation
        return t_interval(prediction.mean, deviation * deviation, freedom, wanted.level)

    return bounds


def _conformal(calibration: Calibration, level: float) -> Bounds:
    made = calibration.scores()
    quantiles = conformal_quantiles(made.scores, level)

    def bounds(q: Floats, prediction: Prediction) -> Interval:
        scale = np.ones_like(prediction.mean) if made.scale is None else made.scale.at(q)
        return conformal_interval(prediction.mean, scale, quantiles, level)

    return bounds


def _jackknife_plus(calibration: Calibration, level: float, blocks: Blocks) -> Bounds:
    made, left_out = calibration.scores(), calibration.left_out()
    rows, fit, system = calibration.fitted, calibration.fit, calibration.system
    # In the order of the scores: rows without a prediction of their own come last, and bound
    # nothing.
    order = np.argsort(~left_out.is_known, kind="stable")
    at, residual = left_out.at[order], left_out.residual[order]
    scale_at = made.scale
    if scale_at is None:
        return _conformal(calibration, level)
    if isinstance(fit, Linear):
        raise TypeError("linear regression is refused before")

    def without(q: Floats, mean: Floats) -> Floats:
        if isinstance(fit, Kriging) and system is not None:
            weights = weights_over_all(rows, fit, system, q, at, blocks)
            return kriging_without(mean, weights, residual)
        return predictions_without(rows, fit, q, at)

    def bounds(q: Floats, prediction: Prediction) -> Interval:
        lower, upper = np.empty_like(prediction.mean), np.empty_like(prediction.mean)
        size = max(1, MOST_WITHOUT // residual.size)
        for start in range(0, len(q), size):
            blocks.check()
            part = slice(start, start + size)
            others = without(q[part], prediction.mean[part])
            found = jackknife_plus(others, made.scores, scale_at.at(q[part]), level)
            lower[part], upper[part] = found.lower, found.upper
        has_none = np.isnan(prediction.mean)
        lower[has_none] = upper[has_none] = np.nan
        return Interval(lower, upper, level)

    return bounds
