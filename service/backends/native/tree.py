"""A balanced kd-tree with exact, reproducible answers, compiled by Numba.

Rows are stored in the order of the leaves, feature by feature, so that a leaf's distances are
computed several rows at a time. A node is a range of them with its bounding box; node i has the
children 2i + 1 and 2i + 2, and every leaf is on the last level. Rows appended since the tree was
built follow those of the tree, as one more node: the tail, which is looked at like a leaf. A tree
of one node is a scan.

Order is by (distance, row), and that is exact: the squared distance to a box is summed over the
features in the same order as the squared distance to a row, and rounding is monotone, so the
computed bound never exceeds the computed distance of a row inside. A node or a row is passed over
only where its square is above the square of the worst distance kept by more than the root rounds.

Over 300 lines, since the tree, its order and its walks are one invariant.

Source of the tree: Friedman, Bentley & Finkel (1977), ACM TOMS 3(3), 209-226.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.backends.base import NEAREST_SLACK
from service.backends.native.vectors import (
    LANE_ROWS,
    LIST_BLOCK,
    first_bit,
    insert_sorted,
    rows_within,
)
from service.domain.arrays import Floats, Rows

RowIds: TypeAlias = NDArray[np.int32]

LEAF_ROWS = 32  # the fastest of 16, 32, 64 for k = 32 in one to eight dimensions
LAST_KEY = np.iinfo(np.int64).max
LIST_NEIGHBORS = 128  # up to here, a sorted list is kept faster than a heap
SAMPLE_ROWS = 128  # of a pivot; from 16 times as many rows on
SHARED_ROWS = 2**17  # from here on, two threads build a tree faster than one
ORDER_LEVELS = 12  # by which queries are ordered
STACK = 128  # nodes waiting: at most one a level, and 2^64 rows have 64 levels


@dataclass(frozen=True, eq=False)
class Tree:
    """The rows in leaf order and the boxes of the nodes.

    Attributes:
        x: Rows in leaf order, feature by feature, (d, n).
        rows: The index of each in the dataset, (n,).
        bounds: Where the range of each node starts and stops, (nodes, 2).
        boxes: Lowest and highest coordinate of each node, (nodes, 2, d).
    """

    x: Floats
    rows: RowIds
    bounds: RowIds
    boxes: Floats

    @property
    def indexed_rows(self) -> int:
        """The rows that the tree covers; those after them are the tail."""
        return int(self.bounds[0, 1])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.x.nbytes + self.rows.nbytes + self.bounds.nbytes + self.boxes.nbytes


def build(x: Floats) -> Tree:
    """Return the tree over the rows x (n, d). Cost: O(n log n · d)."""
    n = len(x)
    levels = 0
    while -(-n >> levels) > LEAF_ROWS:  # rounded up: the largest leaf
        levels += 1
    return _build(x, levels)


def unindexed(x: Floats) -> Tree:
    """Return the tree of one node over the rows x (n, d), in their order. Cost: O(n d)."""
    return _build(x, 0)


def _build(x: Floats, levels: int) -> Tree:
    n, d = x.shape
    nodes = 2 ** (levels + 1) - 1
    leaf_x = np.array(x, dtype=np.float64, order="C")
    rows = np.arange(n, dtype=np.int32)
    bounds = np.zeros((nodes, 2), dtype=np.int32)
    boxes = np.empty((nodes, 2, d))
    bounds[0, 1] = n
    if n < SHARED_ROWS:
        _split(leaf_x, rows, bounds, boxes, 0, levels + 1)
    else:
        # The subtrees of the two halves have no row in common.
        _split(leaf_x, rows, bounds, boxes, 0, 1)
        with ThreadPoolExecutor(2, "nearfit-tree") as pool:
            halves = [
                pool.submit(_split, leaf_x, rows, bounds, boxes, root, levels) for root in (1, 2)
            ]
        for half in halves:
            half.result()
    return Tree(np.ascontiguousarray(leaf_x.T), rows, bounds, boxes)


def with_tail(tree: Tree, x: Floats) -> Tree:
    """Return the tree over its indexed rows, with the further rows of x (n, d) as its tail.

    Cost: O(n d), of a copy.
    """
    indexed, n = tree.indexed_rows, len(x)
    if n == indexed:
        return tree
    nodes = len(tree.bounds) - (len(tree.bounds) + 1) % 2
    tail = x[indexed:]
    return Tree(
        np.ascontiguousarray(np.concatenate([tree.x[:, :indexed], tail.T], axis=1)),
        np.concatenate([tree.rows[:indexed], np.arange(indexed, n, dtype=np.int32)]),
        np.concatenate([tree.bounds[:nodes], np.array([[indexed, n]], dtype=np.int32)]),
        np.concatenate([tree.boxes[:nodes], [[tail.min(axis=0), tail.max(axis=0)]]]),
    )


@njit(nogil=True, cache=True)
def _split(x: Floats, rows: RowIds, bounds: RowIds, boxes: Floats, root: int, levels: int) -> None:
    """Make `levels` levels of the nodes under `root`, whose bounds are set."""
    d = x.shape[1]
    for level in range(levels):
        first = (root + 1) * 2**level - 1
        for node in range(first, first + 2**level):
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
            if left < bounds.shape[0]:
                middle = (start + stop) // 2
                _select(x, rows, start, stop, middle, widest)
                bounds[left, 0], bounds[left, 1] = start, middle
                bounds[left + 1, 0], bounds[left + 1, 1] = middle, stop


@njit(nogil=True, cache=True)
def _select(  # noqa: C901  (one partition, inlined)
    x: Floats, rows: RowIds, start: int, stop: int, middle: int, j: int
) -> None:
    """Reorder rows start:stop so that feature j is ≤ before `middle` and ≥ from there.

    By Hoare's partitions about the value that has the rank of `middle` in a sample of the rows, so
    that one partition of them all and a few of small rests do (Floyd & Rivest 1975, CACM 18(3)).
    """
    low, high = start, stop - 1
    sample = np.empty(SAMPLE_ROWS)
    while low < high:
        size = high - low + 1
        if size < 16 * SAMPLE_ROWS:
            a, b, c = x[low, j], x[(low + high) // 2, j], x[high, j]
            pivot = max(min(a, b), min(max(a, b), c))
        else:
            for i in range(SAMPLE_ROWS):
                sample[i] = x[low + i * (size - 1) // (SAMPLE_ROWS - 1), j]
            rank = (middle - low) * SAMPLE_ROWS // size
            # Not too near the ends: a pivot that is the smallest of all would part nothing.
            pivot = np.sort(sample)[
                min(max(rank, SAMPLE_ROWS // 8), SAMPLE_ROWS - SAMPLE_ROWS // 8)
            ]
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
def push_roots(stack: Rows, nodes: int) -> int:
    """Put the root, and the tail if there is one, on the stack; return its depth."""
    stack[0] = nodes - 1
    depth = 1 - nodes % 2
    stack[depth] = 0
    return depth + 1


@njit(nogil=True, cache=True, inline="always")
def is_leaf(node: int, nodes: int) -> bool:
    """Return whether the node has no children: a leaf or the tail."""
    return 2 * node + 2 >= nodes


@njit(nogil=True, cache=True, inline="always")
def box_distance_sq(boxes: Floats, node: int, point: Floats) -> float:
    """Return the squared distance from `point` to the node's box, 0 inside."""
    total = 0.0
    for j in range(point.shape[0]):
        gap = max(boxes[node, 0, j] - point[j], point[j] - boxes[node, 1, j], 0.0)
        total += gap * gap
    return total


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
def _is_before(distance: float, row: int, other_distance: float, other_row: int) -> bool:
    return distance < other_distance or (distance == other_distance and row < other_row)


