"""Weighted sums over the rows in reach of a compact kernel, compiled by Numba.

A block of rows is weighed, its monomials are written side by side, feature by feature, and each sum
is a product of two columns: loops over rows, which LLVM vectorises. Each query is summed on its
own, in an order that follows from its rows alone, so its bits do not depend on the other queries.
"""

import math

import numpy as np
from numba import njit

from service.backends.native.exponential import use_widest_vectors
from service.backends.native.tree import STACK, RowIds
from service.backends.native.tree_search import rows_in_reach
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel

KERNEL_CODES = {kernel: code for code, kernel in enumerate(Kernel)}
_EPANECHNIKOV = KERNEL_CODES[Kernel.EPANECHNIKOV]
_TRICUBE = KERNEL_CODES[Kernel.TRICUBE]
_UNIFORM = KERNEL_CODES[Kernel.UNIFORM]
_TRIANGULAR = KERNEL_CODES[Kernel.TRIANGULAR]
_BIWEIGHT = KERNEL_CODES[Kernel.BIWEIGHT]
_TRIWEIGHT = KERNEL_CODES[Kernel.TRIWEIGHT]
LARGEST_BLOCK_ROWS = 256  # and with up to 64 monomials, the block stays in the second cache
SMALLEST_BLOCK_ROWS = 32
BLOCK_ELEMENTS = 16384

# The order of a sum may follow the vectors ("reassoc"): it is settled when the loop is compiled.
SUMMING = {"reassoc", "contract"}


