"""The sums over the rows in reach behind `local_derivatives`, compiled by Numba.

One query after the other, and in each one row after the other, nearest first: a query's bits do not
depend on the block.
"""

import numpy as np
from numba import njit

from service.domain.arrays import Floats, Rows


@njit(nogil=True, cache=True, error_model="numpy")
def add_gradients(
    offsets: Rows,
    rows: Rows,
    u: Floats,
    psi: Floats,
    x: Floats,
    y: Floats,
    q: Floats,
    center: Floats,
    h: Floats,
    h_gradient: Floats,
    gram: Floats,
    rhs: Floats,
    v: Floats,
    b: Floats,
    size: Rows,
    ridge: Floats,
    at_query: Floats,
    parent: Rows,
    feature: Rows,
    order: Rows,
    derivatives: Rows,
    gradient: Floats,
) -> None:
    """Add the gradient of each query, (m, t, d), whose rows are `rows[offsets[i]:offsets[i + 1]]`.

    Of the monomials, the first `size` of a query are those of the degree that it has.
    """
    phi, phi_bar = np.ones(gram.shape[1]), np.empty(gram.shape[1])
    penalty, mean_y = np.empty(b.shape[1]), np.empty(b.shape[1])
    for query in range(q.shape[0]):
        used, weight = size[query], gram[query, 0, 0]
        share = ridge[query] / max(used, 1)
        phi_bar[:] = gram[query, 0] / weight
        for c in range(b.shape[1]):
            mean_y[c], penalty[c] = rhs[query, 0, c] / weight, 0.0
            for a in range(used):
                penalty[c] += share * v[query, a] * b[query, c, a]
            _add_slope_and_ridge(
                gram[query], v[query], b[query, c], used, share, penalty[c], h[query],
                h_gradient[query], at_query[query], order, derivatives, gradient[query, c],
            )  # fmt: skip
        part = slice(offsets[query], offsets[query + 1])
        _add_pulls(
            rows[part], u[part], psi[part], x, y, q[query], center[query], 1.0 / h[query],
            h_gradient[query], 1.0 / (weight * h[query]), v[query], b[query], penalty, used,
            parent, feature, mean_y, phi_bar, phi, gradient[query],
        )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _add_pulls(
    rows: Rows,
    u: Floats,
    psi: Floats,
    x: Floats,
    y: Floats,
    q: Floats,
    center: Floats,
    precision: float,
    h_gradient: Floats,
    share: float,
    v: Floats,
    b: Floats,
    penalty: Floats,
    size: int,
    parent: Rows,
    feature: Rows,
    mean_y: Floats,
    phi_bar: Floats,
    phi: Floats,
    gradient: Floats,
) -> None:
    """Add Σ ∂w_i / Σw (g_i e_i - ρ / (p - 1) vᵀb ‖φ_i - φ̄‖²) over one query's rows, (t, d).

    `share` is 1 / (h Σw), `penalty` ρ / (p - 1) vᵀb, and `phi` is overwritten.
    """
    d = q.shape[0]
    for entry in range(rows.shape[0]):
        row = rows[entry]
        _fill_centered(x, row, center, precision, phi_bar, parent, feature, size, phi)
        growth, distance_sq = 1.0, 0.0
        for a in range(size):
            growth += v[a] * phi[1 + a]
            distance_sq += phi[1 + a] * phi[1 + a]
        pull, reach = psi[entry] * share, u[entry] * u[entry]
        for c in range(b.shape[0]):
            residual = y[row, c] - mean_y[c]
            for a in range(size):
                residual -= b[c, a] * phi[1 + a]
            value = pull * (growth * residual - penalty[c] * distance_sq)
            for j in range(d):
                gradient[c, j] += value * ((x[row, j] - q[j]) * precision + reach * h_gradient[j])


