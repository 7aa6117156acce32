"""Weighted sums under the Gaussian kernel, over all rows but those that are proven not to matter.

Weights are w_i = exp(-(r_i² - δ²) / 2h²), δ the distance to the nearest row, whose weight is 1.
Rows beyond the radius R are left out, R² = δ² + 2h²E, with E such that

    e^(-E) · n · (1 + v)^(2·degree)  ≤  ε S₀,      v = R / h + ‖c - q‖ / h,

S₀ a lower bound of the sum S of the weights that are kept, and c what φ is centred at. Then

    Σ_out w_i (1 + ‖x_i - c‖ / h)^(2·degree)  ≤  ε S.

Proof. Each of the at most n rows left out has r > R. Its term is at most g(r / h), where
g(u) = exp(-(u² - δ²/h²) / 2) (1 + u + ‖c - q‖ / h)^(2·degree), by the triangle inequality. g falls
where u (1 + u) > 2·degree, so from u = 2 on, and R / h ≥ √(2E) > 7. So each term is at most
g(R / h) ≤ ε S₀ / n, and n of them are at most ε S₀ ≤ ε S. ∎

A monomial of φ is at most (1 + ‖z‖) to the power of its degree, so no entry of Σ w φφᵀ changes by
more than ε S, none of Σ w φy by more than ε S max|y|, and a weighted mean (degree 0) by no more
than ε (max y - min y). With ε = 10⁻¹² for degree 0 that is the error of the answer. For slopes ε is
the rounding of one product, 2⁻⁵², so that leaving rows out changes a sum no more than the order of
its terms may.

S₀: each of the N rows with r² ≤ δ² + 2h² has w ≥ 1/e, so S ≥ max(1, N / e).

Rows are weighed a unit at a time: a node of at most `UNIT_ROWS` rows, or so many of a longer leaf.
Queries that lie side by side go through the tree together, so that a unit is read from memory once
for all of them; each still adds up its own units in their order, whatever the group.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT, NEAREST_SLACK
from service.backends.native.exponential import exp_nonpositive, use_widest_vectors
from service.backends.native.sums import SUMMING, add_slopes, mirror
from service.backends.native.tree import STACK, RowIds, is_leaf, push_roots
from service.domain.arrays import Floats, Rows

LEFT_OUT_OF_MEAN = 1e-12
LEFT_OUT_OF_SLOPES = float(np.finfo(np.float64).eps)
Weigher: TypeAlias = Callable[..., tuple[int, float, float, float]]
UNIT_ROWS = 256  # a tenth more rows are weighed for nothing than with 128, in half the steps
GROUP_QUERIES = 16


@njit(nogil=True, cache=True)
def _least_exponent(left_out: float, degree: int, nearest: float, offset: float) -> float:
    """Return E for left_out = ε S₀ / n; nearest = δ / h and offset = ‖c - q‖ / h."""
    least = -math.log(left_out)
    exponent = least
    while True:
        radius = math.sqrt(nearest * nearest + 2.0 * exponent)
        needed = least + 2.0 * degree * math.log(1.0 + radius + offset)
        if needed <= exponent:
            return min(exponent, -LEAST_EXPONENT)
        exponent = needed + 0.01  # slightly more, so that the next radius is large enough


@njit(nogil=True, cache=True)
def _group_stop(q: Floats, order: Rows, first: int, width: float, box: Floats) -> int:
    """Return where the group that begins with query order[first] stops; fill its box (2, d).

    A group is no wider than `width`.
    """
    stop = first
    while stop < min(first + GROUP_QUERIES, order.shape[0]):
        point = q[order[stop]]
        if stop == first:
            box[:] = point
        for j in range(point.shape[0]):
            if max(box[1, j], point[j]) - min(box[0, j], point[j]) > width:
                return stop
        for j in range(point.shape[0]):
            box[0, j] = min(box[0, j], point[j])
            box[1, j] = max(box[1, j], point[j])
        stop += 1
    return stop


@njit(nogil=True, cache=True)
def _next_unit(
    bounds: RowIds, boxes: Floats, group: Floats, limit_sq: float, stack: Rows, depth: int
) -> tuple[int, int]:
    """Return the next node to be weighed, of those near the group's box, and the depth left.

    Its depth is -1 when none are left.
    """
    nodes = bounds.shape[0]
    while depth > 0:
        depth -= 1
        node = stack[depth]
        distance_sq = 0.0
        for j in range(group.shape[1]):
            gap = max(boxes[node, 0, j] - group[1, j], group[0, j] - boxes[node, 1, j])
            distance_sq += max(gap, 0.0) ** 2
        if distance_sq > limit_sq:
            continue
        if is_leaf(node, nodes) or bounds[node, 1] - bounds[node, 0] <= UNIT_ROWS:
            return node, depth
        stack[depth], stack[depth + 1] = 2 * node + 2, 2 * node + 1
        depth += 2
    return 0, -1


@njit(nogil=True, cache=True)
def _fill_monomials(
    x: Floats, start: int, size: int, center: Floats, query: int, inverse: float, phi: Floats
) -> None:
    """Fill in z = (x - c) / h of `size` rows, (d, block)."""
    use_widest_vectors()
    first = np.uintp(start)
    for j in range(x.shape[0]):
        middle = center[query, j]
        for i in range(size):
            phi[j, i] = (x[j, first + np.uintp(i)] - middle) * inverse


@njit(nogil=True, cache=True)
def _box_distance_sq(boxes: Floats, node: int, q: Floats, query: int) -> float:
    """Return the squared distance from a query to the node's box, 0 inside."""
    total = 0.0
    for j in range(q.shape[1]):
        gap = max(boxes[node, 0, j] - q[query, j], q[query, j] - boxes[node, 1, j])
        total += max(gap, 0.0) ** 2
    return total


