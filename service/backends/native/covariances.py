"""Covariances of rows, compiled by Numba: the formulas of `estimators/kernels.py` in loops.

Each loop does one thing to a run of rows that lie feature by feature, so that LLVM makes vectors of
them. What a pair of points gives does not depend on where in a run it stands.
"""

import math

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT
from service.backends.native.exponential import exp_nonpositive, use_widest_vectors
from service.domain.arrays import Floats
from service.domain.kernels import Covariance

COVARIANCE_CODES = {covariance: code for code, covariance in enumerate(Covariance)}
_GAUSSIAN = COVARIANCE_CODES[Covariance.GAUSSIAN]
_LAPLACIAN = COVARIANCE_CODES[Covariance.LAPLACIAN]
_MATERN32 = COVARIANCE_CODES[Covariance.MATERN32]
_MATERN52 = COVARIANCE_CODES[Covariance.MATERN52]
_THIRD = 1.0 / 3.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def scaled_squares(x: Floats, start: int, point: Floats, precision: float, squares: Floats) -> None:
    """Fill squares (r,) with (‖x_i - point‖ / l)² for r rows from `start` on.

    Args:
        x: The rows, feature by feature, (d, n).
        start: The first row.
        point: (d,).
        precision: 1 / l.
        squares: The result.
    """
    use_widest_vectors()
    d, size = x.shape[0], squares.shape[0]
    if d == 1:
        for i in range(size):
            u = (x[0, start + i] - point[0]) * precision
            squares[i] = u * u
    elif d == 2:
        for i in range(size):
            u = (x[0, start + i] - point[0]) * precision
            v = (x[1, start + i] - point[1]) * precision
            squares[i] = u * u + v * v
    elif d == 3:
        for i in range(size):
            u = (x[0, start + i] - point[0]) * precision
            v = (x[1, start + i] - point[1]) * precision
            w = (x[2, start + i] - point[2]) * precision
            squares[i] = u * u + v * v + w * w
    else:
        squares[:] = 0.0
        for j in range(d):
            for i in range(size):
                u = (x[j, start + i] - point[j]) * precision
                squares[i] += u * u


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def correlation(covariance: int, s: float) -> float:
    """Return the covariance at the scaled squared distance s = (r / l)²; below e^-350, 0."""
    if covariance == _GAUSSIAN:
        exponent, polynomial = max(-0.5 * s, LEAST_EXPONENT), 1.0
    elif covariance == _LAPLACIAN:
        exponent, polynomial = max(-math.sqrt(s), LEAST_EXPONENT), 1.0
    elif covariance == _MATERN32:
        exponent = max(-math.sqrt(3.0 * s), LEAST_EXPONENT)
        polynomial = 1.0 - exponent
    else:
        exponent = max(-math.sqrt(5.0 * s), LEAST_EXPONENT)
        polynomial = 1.0 - exponent + exponent * exponent * _THIRD
    value = polynomial * exp_nonpositive(exponent)
    return value if exponent > LEAST_EXPONENT else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def correlate(covariance: int, squares: Floats) -> None:
    """Overwrite scaled squared distances with their covariances; one loop a covariance."""
    use_widest_vectors()
    if covariance == _GAUSSIAN:
        for i in range(squares.shape[0]):
            squares[i] = correlation(_GAUSSIAN, squares[i])
    elif covariance == _LAPLACIAN:
        for i in range(squares.shape[0]):
            squares[i] = correlation(_LAPLACIAN, squares[i])
    elif covariance == _MATERN32:
        for i in range(squares.shape[0]):
            squares[i] = correlation(_MATERN32, squares[i])
    else:
        for i in range(squares.shape[0]):
            squares[i] = correlation(_MATERN52, squares[i])


@njit(nogil=True, cache=True, error_model="numpy")
def fill_covariances(
    x: Floats, covariance: int, precision: float, start: int, stop: int, matrix: Floats
) -> None:
    """Fill the lower triangle of K, (n, n), in the rows from `start` to `stop`."""
    use_widest_vectors()
    point = np.empty(x.shape[0])
    for i in range(start, stop):
        for j in range(x.shape[0]):
            point[j] = x[j, i]
        scaled_squares(x, 0, point, precision, matrix[i, : i + 1])
        correlate(covariance, matrix[i, : i + 1])


@njit(nogil=True, cache=True, error_model="numpy")
def correlate_rows(
    x: Floats, start: int, points: Floats, covariance: int, precision: float, matrix: Floats
) -> None:
    """Fill matrix (p, r) with the covariances of points (p, d) and r rows of x from `start` on."""
    use_widest_vectors()
    for i in range(points.shape[0]):
        scaled_squares(x, start, points[i], precision, matrix[i])
        correlate(covariance, matrix[i])
