"""The nearest rows by looking at all of them: in 32-bit floats first, exactly where it matters.

Rows and queries are centred and scaled by a power of two to X, Q with |X_j| < 1, and rounded to
32-bit floats. With u = 2⁻²⁴ and κ = 1.05 (d + 6) u, a row's score, by d multiply-adds, is

    s̃ = (½ - κ) |X|² - Σ_j X_j Q_j          of   s = ½ |X|² - X·Q = ½ (|X - Q|² - |Q|²)

Rounding X, Q and the start gives at most 3u |X| |Q| + ½u |X|², the d operations at most
1.01 (d + 1) u (½ |X|² + |X| |Q|), and ½ |X|² + |X| |Q| ≤ |X|² + ½ |Q|². Numbers too small for a
32-bit float, and squares too small for a 64-bit one (times the square of the scale), add less than
ω = 2⁻¹⁴⁶ (d + 4) + 2⁻¹⁰⁷⁴ d scale². The rest of κ stands for the rounding of the centring and of
the 64-bit distances. Hence

    s̃ - ½κ |Q|² - ω  ≤  s  ≤  s̃ + 2κ |X|² + ½κ |Q|² + ω

and with U the k-th smallest of s̃ + 2κ |X|² over any of the rows, no row with s̃ > U + κ |Q|² + 2ω
is among the k nearest. All others are candidates, and their 64-bit distances decide, the same as a
tree's to the last bit. Where candidates do not become few (all rows nearly equally far at 32 bits,
say), the query is answered in 64 bits alone.

Source of screening with error bounds: Higham (2002), Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.1 (γ_n and inner products).
"""

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.backends.native.tree import RowIds, Tree
from service.backends.native.tree_search import nearest, sort_places
from service.backends.native.vectors import TILE_QUERIES, TILE_ROWS, first_bit, screen_tile
from service.domain.arrays import Floats, Rows

Singles: TypeAlias = NDArray[np.float32]

UNIT: Final = 2.0**-24
"""Rounding of a 32-bit float, relative."""

FARTHEST: Final = 2.0**60
"""Of a scaled coordinate of a query: beyond, products would leave the 32-bit range."""

LARGEST_SCORE: Final = float(np.finfo(np.float32).max)
"""Above every score of a row, and below that of a place without one."""

SPARE: Final = 64
"""Candidates beyond 2k that a query collects before it drops those that cannot be."""

CANDIDATES: Final = 2**16
"""Of all queries that are screened together: 512 kB, which the second cache holds."""

LEAST_ROWS: Final = 2 * (2 + SPARE + TILE_ROWS)
"""Fewer are looked at in 64 bits straight away."""

CHUNK_BYTES: Final = 2**18
"""Of tiles, which stay in the second cache while all queries pass over them."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The rows in 32-bit floats, in tiles, feature by feature.

    Attributes:
        tiles: X, (tiles, d, TILE_ROWS).
        starts: (½ - κ) |X|², (tiles, TILE_ROWS); infinite where a tile has no more rows.
        center: What was subtracted from each feature, (d,).
        scale: A power of two, that the centred rows were multiplied by.
    """

    tiles: Singles
    starts: Singles
    center: Floats
    scale: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.tiles.nbytes + self.starts.nbytes + self.center.nbytes


def slack(d: int) -> float:
    """Return κ, the bound on the error of a score over |X|² + ½ |Q|²."""
    return 1.05 * (d + 6) * UNIT


