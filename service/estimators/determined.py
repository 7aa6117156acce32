"""Which slopes the rows tell.

Rows that do not vary along a direction v fit as well with any multiple of v added to the slope. So
with such directions v_1, v_2, …, in units in which the features s_a z_a have deviation 1, the slope
along u is told where

    Σ_a (u_a / s_a) v_a = 0     for each v

and else whatever was taken (the minimum norm) is no estimate of it.

Source: Scheffé, The Analysis of Variance (1959), section 1.4, for estimable functions.
"""

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Moments
from service.domain.arrays import Floats
from service.estimators.local_system import LEAST_PIVOT, LEAST_VARIANCE, LocalSystem

ROUNDING = 1e-6
"""Of a direction's entries: those of features that it has no part in are the roots of rounding."""


def told_by(null: Floats, scale: Floats, matrix: Floats | None = None) -> NDArray[np.bool_]:
    """Return for which features the slope is told, (d,).

    Args:
        null: Directions in which the rows do not vary, (d, r), of unit length, in units in which
            each z_a has the deviation 1.
        scale: Deviations of the z_a, (d,), 1 for a constant.
        matrix: A (d, d), for the slopes by x where the rows are z = Ax; None for those by z.
    """
    along = (np.eye(len(scale)) if matrix is None else matrix) / scale[:, None]
    null = np.where(np.abs(null) > ROUNDING, null, 0.0)
    left = np.abs(along.T @ null) > ROUNDING * (np.abs(along).T @ np.abs(null))
    return np.asarray(~left.any(axis=1))


def told_slopes(
    system: LocalSystem, moments: Moments, offset: Floats, matrix: Floats | None = None
) -> NDArray[np.bool_]:
    """Return for which features the rows in reach of each query tell the slope, (m, d).

    Args:
        system: What was solved, of degree 1 or more where the rows allow it.
        moments: Their sums.
        offset: From each query to what φ is centred at, in bandwidths, (m, d).
        matrix: As for `told_by`.

    Cost: O(d³) for each query whose rows do not vary in every direction.
    """
    d = offset.shape[1]
    told = np.repeat(system.degree[:, None] > 0, d, axis=1)
    weight = np.where(moments.count > 0, moments.gram[:, 0, 0], np.nan)
    mean = moments.gram[:, 0, 1 : 1 + d] / weight[:, None]
    squares = np.diagonal(moments.gram, axis1=1, axis2=2)[:, 1 : 1 + d] / weight[:, None]
    variance = squares - mean * mean
    # With a ridge a constant feature has the slope 0, which no row has told either.
    varies = variance > LEAST_VARIANCE * np.square(mean + offset)
    for i in np.flatnonzero((system.is_flat | ~varies.all(axis=1)) & (system.degree > 0)):
        scale = np.sqrt(np.where(varies[i], variance[i], 1.0))
        null = np.eye(d)[:, ~varies[i]]
        if system.is_flat[i]:
            linear = moments.gram[i, 1 : 1 + d, 1 : 1 + d] / weight[i] - np.outer(mean[i], mean[i])
            correlation = np.where(np.outer(varies[i], varies[i]), linear, 0.0)
            values, vectors = np.linalg.eigh(correlation / np.outer(scale, scale))
            null = vectors[:, values <= LEAST_PIVOT * varies[i].sum()]
        told[i] = told_by(null, scale, matrix)
    return told
