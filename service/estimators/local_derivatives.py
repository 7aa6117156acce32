"""Slopes of the local polynomials, and the exact gradient of the surface that they make.

With the notation of `local_polynomial`, G = (C + rI)⁻¹, and b = G Σ w̃ (φ_i - φ̄) y_i, the local
polynomial about x has the slope

    s_j = δ_jᵀ b / h = Σ λ_ij y_i,     δ_j = ∂φ/∂z_j at x,     λ_ij = w̃_i (G δ_j)ᵀ(φ_i - φ̄) / h

whose standard error is σ √(Σ λ_ij² / p_i), p_i the row's own weight, 1 as a rule. It estimates the
slope of the truth, and is not the gradient of the fitted surface: from x to x + dx the weights
change too, and every local polynomial with them.
With the residuals e_i = y_i - ȳ - bᵀ(φ_i - φ̄) of the polynomial, g_i = 1 + vᵀ(φ_i - φ̄) and
u_i = ‖x_i - x‖ / h,

    ∂f/∂x_j = s_j + Σ_i ∂_j w̃_i g_i e_i - ridge_j
    ∂_j w_i = p_i ψ(u_i) [(x_i - x)_j / h² + u_i² ∂_j h / h],     ψ(u) = -K'(u) / u

A fixed bandwidth has ∂h = 0; the distance to the k-th row has ∂h = (x - x_(k)) / h, but where
another row becomes the k-th. The ridge r = ρ trace(C) / (p - 1) changes with x, and a penalty on
quadratics depends on their centre. With dφ = -(1 / h)(M_j φ + N φ ∂_j h), M_j the derivatives of
the monomials by z_j and N their degrees,

    ridge_j = (r / h) [vᵀM_j b + bᵀM_j v + 2 vᵀN b ∂_j h] + ∂_j r vᵀb
    ∂_j r = ρ / (p - 1) [Σ ∂_j w̃_i ‖φ_i - φ̄‖² - (2 / h) (trace(M_j C) + trace(N C) ∂_j h)]

Both sums over rows are one, with g_i e_i - ρ / (p - 1) vᵀb ‖φ_i - φ̄‖² beside ∂_j w_i / Σw: this has
the weighted mean 0, so that the derivative of the normalisation of w̃ falls out.

For the Gaussian of a fixed bandwidth, ∂_j w_i = w_i (x_i - x)_j / h²: the sum over rows is one of
moments of the degree above, as far as a backend has them.

Sources: the product rule, on Fan & Gijbels (1996), section 3.1; Loader (1999), section 2.3, for the
variance of a linear estimate.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Moments, Resident, monomial_count, sloped
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel
from service.estimators.determined import told_slopes
from service.estimators.fits import LocalPolynomial
from service.estimators.local_derivative_sums import (
    add_gaussian_gradients,
    add_gradients,
    add_slope_norms,
)
from service.estimators.local_fits import LocalFits, listed_rows, no_rows, solved
from service.estimators.local_polynomial import monomials
from service.estimators.reach import LEAST_BANDWIDTH, WeightedRows
from service.estimators.row_bandwidths import Spreading
from service.estimators.row_weights import weights_at

MOST_FEATURES = 6
"""Up to here a Gaussian line of a fixed bandwidth takes its gradient from the moments of degree 2,
28 monomials, which a backend adds up faster than rows can be listed one by one."""


@dataclass(frozen=True, eq=False)
class Slope:
    """The slopes of the local polynomials.

    Attributes:
        slope: (m, t, d), in the metric of the fit; NaN where no row carries weight.
        norm: √(Σ λ_ij² / p_i), (m, d): the standard error where the noise of a row of weight 1 has
            the deviation 1.
        is_told: Where the rows in reach tell the slope, (m, d); see `determined`.
    """

    slope: Floats
    norm: Floats
    is_told: NDArray[np.bool_]

    def standard_error(self, sigma: Floats) -> Floats:
        """Return the standard errors (m, t, d) for the noise deviations sigma (m, t)."""
        return sigma[:, :, None] * self.norm[:, None, :]


@dataclass(frozen=True, eq=False)
class _Monomials:
    """φ without its constant, of which monomial a is φ[parent[a]] z[feature[a]], φ[0] = 1.

    Attributes:
        parent: (p - 1,), an index into φ with the constant.
        feature: (p - 1,).
        order: Degree of each, (p - 1,).
        derivatives: Rows (a, j, k, c) that say ∂φ_a / ∂z_j = c φ_k, where it is not 0.
    """

    parent: Rows
    feature: Rows
    order: Rows
    derivatives: Rows


def slopes(
    rows: Resident, fits: LocalFits, matrix: Floats | None = None, noise: Floats | None = None
) -> Slope:
    """Return the slopes and their norms. Cost: d solves and O(rows in reach · p d) a query.

    With a matrix A (d, d) they are by x, where the rows are z = Ax: Aᵀs, and λ likewise. The noise
    (n,) has the variances of rows of weight 1; None where all are 1.
    """
    (m, d), table = fits.point.shape, _table(fits.point.shape[1], fits.fit.degree)
    at_query = monomials(fits.target, fits.fit.degree)
    slope = np.zeros((m, rows.y.shape[1], d))
    direction = np.zeros((m, d, len(table.order)))
    for a, j, k, c in table.derivatives:
        direction[:, j, a] += c * at_query[:, k]
        slope[:, :, j] += c * at_query[:, None, k] * fits.coefficients[:, :, a]
    h = fits.reach.bandwidth
    slope /= h[:, None, None]
    columns = [solved(fits, np.ascontiguousarray(direction[:, j])) for j in range(d)]
    influence, center = np.stack(columns, axis=1), fits.system.center_or(fits.point)
    if matrix is not None:
        slope = _by_x(slope.transpose(0, 2, 1), matrix).transpose(0, 2, 1)
        influence = _by_x(influence, matrix)
    norm, x = np.zeros((m, d)), _read_only(sloped(rows, rows.x))
    for part, listed in listed_rows(rows, fits):
        share = listed.weights / np.sqrt(weights_at(rows, listed.rows))  # λ_ij / √p_i goes with it
        if noise is not None:
            share = share * np.sqrt(noise[listed.rows])
        add_slope_norms(
            listed.offsets, listed.rows, share, x, center[part], h[part],
            fits.moments.gram[part], influence[part], table.parent, table.feature, norm[part],
        )  # fmt: skip
    norm = np.sqrt(norm)
    unsupported = fits.moments.count == 0
    slope[unsupported] = norm[unsupported] = np.nan
    return Slope(slope, norm, told_slopes(fits.system, fits.moments, -fits.target, matrix))


def _by_x(by_z: Floats, matrix: Floats) -> Floats:
    """Return Aᵀ times each query's (d, c); term by term, so that no query rounds by the others."""
    result = by_z[:, :1] * matrix[0][:, None]
    for k in range(1, len(matrix)):
        result += by_z[:, k : k + 1] * matrix[k][:, None]
    return np.ascontiguousarray(result)