@njit(nogil=True, cache=True, error_model="numpy")
def _add_slope_and_ridge(
    gram: Floats,
    v: Floats,
    b: Floats,
    size: int,
    share: float,
    penalty: float,
    h: float,
    h_gradient: Floats,
    at_query: Floats,
    order: Rows,
    derivatives: Rows,
    gradient: Floats,
) -> None:
    """Add what one query's gradient (d,) has beside the change of its weights.

    `share` is ρ / (p - 1), and `penalty` is that times vᵀb.
    """
    trace = 0.0
    for a in range(1, size + 1):
        trace += _covariance(gram, a, a)
    ridge = share * trace
    for line in range(derivatives.shape[0]):
        a, j, k, c = derivatives[line]
        gradient[j] += c * b[a] * at_query[k] / h
        if k > 0 and a < size and share > 0.0:
            bent = ridge * (v[a] * b[k - 1] + b[a] * v[k - 1])
            gradient[j] -= c / h * (bent - 2.0 * penalty * _covariance(gram, 1 + a, k))
    for a in range(size):
        scaled = ridge * v[a] * b[a] - penalty * _covariance(gram, 1 + a, 1 + a)
        for j in range(gradient.shape[0]):
            gradient[j] -= 2.0 * order[a] / h * scaled * h_gradient[j]


@njit(nogil=True, cache=True, error_model="numpy")
def _covariance(gram: Floats, a: int, b: int) -> float:
    weight = gram[0, 0]
    return float(gram[a, b] / weight - gram[0, a] / weight * (gram[0, b] / weight))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _fill_centered(
    x: Floats,
    row: int,
    center: Floats,
    precision: float,
    phi_bar: Floats,
    parent: Rows,
    feature: Rows,
    size: int,
    phi: Floats,
) -> None:
    """Fill φ_i - φ̄ of a row into phi[1:]; phi[0] stays 1."""
    for a in range(size):
        z = (x[row, feature[a]] - center[feature[a]]) * precision
        phi[1 + a] = phi[parent[a]] * z
    for a in range(1, size + 1):
        phi[a] -= phi_bar[a]


@njit(nogil=True, cache=True, error_model="numpy")
def add_slope_norms(
    offsets: Rows,
    rows: Rows,
    weights: Floats,
    x: Floats,
    center: Floats,
    h: Floats,
    gram: Floats,
    influence: Floats,
    parent: Rows,
    feature: Rows,
    squares: Floats,
) -> None:
    """Add Σ λ_ij² of each query, (m, d), from the directions G δ_j, (m, d, p - 1)."""
    size = influence.shape[2]
    phi, phi_bar = np.ones(1 + size), np.empty(1 + size)
    for query in range(center.shape[0]):
        phi_bar[:] = gram[query, 0] / gram[query, 0, 0]
        share, precision = 1.0 / (gram[query, 0, 0] * h[query]), 1.0 / h[query]
        at, along = center[query], influence[query]
        for entry in range(offsets[query], offsets[query + 1]):
            _fill_centered(x, rows[entry], at, precision, phi_bar, parent, feature, size, phi)
            for j in range(along.shape[0]):
                total = 0.0
                for a in range(size):
                    total += along[j, a] * phi[1 + a]
                squares[query, j] += (weights[entry] * share * total) ** 2


@njit(nogil=True, cache=True, error_model="numpy")
def add_gaussian_gradients(
    h: Floats, gram: Floats, rhs: Floats, v: Floats, b: Floats, ridge: Floats, gradient: Floats
) -> None:
    """Add what the change of Gaussian weights of a fixed bandwidth gives, (m, t, d).

    With ∂_j w_i = w_i (x_i - x)_j / h², the sum over rows is one of moments of the degree above,
    centred at the weighted mean of the rows, z̄ = 0 to rounding; b and v are of degree 0 or 1.
    """
    d, slopes = gradient.shape[2], v.shape[1]
    for query in range(h.shape[0]):
        weight, share = gram[query, 0, 0], ridge[query] / max(slopes, 1)
        for c in range(b.shape[1]):
            mean_y, penalty = rhs[query, 0, c] / weight, 0.0
            for a in range(slopes):
                penalty += share * v[query, a] * b[query, c, a]
            for j in range(d):
                total = rhs[query, 1 + j, c] - mean_y * gram[query, 0, 1 + j]
                for a in range(slopes):
                    pair = _pair(j, a, d)
                    total += v[query, a] * (rhs[query, pair, c] - mean_y * gram[query, 0, pair])
                    total -= b[query, c, a] * gram[query, 0, pair]
                    total -= penalty * gram[query, 1 + a, _pair(j, a, d)]
                    for k in range(slopes):
                        total -= v[query, a] * b[query, c, k] * gram[query, 1 + k, pair]
                gradient[query, c, j] += total / (weight * h[query])


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _pair(a: int, b: int, d: int) -> int:
    """Return where z_a z_b stands in φ."""
    first, second = min(a, b), max(a, b)
    return 1 + d + first * d - first * (first - 1) // 2 + second - first
