"""A balanced kd-tree: how it is built, and how its nodes are walked. `tree_search` searches it.

Rows are stored in the order of the leaves, feature by feature, so that a leaf's distances are
computed several rows at a time. A node is a range of them with its bounding box; node i has the
children 2i + 1 and 2i + 2, and every leaf is on the last level. Rows appended since the tree was
built follow those of the tree, as one more node: the tail, which is looked at like a leaf. A tree
of one node is a scan.

Source of the tree: Friedman, Bentley & Finkel (1977), ACM TOMS 3(3), 209-226.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows

RowIds: TypeAlias = NDArray[np.int32]

LEAF_ROWS = 64  # for k = 32, 4 to 8 % faster than 32 in two, three and eight dimensions
SAMPLE_ROWS = 128  # of a pivot; from 16 times as many rows on
SHARED_ROWS = 2**17  # from here on, two threads build a tree faster than one
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
    return _build(x, levels_over(len(x)))


def unindexed(x: Floats) -> Tree:
    """Return the tree of one node over the rows x (n, d), in their order. Cost: O(n d)."""
    return _build(x, 0)


def levels_over(n: int) -> int:
    """Return how many levels below its root a tree over n rows has."""
    levels = 0
    while -(-n >> levels) > LEAF_ROWS:  # rounded up: the largest leaf
        levels += 1
    return levels


def node_bounds(n: int, levels: int) -> RowIds:
    """Return where the range of each node starts and stops, (nodes, 2): halves of its parent's."""
    bounds = np.empty((2 ** (levels + 1) - 1, 2), dtype=np.int32)
    bounds[0] = 0, n
    for level in range(levels):
        first = 2**level - 1
        parents = bounds[first : 2 * first + 1]
        children = bounds[2 * first + 1 : 4 * first + 3].reshape(-1, 2, 2)
        middle = parents.sum(axis=1) // 2
        children[:, 0, 0], children[:, 0, 1] = parents[:, 0], middle
        children[:, 1, 0], children[:, 1, 1] = middle, parents[:, 1]
    return bounds


def _build(x: Floats, levels: int) -> Tree:
    n, d = x.shape
    leaf_x = np.array(x, dtype=np.float64, order="C")
    rows = np.arange(n, dtype=np.int32)
    bounds = node_bounds(n, levels)
    boxes = np.empty((len(bounds), 2, d))
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
    """Order the rows, and fill the boxes, of `levels` levels of the nodes from `root` on."""
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
                _select(x, rows, start, stop, bounds[left, 1], widest)


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
