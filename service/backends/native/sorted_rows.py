"""Rows of one feature, sorted: the nearest rows of a query are a window of them.

They are kept as a `Tree`, so that every sum over rows in reach finds its nodes; its rows are in the
order of (x, row) throughout, and it has no tail, since sorted rows take in others as cheaply as
they are copied. Order of the results is by (distance, row), as everywhere.

Going away from a query on either side, distances never fall, not even when rounded. So the k
nearest rows are merged from the two sides, and only rows at the same distance as the last of them
can have to take its place.
"""

from typing import Final

import numpy as np
from numba import njit

from service.backends.native.tree import RowIds, Tree, levels_over, node_bounds
from service.backends.native.tree_search import make_heap, sift_down, sort_places
from service.domain.arrays import Floats, Rows

NO_ROWS: Final = np.empty(0, dtype=np.int32)


def build(x: Floats, known: RowIds = NO_ROWS) -> Tree:
    """Return the tree over the rows x (n, 1), sorted by (x, row).

    Args:
        x: The rows.
        known: The order of the first of them, where that has been found before.

    Cost: O(n log n); O(n) where all but a few are in a known order.
    """
    n = len(x)
    order = np.concatenate([known, np.arange(len(known), n, dtype=np.int32)])
    # Stable: equal rows stay in their order. It takes what is sorted already in one pass.
    rows = order[np.argsort(x[order, 0], kind="stable")]
    sorted_x = np.ascontiguousarray(x[rows].T)
    bounds = node_bounds(n, levels_over(n))
    return Tree(sorted_x, rows, bounds, sorted_x[0, bounds - [0, 1]][:, :, np.newaxis])


def order_of(q: Floats) -> Rows:
    """Return the order of the queries q (m, 1) along the line.

    Each then finds in the cache what the one before has read.
    """
    return np.argsort(q[:, 0], kind="stable")


@njit(nogil=True, cache=True)
def _count_below(x: Floats, value: float, low: int, high: int) -> int:
    """Return the first place from `low` to `high` whose row is not below the value."""
    while low < high:
        middle = (low + high) // 2
        if x[0, middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _count_up_to(x: Floats, value: float, low: int, high: int) -> int:
    """Return the first place from `low` to `high` whose row is above the value."""
    while low < high:
        middle = (low + high) // 2
        if x[0, middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True, inline="always")
def _distance(x: Floats, place: int, point: float) -> float:
    """Return the distance of a row; infinity where there is none."""
    if place < 0 or place >= x.shape[1]:
        return np.inf
    gap = x[0, np.uintp(place)] - point
    return float(np.sqrt(gap * gap))


@njit(nogil=True, cache=True)
def nearest(
    x: Floats, ids: RowIds, q: Floats, order: Rows, distances: Floats, places: Rows, rows: Rows
) -> None:
    """Fill distances, places and rows (m, k) with the k nearest of each query, in this order.

    Cost: O(log n + k) a query, and O(log n) for each coordinate that ties with the last.
    """
    n, k = x.shape[1], distances.shape[1]
    for query in order:
        point, best, best_places = q[query, 0], distances[query], places[query]
        middle = _count_below(x, point, 0, n)
        low, high = middle, middle  # of the window
        gap_low = point - x[0, low - 1] if low > 0 else np.inf
        gap_high = x[0, high] - point if high < n else np.inf
        for j in range(k):
            if gap_low < gap_high:
                low -= 1
                best_places[j], best[j] = low, gap_low
                gap_low = point - x[0, low - 1] if low > 0 else np.inf
            else:
                best_places[j], best[j] = high, gap_high
                high += 1
                gap_high = x[0, high] - point if high < n else np.inf
        for j in range(k):
            best[j] = np.sqrt(best[j] * best[j])
        has_ties = False
        for j in range(1, k):
            has_ties |= best[j] == best[j - 1]
        worst = best[k - 1]
        if _distance(x, low - 1, point) == worst or _distance(x, high, point) == worst:
            _settle_last(x, ids, point, low, middle, high, best, best_places)
            has_ties = True
        if has_ties:
            sort_places(best, best_places, ids, k)
        for j in range(k):
            rows[query, j] = ids[best_places[j]]


@njit(nogil=True, cache=True)
def _settle_last(
    x: Floats,
    ids: RowIds,
    point: float,
    low: int,
    middle: int,
    high: int,
    best: Floats,
    best_places: Rows,
) -> None:
    """Of all rows as far as the last of the window low:high, keep those that come first."""
    n, k = x.shape[1], best.shape[0]
    worst = best[k - 1]
    closer = 0
    while best[closer] < worst:
        closer += 1
    while low < middle and _distance(x, low, point) == worst:
        low += 1
    while high > middle and _distance(x, high - 1, point) == worst:
        high -= 1
    last, last_places = best[closer:], best_places[closer:]
    size = 0
    # Of equal coordinates, the first are those of the smallest rows.
    while high < n and _distance(x, high, point) == worst:
        stop = _count_up_to(x, x[0, high], high, n)
        size = _offer(last, last_places, ids, size, high, stop)
        high = stop
    while low > 0 and _distance(x, low - 1, point) == worst:
        start = _count_below(x, x[0, low - 1], 0, low)
        size = _offer(last, last_places, ids, size, start, low)
        low = start


@njit(nogil=True, cache=True)
def _offer(last: Floats, last_places: Rows, ids: RowIds, size: int, start: int, stop: int) -> int:
    """Put the places from start to stop, whose rows ascend, among the `size` that are kept.

    They are all at the distance that `last` is filled with; once as many are kept as there is room
    for, they are a heap with the largest row on top. Returns how many are kept.
    """
    room = last.shape[0]
    for place in range(start, stop):
        if size < room:
            last_places[size] = place
            size += 1
            if size == room:
                make_heap(last, last_places, ids, room)
        elif ids[place] < ids[last_places[0]]:
            last_places[0] = place
            sift_down(last, last_places, ids, 0, room)
        else:
            return size
    return size
