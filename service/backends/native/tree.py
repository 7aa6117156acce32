"""A balanced kd-tree with exact, reproducible answers, compiled by Numba.

Rows are stored in the order of the leaves. A node is a range of them with its bounding box; node i
has the children 2i + 1 and 2i + 2, and every leaf is on the last level.

Ties go to the smaller row index, and that is exact: the squared distance to a box is summed over
the features in the same order as the squared distance to a row, and rounding is monotone, so the
computed bound never exceeds the computed distance of a row inside. A node is passed over only when
its bound is strictly larger than the worst distance kept.

Source of the tree: Friedman, Bentley & Finkel (1977), ACM TOMS 3(3), 209-226.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from service.domain.arrays import Floats, Rows

LEAF_ROWS = 24  # the fastest of 8, 16, 24, 32, 64 for k = 32 in three dimensions
STACK = 128  # nodes waiting: at most one a level, and 2^64 rows have 64 levels
MAX_TREE_FEATURES = 20  # beyond, nearly every leaf is visited and one scan is faster


@dataclass(frozen=True, eq=False)
class Tree:
    """The rows in leaf order and the boxes of the nodes.

    Attributes:
        x: Rows in leaf order, (n, d).
        rows: The index of each in the dataset, (n,).
        bounds: Where the range of each node starts and stops, (nodes, 2).
        boxes: Lowest and highest coordinate of each node, (nodes, 2, d).
    """

    x: Floats
    rows: Rows
    bounds: Rows
    boxes: Floats


def build(x: Floats) -> Tree:
    """Return the tree over the rows x (n, d). Cost: O(n log n · d)."""
    n, d = x.shape
    levels = 0
    if d <= MAX_TREE_FEATURES:
        while n >> levels > LEAF_ROWS:
            levels += 1
    nodes = 2 ** (levels + 1) - 1
    leaf_x = np.array(x, dtype=np.float64, order="C")
    rows = np.arange(n, dtype=np.int64)
    bounds = np.zeros((nodes, 2), dtype=np.int64)
    boxes = np.empty((nodes, 2, d))
    _split(leaf_x, rows, bounds, boxes)
    return Tree(leaf_x, rows, bounds, boxes)


@njit(nogil=True, cache=True)
def _split(x: Floats, rows: Rows, bounds: Rows, boxes: Floats) -> None:
    n, d = x.shape
    nodes = bounds.shape[0]
    bounds[0, 1] = n
    for node in range(nodes):
        start, stop = bounds[node]
        widest, width = 0, -1.0
        for j in range(d):
            low, high = np.inf, -np.inf
            for i in range(start, stop):
                low = min(low, x[i, j])
                high = max(high, x[i, j])
            boxes[node, 0, j] = low
            boxes[node, 1, j] = high
            if high - low > width:
                widest, width = j, high - low
        left = 2 * node + 1
        if left < nodes:
            middle = (start + stop) // 2
            _select(x, rows, start, stop, middle, widest)
            bounds[left, 0], bounds[left, 1] = start, middle
            bounds[left + 1, 0], bounds[left + 1, 1] = middle, stop


@njit(nogil=True, cache=True)
def _select(x: Floats, rows: Rows, start: int, stop: int, middle: int, j: int) -> None:
    """Reorder rows start:stop so that feature j is ≤ before `middle` and ≥ from there (Hoare)."""
    low, high = start, stop - 1
    while low < high:
        a, b, c = x[low, j], x[(low + high) // 2, j], x[high, j]
        pivot = max(min(a, b), min(max(a, b), c))
        i, k = low, high
        while i <= k:
            while x[i, j] < pivot:
                i += 1
            while x[k, j] > pivot:
                k -= 1
            if i <= k:
                for column in range(x.shape[1]):
                    x[i, column], x[k, column] = x[k, column], x[i, column]
                rows[i], rows[k] = rows[k], rows[i]
                i += 1
                k -= 1
        if middle <= k:
            high = k
        elif middle >= i:
            low = i
        else:
            return


@njit(nogil=True, cache=True, inline="always")
def box_distance_sq(boxes: Floats, node: int, point: Floats) -> float:
    """Return the squared distance from `point` to the node's box, 0 inside."""
    total = 0.0
    for j in range(point.shape[0]):
        gap = max(boxes[node, 0, j] - point[j], point[j] - boxes[node, 1, j], 0.0)
        total += gap * gap
    return total


@njit(nogil=True, cache=True, inline="always")
def row_distance_sq(x: Floats, i: int, point: Floats) -> float:
    """Return the squared distance from `point` to row i, summed over the features in order."""
    total = 0.0
    for j in range(point.shape[0]):
        difference = x[i, j] - point[j]
        total += difference * difference
    return total


