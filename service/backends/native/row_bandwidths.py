"""Weighted sums over rows that have a bandwidth each, compiled by Numba.

    w_i = K(u_i) p_i,  u_i = d_i / h_i    of the Gaussian, exp((δ² - u_i²) / 2) p_i,  δ = min u_i

All rows are looked at for each query, and each query on its own, so its bits do not depend on the
others. Where cells are missing, distances are those of `gaps`, and a missing cell has z_j = 0.

A query may be a row that is left out, and then it is not among the neighbours of the others either:
the bandwidth of a row as far from it as it reaches, or nearer, is the wider one.
"""

import math

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT
from service.backends.native.gaps import BLOCK_ROWS, _fill_distances
from service.backends.native.sums import KERNEL_CODES, _weigh, add_slopes, dot, mirror, weigh_rows
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel

GAUSSIAN = KERNEL_CODES[Kernel.GAUSSIAN]


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_scaled(
    x: Floats,
    row_weights: Floats,
    bandwidth: Floats,
    wider: Floats,
    q: Floats,
    left_out: int,
    distances: Floats,
    scaled: Floats,
) -> None:
    """Fill in d_i and d_i / h_i, (n,), for one query; infinite for rows that do not count."""
    _fill_distances(x, q, distances)
    for i in range(distances.shape[0]):
        h = bandwidth[i]
        if left_out >= 0 and distances[i] <= h:
            h = wider[i]
        scaled[i] = distances[i] / h if distances[i] > 0.0 else 0.0
        if row_weights[i] == 0.0 or i == left_out:
            scaled[i] = math.inf


@njit(nogil=True, cache=True, error_model="numpy")
def fill_least(
    x: Floats,
    row_weights: Floats,
    bandwidth: Floats,
    wider: Floats,
    q: Floats,
    left_out: Rows,
    least: Floats,
) -> None:
    """Fill in δ of each query, (m,); infinite where no row counts."""
    distances, scaled = np.empty(x.shape[0]), np.empty(x.shape[0])
    for query in range(q.shape[0]):
        _fill_scaled(x, row_weights, bandwidth, wider, q[query], left_out[query], distances, scaled)
        least[query] = scaled.min()


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _exponent(least: float, scaled: float) -> float:
    """Return (δ² - u²) / 2, and -∞ where that is no number: δ is so large that no row counts."""
    exponent = 0.5 * (least * least - scaled * scaled)
    return exponent if exponent > LEAST_EXPONENT else -math.inf


@njit(nogil=True, cache=True, error_model="numpy")
def list_rows(
    x: Floats,
    row_weights: Floats,
    bandwidth: Floats,
    wider: Floats,
    q: Floats,
    left_out: Rows,
    least: Floats,
    kernel: int,
    offsets: Rows,
    counts: Rows,
    rows: Rows,
    found: Floats,
) -> None:
    """Count the rows in reach of each query; with offsets, list them by (distance, row)."""
    distances, scaled = np.empty(x.shape[0]), np.empty(x.shape[0])
    for query in range(q.shape[0]):
        _fill_scaled(x, row_weights, bandwidth, wider, q[query], left_out[query], distances, scaled)
        if kernel == GAUSSIAN:
            for i in range(scaled.shape[0]):
                is_near = _exponent(least[query], scaled[i]) > LEAST_EXPONENT
                scaled[i] = 0.0 if is_near else math.inf
        near = np.flatnonzero(scaled <= 1.0)
        counts[query] = near.size
        if offsets.size > 0:
            order = near[np.argsort(distances[near], kind="mergesort")]
            for place in range(order.size):
                rows[offsets[query] + place] = order[place]
                found[offsets[query] + place] = distances[order[place]]


@njit(nogil=True, cache=True, error_model="numpy")
def fill_moments(  # noqa: C901  (the loops of one pass)
    x: Floats,
    y: Floats,
    row_weights: Floats,
    bandwidth: Floats,
    wider: Floats,
    q: Floats,
    left_out: Rows,
    center: Floats,
    unit: Floats,
    least: Floats,
    kernel: int,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Add the rows of each query to its sums, with z = (x_i - c) / unit; see `base.Moments`."""
    n, d, p, t = x.shape[0], center.shape[1], gram.shape[1], y.shape[1]
    distances, scaled = np.empty(n), np.empty(n)
    phi, block_y = np.empty((p - 1, BLOCK_ROWS)), np.empty((t, BLOCK_ROWS))
    weights, weighted, reached = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    places = np.empty(BLOCK_ROWS, dtype=np.int64)
    for query in range(q.shape[0]):
        _fill_scaled(x, row_weights, bandwidth, wider, q[query], left_out[query], distances, scaled)
        size = 0
        for i in range(n):
            if kernel == GAUSSIAN:
                exponent = _exponent(least[query], scaled[i])
                if exponent > LEAST_EXPONENT:
                    weights[size], places[size] = math.exp(min(exponent, 0.0)), i
                    size += 1
            elif scaled[i] <= 1.0:
                reached[size], places[size] = scaled[i], i
                size += 1
            if size == 0 or (size < BLOCK_ROWS and i < n - 1):
                continue
            if kernel != GAUSSIAN:
                _weigh(kernel, reached, 1.0, weights, size)
            for place in range(size):
                row = places[place]
                weighted[place] = row_weights[row]
                for c in range(t):
                    block_y[c, place] = y[row, c]
                if degree > 0:
                    for j in range(d):
                        z = (x[row, j] - center[query, j]) / unit[query]
                        phi[j, place] = 0.0 if math.isnan(z) else z
            positive, total, squares = weigh_rows(weights, weighted, size)
            count[query] += positive
            weight_sq[query] += squares
            gram[query, 0, 0] += total
            rhs[query, 0, 0] += dot(weights, block_y, 0, 0, size)
            add_slopes(phi, block_y, 0, weights, weighted, size, d, degree, query, gram, rhs)
            size = 0
        mirror(gram[query])
