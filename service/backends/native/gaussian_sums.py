"""Weighted sums under the Gaussian kernel, over all rows but those that are proven not to matter.

Which those are, `gaussian_limits` says; the tree is gone through as `units` says.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT, NEAREST_SLACK
from service.backends.native.exponential import exp_nonpositive, use_widest_vectors
from service.backends.native.gaussian_limits import count_rows, fill_limits
from service.backends.native.sums import SUMMING, add_slopes, dot, mirror, weigh_rows
from service.backends.native.tree import STACK, RowIds, push_roots
from service.backends.native.units import (
    UNIT_ROWS,
    box_distance_sq,
    fill_distances_sq,
    group_stop,
    next_unit,
)
from service.domain.arrays import Floats, Rows

Weigher: TypeAlias = Callable[..., tuple[int, float, float, float]]


@njit(nogil=True, cache=True)
def _fill_monomials(
    x: Floats,
    start: int,
    size: int,
    center: Floats,
    query: int,
    inverse: float,
    weights: Floats,
    phi: Floats,
) -> None:
    """Fill in z = (x - c) / h of `size` rows, (n_sloped, block); 0 for those without weight.

    Their products could be infinite, and 0 times that is no number.
    """
    use_widest_vectors()
    first = np.uintp(start)
    for j in range(center.shape[1]):
        middle = center[query, j]
        for i in range(size):
            z = (x[j, first + np.uintp(i)] - middle) * inverse
            phi[j, i] = z if weights[i] > 0.0 else 0.0


@njit(nogil=True, cache=True)
def _plus_square(total: float, difference: float) -> float:
    """Return the sum with the rounding of `tree.row_distance_sq`: nothing is fused or reordered."""
    return total + difference * difference


def _weigher(features: int) -> Weigher:
    """Return the loop that weighs a unit, compiled for so many features; 0 stands for any number.

    It fills in the weights and returns how many are positive, Σ w, Σ w² and Σ w y_1. Where the
    features are few and known to the compiler, it needs no loop before it for the distances.
    """

    @njit(nogil=True, cache=True, fastmath=SUMMING)
    def weigh(
        x: Floats,
        y: Floats,
        start: int,
        size: int,
        q: Floats,
        query: int,
        precision: float,
        nearest_sq: float,
        limit_sq: float,
        distances: Floats,
        weights: Floats,
    ) -> tuple[int, float, float, float]:
        use_widest_vectors()
        if features == 0:
            fill_distances_sq(x, start, size, q, query, distances)
        first = np.uintp(start)
        count, total, squares, first_y = 0, 0.0, 0.0, 0.0
        for i in range(size):
            place = first + np.uintp(i)
            if features == 0:
                distance_sq = distances[i]
            else:
                distance_sq = _plus_square(0.0, x[0, place] - q[query, 0])
            if features > 1:
                distance_sq = _plus_square(distance_sq, x[1, place] - q[query, 1])
            if features > 2:
                distance_sq = _plus_square(distance_sq, x[2, place] - q[query, 2])
            exponent = precision * (nearest_sq - distance_sq)
            w = exp_nonpositive(min(max(exponent, LEAST_EXPONENT), 0.0))
            w = w if distance_sq <= limit_sq else 0.0
            weights[i] = w
            count += w > 0.0
            total += w
            squares += w * w
            first_y += w * y[0, place]
        return count, total, squares, first_y

    return weigh


_weigh_any, _weigh_1, _weigh_2, _weigh_3 = (_weigher(features) for features in range(4))


@njit(nogil=True, cache=True, error_model="numpy")
def gaussian_moments(  # noqa: C901  (the loops of one walk)
    x: Floats,
    y: Floats,
    row_weights: Floats,
    ids: RowIds,
    rows_of_least: float,
    bounds: RowIds,
    boxes: Floats,
    q: Floats,
    center: Floats,
    bandwidth: Floats,
    nearest_distance: Floats,
    order: Rows,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
    radius: Floats,
) -> None:
    """Sum over the rows within the radius R of each query, and fill it in.

    Queries are taken in `order`, (m,); those that follow one another should lie side by side. No
    row weights (n,) stand for 1; `ids` are rows by place, and `rows_of_least` is the sum of all
    weights over the least of one that counts.
    """
    use_widest_vectors()
    d, has_weights = x.shape[0], row_weights.shape[0] > 0
    m, p = gram.shape[:2]
    stack, group = np.empty(STACK, dtype=np.int64), np.empty((2, d))
    distances, weights = np.empty(UNIT_ROWS), np.empty(UNIT_ROWS)
    phi, weighted = np.empty((p - 1, UNIT_ROWS)), np.empty(UNIT_ROWS)
    nearest_sq, limit_sq = np.empty(m), np.empty(m)
    for query in range(m):
        h = bandwidth[query]
        nearest_sq[query] = nearest_distance[query] * nearest_distance[query] * NEAREST_SLACK
        limit_sq[query] = nearest_sq[query] + 2.0 * h * h
    near = np.zeros(m, dtype=np.int64)
    if bounds.shape[0] > 1 and not has_weights:
        count_rows(x, bounds, boxes, q, order, limit_sq, near)
    fill_limits(q, center, bandwidth, nearest_distance, near, rows_of_least, degree, limit_sq)
    first = 0
    while first < m:
        largest_sq = limit_sq[order[first]]
        width = math.sqrt(largest_sq) if bounds.shape[0] > 1 else np.inf
        stop = group_stop(q, order, first, width, group)
        for position in range(first, stop):
            largest_sq = max(largest_sq, limit_sq[order[position]])
        depth = push_roots(stack, bounds.shape[0])
        while True:
            node, depth = next_unit(bounds, boxes, group, largest_sq, stack, depth)
            if depth < 0:
                break
            for start in range(bounds[node, 0], bounds[node, 1], UNIT_ROWS):
                size = min(UNIT_ROWS, bounds[node, 1] - start)
                for position in range(first, stop):
                    query = order[position]
                    if box_distance_sq(boxes, node, q, query) > limit_sq[query]:
                        continue
                    h = bandwidth[query]
                    precision = 0.5 / (h * h)
                    if d == 1:
                        sums = _weigh_1(
                            x, y, start, size, q, query, precision,
                            nearest_sq[query], limit_sq[query], distances, weights,
                        )  # fmt: skip
                    elif d == 2:
                        sums = _weigh_2(
                            x, y, start, size, q, query, precision,
                            nearest_sq[query], limit_sq[query], distances, weights,
                        )  # fmt: skip
                    elif d == 3:
                        sums = _weigh_3(
                            x, y, start, size, q, query, precision,
                            nearest_sq[query], limit_sq[query], distances, weights,
                        )  # fmt: skip
                    else:
                        sums = _weigh_any(
                            x, y, start, size, q, query, precision,
                            nearest_sq[query], limit_sq[query], distances, weights,
                        )  # fmt: skip
                    if has_weights:
                        for i in range(size):
                            weighted[i] = row_weights[np.uintp(ids[start + i])]
                        positive, total, squares = weigh_rows(weights, weighted, size)
                        sums = positive, total, squares, dot(weights, y, 0, start, size)
                    count[query] += sums[0]
                    gram[query, 0, 0] += sums[1]
                    weight_sq[query] += sums[2]
                    rhs[query, 0, 0] += sums[3]
                    if degree > 0:
                        _fill_monomials(x, start, size, center, query, 1.0 / h, weights, phi)
                    if p + y.shape[0] > 2:
                        add_slopes(
                            phi, y, start, weights, weighted, size, center.shape[1], degree,
                            query, gram, rhs,
                        )  # fmt: skip
        first = stop
    for query in range(m):
        radius[query] = math.sqrt(limit_sq[query])
        mirror(gram[query])