def gradients(rows: Resident, fits: LocalFits) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the gradient of the surface, (m, t, d), and where it has a kink at a row, (m,).

    At a kink, which the triangular kernel makes at every row, it is the mean of the gradients from
    all sides.

    Cost: O(rows in reach · (p + d) t) a query, and their list; see `MOST_FEATURES` for less.
    """
    (m, d), fit, h = fits.point.shape, fits.fit, fits.reach.bandwidth
    table = _table(d, fit.degree)
    gradient = np.zeros((m, rows.y.shape[1], d))
    has_kink = np.zeros(m, dtype=np.bool_)
    center, at_query = fits.system.center_or(fits.point), monomials(fits.target, fit.degree)
    used = np.array([monomial_count(d, degree) - 1 for degree in range(fit.degree + 1)])
    size = used[fits.system.degree]
    ridge = np.where(fits.system.is_flat, 0.0, fit.ridge)
    bandwidth_gradient = _bandwidth_gradient(rows, fits)
    x, y = _read_only(sloped(rows, rows.x)), _read_only(rows.y)
    has_moments = _has_moments(fit, d)
    is_listed = not has_moments and fit.kernel is not Kernel.UNIFORM
    for part, listed in listed_rows(rows, fits) if is_listed else [(slice(0, m), no_rows(m))]:
        u, psi = _decline_of_rows(rows, fit.kernel, h[part], listed)
        if fit.kernel is Kernel.TRIANGULAR:
            has_kink[part.start + listed.queries[u == 0]] = True
        add_gradients(
            listed.offsets, listed.rows, u, psi,
            x, y, fits.point[part], center[part], h[part],
            bandwidth_gradient[part], fits.moments.gram[part], fits.moments.rhs[part],
            fits.system.v[part], fits.coefficients[part], size[part], ridge[part],
            at_query[part], table.parent, table.feature, table.order, table.derivatives,
            gradient[part],
        )  # fmt: skip
    if has_moments:
        moments = _moments_above(rows, fits, center)
        add_gaussian_gradients(
            h, moments.gram, moments.rhs, fits.system.v, fits.coefficients, ridge, gradient
        )
    gradient[fits.moments.count == 0] = np.nan
    return gradient, has_kink


def _read_only(array: Floats) -> Floats:
    """Return the array as Numba always gets it: it compiles a variant for each."""
    view = array.view()
    view.flags.writeable = False
    return view


def _has_moments(fit: LocalPolynomial, d: int) -> bool:
    """Say whether the sums over rows are moments of the degree above, so that none are listed."""
    if fit.kernel is not Kernel.GAUSSIAN or fit.bandwidth is None:
        return False
    return fit.degree == 0 or (fit.degree == 1 and d <= MOST_FEATURES)


def _moments_above(rows: Resident, fits: LocalFits, center: Floats) -> Moments:
    """Return the moments of the degree above about the rows' mean, or the nearest row's place."""
    h, gram, found = fits.reach.bandwidth[:, None], fits.moments.gram, fits.reach.found
    if fits.fit.degree > 0:
        middle = center + h * gram[:, 0, 1:] / gram[:, 0, 0, None]
    elif found is not None:
        middle = sloped(rows, rows.x[found.rows[:, 0]])
    else:
        raise TypeError("a Gaussian has looked for the nearest row")
    return fits.reach.moments(rows, fits.q, fits.fit.degree + 1, np.ascontiguousarray(middle))


def decline(kernel: Kernel, u: Floats, weights: Floats) -> Floats:
    """Return ψ(u) = -K'(u) / u, elementwise, where the kernel K(u) = `weights` is not 0.

    | kernel       | ψ(u)         |   | kernel     | ψ(u)                  |
    |--------------|--------------|---|------------|-----------------------|
    | gaussian     | K(u)         |   | triangular | 1 / u; 0 at the query |
    | epanechnikov | 2            |   | biweight   | 4 (1 - u²)            |
    | tricube      | 9u (1 - u³)² |   | triweight  | 6 (1 - u²)²           |
    | uniform      | 0            |   | cosine     | (π / 2u) sin(π u / 2) |
    """
    match kernel:
        case Kernel.GAUSSIAN:
            return weights
        case Kernel.EPANECHNIKOV:
            return np.full_like(u, 2.0)
        case Kernel.TRICUBE:
            return np.asarray(9.0 * u * np.square(1.0 - u * u * u))
        case Kernel.UNIFORM:
            return np.zeros_like(u)
        case Kernel.TRIANGULAR:
            return np.divide(1.0, u, out=np.zeros_like(u), where=u > 0)
        case Kernel.BIWEIGHT:
            return 4.0 * (1.0 - u * u)
        case Kernel.TRIWEIGHT:
            return np.asarray(6.0 * np.square(1.0 - u * u))
        case Kernel.COSINE:
            return np.asarray((np.pi / 2) ** 2 * np.sinc(0.5 * u))


def _decline_of_rows(
    rows: Resident, kernel: Kernel, h: Floats, listed: WeightedRows
) -> tuple[Floats, Floats]:
    """Return u and ψ(u) p of the rows that carry weight, for ∂_j w_i = p_i ψ(u_i) (x_i - x)_j / h².

    p is in the weights of the Gaussian already. A row with a bandwidth of its own has (h / h_i)² in
    it; one whose h_i is 0 jumps at its place, and is flat elsewhere.
    """
    unit = h[listed.queries]
    own = rows.spread.bandwidth[listed.rows] if isinstance(rows, Spreading) else unit
    u = np.divide(listed.distances, own, out=np.zeros_like(own), where=own > 0)
    psi = decline(kernel, u, listed.weights)
    if isinstance(rows, Spreading):
        psi = psi * np.square(np.divide(unit, own, out=np.zeros_like(own), where=own > 0))
    if rows.row_weights is not None and kernel is not Kernel.GAUSSIAN:
        psi = psi * rows.row_weights[listed.rows]
    return u, np.asarray(psi)


def _table(d: int, degree: int) -> _Monomials:
    """Return how the monomials of `monomials` are made, and their derivatives."""
    factors = [
        features
        for order in range(1, degree + 1)
        for features in combinations_with_replacement(range(d), order)
    ]
    index = {(): 0} | {features: a + 1 for a, features in enumerate(factors)}
    derivatives = []
    for a, features in enumerate(factors):
        for j in sorted(set(features)):
            others = list(features)
            others.remove(j)
            derivatives.append((a, j, index[tuple(others)], features.count(j)))
    return _Monomials(
        parent=np.array([index[features[:-1]] for features in factors], dtype=np.int64),
        feature=np.array([features[-1] for features in factors], dtype=np.int64),
        order=np.array([len(features) for features in factors], dtype=np.int64),
        derivatives=np.array(derivatives, dtype=np.int64).reshape(-1, 4),
    )


def _bandwidth_gradient(rows: Resident, fits: LocalFits) -> Floats:
    """Return ∂h, (m, d): 0 for a fixed bandwidth, (x - x_(k)) / h for the distance to row k."""
    found, h = fits.reach.found, fits.reach.bandwidth[:, None]
    if fits.fit.bandwidth is not None or found is None:
        return np.zeros_like(fits.point)
    from_furthest = fits.point - sloped(rows, rows.x[found.rows[:, -1]])
    return np.where(h > LEAST_BANDWIDTH, from_furthest / h, 0.0)