@njit(nogil=True, cache=True)
def fill_distances_sq(
    x: Floats, start: int, size: int, q: Floats, query: int, distances: Floats
) -> None:
    """Fill in the squared distances of `size` rows, with the bits of `tree.row_distance_sq`."""
    use_widest_vectors()
    first = np.uintp(start)  # without a sign, an index cannot count from the end: no branch
    for j in range(x.shape[0]):
        center = q[query, j]
        if j == 0:
            for i in range(size):
                difference = x[j, first + np.uintp(i)] - center
                distances[i] = difference * difference
        else:
            for i in range(size):
                difference = x[j, first + np.uintp(i)] - center
                distances[i] += difference * difference


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
                difference = x[0, place] - q[query, 0]
                distance_sq = difference * difference
            if features > 1:
                difference = x[1, place] - q[query, 1]
                distance_sq += difference * difference
            if features > 2:
                difference = x[2, place] - q[query, 2]
                distance_sq += difference * difference
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


@njit(nogil=True, cache=True)
def _count_rows(
    x: Floats, bounds: RowIds, boxes: Floats, q: Floats, order: Rows, limit_sq: Floats, count: Rows
) -> None:
    """Add the number of rows with a squared distance ≤ limit_sq (m,) to each count (m,)."""
    use_widest_vectors()
    stack, distances = np.empty(STACK, dtype=np.int64), np.empty(UNIT_ROWS)
    group = np.empty((2, q.shape[1]))
    first = 0
    while first < order.shape[0]:
        largest_sq = limit_sq[order[first]]
        stop = _group_stop(q, order, first, math.sqrt(largest_sq), group)
        for position in range(first, stop):
            largest_sq = max(largest_sq, limit_sq[order[position]])
        depth = push_roots(stack, bounds.shape[0])
        while True:
            node, depth = _next_unit(bounds, boxes, group, largest_sq, stack, depth)
            if depth < 0:
                break
            for start in range(bounds[node, 0], bounds[node, 1], UNIT_ROWS):
                size = min(UNIT_ROWS, bounds[node, 1] - start)
                for position in range(first, stop):
                    query = order[position]
                    if _box_distance_sq(boxes, node, q, query) <= limit_sq[query]:
                        fill_distances_sq(x, start, size, q, query, distances)
                        within = 0
                        for i in range(size):
                            within += distances[i] <= limit_sq[query]
                        count[query] += within
        first = stop


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_limits(
    q: Floats,
    center: Floats,
    bandwidth: Floats,
    nearest_distance: Floats,
    near: Rows,
    rows: int,
    degree: int,
    limit_sq: Floats,
) -> None:
    """Fill in R² of each query, from the number of rows that are near."""
    left_out = (LEFT_OUT_OF_MEAN if degree == 0 else LEFT_OUT_OF_SLOPES) / rows
    for query in range(q.shape[0]):
        h, nearest = bandwidth[query], nearest_distance[query]
        offset_sq = 0.0
        for j in range(q.shape[1]):
            offset_sq += (center[query, j] - q[query, j]) ** 2
        exponent = _least_exponent(
            left_out * max(1.0, near[query] / math.e),
            degree,
            nearest / h,
            math.sqrt(offset_sq) / h,
        )
        limit_sq[query] = nearest * nearest * NEAREST_SLACK + 2.0 * h * h * exponent