@njit(nogil=True, cache=True)
def _block_rows(p: int) -> int:
    """Return how many rows are weighed and summed at a time, for p monomials."""
    return max(SMALLEST_BLOCK_ROWS, min(LARGEST_BLOCK_ROWS, BLOCK_ELEMENTS // p))


@njit(nogil=True, cache=True, error_model="numpy")
def _weigh(  # noqa: C901  (one loop a kernel)
    kernel: int, distances: Floats, h: float, weights: Floats, size: int
) -> None:
    """Fill weights with K(r / h) for 0 ≤ r ≤ h, for the kernels that vanish beyond."""
    use_widest_vectors()
    if kernel == _EPANECHNIKOV:
        for i in range(size):
            u = distances[i] / h
            weights[i] = 1.0 - u * u
    elif kernel == _TRICUBE:
        for i in range(size):
            u = distances[i] / h
            rest = 1.0 - u * u * u
            weights[i] = rest * rest * rest
    elif kernel == _UNIFORM:
        weights[:size] = 1.0
    elif kernel == _TRIANGULAR:
        for i in range(size):
            weights[i] = 1.0 - distances[i] / h
    elif kernel == _BIWEIGHT:
        for i in range(size):
            u = distances[i] / h
            rest = 1.0 - u * u
            weights[i] = rest * rest
    elif kernel == _TRIWEIGHT:
        for i in range(size):
            u = distances[i] / h
            rest = 1.0 - u * u
            weights[i] = rest * rest * rest
    else:
        for i in range(size):
            # cos(πu/2) as a sine, which is exactly 0 at u = 1.
            weights[i] = math.sin(0.5 * math.pi * (1.0 - distances[i] / h))


@njit(nogil=True, cache=True, fastmath=SUMMING)
def dot(a: Floats, b: Floats, row: int, start: int, size: int) -> float:
    """Return Σ a_i b_(row, start + i), i < size."""
    use_widest_vectors()
    total, first = 0.0, np.uintp(start)
    for i in range(size):
        total += a[i] * b[row, first + np.uintp(i)]
    return total


@njit(nogil=True, cache=True, fastmath=SUMMING)
def _totals(weights: Floats, size: int) -> tuple[int, float, float]:
    """Return how many weights are positive, Σ w and Σ w²."""
    use_widest_vectors()
    count, total, squares = 0, 0.0, 0.0
    for i in range(size):
        w = weights[i]
        count += w > 0.0
        total += w
        squares += w * w
    return count, total, squares


@njit(nogil=True, cache=True, fastmath=SUMMING)
def weigh_rows(weights: Floats, own: Floats, size: int) -> tuple[int, float, float]:
    """Multiply weights by those of the rows; return how many are positive, Σ w and Σ w² / p."""
    use_widest_vectors()
    count, total, squares = 0, 0.0, 0.0
    for i in range(size):
        w = weights[i] * own[i]
        squares += weights[i] * w
        weights[i] = w
        count += w > 0.0
        total += w
    return count, total, squares


@njit(nogil=True, cache=True)
def _fill_products(phi: Floats, d: int, degree: int, size: int) -> None:
    """Fill the monomials of degrees 2 and 3 from those of degree 1."""
    use_widest_vectors()
    column = d
    for a in range(d):
        for b in range(a, d):
            for i in range(size):
                phi[column, i] = phi[a, i] * phi[b, i]
            column += 1
    if degree < 3:
        return
    square = d  # the column of the product of a and b
    for a in range(d):
        for b in range(a, d):
            for c in range(b, d):
                for i in range(size):
                    phi[column, i] = phi[square, i] * phi[c, i]
                column += 1
            square += 1


@njit(nogil=True, cache=True)
def add_slopes(
    phi: Floats,
    y: Floats,
    start: int,
    weights: Floats,
    weighted: Floats,
    size: int,
    d: int,
    degree: int,
    query: int,
    gram: Floats,
    rhs: Floats,
) -> None:
    """Add the sums of `size` rows to those of a query, but for Σ w and Σ w y_1.

    Args:
        phi: Monomials without the constant, (p - 1, block); those of degree 1 are filled.
        y: Targets, (t, …); those of the block begin at `start`.
        start: See y.
        weights: (block,).
        weighted: Room for a column, (block,).
        size: How many rows of the block are used.
        d: Number of features.
        degree: 0, 1, 2 or 3.
        query: The query in the arrays that follow.
        gram: Σ w φφᵀ, (m, p, p); the upper triangle is filled.
        rhs: Σ w φyᵀ, (m, p, t).
    """
    use_widest_vectors()
    p, t = rhs.shape[1:]
    if degree > 1:
        _fill_products(phi, d, degree, size)
    for b in range(1, p):
        gram[query, 0, b] += dot(weights, phi, b - 1, 0, size)
    for c in range(1, t):
        rhs[query, 0, c] += dot(weights, y, c, start, size)
    for a in range(1, p):
        for i in range(size):
            weighted[i] = weights[i] * phi[a - 1, i]
        for b in range(a, p):
            gram[query, a, b] += dot(weighted, phi, b - 1, 0, size)
        for c in range(t):
            rhs[query, a, c] += dot(weighted, y, c, start, size)


@njit(nogil=True, cache=True)
def mirror(gram: Floats) -> None:
    """Copy the upper triangle to the lower one."""
    for a in range(gram.shape[0]):
        for b in range(a):
            gram[a, b] = gram[b, a]


@njit(nogil=True, cache=True)
def _add_places(
    x: Floats,
    y: Floats,
    row_weights: Floats,
    ids: RowIds,
    places: Rows,
    distances: Floats,
    found: int,
    kernel: int,
    h: float,
    center: Floats,
    degree: int,
    phi: Floats,
    block_y: Floats,
    weights: Floats,
    weighted: Floats,
    query: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Add the rows at the first `found` places."""
    inverse = 1.0 / h
    for first in range(0, found, weights.shape[0]):
        size = min(weights.shape[0], found - first)
        _weigh(kernel, distances[first:], h, weights, size)
        if degree > 0:
            for j in range(center.shape[0]):
                for i in range(size):
                    phi[j, i] = (x[j, np.uintp(places[first + i])] - center[j]) * inverse
        for c in range(y.shape[0]):
            for i in range(size):
                block_y[c, i] = y[c, np.uintp(places[first + i])]
        if row_weights.shape[0] == 0:
            positive, total, squares = _totals(weights, size)
        else:
            for i in range(size):
                weighted[i] = row_weights[np.uintp(ids[np.uintp(places[first + i])])]
            positive, total, squares = weigh_rows(weights, weighted, size)
        count[query] += positive
        weight_sq[query] += squares
        gram[query, 0, 0] += total
        rhs[query, 0, 0] += dot(weights, block_y, 0, 0, size)
        add_slopes(
            phi, block_y, 0, weights, weighted, size, center.shape[0], degree, query, gram, rhs
        )  # fmt: skip
    mirror(gram[query])


@njit(nogil=True, cache=True)
def compact_moments(
    x: Floats,
    y: Floats,
    row_weights: Floats,
    ids: RowIds,
    bounds: RowIds,
    boxes: Floats,
    q: Floats,
    center: Floats,
    kernel: int,
    bandwidth: Floats,
    found_places: Rows,
    found_distances: Floats,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Sum over the rows with u ≤ 1; no row weights (n,) stand for 1. `ids` are rows by place.

    Where the last of the k nearest rows, (m, k), lies exactly at the bandwidth, they are all that
    carry weight, unless the kernel does not vanish at its edge. Else the rows are searched; k = 0
    searches them all.
    """
    use_widest_vectors()
    rows, p, k = x.shape[1], gram.shape[1], found_places.shape[1]
    stack = np.empty(STACK, dtype=np.int64)
    room = k  # of all rows only where they are searched: it may be more than the heap keeps
    for query in range(q.shape[0]):
        if k == 0 or kernel == _UNIFORM or found_distances[query, k - 1] != bandwidth[query]:
            room = rows
    places, distances = np.empty(room, dtype=np.int64), np.empty(room)
    block = _block_rows(p)
    phi, block_y = np.empty((p - 1, block)), np.empty((y.shape[0], block))
    weights, weighted = np.empty(block), np.empty(block)
    for query in range(q.shape[0]):
        h = bandwidth[query]
        if k > 0 and kernel != _UNIFORM and found_distances[query, k - 1] == h:
            size = k
            places[:k] = found_places[query]
            distances[:k] = found_distances[query]
        else:
            size = rows_in_reach(x, bounds, boxes, q[query], h, stack, places, distances)
        _add_places(
            x, y, row_weights, ids, places, distances, size, kernel, h, center[query], degree,
            phi, block_y, weights, weighted, query, gram, rhs, weight_sq, count,
        )  # fmt: skip