def screen(x: Floats) -> Screen:
    """Return the rows x (n, d) made ready for screening. Cost: O(n d)."""
    n, d = x.shape
    center = x.mean(axis=0)
    farthest = max(float((x.max(axis=0) - center).max()), float((center - x.min(axis=0)).max()))
    scale = math.ldexp(1.0, min(max(-math.frexp(farthest)[1], -1000), 1000))
    count = -(-n // TILE_ROWS)
    tiles = np.zeros((count, d, TILE_ROWS), dtype=np.float32)
    starts = np.full((count, TILE_ROWS), np.inf, dtype=np.float32)
    _fill_tiles(x, center, scale, 0.5 - slack(d), tiles, starts)
    return Screen(tiles, starts, center, scale)


@njit(nogil=True, cache=True)
def _fill_tiles(
    x: Floats, center: Floats, scale: float, share: float, tiles: Singles, starts: Singles
) -> None:
    for row in range(x.shape[0]):
        tile, i = row // TILE_ROWS, row % TILE_ROWS
        norm_sq = 0.0
        for j in range(x.shape[1]):
            coordinate = (x[row, j] - center[j]) * scale
            tiles[tile, j, i] = coordinate
            norm_sq += coordinate * coordinate
        starts[tile, i] = share * norm_sq


def nearest_by_scan(
    rows: Tree,
    screened: Screen,
    x: Floats,
    q: Floats,
    distances: Floats,
    places: Rows,
    ids: Rows,
) -> None:
    """Fill distances, places and ids (m, k) with the k nearest rows of each query.

    Args:
        rows: The rows in the order of the dataset, as a tree of one node.
        screened: The same rows, for screening.
        x: The same rows, (n, d).
        q: Queries, (m, d).
        distances: Euclidean, ascending.
        places: Where `rows` has them.
        ids: The row of each in the dataset.
    """
    k = distances.shape[1]
    capacity = 2 * k + SPARE + TILE_ROWS
    if 2 * capacity > len(x):
        undecided = np.arange(len(q))
    else:
        together = max(1, CANDIDATES // (capacity * TILE_QUERIES)) * TILE_QUERIES
        decided = np.empty(len(q), dtype=np.bool_)
        for first in range(0, len(q), together):
            part = slice(first, first + together)
            _screen_queries(
                screened.tiles, screened.starts, screened.center, screened.scale, x, rows.rows,
                q[part], capacity, distances[part], places[part], decided[part],
            )  # fmt: skip
        ids[:] = places
        undecided = np.flatnonzero(~decided)
    nearest(rows.x, rows.rows, rows.bounds, rows.boxes, q, undecided, distances, places, ids)


@njit(nogil=True, cache=True)
def _screen_queries(  # noqa: C901  (the loops of one pass)
    tiles: Singles,
    starts: Singles,
    center: Floats,
    scale: float,
    x: Floats,
    ids: RowIds,
    q: Floats,
    capacity: int,
    distances: Floats,
    places: Rows,
    decided: NDArray[np.bool_],
) -> None:
    """Fill distances and places (m, k), and decided (m,): False where screening left too many."""
    m, d = q.shape
    k = distances.shape[1]
    panels = (m + TILE_QUERIES - 1) // TILE_QUERIES
    columns = np.zeros((panels, d, TILE_QUERIES), dtype=np.float32)
    limits = np.full((panels, TILE_QUERIES), -np.inf, dtype=np.float32)
    slacks = np.empty((panels, TILE_QUERIES))
    sizes = np.zeros((panels, TILE_QUERIES), dtype=np.int64)
    held = np.empty((panels, TILE_QUERIES, capacity), dtype=np.float32)
    held_rows = np.empty((panels, TILE_QUERIES, capacity), dtype=np.int32)
    upper = np.empty(capacity, dtype=np.float32)
    kappa = 1.05 * (d + 6) * UNIT
    omega = 2.0**-146 * (d + 4) + d * (2.0**-537 * scale) ** 2
    for query in range(m):
        panel, c = query // TILE_QUERIES, query % TILE_QUERIES
        norm_sq, farthest = 0.0, 0.0
        for j in range(d):
            coordinate = (q[query, j] - center[j]) * scale
            farthest = max(farthest, abs(coordinate))
            norm_sq += coordinate * coordinate
            columns[panel, j, c] = -min(max(coordinate, -FARTHEST), FARTHEST)
        decided[query] = farthest < FARTHEST
        slacks[panel, c] = kappa * norm_sq + 2.0 * omega
        if decided[query]:
            limits[panel, c] = LARGEST_SCORE
    scores = np.empty((TILE_QUERIES, TILE_ROWS), dtype=np.float32)
    masks = np.zeros(TILE_QUERIES, dtype=np.int64)
    chunk = max(1, CHUNK_BYTES // (4 * d * TILE_ROWS))
    for first in range(0, tiles.shape[0], chunk):
        last = min(first + chunk, tiles.shape[0])
        for panel in range(panels):
            for tile in range(first, last):
                if not screen_tile(tiles, tile, starts, columns, panel, limits, scores, masks):
                    continue
                for c in range(TILE_QUERIES):
                    bits = masks[c]
                    if bits == 0:
                        continue
                    size = sizes[panel, c]
                    while bits != 0:
                        i = first_bit(bits)
                        bits &= bits - 1
                        held[panel, c, size] = scores[c, i]
                        held_rows[panel, c, size] = tile * TILE_ROWS + i
                        size += 1
                    if size > capacity - TILE_ROWS:
                        size, limits[panel, c] = _drop(
                            held[panel, c], held_rows[panel, c], size, starts, kappa,
                            slacks[panel, c], upper, k,
                        )  # fmt: skip
                        if size > capacity - TILE_ROWS:
                            decided[panel * TILE_QUERIES + c] = False
                            limits[panel, c], size = -np.inf, 0
                    sizes[panel, c] = size
    exact, exact_places = np.empty(capacity), np.empty(capacity, dtype=np.int64)
    for query in range(m):
        if not decided[query]:
            continue
        panel, c = query // TILE_QUERIES, query % TILE_QUERIES
        size, _ = _drop(
            held[panel, c], held_rows[panel, c], sizes[panel, c], starts, kappa,
            slacks[panel, c], upper, k,
        )  # fmt: skip
        for candidate in range(size):
            row = held_rows[panel, c, candidate]
            total = 0.0
            for j in range(d):
                difference = x[row, j] - q[query, j]
                total += difference * difference
            exact[candidate], exact_places[candidate] = np.sqrt(total), row
        sort_places(exact, exact_places, ids, size)
        distances[query], places[query] = exact[:k], exact_places[:k]


@njit(nogil=True, cache=True)
def _drop(
    held: Singles,
    held_rows: RowIds,
    size: int,
    starts: Singles,
    kappa: float,
    slack_q: float,
    upper: Singles,
    k: int,
) -> tuple[int, np.float32]:
    """Drop the candidates that k others are surely nearer than; return how many stay, and a limit.

    2κ |X|² = 2κ / (½ - κ) · start, which is less than 5κ · start.
    """
    for i in range(size):
        row = held_rows[i]
        upper[i] = held[i] + np.float32(5.0 * kappa) * starts[row // TILE_ROWS, row % TILE_ROWS]
    bound = _kth_smallest(upper, size, k)
    limit = np.float32(bound + 4.0 * UNIT * abs(bound) + slack_q)
    limit += np.float32(4.0 * UNIT) * abs(limit)  # both times: never rounded down
    kept = 0
    for i in range(size):
        held[kept], held_rows[kept] = held[i], held_rows[i]
        kept += held[i] <= limit
    return kept, limit


@njit(nogil=True, cache=True)
def _kth_smallest(values: Singles, size: int, k: int) -> float:
    """Return the k-th smallest of the first `size` values, which are reordered (Hoare)."""
    low, high, middle = 0, size - 1, k - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    return float(values[middle])
