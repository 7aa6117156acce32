"""The vector loops against plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.scan import Singles
from service.backends.native.vectors import (
    LANE_ROWS,
    LIST_BLOCK,
    TILE_QUERIES,
    TILE_ROWS,
    first_bit,
    insert_sorted,
    rows_within,
    screen_tile,
)
from service.domain.arrays import Floats, Rows
from tests import naive


@njit(nogil=True)
def _insert_all(listed: Floats, keys: Rows, blocks: int, distances: Floats, new_keys: Rows) -> None:
    for i in range(distances.shape[0]):
        insert_sorted(listed, keys, blocks, distances[i], new_keys[i])


@njit(nogil=True)
def _first_bit(bits: int) -> int:
    return int(first_bit(bits))


@njit(nogil=True)
def _rows_within(x: Floats, first: int, point: Floats, limit_sq: float, result: Floats) -> int:
    return int(rows_within(x, first, point, limit_sq, result))


@njit(nogil=True)
def _screen_tile(
    tiles: Singles,
    tile: int,
    starts: Singles,
    panels: Singles,
    panel: int,
    limits: Singles,
    scores: Singles,
    masks: Rows,
) -> int:
    return int(screen_tile(tiles, tile, starts, panels, panel, limits, scores, masks))


@given(
    blocks=st.integers(1, 4),
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**6)), min_size=1, max_size=60),
)
def test_a_sorted_list_keeps_the_smallest_pairs(blocks: int, pairs: list[tuple[int, int]]) -> None:
    size = LIST_BLOCK * blocks
    listed, keys = np.full(LIST_BLOCK + size, np.inf), np.full(LIST_BLOCK + size, 2**62)
    listed[:LIST_BLOCK] = -np.inf
    distances = np.array([float(distance) for distance, _ in pairs])
    _insert_all(listed, keys, blocks, distances, np.array([key for _, key in pairs]))
    expected = sorted(pairs)[:size]
    got = list(zip(listed[LIST_BLOCK:].tolist(), keys[LIST_BLOCK:].tolist(), strict=True))
    assert got[: len(expected)] == expected
    assert set(got[len(expected) :]) <= {(np.inf, 2**62)}


def test_the_first_bit_is_the_lowest() -> None:
    for position in range(63):
        assert _first_bit(1 << position | 1 << 62) == position


def test_rows_within_a_limit_have_their_bit_and_the_bits_of_the_distance() -> None:
    rng = np.random.default_rng(5)
    x, point = rng.normal(size=(3, 100)), rng.normal(size=3)
    for first in (0, 1, 100 - LANE_ROWS):
        got = np.empty(LANE_ROWS)
        bits = _rows_within(x, first, point, 2.0, got)
        total = np.zeros(LANE_ROWS)
        for j in range(3):
            gap = x[j, first : first + LANE_ROWS] - point[j]
            total += gap * gap
        assert_array_equal(got, total)
        assert [bits >> i & 1 for i in range(LANE_ROWS)] == (total <= 2.0).tolist()
        distances = [naive.distance(x[:, first + i], point) for i in range(LANE_ROWS)]
        assert_array_equal(np.sqrt(got), distances)


def test_a_tile_is_scored_against_a_panel_of_queries() -> None:
    rng = np.random.default_rng(6)
    d = 7
    tiles = rng.normal(size=(3, d, TILE_ROWS)).astype(np.float32)
    starts = rng.normal(size=(3, TILE_ROWS)).astype(np.float32)
    panels = rng.normal(size=(2, d, TILE_QUERIES)).astype(np.float32)
    scores = np.zeros((TILE_QUERIES, TILE_ROWS), dtype=np.float32)
    masks = np.zeros(TILE_QUERIES, dtype=np.int64)
    expected = starts[2] + np.einsum("jr,jc->cr", tiles[2].astype(float), panels[1].astype(float))
    limits = np.full((2, TILE_QUERIES), -100.0, dtype=np.float32)
    assert _screen_tile(tiles, 2, starts, panels, 1, limits, scores, masks) == 0
    assert not scores.any()

    limits[1] = np.sort(expected, axis=1)[:, TILE_ROWS // 2] + 1e-3
    assert _screen_tile(tiles, 2, starts, panels, 1, limits, scores, masks) != 0
    assert_allclose(scores, expected, atol=1e-5)
    for c in range(TILE_QUERIES):
        bits = [masks[c] >> i & 1 for i in range(TILE_ROWS)]
        assert bits == (scores[c] <= limits[1, c]).tolist()