@njit(nogil=True, cache=True)
def _sift_down(distances: Floats, rows: Rows, root: int, size: int) -> None:
    """Restore the heap whose largest (distance, row) is on top, from `root` downwards."""
    distance, row = distances[root], rows[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            distances[right] > distances[child]
            or (distances[right] == distances[child] and rows[right] > rows[child])
        ):
            child = right
        if distances[child] < distance or (distances[child] == distance and rows[child] < row):
            break
        distances[root], rows[root] = distances[child], rows[child]
        root = child
    distances[root], rows[root] = distance, row


@njit(nogil=True, cache=True)
def sort_pairs(distances: Floats, rows: Rows) -> None:
    """Sort both by (distance, row), in place."""
    size = distances.shape[0]
    for root in range(size // 2 - 1, -1, -1):
        _sift_down(distances, rows, root, size)
    _sort_heap(distances, rows, size)


@njit(nogil=True, cache=True)
def _sort_heap(distances: Floats, rows: Rows, size: int) -> None:
    for last in range(size - 1, 0, -1):
        distances[0], distances[last] = distances[last], distances[0]
        rows[0], rows[last] = rows[last], rows[0]
        _sift_down(distances, rows, 0, last)


@njit(nogil=True, cache=True)
def nearest(
    x: Floats, ids: Rows, bounds: Rows, boxes: Floats, q: Floats, distances: Floats, rows: Rows
) -> None:
    """Fill distances and rows (m, k) with the k nearest of each query."""
    k = distances.shape[1]
    nodes = bounds.shape[0]
    stack = np.empty(STACK, dtype=np.int64)
    stack_bound = np.empty(STACK)
    for query in range(q.shape[0]):
        point, best, best_rows = q[query], distances[query], rows[query]
        best[:] = np.inf
        best_rows[:] = np.iinfo(np.int64).max
        stack[0], stack_bound[0], depth = 0, 0.0, 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if stack_bound[depth] > best[0]:
                continue
            left = 2 * node + 1
            if left < nodes:
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
            for i in range(bounds[node, 0], bounds[node, 1]):
                distance = row_distance_sq(x, i, point)
                if distance < best[0] or (distance == best[0] and ids[i] < best_rows[0]):
                    best[0], best_rows[0] = distance, ids[i]
                    _sift_down(best, best_rows, 0, k)
        _sort_heap(best, best_rows, k)
        for j in range(k):
            best[j] = np.sqrt(best[j])


@njit(nogil=True, cache=True)
def rows_in_reach(
    x: Floats,
    bounds: Rows,
    boxes: Floats,
    point: Floats,
    reach: float,
    stack: Rows,
    places: Rows,
    distances: Floats,
) -> int:
    """Fill places (in leaf order) and distances of the rows at a distance ≤ reach; return how many.

    Both have room for all rows; `stack` for `STACK` nodes.
    """
    nodes = bounds.shape[0]
    found = 0
    stack[0], depth = 0, 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if np.sqrt(box_distance_sq(boxes, node, point)) > reach:
            continue
        left = 2 * node + 1
        if left < nodes:
            stack[depth], stack[depth + 1] = left + 1, left
            depth += 2
            continue
        for i in range(bounds[node, 0], bounds[node, 1]):
            distance = np.sqrt(row_distance_sq(x, i, point))
            if distance <= reach:
                places[found], distances[found] = i, distance
                found += 1
    return found


@njit(nogil=True, cache=True)
def count_within(
    x: Floats, bounds: Rows, boxes: Floats, q: Floats, radius: Floats, counts: Rows
) -> None:
    """Fill counts (m,) with the number of rows at a distance ≤ radius (m,)."""
    stack = np.empty(STACK, dtype=np.int64)
    places, distances = np.empty(x.shape[0], dtype=np.int64), np.empty(x.shape[0])
    for query in range(q.shape[0]):
        counts[query] = rows_in_reach(
            x, bounds, boxes, q[query], radius[query], stack, places, distances
        )


@njit(nogil=True, cache=True)
def fill_within(
    x: Floats,
    ids: Rows,
    bounds: Rows,
    boxes: Floats,
    q: Floats,
    radius: Floats,
    offsets: Rows,
    rows: Rows,
    distances: Floats,
) -> None:
    """Fill rows and distances, sorted by (distance, row) between the offsets of each query."""
    stack = np.empty(STACK, dtype=np.int64)
    places, found = np.empty(x.shape[0], dtype=np.int64), np.empty(x.shape[0])
    for query in range(q.shape[0]):
        start, stop = offsets[query], offsets[query + 1]
        rows_in_reach(x, bounds, boxes, q[query], radius[query], stack, places, found)
        for i in range(stop - start):
            rows[start + i], distances[start + i] = ids[places[i]], found[i]
        sort_pairs(distances[start:stop], rows[start:stop])
