"""The gradient of the fitted surface at each query, and the slope of the local model there.

| fit                   | surface                           | gradient                             |
|-----------------------|-----------------------------------|--------------------------------------|
| knn, by distance      | Σ w_i y_i / Σ w_i, w_i = 1 / d_i  | Σ w̃_i (y_i - f) (x_i - x) / d_i²     |
| weighted mean, local  | see `local_polynomial`            | see `local_derivatives`              |
| polynomial            |                                   |                                      |
| kriging               | Σ a_i c(d_i)                      | Σ a_i χ(s_i) (x_i - x) / l²          |
| linear regression     | ȳ + (x - x̄)ᵀb                     | b                                    |

with d_i = ‖x_i - x‖, s_i = d_i / l, and χ(s) = -c'(s) / s by s of the covariance:

| covariance | χ(s)                       |   | covariance | χ(s)                        |
|------------|----------------------------|---|------------|-----------------------------|
| gaussian   | exp(-s² / 2)               |   | matern32   | 3 exp(-√3 s)                |
| laplacian  | exp(-s) / s; 0 at the row  |   | matern52   | 5 / 3 (1 + √5 s) exp(-√5 s) |

Each Matérn's is the covariance of the next rougher one, at the same exponent. Over the k nearest
rows the gradient is that of the surface with these rows held: where one of them changes, the
surface jumps (kriging, knn) or has a kink (local fits).

Gradients and slopes are by the coordinates of the rows given, in the metric of the fit.

Sources: differentiation of the estimators' formulas; Rasmussen & Williams (2006), equations 4.9,
4.17 and 9.1, for covariances and their derivatives.

Over 300 lines: the gradients of all methods, whose formulas are read side by side.

Over 300 lines: the derivative of each method, with the compiled sums that it needs.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.backends.base import Resident
from service.backends.native.covariances import COVARIANCE_CODES, correlate, scaled_squares
from service.backends.native.exponential import use_widest_vectors
from service.domain.arrays import Floats, as_floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Issue, Status, issues_where
from service.estimators import local_derivatives
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    as_polynomial,
)
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import noise_of
from service.estimators.local_derivatives import Slope
from service.estimators.local_fits import local_fits
from service.estimators.local_kriging import nearest_weights
from service.estimators.ordered import ordered_sum
from service.estimators.row_weights import weights_at

TILE_ROWS = 512
"""Rows that a query meets at once: their distances and sums stay in the first cache."""

MOST_ENTRIES = 1_000_000
"""Of the matrices of local kriging that are made at once: 8 MB."""

LEAST_SQUARE = 1e-300
"""Stands for 0 under a root that is divided by: the quotient stays a number."""

KINK = (
    "The surface has a kink at the row that lies at these queries; the gradient is the mean of "
    "those from all sides. A kernel or covariance that is smooth at 0 has none."
)


@dataclass(frozen=True, eq=False)
class Gradient:
    """The gradient of the surface at some queries.

    Attributes:
        gradient: (m, t, d), in the metric of the fit; NaN where no row carries weight.
        issues: What should be known about single queries, beside what the prediction says.
    """

    gradient: Floats
    issues: tuple[Issue, ...] = ()


def gradient(
    rows: Resident, fit: Fit, q: Floats, *, coefficients: Floats | None = None
) -> Gradient:
    """Return the exact gradient of the surface that `predict` gives, almost everywhere.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What is fitted.
        q: Queries, (m, d), in the metric of the fit.
        coefficients: For kriging over all rows: a = (K + αI)⁻¹ y, (n, t). For linear regression:
            b, (d, t).

    Raises:
        InvalidInput: The gradient of such a surface is 0 almost everywhere.

    Cost a query: O(k d) by distance, O(rows in reach · (p + d)) for local fits, O(n d) for kriging
    over all rows and O(k³) over k; all for a target.
    """
    check_has_gradient(fit)
    match fit:
        case Knn():
            return _of_distance_weights(rows, fit, q)
        case Kriging():
            if fit.n_neighbors is not None:
                return _of_local_kriging(rows, fit, fit.n_neighbors, q)
            if coefficients is None:
                raise TypeError("kriging over all rows has coefficients")
            return _of_kriging(rows, fit, coefficients, q)
        case Linear():
            if coefficients is None:
                raise TypeError("linear regression has coefficients")
            return Gradient(np.repeat(coefficients.T[None], len(q), axis=0))
        case NadarayaWatson() | LocalPolynomial():
            fits = local_fits(rows, as_polynomial(fit), q)
            found, has_kink = local_derivatives.gradients(rows, fits)
            found = _of_all_columns(found, q.shape[1])
            return Gradient(found, issues_where(has_kink, Status.DEGENERATE, KINK))


def slope(
    rows: Resident,
    fit: Fit,
    q: Floats,
    *,
    matrix: Floats | None = None,
    noise: Floats | None = None,
) -> Slope:
    """Return the slope of the local polynomial at each query: an estimate of the truth's slope.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What is fitted.
        q: Queries, (m, d), in the metric of the fit.
        matrix: A (d, d), for the slopes by x where the rows are z = Ax; None for those by z.
        noise: The variance of the noise of each row, had it the weight 1, (n,); None where all are
            alike.

    Raises:
        InvalidInput: The method has no local model with a slope.

    Cost: see `local_derivatives.slopes`.
    """
    check_has_slope(fit)
    if not isinstance(fit, LocalPolynomial):
        raise TypeError("only a local polynomial has a slope")
    m, d = q.shape
    if not rows.n_sloped:
        none = np.full((m, rows.y.shape[1], d), np.nan)
        return Slope(none, none[:, 0], np.zeros((m, d), dtype=np.bool_))
    found = local_derivatives.slopes(rows, local_fits(rows, fit, q), matrix, noise)
    if rows.n_sloped == d:
        return found
    is_told = np.zeros((m, d), dtype=np.bool_)
    is_told[:, : rows.n_sloped] = found.is_told
    return Slope(_of_all_columns(found.slope, d), _of_all_columns(found.norm, d), is_told)


def _of_all_columns(derivatives: Floats, d: int) -> Floats:
    """Return derivatives by the sloped columns (…, n_sloped) by all, NaN for the others (…, d)."""
    missing = d - derivatives.shape[-1]
    if not missing:
        return derivatives
    none = np.full((*derivatives.shape[:-1], missing), np.nan)
    return np.concatenate([derivatives, none], axis=-1)


def check_has_slope(fit: Fit) -> None:
    """Refuse fits that have no local model with a slope.

    Raises:
        InvalidInput: The fit is no plane and no local polynomial of degree 1 or more.
    """
    has_slope = isinstance(fit, Linear) or (isinstance(fit, LocalPolynomial) and fit.degree > 0)
    if not has_slope:
        raise InvalidInput.at(
            "/include",
            "Only a plane or a local polynomial of degree 1 or more has a slope: send another fit, "
            "or ask for the gradient of the surface.",
        )


def check_has_gradient(fit: Fit) -> None:
    """Refuse fits whose surface is flat almost everywhere.

    Raises:
        InvalidInput: The fit is a plain mean, of the nearest rows or of those in reach.
    """
    if isinstance(fit, Knn) and fit.weights == "uniform":
        raise InvalidInput.at(
            "/fit/weights",
            "A plain mean of the nearest rows is constant between jumps, so that its gradient is 0 "
            'almost everywhere: send "distance", or another method.',
        )
    if isinstance(fit, Knn) and fit.n_neighbors == 1:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            "The nearest row alone gives a surface that is constant between jumps, so that its "
            "gradient is 0 almost everywhere: send 2 or more.",
        )
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.kernel is Kernel.UNIFORM:
        if as_polynomial(fit).degree == 0:
            raise InvalidInput.at(
                "/fit/kernel",
                "A uniform mean of the rows in reach is constant between jumps, so that its "
                "gradient is 0 almost everywhere: send another kernel, or degree 1 or 2.",
            )


def _of_distance_weights(rows: Resident, fit: Knn, q: Floats) -> Gradient:
    """Return the gradient of the mean of the k nearest rows by inverse distance."""
    found = rows.nearest(q, fit.n_neighbors)
    at_row = ((found.distances == 0) & (weights_at(rows, found.rows) > 0)).any(axis=1)
    # Beside a row the surface is a cone about it: the mean over all sides is 0.
    r = np.where(at_row[:, None] | (found.distances == 0), 1.0, found.distances)
    w = r[:, :1] / r
    w *= weights_at(rows, found.rows)
    total = ordered_sum(w)[:, None]
    w = np.divide(w, total, out=np.full_like(w, np.nan), where=total > 0)
    y = rows.y[found.rows]
    residual = y - ordered_sum(w[:, :, None] * y)[:, None]
    pull = w[:, :, None] * ((rows.x[found.rows] - q[:, None]) / r[:, :, None]) / r[:, :, None]
    result = ordered_sum(residual[:, :, :, None] * pull[:, :, None, :])
    result[at_row] = 0.0
    return Gradient(result, issues_where(at_row, Status.DEGENERATE, KINK))


def _of_kriging(rows: Resident, fit: Kriging, coefficients: Floats, q: Floats) -> Gradient:
    """Return the gradient of the expansion Σ a_i c(d_i) over all rows."""
    code, precision, factor = _decline_as_covariance(fit)
    result = np.zeros((len(q), coefficients.shape[1], q.shape[1]))
    at_row = np.zeros(len(q), dtype=np.bool_)
    # Always writable, since Numba compiles a variant for each.
    x, a, at = (np.require(p, requirements=["C", "W"]) for p in (rows.x.T, coefficients.T, q))
    _fill_expansion_gradients(
        x, a, at, code, precision,
        fit.kernel is Covariance.LAPLACIAN, factor / fit.length_scale**2, result, at_row,
    )  # fmt: skip
    return Gradient(result, issues_where(at_row, Status.DEGENERATE, KINK))


def _decline_as_covariance(fit: Kriging) -> tuple[int, float, float]:
    """Return the covariance, its 1 / l and the factor that make χ; for the laplacian, s χ."""
    kind, stretch, factor = {
        Covariance.GAUSSIAN: (Covariance.GAUSSIAN, 1.0, 1.0),
        Covariance.LAPLACIAN: (Covariance.LAPLACIAN, 1.0, 1.0),
        Covariance.MATERN32: (Covariance.LAPLACIAN, np.sqrt(3.0), 3.0),
        Covariance.MATERN52: (Covariance.MATERN32, np.sqrt(5.0 / 3.0), 5.0 / 3.0),
    }[fit.kernel]
    return COVARIANCE_CODES[kind], float(stretch / fit.length_scale), factor


def _of_local_kriging(rows: Resident, fit: Kriging, k: int, q: Floats) -> Gradient:
    """Return the gradient of μ + Σ a_i c(d_i) over the k nearest rows, a = (K + αI)⁻¹ (y - μ).

    With an unknown mean, 1ᵀa = 0 determines it.
    """
    found = rows.nearest(q, k)
    _, jitter = nearest_weights(rows.x, q, found.rows, fit, rows.row_weights)
    noise = noise_of(rows, fit.alpha, found.rows.reshape(-1)).reshape(found.rows.shape)
    result = np.empty((len(q), rows.y.shape[1], q.shape[1]))
    most = max(1, MOST_ENTRIES // (k * k))
    for start in range(0, len(q), most):
        part = slice(start, start + most)
        near, y = rows.x[found.rows[part]], rows.y[found.rows[part]]
        matrix = covariance(fit.kernel, distances(near, near), fit.length_scale)
        matrix[:, np.arange(k), np.arange(k)] = 1.0 + (noise[part] + jitter[part, None])
        is_out = np.isinf(noise[part])
        if rows.row_weights is not None:
            _leave_out(matrix, is_out)
        if fit.mean == "constant":
            y = np.concatenate([y, np.ones((*y.shape[:2], 1))], axis=2)
        if rows.row_weights is not None:
            y = np.where(is_out[:, :, None], 0.0, y)
        a = as_floats(np.linalg.solve(matrix, y))
        if fit.mean == "constant":
            total = ordered_sum(a)[:, None]
            total[is_out.all(axis=1)] = np.nan
            a = a[:, :, :-1] - a[:, :, -1:] * (total[:, :, :-1] / total[:, :, -1:])
        pull = (near - q[part, None]) / fit.length_scale**2
        pull *= covariance_decline(fit.kernel, found.distances[part] / fit.length_scale)[:, :, None]
        result[part] = ordered_sum(a[:, :, :, None] * pull[:, :, None, :])
    result[np.isinf(noise).all(axis=1)] = np.nan
    has_kink = fit.kernel is Covariance.LAPLACIAN
    at_row = (found.distances[:, 0] == 0) & has_kink
    return Gradient(result, issues_where(at_row, Status.DEGENERATE, KINK))


def _leave_out(matrix: Floats, is_out: NDArray[np.bool_]) -> None:
    """Make rows and columns of systems (m, k, k) those of the identity."""
    matrix[is_out] = 0.0
    matrix.transpose(0, 2, 1)[is_out] = 0.0
    queries, places = np.nonzero(is_out)
    matrix[queries, places, places] = 1.0


def covariance_decline(kind: Covariance, s: Floats) -> Floats:
    """Return χ(s) = -c'(s) / s, elementwise."""
    match kind:
        case Covariance.GAUSSIAN:
            return covariance(Covariance.GAUSSIAN, s, 1.0)
        case Covariance.LAPLACIAN:
            return np.divide(np.exp(-s), s, out=np.zeros_like(s), where=s > 0)
        case Covariance.MATERN32:
            return np.asarray(3.0 * np.exp(-np.sqrt(3.0) * s))
        case Covariance.MATERN52:
            s = np.sqrt(5.0) * s
            return np.asarray(5.0 / 3.0 * (1.0 + s) * np.exp(-s))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill_expansion_gradients(
    x: Floats,
    a: Floats,
    q: Floats,
    covariance: int,
    precision: float,
    is_over_distance: bool,
    factor: float,
    result: Floats,
    at_row: NDArray[np.bool_],
) -> None:
    """Fill in Σ a_i χ(s_i) (x_i - x) factor, (m, t, d); x (d, n) and a (t, n) lie by feature.

    All queries meet a tile of rows, one after the other, before the next: a query's sums do not
    depend on the others.
    """
    use_widest_vectors()
    d, n = x.shape
    squares, pull = np.empty(TILE_ROWS), np.empty(TILE_ROWS)
    result[:] = 0.0
    for start in range(0, n, TILE_ROWS):
        size = min(TILE_ROWS, n - start)
        tile, weights = x[:, start : start + size].copy(), a[:, start : start + size].copy()
        for query in range(q.shape[0]):
            scaled_squares(tile, 0, q[query], precision, squares[:size])
            for i in range(size):
                pull[i] = squares[i]
            correlate(covariance, pull[:size])
            if is_over_distance:
                at_row[query] |= _divide_by_roots(pull[:size], squares)
            for c in range(a.shape[0]):
                for j in range(d):
                    towards = _pull_towards(tile[j], weights[c], pull, q[query, j])
                    result[query, c, j] += factor * towards


@njit(nogil=True, cache=True, error_model="numpy")
def _divide_by_roots(values: Floats, squares: Floats) -> bool:
    """Divide by the roots, and return whether one was 0: at a row the pull is times 0 later."""
    use_widest_vectors()
    hits = 0
    for i in range(values.shape[0]):
        hits += squares[i] == 0.0
        values[i] = values[i] / np.sqrt(max(squares[i], LEAST_SQUARE))
    return hits > 0


# The sum may be taken in any order, so that it can be taken in lanes: which one the compiler has
# chosen depends on the length of the tile alone.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _pull_towards(x: Floats, a: Floats, pull: Floats, point: float) -> float:
    use_widest_vectors()
    total = 0.0
    for i in range(x.shape[0]):
        total += a[i] * pull[i] * (x[i] - point)
    return total