@njit(nogil=True, cache=True)
def _sift_down(distances: Floats, places: Rows, ids: RowIds, root: int, size: int) -> None:
    """Restore the heap whose largest (distance, row) is on top, from `root` downwards."""
    distance, place = distances[root], places[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _is_before(
            distances[child], ids[places[child]], distances[right], ids[places[right]]
        ):
            child = right
        if _is_before(distances[child], ids[places[child]], distance, ids[place]):
            break
        distances[root], places[root] = distances[child], places[child]
        root = child
    distances[root], places[root] = distance, place


@njit(nogil=True, cache=True)
def _make_heap(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    for root in range(size // 2 - 1, -1, -1):
        _sift_down(distances, places, ids, root, size)


@njit(nogil=True, cache=True)
def sort_places(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    """Sort the first `size` of both by (distance, ids[place]), in place."""
    _make_heap(distances, places, ids, size)
    _sort_heap(distances, places, ids, size)


@njit(nogil=True, cache=True)
def _sort_heap(distances: Floats, places: Rows, ids: RowIds, size: int) -> None:
    for last in range(size - 1, 0, -1):
        distances[0], distances[last] = distances[last], distances[0]
        places[0], places[last] = places[last], places[0]
        _sift_down(distances, places, ids, 0, last)


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
                            _make_heap(best, best_places, ids, k)
                            limit = best[0] * best[0] * NEAREST_SLACK
                    elif _is_before(distance, ids[place], best[0], ids[best_places[0]]):
                        best[0], best_places[0] = distance, place
                        _sift_down(best, best_places, ids, 0, k)
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
