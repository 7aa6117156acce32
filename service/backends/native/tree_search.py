"""The rows of a kd-tree near a query, exactly and reproducibly, compiled by Numba.

Order is by (distance, row), and that is exact: the squared distance to a box is summed over the
features in the same order as the squared distance to a row, and rounding is monotone, so the
computed bound never exceeds the computed distance of a row inside. A node or a row is passed over
only where its square is above the square of the worst distance kept by more than the root rounds.
"""

import numpy as np
from numba import njit

from service.backends.base import NEAREST_SLACK
from service.backends.native.tree import STACK, RowIds, Tree, box_distance_sq, is_leaf, push_roots
from service.backends.native.vectors import (
    LANE_ROWS,
    LIST_BLOCK,
    first_bit,
    insert_sorted,
    rows_within,
)
from service.domain.arrays import Floats, Rows

LAST_KEY = np.iinfo(np.int64).max
LIST_NEIGHBORS = 128  # up to here, a sorted list is kept faster than a heap
ORDER_LEVELS = 8  # by which queries are ordered: half the time that 12 take, and serve as well


@njit(nogil=True, cache=True, inline="always")
def row_distance_sq(x: Floats, place: int, point: Floats) -> float:
    """Return the squared distance from `point` to a row, summed over the features in order."""
    total = 0.0
    for j in range(point.shape[0]):
        difference = x[j, place] - point[j]
        total += difference * difference
    return total


@njit(nogil=True, cache=True, inline="always")
def lane_within(
    x: Floats, start: int, stop: int, point: Floats, limit_sq: float, distances_sq: Floats
) -> tuple[int, int]:
    """Look at rows from `start`, up to LANE_ROWS of them and before `stop`.

    Returns the place `first`, of which distances_sq[0] is the squared distance, and the bits of
    those rows with a squared distance ≤ limit_sq, bit i for place first + i.
    """
    n = x.shape[1]
    if n < LANE_ROWS:
        bits = 0
        for place in range(start, stop):
            distances_sq[place] = row_distance_sq(x, place, point)
            if distances_sq[place] <= limit_sq:
                bits |= 1 << place
        return 0, bits
    first = min(start, n - LANE_ROWS)
    bits = rows_within(x, first, point, limit_sq, distances_sq)
    bits &= (1 << min(stop - first, LANE_ROWS)) - 1
    return first, bits & -(1 << (start - first))


@njit(nogil=True, cache=True, inline="always")
def is_before(distance: float, row: int, other_distance: float, other_row: int) -> bool:
    """Return whether a row comes before another, by (distance, row)."""
    return distance < other_distance or (distance == other_distance and row < other_row)


