"""Sums of covariances over all rows, K(q, x) a, compiled by Numba.

Rows lie in tiles of `TILE_ROWS` in leaf order, feature by feature, with their coefficients: a tile
stays in the first cache while a block of queries goes through it, and every inner loop runs over
its rows, eight at a time where the machine can.

A tile is passed over where it provably adds nothing. At a query, with r_t the distance to the box
of tile t, and for each column of coefficients,

    S = Σ_i c(‖x_i - q‖) |a_i|  ≥  L = the same sum over one tile, a near one

so the tiles with c(r_t) Σ_i |a_i| < δ L add less than δ S altogether: no more than the rounding of
the sum, for δ = 1e-16. The tile of the nearest row is never among them. Between the rows
themselves, pairs of tiles with c(r) < δ / n count as nothing: that changes K by less than δ ≤ δ‖K‖
in the Frobenius norm, and keeps it symmetric.

Each query is summed tile after tile, so its bits do not depend on the other queries of the block.
The loops with `reassoc` add in an order that is fixed when they are compiled and when the tiles
are made, the same for every query.

Over 300 lines: the sums of one block and their symmetric shares, with what both look at.
"""

from typing import Final, final

import numpy as np
from numba import njit

from service.backends.base import Sums
from service.backends.native.covariances import (
    COVARIANCE_CODES,
    correlate,
    correlation,
    scaled_squares,
)
from service.backends.native.exponential import use_widest_vectors
from service.backends.native.tree import RowIds
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance

TILE_ROWS = 256
"""Half as many take a third longer a pair, for what a tile costs beside its rows; twice as many lie
too far apart to be passed over."""

PAIRS_A_SHARE = 2_000_000
"""About 2 ms of computing."""

SHARE_OF_ROWS = 64
"""Pairs a row in a share: of many rows, it ends with as long a sum over all of them."""

NEGLIGIBLE = 1e-16
FARTHEST, BISECTIONS = 400.0, 16
"""Of r / l: every covariance is 0 there; halved so often, 0.006 of a length scale is left."""

QUERY_BLOCK = 32
"""Queries that go through a tile one after the other."""


