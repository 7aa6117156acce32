"""The scan: its bound in exact arithmetic, and what it leaves to 64 bits."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.testing import assert_array_equal

from service.backends.base import Search
from service.backends.native import scan, tree_search
from service.backends.native.backend import NativeBackend
from service.backends.native.vectors import TILE_QUERIES, TILE_ROWS, screen_tile
from service.domain.arrays import Floats, Rows
from tests import naive


@njit(nogil=True)
def _scores(
    tiles: scan.Singles, starts: scan.Singles, panels: scan.Singles, scores: scan.Singles
) -> None:
    limits = np.full((1, TILE_QUERIES), np.inf, dtype=np.float32)
    screen_tile(tiles, 0, starts, panels, 0, limits, scores, np.zeros(TILE_QUERIES, dtype=np.int64))


@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(1, 40),
    exponents=st.tuples(st.integers(-60, 3), st.integers(-60, 3)),
    offset=st.sampled_from([0.0, 1.0, 1e9]),
)
def test_scores_keep_the_bound_that_is_proven(
    seed: int, d: int, exponents: tuple[int, int], offset: float
) -> None:
    rng = np.random.default_rng(seed)
    spread = 2.0 ** rng.integers(min(exponents), max(exponents) + 1, d)
    x = offset + rng.normal(size=(TILE_ROWS, d)) * spread
    q = offset + rng.normal(size=d) * 2.0 ** max(exponents)
    screened = scan.screen(x)
    panels = np.zeros((1, d, TILE_QUERIES), dtype=np.float32)
    panels[0, :, 0] = -(q - screened.center) * screened.scale
    scores = np.empty((TILE_QUERIES, TILE_ROWS), dtype=np.float32)
    _scores(screened.tiles, screened.starts, panels, scores)

    kappa, omega = Fraction(scan.slack(d)), Fraction(2) ** -146 * (d + 4)
    center = [Fraction(c) for c in screened.center.tolist()]
    scale = Fraction(screened.scale)
    point = [(Fraction(v) - c) * scale for v, c in zip(q.tolist(), center, strict=True)]
    point_sq = sum(v * v for v in point)
    for i in range(TILE_ROWS):
        row = [(Fraction(v) - c) * scale for v, c in zip(x[i].tolist(), center, strict=True)]
        row_sq = sum(v * v for v in row)
        s = row_sq / 2 - sum(a * b for a, b in zip(row, point, strict=True))
        score = Fraction(float(scores[0, i]))
        assert score - kappa * point_sq / 2 - omega <= s
        assert s <= score + 2 * kappa * row_sq + kappa * point_sq / 2 + omega


def answered_in_64_bits(x: Floats, q: Floats, k: int, patch: pytest.MonkeyPatch) -> Rows:
    """Return the queries that screening does not decide."""
    asked: list[Rows] = []

    def noted(*arguments: Any) -> None:
        asked.append(np.array(arguments[5]))
        tree_search.nearest(*arguments)

    patch.setattr(scan, "nearest", noted)
    NativeBackend().load(x, x[:, :1].copy(), Search.SCAN).nearest(q, k)
    return np.concatenate(asked)


@pytest.mark.parametrize("d", [2, 16, 100])
def test_screening_decides_ordinary_queries(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(d)
    x, q = 50.0 + rng.normal(size=(5000, d)), 50.0 + rng.normal(size=(40, d))
    assert answered_in_64_bits(x, q, 10, monkeypatch).size == 0


@pytest.mark.parametrize(
    "case", ["equal rows", "a far query", "a row far from all others", "nearly all rows asked for"]
)
def test_what_screening_cannot_decide_is_answered_in_64_bits(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    x, q, k = rng.normal(size=(2000, 20)), rng.normal(size=(3, 20)), 5
    match case:
        case "equal rows":
            x[:] = x[0]
        case "a far query":
            q *= 1e30
        case "a row far from all others":
            x[77] = 1e100
        case _:
            k = 1900
    assert_array_equal(answered_in_64_bits(x, q, k, monkeypatch), [0, 1, 2])
    got = NativeBackend().load(x, x[:, :1].copy(), Search.SCAN).nearest(q, k)
    for i in range(3):
        assert got.rows[i].tolist() == naive.nearest(x, q[i], k)
