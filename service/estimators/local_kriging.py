"""The k × k systems of local kriging, one a query, compiled by Numba.

    (K + αI) w = k(x)     over the k nearest rows of x,     f(x) = Σ w_i y_i

(where rows have weights p_i, α / p_i is on the diagonal in the place of α, infinite for a row of
weight 0, which leaves it out) by Cholesky, K + αI = UᵀU, with k(x) as one more column, which the
factorisation turns into z = U⁻ᵀk(x); then w = U⁻¹z, and 1 - ‖z‖² of the surface's variance is left.
Where the mean is an unknown constant (ordinary kriging), a column of ones becomes o = U⁻ᵀ1, and
weights of sum 1 are

    w = U⁻¹(z + λo),     λ = (1 - oᵀz) / ‖o‖²,     with the variance 1 - ‖z‖² + (1 - oᵀz)² / ‖o‖²

A matrix that is singular to rounding is tried again with a larger and larger number on its
diagonal.

The systems of some queries lie side by side, an entry of all of them after the other: every inner
loop runs over queries, which makes vectors of any k. A query alone runs along its rows instead,
with the same operations on each entry in the same order. Nothing is summed over the axis of a run,
so a query's bits do not depend on the others.

Over 300 lines: one system solved in three layouts, whose steps are read side by side.

Sources: Golub & Van Loan, Matrix Computations (2013), section 4.2.5; Cressie, Statistics for
Spatial Data (1993), equations 3.2.12-3.2.16.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import LinAlgError

from service.backends.native.covariances import COVARIANCE_CODES, correlate
from service.backends.native.exponential import use_widest_vectors
from service.domain.arrays import Floats, Rows
from service.estimators.dense_system import LARGEST_JITTER, LEAST_JITTER
from service.estimators.fits import Kriging

MOST_QUERIES = 32
MOST_ENTRIES = 100_000
"""Of the matrices that lie side by side: what the second cache holds."""

MOST_SIDE_BY_SIDE = 100
"""Rows of a system. The factor of a larger one is LAPACK's, which goes through it in tiles, while
too few of them would lie side by side."""


@dataclass(frozen=True, eq=False)
class NearestSystems:
    """The solved systems of some queries.

    Attributes:
        weights: w, (m, k).
        variance: What is left of the variance 1 of the surface at the query, (m,); ≥ 0.
        jitter: What was added to alpha, (m,); 0 as a rule.
    """

    weights: Floats
    variance: Floats
    jitter: Floats


def nearest_weights(
    x: Floats, q: Floats, rows: Rows, fit: Kriging, row_weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the weights of the nearest rows of each query, (m, k), and the jitter of each, (m,).

    Arguments, cost and errors as for `nearest_systems`.
    """
    systems = nearest_systems(x, q, rows, fit, row_weights)
    return systems.weights, systems.jitter


