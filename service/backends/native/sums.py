"""Weighted sums over the rows in reach, compiled by Numba.

Each query is summed on its own, in the order of the leaves, so its bits do not depend on the other
queries of the block.
"""

import math

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT, NEAREST_SLACK
from service.backends.native.tree import STACK, row_distance_sq, rows_in_reach
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel

KERNEL_CODES = {kernel: code for code, kernel in enumerate(Kernel)}
COVARIANCE_CODES = {covariance: code for code, covariance in enumerate(Covariance)}
_EPANECHNIKOV = KERNEL_CODES[Kernel.EPANECHNIKOV]
_TRICUBE = KERNEL_CODES[Kernel.TRICUBE]
_UNIFORM = KERNEL_CODES[Kernel.UNIFORM]
_TRIANGULAR = KERNEL_CODES[Kernel.TRIANGULAR]
_BIWEIGHT = KERNEL_CODES[Kernel.BIWEIGHT]
_TRIWEIGHT = KERNEL_CODES[Kernel.TRIWEIGHT]
BLOCK_ROWS = 256  # rows weighed before they are summed: a call a row would cost more than the sum
SMALLEST_TERM = math.exp(LEAST_EXPONENT)  # beside others, less is worth nothing
LARGEST_SCALED_SQ = 1e8  # every covariance is 0 there, and the Matérn polynomials would overflow
_COV_GAUSSIAN = COVARIANCE_CODES[Covariance.GAUSSIAN]
_COV_LAPLACIAN = COVARIANCE_CODES[Covariance.LAPLACIAN]
_COV_MATERN32 = COVARIANCE_CODES[Covariance.MATERN32]


@njit(nogil=True, cache=True)
def compact_weight(kernel: int, u: float) -> float:
    """Return K(u) for 0 ≤ u ≤ 1, for the kernels that vanish beyond."""
    if kernel == _EPANECHNIKOV:
        return 1.0 - u * u
    if kernel == _TRICUBE:
        rest = 1.0 - u * u * u
        return rest * rest * rest
    if kernel == _UNIFORM:
        return 1.0
    if kernel == _TRIANGULAR:
        return 1.0 - u
    if kernel == _BIWEIGHT:
        rest = 1.0 - u * u
        return rest * rest
    if kernel == _TRIWEIGHT:
        rest = 1.0 - u * u
        return rest * rest * rest
    # cos(πu/2) as a sine, which is exactly 0 at u = 1.
    return math.sin(0.5 * math.pi * (1.0 - u))


@njit(nogil=True, cache=True)
def _add_rows(
    x: Floats,
    y: Floats,
    chosen: Rows,
    weights: Floats,
    size: int,
    center: Floats,
    h: float,
    phi: Floats,
    degree: int,
    gram: Floats,
    rhs: Floats,
) -> None:
    """Add w φφᵀ (upper triangle) and w φyᵀ of the first `size` chosen rows."""
    d, p, t = x.shape[1], phi.shape[0], y.shape[1]
    phi[0] = 1.0
    for position in range(size):
        i, w = chosen[position], weights[position]
        if degree > 0:
            for j in range(d):
                phi[1 + j] = (x[i, j] - center[j]) / h
        if degree > 1:
            column = 1 + d
            for a in range(d):
                for b in range(a, d):
                    phi[column] = phi[1 + a] * phi[1 + b]
                    column += 1
        for a in range(p):
            weighted = w * phi[a]
            for b in range(a, p):
                gram[a, b] += weighted * phi[b]
            for c in range(t):
                rhs[a, c] += weighted * y[i, c]


@njit(nogil=True, cache=True)
def compact_moments(
    x: Floats,
    y: Floats,
    bounds: Rows,
    boxes: Floats,
    q: Floats,
    center: Floats,
    kernel: int,
    bandwidth: Floats,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Sum over the rows with u ≤ 1, found through the tree."""
    stack = np.empty(STACK, dtype=np.int64)
    phi = np.empty(gram.shape[1])
    places, weights = np.empty(x.shape[0], dtype=np.int64), np.empty(x.shape[0])
    for query in range(q.shape[0]):
        h = bandwidth[query]
        found = rows_in_reach(x, bounds, boxes, q[query], h, stack, places, weights)
        size, squares = 0, 0.0
        for i in range(found):
            w = compact_weight(kernel, weights[i] / h)  # a distance until here
            if w > 0.0:
                places[size], weights[size] = places[i], w
                size += 1
                squares += w * w
        count[query], weight_sq[query] = size, squares
        _add_rows(
            x, y, places, weights, size, center[query], h, phi, degree, gram[query], rhs[query]
        )
        _mirror(gram[query])


@njit(nogil=True, cache=True)
def gaussian_moments(
    x: Floats,
    y: Floats,
    q: Floats,
    center: Floats,
    bandwidth: Floats,
    nearest_distance: Floats,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Sum over all rows with w = exp(-(r² - δ²) / 2h²), δ the distance to the nearest row."""
    phi = np.empty(gram.shape[1])
    chosen = np.empty(BLOCK_ROWS, dtype=np.int64)
    weights = np.empty(BLOCK_ROWS)
    for query in range(q.shape[0]):
        point, middle, h = q[query], center[query], bandwidth[query]
        query_gram, query_rhs = gram[query], rhs[query]
        size, found, squares = 0, 0, 0.0
        nearest_sq = nearest_distance[query] * nearest_distance[query] * NEAREST_SLACK
        precision = 0.5 / (h * h)
        for i in range(x.shape[0]):
            exponent = precision * (nearest_sq - row_distance_sq(x, i, point))
            if exponent > LEAST_EXPONENT:
                w = math.exp(min(exponent, 0.0))
                chosen[size], weights[size] = i, w
                size += 1
                squares += w * w
                if size == BLOCK_ROWS:
                    _add_rows(
                        x, y, chosen, weights, size, middle, h, phi, degree,
                        query_gram, query_rhs,
                    )  # fmt: skip
                    found, size = found + size, 0
        _add_rows(x, y, chosen, weights, size, middle, h, phi, degree, query_gram, query_rhs)
        count[query], weight_sq[query] = found + size, squares
        _mirror(query_gram)


@njit(nogil=True, cache=True)
def _mirror(gram: Floats) -> None:
    for a in range(gram.shape[0]):
        for b in range(a):
            gram[a, b] = gram[b, a]


@njit(nogil=True, cache=True)
def correlation(covariance: int, s: float) -> float:
    """Return the covariance at the scaled squared distance s = (r / l)²."""
    if covariance == _COV_GAUSSIAN:
        return math.exp(-0.5 * s)
    r = math.sqrt(s)
    if covariance == _COV_LAPLACIAN:
        return math.exp(-r)
    if covariance == _COV_MATERN32:
        r *= math.sqrt(3.0)
        return (1.0 + r) * math.exp(-r)
    r *= math.sqrt(5.0)
    return (1.0 + r + r * r / 3.0) * math.exp(-r)


@njit(nogil=True, cache=True)
def product(
    x: Floats, q: Floats, covariance: int, length_scale: float, a: Floats, result: Floats
) -> None:
    """Fill result (m, c) with K(q, x) a."""
    scale_sq = length_scale * length_scale
    for query in range(q.shape[0]):
        point = q[query]
        for i in range(x.shape[0]):
            s = row_distance_sq(x, i, point) / scale_sq
            if not s < LARGEST_SCALED_SQ:
                continue
            k = correlation(covariance, s)
            if k < SMALLEST_TERM:
                continue
            for c in range(a.shape[1]):
                result[query, c] += k * a[i, c]
