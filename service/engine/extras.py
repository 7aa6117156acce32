"""What an answer can include beyond the mean, its neighbours and diagnostics."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from service.domain.arrays import Floats
from service.domain.prediction import (
    Deviations,
    Intervals,
    Issue,
    Prediction,
    Quantiles,
    Slopes,
    Status,
    Wanted,
    issues_where,
)
from service.engine.bounds import bounds_of
from service.engine.calibration import Calibration
from service.estimators import linear
from service.estimators.blocks import Blocks
from service.estimators.fits import Kriging, Linear
from service.estimators.gradients import gradient, slope
from service.estimators.intervals import UNBOUNDED
from service.estimators.isolation import isolation
from service.estimators.kriging_variance import latent_variance
from service.estimators.linear import LinearModel
from service.estimators.local_derivatives import Slope
from service.estimators.metric import MetricMap
from service.estimators.quantiles import weighted_quantiles
from service.estimators.uncertainty import squared_norms, variance_under

UNDETERMINED = (
    "The fit passes through its rows, so that their residuals say nothing of the noise: let more "
    "rows carry weight (n_neighbors, bandwidth), or ask for interval_kind conformal."
)

UNTOLD = (
    "The rows in reach do not vary in every direction, so that the slopes by some features are not "
    "determined, and null: let more rows carry weight (n_neighbors, bandwidth), or leave out "
    "features that are constant or follow from the others."
)

Extend = Callable[[Floats, Prediction], Prediction]
"""Adds to the prediction of a block of queries, given in the metric of the fit."""


def extend_with(
    wanted: Wanted, calibration: Calibration, mapped: MetricMap, blocks: Blocks
) -> Extend:
    """Return what adds all that is wanted, with its preparation done.

    Args:
        wanted: By the client.
        calibration: Of the fit.
        mapped: The metric of the fit.
        blocks: For use inside of a block.

    Raises:
        DeadlineExceeded: The time of the task is over.
    """
    steps: list[Extend] = []
    is_from_variance = wanted.interval in ("confidence", "prediction")
    if (wanted.std or is_from_variance) and wanted.noise == "local":
        steps.append(_local_deviations(calibration))
    elif wanted.std or is_from_variance:
        steps.append(_deviations(calibration, blocks))
    if wanted.interval is not None:
        steps.append(_intervals(calibration, wanted, blocks))
    if wanted.slope:
        steps.append(_slopes(calibration, mapped))
    if wanted.gradient:
        steps.append(_gradient(calibration, mapped))
    if wanted.quantiles:
        steps.append(_quantiles(calibration, wanted.quantiles))

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        for step in steps:
            prediction = step(q, prediction)
        return prediction if wanted.std else replace(prediction, deviations=None)

    return extend


def _plane_of(calibration: Calibration) -> LinearModel:
    """Return the plane of a linear regression, which is solved for first."""
    if calibration.plane is None:
        raise TypeError("a linear regression has a plane")
    return calibration.plane


def _deviations(calibration: Calibration, blocks: Blocks) -> Extend:
    """Return what adds the standard deviations and the noise that they rest on."""
    noise, fit, rows = calibration.noise(), calibration.fit, calibration.rows

    def variances(q: Floats) -> tuple[Floats, Floats]:
        """Return those of the estimates and of new observations, (m, t), where noise has 1."""
        if isinstance(fit, Kriging):
            latent = latent_variance(rows, fit, calibration.system, q, blocks)
            return latent, latent + fit.alpha
        norms = (
            _squared_norms(calibration, q)
            if not isinstance(fit, Linear)
            else linear.squared_norms(_plane_of(calibration), q)
        )
        return norms, norms + 1.0

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        estimate, observation = (
            np.sqrt(variance[:, None] * noise.variance) for variance in variances(q)
        )
        return replace(
            prediction,
            deviations=Deviations(estimate, observation),
            noise=noise.report,
            issues=prediction.issues + _undetermined(observation, prediction.mean),
        )

    return extend


def _squared_norms(calibration: Calibration, q: Floats) -> Floats:
    """Return the variance of the estimates where a row of weight 1 has the noise 1, (m,)."""
    rows, fit, weights = calibration.fitted, calibration.fit, calibration.robustness
    if isinstance(fit, Kriging | Linear):
        raise TypeError("only local means have equivalent kernels")
    if weights is None:
        return squared_norms(rows, fit, q)
    # Rows that are weighed down by their residuals are no noisier for it.
    return variance_under(rows, fit, q, weights[:, None])[:, 0]


def _undetermined(deviations: Floats, values: Floats) -> tuple[Issue, ...]:
    """Return the issue for queries that have values (m, …) without deviations."""
    axes = tuple(range(1, values.ndim))
    unknown = np.isnan(deviations).any(axis=axes) & ~np.isnan(values).any(axis=axes)
    return issues_where(np.asarray(unknown), Status.UNDETERMINED, UNDETERMINED)


def _local_deviations(calibration: Calibration) -> Extend:
    """Return what adds the standard deviations where the noise changes from place to place."""
    noise, fit, rows = calibration.local_noise(), calibration.fit, calibration.fitted
    if isinstance(fit, Kriging | Linear):
        raise TypeError("only local means have a local noise")

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        estimate = variance_under(rows, fit, q, noise.at_rows)
        observation = np.sqrt(estimate + noise.at(q))
        return replace(
            prediction,
            deviations=Deviations(np.sqrt(estimate), observation),
            issues=prediction.issues + _undetermined(observation, prediction.mean),
        )

    return extend


def _intervals(calibration: Calibration, wanted: Wanted, blocks: Blocks) -> Extend:
    """Return what adds the intervals, and how far the queries are from the data."""
    kind, level = wanted.interval or "conformal", wanted.level
    bounds = bounds_of(calibration, wanted, blocks)
    rows, spacing = calibration.rows, calibration.spacing()

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        found = bounds(q, prediction)
        place = isolation(rows, q, spacing.distances)
        unbounded = np.asarray(np.isinf(found.upper - found.lower).any(axis=1))
        return replace(
            prediction,
            intervals=Intervals(kind, level, found.lower, found.upper, place.distance, place.rank),
            issues=prediction.issues + issues_where(unbounded, Status.UNBOUNDED, UNBOUNDED),
        )

    return extend


def _slopes(calibration: Calibration, mapped: MetricMap) -> Extend:
    """Return what adds the slopes of the local polynomials, in data units."""
    noise = calibration.noise()
    sigma = np.sqrt(noise.variance)
    rows, fit, matrix = calibration.fitted, calibration.fit, mapped.matrix

    def slopes(q: Floats) -> Slope:
        if not isinstance(fit, Linear):
            return slope(rows, fit, q, matrix=matrix, noise=calibration.robustness)
        return linear.slopes(_plane_of(calibration), len(q), matrix)

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        found = slopes(q)
        error = found.standard_error(np.broadcast_to(sigma, (len(q), len(sigma))))
        scale = 1.0 if mapped.scale is None else mapped.scale
        # The deviations have said so, where there are some.
        issues = () if prediction.deviations is not None else _undetermined(error, found.slope)
        is_told = np.broadcast_to(found.is_told[:, None], error.shape)
        is_lost = ~is_told & ~np.isnan(found.slope)
        issues += issues_where(np.asarray(is_lost.any(axis=(1, 2))), Status.UNDETERMINED, UNTOLD)
        slopes_told, errors_told = (np.where(is_told, s, np.nan) for s in (found.slope, error))
        return replace(
            prediction,
            slopes=Slopes(slopes_told / scale, errors_told / scale),
            noise=noise.report,
            issues=prediction.issues + issues,
        )

    return extend


def _gradient(calibration: Calibration, mapped: MetricMap) -> Extend:
    """Return what adds the gradient of the surface, in data units."""
    rows, fit, system = calibration.fitted, calibration.fit, calibration.system
    coefficients = None if system is None else system.solution
    if isinstance(fit, Linear):
        coefficients = _plane_of(calibration).slope

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        found = gradient(rows, fit, q, coefficients=coefficients)
        return replace(
            prediction,
            gradient=mapped.gradient(found.gradient),
            issues=prediction.issues + found.issues,
        )

    return extend


def _quantiles(calibration: Calibration, levels: tuple[float, ...]) -> Extend:
    """Return what adds the quantiles of y."""
    rows, fit = calibration.fitted, calibration.fit
    if isinstance(fit, Kriging | Linear):
        raise TypeError("only local means have a weighted distribution")

    def extend(q: Floats, prediction: Prediction) -> Prediction:
        values = weighted_quantiles(rows, fit, q, levels)
        return replace(prediction, quantiles=Quantiles(levels, values))

    return extend
