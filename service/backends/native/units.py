"""Rows a unit at a time, for queries a group at a time.

A unit is a node of at most `UNIT_ROWS` rows, or so many of a longer leaf. Queries that lie side by
side go through the tree together, so that a unit is read from memory once for all of them; each
still adds up its own units in their order, whatever the group.
"""

import numpy as np
from numba import njit

from service.backends.native.exponential import use_widest_vectors
from service.backends.native.tree import RowIds, is_leaf
from service.domain.arrays import Floats, Rows

UNIT_ROWS = 256  # a tenth more rows are weighed for nothing than with 128, in half the steps
GROUP_QUERIES = 16


@njit(nogil=True, cache=True)
def group_stop(q: Floats, order: Rows, first: int, width: float, box: Floats) -> int:
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
def next_unit(
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
def box_distance_sq(boxes: Floats, node: int, q: Floats, query: int) -> float:
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