def nearest_systems(
    x: Floats, q: Floats, rows: Rows, fit: Kriging, row_weights: Floats | None = None
) -> NearestSystems:
    """Return the solved system of each query; NaN where none of its rows has a weight above 0.

    Args:
        x: All rows, (n, d).
        q: Queries, (m, d).
        rows: The nearest rows of each, (m, k).
        fit: What to fit.
        row_weights: p, (n,); None where all are 1.

    Cost a query: k² / 2 covariances and k³ / 3 operations.

    Raises:
        LinAlgError: Not even the largest jitter makes a matrix positive definite.
    """
    weights, variance, jitter = np.empty(rows.shape), np.empty(len(q)), np.empty(len(q))
    x, q = np.ascontiguousarray(x).view(), np.ascontiguousarray(q).view()
    # Always, since Numba compiles a variant for each, and nothing is copied for it.
    x.flags.writeable = q.flags.writeable = False
    code, precision = COVARIANCE_CODES[fit.kernel], 1.0 / fit.length_scale
    means = 1 if fit.mean == "constant" else 0
    noise = np.empty((0, 0))
    if row_weights is not None:
        p = row_weights[rows]
        noise = np.full(rows.shape, np.inf)
        np.divide(fit.alpha, p, out=noise, where=p > 0)
    fill = _fill_weights if rows.shape[1] <= MOST_SIDE_BY_SIDE else _fill_one_by_one
    if not fill(x, q, rows, code, precision, fit.alpha, noise, means, weights, variance, jitter):
        raise LinAlgError("covariances with 1e-4 on their diagonal are not positive definite")
    if row_weights is not None:
        has_none = np.isinf(noise).all(axis=1)
        weights[has_none], variance[has_none] = np.nan, np.nan
    return NearestSystems(weights, variance, jitter)


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_weights(
    x: Floats,
    q: Floats,
    rows: Rows,
    covariance: int,
    precision: float,
    alpha: float,
    noise: Floats,
    means: int,
    weights: Floats,
    variances: Floats,
    jitters: Floats,
) -> bool:
    """Fill weights (m, k), variances and jitters (m,); return False if a system cannot be solved.

    `means` is the number of unknown means, 0 or 1; `noise` is what each row has in the place of
    alpha, (m, k), or empty.
    """
    use_widest_vectors()
    m, k = weights.shape
    most = max(1, min(m, MOST_QUERIES, MOST_ENTRIES // (k * k)))
    for start in range(0, m, most):
        size = min(most, m - start)
        if start == 0 or size < most:
            near = np.empty((x.shape[1], k + 1, size))
            upper = np.empty((k, k + 1 + means, size))
            jitter = np.empty(size)
        _gather(x, q[start : start + size], rows[start : start + size], near)
        jitter[:] = 0.0
        while True:
            _fill_systems(near, covariance, precision, alpha, jitter, upper)
            if noise.shape[0] > 0:
                for i in range(k):
                    for w in range(size):
                        upper[i, i, w] = 1.0 + (noise[start + w, i] + jitter[w])
            if _solve_systems(upper, jitter, variances[start : start + size]):
                break
            if jitter.max() > LARGEST_JITTER:
                return False
        jitters[start : start + size] = jitter
        weights[start : start + size] = upper[:, k].T
    return True


def _fill_one_by_one(
    x: Floats,
    q: Floats,
    rows: Rows,
    covariance: int,
    precision: float,
    alpha: float,
    noise: Floats,
    means: int,
    weights: Floats,
    variances: Floats,
    jitters: Floats,
) -> bool:
    """Do what `_fill_weights` does for larger systems, one query after the other."""
    m, k = weights.shape
    near, jitter = np.empty((x.shape[1], k + 1, 1)), np.empty(1)
    upper, diagonal = np.empty((k, k + 1 + means, 1)), np.arange(k)
    for w in range(m):
        _gather(x, q[w : w + 1], rows[w : w + 1], near)
        jitter[0], is_solved = 0.0, False
        while not is_solved:
            _fill_systems(near, covariance, precision, alpha, jitter, upper)
            if len(noise):
                upper[diagonal, diagonal, 0] = 1.0 + (noise[w] + jitter[0])
            try:
                factor = np.linalg.cholesky(upper[:, :k, 0], upper=True)
            except LinAlgError:
                is_solved = False
            else:
                is_solved = _substitute_alone(factor, upper, variances[w : w + 1])
            if not is_solved:
                jitter[0] = max(10.0 * jitter[0], LEAST_JITTER)
                if jitter[0] > LARGEST_JITTER:
                    return False
        jitters[w], weights[w] = jitter[0], upper[:, k, 0]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _gather(x: Floats, q: Floats, rows: Rows, near: Floats) -> None:
    """Fill near (d, k + 1, queries) with the nearest rows of each query and the query itself."""
    for w in range(q.shape[0]):
        for j in range(x.shape[1]):
            for i in range(rows.shape[1]):
                near[j, i, w] = x[rows[w, i], j]
            near[j, rows.shape[1], w] = q[w, j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill_systems(
    near: Floats, covariance: int, precision: float, alpha: float, jitter: Floats, upper: Floats
) -> None:
    """Fill the upper triangles (k, k + 1 or 2, queries) with K + (α + jitter)I, k(x) and perhaps 1.

    `near` are the nearest rows and the query itself, (d, k + 1, queries).
    """
    use_widest_vectors()
    k, (d, points, size) = upper.shape[0], near.shape
    near_run, upper_run = near.reshape(d, points * size), upper.reshape(k, -1)
    for i in range(k):
        run = upper_run[i, (i + 1) * size : points * size]
        run[:] = 0.0
        for f in range(d):
            if size == 1:
                for j in range(i + 1, points):
                    u = (near_run[f, i] - near_run[f, j]) * precision
                    upper_run[i, j] += u * u
            else:
                for j in range(i + 1, points):
                    for w in range(size):
                        u = (near[f, i, w] - near[f, j, w]) * precision
                        upper[i, j, w] += u * u
        correlate(covariance, run)
        for w in range(size):
            upper[i, i, w] = 1.0 + (alpha + jitter[w])
        upper_run[i, points * size :] = 1.0


@njit(nogil=True, cache=True, error_model="numpy")
def _solve_systems(upper: Floats, jitter: Floats, variance: Floats) -> bool:
    """Overwrite the column of k(x) with the weights, and fill the variances.

    Returns False, with the next jitter to try, where a matrix is not positive definite.
    """
    is_solved = np.ones(upper.shape[2], dtype=np.bool_)
    for i in range(upper.shape[0]):
        if upper.shape[2] == 1:
            _eliminate_alone(upper.reshape(upper.shape[0], -1), i)
        else:
            _eliminate_side_by_side(upper, i)
        _scale_row(upper, i, is_solved)
    _weigh_means(upper, variance)
    _substitute_back(upper, is_solved)
    for w in range(upper.shape[2]):
        if not is_solved[w]:
            jitter[w] = max(10.0 * jitter[w], LEAST_JITTER)
    return bool(is_solved.all())


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _eliminate_alone(upper: Floats, i: int) -> None:
    """Take the earlier rows from row i of one matrix, (k, k + 1 or 2)."""
    use_widest_vectors()
    for p in range(i):
        for j in range(i, upper.shape[1]):
            upper[i, j] -= upper[p, i] * upper[p, j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _eliminate_side_by_side(upper: Floats, i: int) -> None:
    """Take the earlier rows from row i of all matrices, (k, k + 1 or 2, queries), in fours."""
    use_widest_vectors()
    size = upper.shape[2]
    for j in range(i, upper.shape[1]):
        for p in range(0, i - 3, 4):
            for w in range(size):
                upper[i, j, w] -= upper[p, i, w] * upper[p, j, w]
                upper[i, j, w] -= upper[p + 1, i, w] * upper[p + 1, j, w]
                upper[i, j, w] -= upper[p + 2, i, w] * upper[p + 2, j, w]
                upper[i, j, w] -= upper[p + 3, i, w] * upper[p + 3, j, w]
        for p in range(i // 4 * 4, i):
            for w in range(size):
                upper[i, j, w] -= upper[p, i, w] * upper[p, j, w]


@njit(nogil=True, cache=True, error_model="numpy")
def _scale_row(upper: Floats, i: int, is_solved: NDArray[np.bool_]) -> None:
    """Divide row i by the root of its pivot, of which the reciprocal is kept on the diagonal."""
    use_widest_vectors()
    size = upper.shape[2]
    for w in range(size):
        is_solved[w] &= upper[i, i, w] > 0.0
        upper[i, i, w] = 1.0 / np.sqrt(upper[i, i, w])
    for j in range(i + 1, upper.shape[1]):
        for w in range(size):
            upper[i, j, w] *= upper[i, i, w]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _weigh_means(upper: Floats, variance: Floats) -> None:
    """Fill the variances, and add λo to the column of z where the mean is unknown."""
    k, columns, size = upper.shape
    for w in range(size):
        explained, common, ones = 0.0, 0.0, 0.0
        for i in range(k):
            explained += upper[i, k, w] * upper[i, k, w]
        variance[w] = max(1.0 - explained, 0.0)
        if columns > k + 1:
            for i in range(k):
                common += upper[i, k + 1, w] * upper[i, k, w]
                ones += upper[i, k + 1, w] * upper[i, k + 1, w]
            # Without a row that counts, all of them are 0, and so is the factor.
            multiplier = (1.0 - common) / ones if ones != 0.0 else 0.0
            variance[w] += (1.0 - common) * multiplier
            for i in range(k):
                upper[i, k, w] += multiplier * upper[i, k + 1, w]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _substitute_back(upper: Floats, is_solved: NDArray[np.bool_]) -> None:
    """Overwrite the column of k(x), z, with U⁻¹z."""
    use_widest_vectors()
    k, size = upper.shape[0], upper.shape[2]
    for i in range(k - 1, -1, -1):
        for j in range(i + 1, k):
            for w in range(size):
                upper[i, k, w] -= upper[i, j, w] * upper[j, k, w]
        for w in range(size):
            upper[i, k, w] *= upper[i, i, w]
            is_solved[w] &= np.isfinite(upper[i, k, w])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _substitute_alone(factor: Floats, upper: Floats, variance: Floats) -> bool:
    """Overwrite the column of k(x) of one matrix with the weights, by its factor U (k, k).

    Fills the variance, and returns whether all weights are finite.
    """
    use_widest_vectors()
    k, columns, _ = upper.shape
    for column in range(k, columns):
        z = upper[:, column, 0].copy()
        for p in range(k):
            z[p] /= factor[p, p]
            for j in range(p + 1, k):
                z[j] -= factor[p, j] * z[p]
        upper[:, column, 0] = z
    _weigh_means(upper, variance)
    weights = upper[:, k, 0].copy()
    is_finite = True
    for i in range(k - 1, -1, -1):
        explained = 0.0
        for j in range(i + 1, k):
            explained += factor[i, j] * weights[j]
        weights[i] = (weights[i] - explained) / factor[i, i]
        is_finite &= np.isfinite(weights[i])
    upper[:, k, 0] = weights
    return is_finite
