"""Distances and neighbours in NumPy, on the host: what ends up in answers to the last bit.

A distance is √Σⱼ (x_ij - q_j)², summed over the features in their order, as in the native engine.
"""

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Nearest, Within
from service.domain.arrays import Floats, Rows

BLOCK_ELEMENTS = 2**22
"""Distances held at a time: 32 MiB."""

LARGEST_COORDINATE = 1e150
"""Beyond, squares overflow; every row is then at the distance ∞ for KeOps."""


def distances(x: Floats, q: Floats) -> Floats:
    """Return the distances between points whose shapes broadcast; the last axis is the feature."""
    total: Floats = np.zeros(np.broadcast_shapes(x.shape[:-1], q.shape[:-1]))
    with np.errstate(over="ignore"):
        for j in range(x.shape[-1]):
            difference = x[..., j] - q[..., j]
            total += difference * difference
    return np.sqrt(total)


def ordered(rows: Rows, found: Floats) -> tuple[Rows, Floats]:
    """Return rows and distances, (m, k) each, with every line sorted by (distance, row)."""
    order = np.lexsort((rows, found), axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(found, order, axis=1)


def nearest(x: Floats, q: Floats, k: int) -> Nearest:
    """Return the k nearest rows of each query. Cost: O(n d) a query."""
    rows = np.empty((len(q), k), dtype=np.int64)
    found = np.empty((len(q), k))
    for block in _blocks(len(q), len(x)):
        for query, line in enumerate(distances(x, q[block, None, :]), start=block.start):
            reach = np.partition(line, k - 1)[k - 1]
            inside = np.flatnonzero(line <= reach)
            chosen = inside[np.argsort(line[inside], kind="stable")[:k]]
            rows[query], found[query] = chosen, line[chosen]
    return Nearest(found, rows)


def within(x: Floats, q: Floats, radius: Floats) -> Within:
    """Return the rows at a distance ≤ radius of each query. Cost: O(n d) a query."""
    counts = np.zeros(len(q), dtype=np.int64)
    rows: list[Rows] = []
    found: list[Floats] = []
    for block in _blocks(len(q), len(x)):
        lines = distances(x, q[block, None, :])
        inside: NDArray[np.bool_] = lines <= radius[block, None]
        counts[block] = inside.sum(axis=1)
        for line, is_inside in zip(lines, inside, strict=True):
            reached = np.flatnonzero(is_inside)
            order = np.argsort(line[reached], kind="stable")
            rows.append(reached[order])
            found.append(line[reached][order])
    return Within(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        rows=np.concatenate(rows).astype(np.int64),
        distances=np.concatenate(found),
    )


def squares_are_finite(x: Floats, q: Floats) -> bool:
    """Return whether no squared distance between the rows and the queries can overflow."""
    return bool(max(np.abs(x).max(), np.abs(q).max()) < LARGEST_COORDINATE)


def _blocks(m: int, n: int) -> list[slice]:
    size = max(1, BLOCK_ELEMENTS // n)
    return [slice(a, min(a + size, m)) for a in range(0, m, size)]