@njit(nogil=True, cache=True, error_model="numpy")
def gaussian_moments(  # noqa: C901  (the loops of one walk)
    x: Floats,
    y: Floats,
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

    Queries are taken in `order`, (m,); those that follow one another should lie side by side.
    """
    use_widest_vectors()
    d, n = x.shape
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
    if bounds.shape[0] > 1:
        _count_rows(x, bounds, boxes, q, order, limit_sq, near)
    _fill_limits(q, center, bandwidth, nearest_distance, near, n, degree, limit_sq)
    first = 0
    while first < m:
        largest_sq = limit_sq[order[first]]
        width = math.sqrt(largest_sq) if bounds.shape[0] > 1 else np.inf
        stop = _group_stop(q, order, first, width, group)
        for position in range(first, stop):
            largest_sq = max(largest_sq, limit_sq[order[position]])
        depth = push_roots(stack, bounds.shape[0])
        while True:
            node, depth = _next_unit(bounds, boxes, group, largest_sq, stack, depth)
            if depth < 0:
                break
            for start in range(bounds[node, 0], bounds[node, 1], UNIT_ROWS):
                size = min(UNIT_ROWS, bounds[node, 1] - start)
                for position in range(first, stop):
                    query = order[position]
                    if _box_distance_sq(boxes, node, q, query) > limit_sq[query]:
                        continue
                    h = bandwidth[query]
                    precision = 0.5 / (h * h)
                    if d == 1:
                        sums = _weigh_1(
                            x, y, start, size, q, query, precision, nearest_sq[query], limit_sq[query],
                            distances, weights,
                        )  # fmt: skip
                    elif d == 2:
                        sums = _weigh_2(
                            x, y, start, size, q, query, precision, nearest_sq[query], limit_sq[query],
                            distances, weights,
                        )  # fmt: skip
                    elif d == 3:
                        sums = _weigh_3(
                            x, y, start, size, q, query, precision, nearest_sq[query], limit_sq[query],
                            distances, weights,
                        )  # fmt: skip
                    else:
                        sums = _weigh_any(
                            x, y, start, size, q, query, precision, nearest_sq[query], limit_sq[query],
                            distances, weights,
                        )  # fmt: skip
                    count[query] += sums[0]
                    gram[query, 0, 0] += sums[1]
                    weight_sq[query] += sums[2]
                    rhs[query, 0, 0] += sums[3]
                    if degree > 0:
                        _fill_monomials(x, start, size, center, query, 1.0 / h, phi)
                    if p + y.shape[0] > 2:
                        add_slopes(
                            phi, y, start, weights, weighted, size, d, degree, query, gram, rhs
                        )
        first = stop
    for query in range(m):
        radius[query] = math.sqrt(limit_sq[query])
        mirror(gram[query])
