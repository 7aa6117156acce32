"""Sums of covariances over all rows: right, whole at the edges of tiles, and cut short safely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend
from service.backends.native.products import QUERY_BLOCK, TILE_ROWS, share_cuts
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.kernels import covariance, distances

RNG = np.random.default_rng(2)


def check(
    x: Floats, q: Floats, a: Floats, kind: Covariance, length_scale: float, search: Search
) -> None:
    """Hold an expansion against the whole matrix, relative to the sum of the absolute terms."""
    expansion = NativeBackend().load(x, x[:, :1].copy(), search).expansion(kind, length_scale, a)
    got = expansion.at(q)
    matrix = covariance(kind, distances(q, x), length_scale)
    sizes = matrix @ np.abs(a)
    assert (np.abs(got.values - matrix @ a) <= 1e-12 * sizes + 1e-150).all()
    assert_allclose(got.nearest_distance, distances(q, x).min(axis=1), rtol=1e-13)
    between = covariance(kind, distances(x, x), length_scale)
    total = np.sum([expansion.share(i) for i in range(expansion.share_count)], axis=0)
    assert (np.abs(total - between @ a) <= 1e-13 * np.abs(a).sum()).all()


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("n", [1, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 700])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_an_expansion_is_the_matrix_times_the_coefficients(
    kind: Covariance, n: int, d: int
) -> None:
    x, q, a = RNG.random((n, d)), RNG.random((40, d)), RNG.normal(size=(n, 2))
    for search in Search:
        check(x, q, a, kind, 0.3, search)


@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(Covariance),
    log_scale=st.floats(-4, 0),
    offset=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_what_is_passed_over_is_lost_in_rounding(
    seed: int, kind: Covariance, log_scale: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.random((500, 2)), 3 + 0.01 * rng.random((500, 2))])
    a = rng.normal(size=(1000, 1)) * 10.0 ** rng.uniform(-8, 0, (1000, 1))
    check(x, offset + rng.random((10, 2)), a, kind, 10.0**log_scale, Search.TREE)


def test_a_short_reach_passes_over_most_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coefficients that are not numbers show where a sum has not looked."""
    x = np.linspace(0, 1, 4096)[:, None]
    a = np.ones((4096, 1))
    expansion = NativeBackend().load(x, a).expansion(Covariance.GAUSSIAN, 1e-3, a)
    tiles = expansion._a
    tiles[len(tiles) // 2 :] = np.nan
    assert np.isfinite(expansion.at(np.array([[0.1]])).values).all()
    assert np.isnan(expansion.at(np.array([[0.9]])).values).all()


@pytest.mark.parametrize("kind", Covariance)
def test_a_query_has_the_same_bits_in_any_block(kind: Covariance) -> None:
    x, a = RNG.random((3000, 3)), RNG.normal(size=(3000, 1))
    q = RNG.random((QUERY_BLOCK * 2 + 5, 3))
    expansion = NativeBackend().load(x, a).expansion(kind, 0.2, a)
    together = expansion.at(q)
    for i in range(len(q)):
        alone = expansion.at(q[i : i + 1])
        assert_array_equal(alone.values[0], together.values[i])
        assert alone.nearest_distance[0] == together.nearest_distance[i]


def test_all_coefficients_zero_is_zero_with_the_distance_known() -> None:
    x, q = RNG.random((2000, 2)), RNG.random((50, 2))
    sums = NativeBackend().load(x, x).expansion(Covariance.GAUSSIAN, 0.1, np.zeros((2000, 1))).at(q)
    assert not sums.values.any()
    assert_allclose(sums.nearest_distance, distances(q, x).min(axis=1), rtol=1e-13)


def test_each_column_is_as_exact_as_alone() -> None:
    """A column of large coefficients does not let the tiles of a small one be passed over."""
    x, q = RNG.random((1500, 2)), RNG.random((20, 2))
    small = np.where(x[:, :1] > 0.9, 1.0, 0.0)
    both = np.concatenate([1e12 * RNG.normal(size=(1500, 1)), small], axis=1)
    rows = NativeBackend().load(x, small)
    got = rows.product(q, Covariance.GAUSSIAN, 0.05, both)[:, 1]
    expected = covariance(Covariance.GAUSSIAN, distances(q, x), 0.05) @ small[:, 0]
    assert_allclose(got, expected, rtol=1e-12, atol=1e-150)


def test_shares_cover_all_pairs_of_tiles_once() -> None:
    for count in (1, 2, 17, 400):
        for pairs in (1, 10**5, 10**7, 10**12):
            cuts = share_cuts(count, pairs)
            assert cuts[0] == 0
            assert cuts[-1] == count
            assert (np.diff(cuts) > 0).all()


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (255, 2), (257, 3), (700, 5)])
def test_single_products_are_those_to_six_digits(kind: Covariance, n: int, d: int) -> None:
    x, a = 50 + RNG.random((n, d)), RNG.uniform(-1, 1, size=(n, 2))
    x[-1] = x[0]
    singles = NativeBackend().load(x, a).single_products(kind, 0.3)
    tiled = singles.tiled(a)
    shares = [singles.share(i, tiled) for i in range(singles.share_count)]
    got = singles.untiled(np.sum(shares, axis=0))
    expected = covariance(kind, distances(x, x), 0.3)
    assert (np.abs(got - expected @ a) <= 3e-6 * (expected @ np.abs(a))).all()


def test_single_products_are_symmetric() -> None:
    x = RNG.random((300, 2))
    singles = NativeBackend().load(x, x).single_products(Covariance.LAPLACIAN, 0.1)
    tiled = singles.tiled(np.eye(300))
    shares = [singles.share(i, tiled) for i in range(singles.share_count)]
    matrix = singles.untiled(np.sum(shares, axis=0))
    assert_array_equal(matrix, matrix.T)
    assert_allclose(np.diag(matrix), 1.0, rtol=1e-6)