@njit(nogil=True, cache=True)
def sift_down(distances: Floats, places: Rows, ids: RowIds, root: int, size: int) -> None:
    """Restore the heap whose largest (distance, row) is on top, from `root` downwards."""
    distance, place = distances[root], places[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        right = child + 1
        if right < size and is_before(
            distances[child], ids[places[child]], distances[right], ids[places[right]]
        ):
            child = right
        if is_before(distances[child], ids[places[child]], distance, ids[place]):
            break
        distances[root], places[root] = distances[child], places[child]
        root = child
    distances[root], places[root] = distance, place


@njit(nogil=True, cache=True)
def make_heap(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    """Make the first `size` of both a heap whose largest (distance, row) is on top."""
    for root in range(size // 2 - 1, -1, -1):
        sift_down(distances, places, ids, root, size)


@njit(nogil=True, cache=True)
def sort_places(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    """Sort the first `size` of both by (distance, ids[place]), in place."""
    make_heap(distances, places, ids, size)
    _sort_heap(distances, places, ids, size)


@njit(nogil=True, cache=True)
def _sort_heap(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    for last in range(size - 1, 0, -1):
        distances[0], distances[last] = distances[last], distances[0]
        places[0], places[last] = places[last], places[0]
        sift_down(distances, places, ids, 0, last)


def order_of(tree: Tree, q: Floats) -> Rows:
    """Return an order of the queries q (m, d) in which those near each other follow each other.

    Each then finds in the cache what the one before has read: a quarter less time a query.
    """
    if len(q) == 1:
        return np.zeros(1, dtype=np.int64)
    nodes = np.empty(len(q), dtype=np.int64)
    _descend(tree.bounds, tree.boxes, q, nodes)
    return np.argsort(nodes, kind="stable")


@njit(nogil=True, cache=True)
def _descend(bounds: RowIds, boxes: Floats, q: Floats, result: Rows) -> None:
    for query in range(q.shape[0]):
        node = 0
        for _ in range(ORDER_LEVELS):
            if is_leaf(node, bounds.shape[0]):
                break
            left = 2 * node + 1
            bound_left = box_distance_sq(boxes, left, q[query])
            node = left + (box_distance_sq(boxes, left + 1, q[query]) < bound_left)
        result[query] = node


@njit(nogil=True, cache=True)
def nearest(  # noqa: C901  (the loops of one walk)
    x: Floats,
    ids: RowIds,
    bounds: RowIds,
    boxes: Floats,
    q: Floats,
    order: Rows,
    distances: Floats,
    places: Rows,
    rows: Rows,
) -> None:
    """Fill distances, places and rows (m, k) with the k nearest of each query, in this order.

    Up to `LIST_NEIGHBORS` they are kept in a sorted list; more in a heap with the farthest on top.
    A row's key in the list is row · 2³² + place: it sorts by row, and holds the place.
    """
    k = distances.shape[1]
    nodes = bounds.shape[0]
    stack = np.empty(STACK, dtype=np.int64)
    stack_bound = np.empty(STACK)
    lane = np.empty(LANE_ROWS)
    blocks = (k + LIST_BLOCK - 1) // LIST_BLOCK if k <= LIST_NEIGHBORS else 0
    listed = np.empty((1 + blocks) * LIST_BLOCK)  # after a block that nothing comes before
    keys = np.empty((1 + blocks) * LIST_BLOCK, dtype=np.int64)
    worst = LIST_BLOCK + k - 1
    for query in order:
        point, best, best_places = q[query], distances[query], places[query]
        listed[:LIST_BLOCK], listed[LIST_BLOCK:], keys[:] = -np.inf, np.inf, LAST_KEY
        size, limit = 0, np.inf
        depth = push_roots(stack, nodes)
        stack_bound[0], stack_bound[1] = 0.0, 0.0
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if stack_bound[depth] > limit:
                continue
            if not is_leaf(node, nodes):
                left = 2 * node + 1
                bound_left = box_distance_sq(boxes, left, point)
                bound_right = box_distance_sq(boxes, left + 1, point)
                # The nearer child is looked at first: it goes on the stack last.
                near, far, bound_near, bound_far = left, left + 1, bound_left, bound_right
                if bound_right < bound_left:
                    near, far, bound_near, bound_far = left + 1, left, bound_right, bound_left
                stack[depth], stack_bound[depth] = far, bound_far
                stack[depth + 1], stack_bound[depth + 1] = near, bound_near
                depth += 2
                continue
            start, stop = bounds[node, 0], bounds[node, 1]
            while start < stop:
                first, bits = lane_within(x, start, stop, point, limit, lane)
                while bits != 0:
                    i = first_bit(bits)
                    bits &= bits - 1
                    if lane[i] > limit:
                        continue
                    distance, place = np.sqrt(lane[i]), first + i
                    if blocks > 0:
                        key = np.int64(ids[place]) << 32 | place
                        insert_sorted(listed, keys, blocks, distance, key)
                        limit = listed[worst] * listed[worst] * NEAREST_SLACK
                    elif size < k:
                        best[size], best_places[size] = distance, place
                        size += 1
                        if size == k:
                            make_heap(best, best_places, ids, k)
                            limit = best[0] * best[0] * NEAREST_SLACK
                    elif is_before(distance, ids[place], best[0], ids[best_places[0]]):
                        best[0], best_places[0] = distance, place
                        sift_down(best, best_places, ids, 0, k)
                        limit = best[0] * best[0] * NEAREST_SLACK
                start = first + LANE_ROWS
        if blocks > 0:
            for j in range(k):
                best[j] = listed[LIST_BLOCK + j]
                best_places[j] = keys[LIST_BLOCK + j] & 0xFFFFFFFF
        else:
            _sort_heap(best, best_places, ids, k)
        for j in range(k):
            rows[query, j] = ids[best_places[j]]


@njit(nogil=True, cache=True)
def rows_in_reach(
    x: Floats,
    bounds: RowIds,
    boxes: Floats,
    point: Floats,
    reach: float,
    stack: Rows,
    places: Rows,
    distances: Floats,
) -> int:
    """Fill places and distances of the rows at a distance ≤ reach; return how many.

    Both have room for all rows; `stack` for `STACK` nodes.
    """
    nodes = bounds.shape[0]
    lane = np.empty(LANE_ROWS)
    reach_sq = reach * reach * NEAREST_SLACK
    found = 0
    depth = push_roots(stack, nodes)
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if np.sqrt(box_distance_sq(boxes, node, point)) > reach:
            continue
        if not is_leaf(node, nodes):
            left = 2 * node + 1
            stack[depth], stack[depth + 1] = left + 1, left
            depth += 2
            continue
        start, stop = bounds[node, 0], bounds[node, 1]
        while start < stop:
            first, bits = lane_within(x, start, stop, point, reach_sq, lane)
            while bits != 0:
                i = first_bit(bits)
                bits &= bits - 1
                distance = np.sqrt(lane[i])
                if distance <= reach:
                    places[found], distances[found] = first + i, distance
                    found += 1
            start = first + LANE_ROWS
    return found


@njit(nogil=True, cache=True)
def count_within(
    x: Floats, bounds: RowIds, boxes: Floats, q: Floats, radius: Floats, counts: Rows
) -> None:
    """Fill counts (m,) with the number of rows at a distance ≤ radius (m,)."""
    stack = np.empty(STACK, dtype=np.int64)
    places, distances = np.empty(x.shape[1], dtype=np.int64), np.empty(x.shape[1])
    for query in range(q.shape[0]):
        counts[query] = rows_in_reach(
            x, bounds, boxes, q[query], radius[query], stack, places, distances
        )


@njit(nogil=True, cache=True)
def fill_within(
    x: Floats,
    ids: RowIds,
    bounds: RowIds,
    boxes: Floats,
    q: Floats,
    radius: Floats,
    offsets: Rows,
    rows: Rows,
    distances: Floats,
) -> None:
    """Fill rows and distances, sorted by (distance, row) between the offsets of each query."""
    stack = np.empty(STACK, dtype=np.int64)
    places, found = np.empty(x.shape[1], dtype=np.int64), np.empty(x.shape[1])
    for query in range(q.shape[0]):
        start, stop = offsets[query], offsets[query + 1]
        size = rows_in_reach(x, bounds, boxes, q[query], radius[query], stack, places, found)
        sort_places(found, places, ids, size)
        for i in range(stop - start):
            rows[start + i], distances[start + i] = ids[places[i]], found[i]