@final
class NativeExpansion:
    """f(q) = Σ_i c(‖q - x_i‖) a_i; see `backends.base.Expansion`.

    Args:
        x: The rows, feature by feature, (d, n), near ones beside each other.
        rows: The index of each in the dataset, (n,).
        covariance: c.
        length_scale: Of c.
        a: Coefficients in the order of the dataset, (n, c).
    """

    def __init__(
        self, x: Floats, rows: RowIds, covariance: Covariance, length_scale: float, a: Floats
    ) -> None:
        self._tiles: Final = in_tiles(x, x[:, -1:])
        self._a: Final = in_tiles(a[rows].T, np.zeros((a.shape[1], 1)))
        self._boxes: Final = np.stack([self._tiles.min(axis=2), self._tiles.max(axis=2)], axis=1)
        self._totals: Final = np.abs(a).sum(axis=0)
        self._rows: Final = rows
        self._code: Final = COVARIANCE_CODES[covariance]
        self._length_scale: Final = length_scale
        self._precision: Final = 1.0 / length_scale
        pairs = max(PAIRS_A_SHARE, SHARE_OF_ROWS * len(rows))
        self._cuts: Final = share_cuts(len(self._a), pairs)

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles and their coefficients."""
        return sum(a.nbytes for a in (self._tiles, self._a, self._boxes, self._totals, self._cuts))

    def at(self, q: Floats) -> Sums:
        """Return f at the queries q (m, d); see `backends.base.Expansion`."""
        values = np.zeros((len(q), self._a.shape[1]))
        nearest_sq = np.full(len(q), np.inf)
        q = np.require(q, dtype=np.float64, requirements=["C", "W"])
        _fill_sums(
            self._tiles, self._a, self._boxes, self._totals, q, self._code, self._precision,
            values, nearest_sq,
        )  # fmt: skip
        return Sums(values, np.sqrt(nearest_sq) * self._length_scale)

    @property
    def share_count(self) -> int:
        """Into how many shares f at the rows is cut."""
        return len(self._cuts) - 1

    def share(self, index: int) -> Floats:
        """Return one of the shares that add up to f at the rows, (n, c)."""
        sums = np.zeros_like(self._a)
        least = NEGLIGIBLE / len(self._rows)
        _fill_share(
            self._tiles, self._a, self._boxes, self._code, self._precision, least,
            self._cuts[index], self._cuts[index + 1], sums,
        )  # fmt: skip
        return out_of_tiles(sums, self._rows)


def in_tiles(values: Floats, filling: Floats) -> Floats:
    """Return values (c, n) in tiles (tiles, c, r); a column (c, 1) fills the last one.

    Rows are filled up with the place of the last of them, which weighs nothing there.
    """
    c, n = values.shape
    padding = -n % TILE_ROWS
    padded = np.concatenate([values, np.repeat(filling, padding, axis=1)], axis=1)
    return np.ascontiguousarray(padded.reshape(c, -1, TILE_ROWS).transpose(1, 0, 2))


def out_of_tiles(sums: Floats, rows: RowIds) -> Floats:
    """Return sums in tiles as (n, c), in the order of the dataset."""
    n, columns = len(rows), sums.shape[1]
    values = np.empty((n, columns))
    values[rows] = sums.transpose(0, 2, 1).reshape(-1, columns)[:n]
    return values


def share_cuts(count: int, pairs: int) -> Rows:
    """Return the tiles between which shares of about so many pairs of rows are cut.

    Tile I is paired with itself and all later ones.
    """
    total = np.cumsum(np.arange(count, 0, -1)) * TILE_ROWS**2
    shares = total // pairs
    starts = np.flatnonzero(np.diff(shares)) + 1
    return np.concatenate([[0], starts, [count]]).astype(np.int64)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _dot(a: Floats, b: Floats) -> float:
    use_widest_vectors()
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _absolute_dot(a: Floats, b: Floats) -> float:
    use_widest_vectors()
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * abs(b[i])
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _look_at_boxes(boxes: Floats, point: Floats, precision: float, gaps: Floats) -> int:
    """Fill gaps (tiles,) with the least (r / l)² to each box; return the tile of least reach."""
    nearest, least_reach = 0, np.inf
    for t in range(boxes.shape[0]):
        gap, reach = 0.0, 0.0
        for j in range(point.shape[0]):
            above = (point[j] - boxes[t, 0, j]) * precision
            below = (boxes[t, 1, j] - point[j]) * precision
            outside = max(-above, -below, 0.0)
            gap += outside * outside
            opposite = max(above, below)
            reach += opposite * opposite
        gaps[t] = gap
        if reach < least_reach:
            nearest, least_reach = t, reach
    return nearest


@njit(nogil=True, cache=True, error_model="numpy")
def _pass_over(
    a: Floats,
    totals: Floats,
    tile: int,
    correlations: Floats,
    covariance: int,
    gaps: Floats,
) -> None:
    """Set the gaps (tiles,) beyond which nothing is added to infinity, by the sums of a tile."""
    least = np.inf
    for c in range(totals.shape[0]):
        if totals[c] > 0.0:
            least = min(least, _absolute_dot(correlations, a[tile, c]) / totals[c])
    least *= NEGLIGIBLE
    if not 0.0 < least < np.inf:
        return
    # Bisection to the distance beyond which the covariance is less than that.
    low, high = 0.0, FARTHEST
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if correlation(covariance, middle * middle) < least:
            high = middle
        else:
            low = middle
    for t in range(gaps.shape[0]):
        if gaps[t] > high * high:
            gaps[t] = np.inf


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_sums(
    tiles: Floats,
    a: Floats,
    boxes: Floats,
    totals: Floats,
    q: Floats,
    covariance: int,
    precision: float,
    values: Floats,
    nearest_sq: Floats,
) -> None:
    """Fill values (m, c) with K(q, x) a, and nearest_sq (m,) with the least (r / l)²."""
    use_widest_vectors()
    count, columns = a.shape[0], a.shape[1]
    buffer = np.empty(TILE_ROWS)
    gaps = np.zeros((QUERY_BLOCK, count))
    for start in range(0, q.shape[0], QUERY_BLOCK):
        size = min(QUERY_BLOCK, q.shape[0] - start)
        if count > 1:
            for i in range(size):
                point = q[start + i]
                near = _look_at_boxes(boxes, point, precision, gaps[i])
                scaled_squares(tiles[near], 0, point, precision, buffer)
                nearest_sq[start + i] = buffer.min()
                correlate(covariance, buffer)
                _pass_over(a, totals, near, buffer, covariance, gaps[i])
        for t in range(count):
            for i in range(size):
                if gaps[i, t] == np.inf:
                    continue
                query = start + i
                scaled_squares(tiles[t], 0, q[query], precision, buffer)
                if gaps[i, t] <= nearest_sq[query]:
                    nearest_sq[query] = min(nearest_sq[query], buffer.min())
                correlate(covariance, buffer)
                for c in range(columns):
                    values[query, c] += _dot(buffer, a[t, c])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add(buffer: Floats, factor: float, sums: Floats) -> None:
    use_widest_vectors()
    for i in range(buffer.shape[0]):
        sums[i] += factor * buffer[i]


@njit(nogil=True, cache=True, error_model="numpy")
def box_gap_sq(boxes: Floats, first: int, second: int, precision: float) -> float:
    """Return the scaled squared distance between two boxes."""
    total = 0.0
    for j in range(boxes.shape[2]):
        gap = max(
            boxes[first, 0, j] - boxes[second, 1, j], boxes[second, 0, j] - boxes[first, 1, j]
        )
        gap = max(gap, 0.0) * precision
        total += gap * gap
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_share(
    tiles: Floats,
    a: Floats,
    boxes: Floats,
    covariance: int,
    precision: float,
    least: float,
    start: int,
    stop: int,
    sums: Floats,
) -> None:
    """Add to sums (tiles, c, r) what the tiles start:stop have with themselves and later ones."""
    use_widest_vectors()
    count, columns = a.shape[0], a.shape[1]
    d = tiles.shape[1]
    buffer, point = np.empty(TILE_ROWS), np.empty(d)
    for first in range(start, stop):
        for second in range(first, count):
            if correlation(covariance, box_gap_sq(boxes, first, second, precision)) < least:
                continue
            tile = tiles[second]
            for row in range(TILE_ROWS):
                for j in range(d):
                    point[j] = tiles[first, j, row]
                scaled_squares(tile, 0, point, precision, buffer)
                correlate(covariance, buffer)
                for c in range(columns):
                    sums[first, c, row] += _dot(buffer, a[second, c])
                    if second > first:
                        _add(buffer, a[first, c, row], sums[second, c])
