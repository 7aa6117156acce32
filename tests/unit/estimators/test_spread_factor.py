"""A factor on spread pivots holds what it says of K, and says what it leaves."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.kernels import Covariance
from service.engine.portions import SerialBlocks
from service.estimators.kernels import covariance, distances
from service.estimators.spread_factor import PIECE_ROWS, spread_factor

RNG = np.random.default_rng(5)


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


@pytest.mark.parametrize("n", [1, 2, 40, PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1])
@pytest.mark.parametrize("kind", [Covariance.LAPLACIAN, Covariance.GAUSSIAN])
def test_what_is_left_is_positive_and_as_large_as_it_says(n: int, kind: Covariance) -> None:
    x = RNG.random((n, 2))
    got = spread_factor(x, kind, 0.3, 0.1, unhurried())
    left = covariance(kind, distances(x, x), 0.3) - got.factor.T @ got.factor
    assert np.linalg.eigvalsh(left).min() > -1e-9
    assert_allclose(np.trace(left), got.left, atol=1e-9 * n)
    exact = np.abs(left).max(axis=1) < 1e-7
    assert exact.sum() >= len(got.factor), "the pivots are held to rounding"


def test_rows_at_few_places_have_a_rank_of_so_many() -> None:
    x = np.repeat(RNG.random((7, 2)), 100, axis=0)
    got = spread_factor(x, Covariance.MATERN32, 0.3, 0.1, unhurried())
    assert len(got.factor) == 7
    assert got.is_all


def test_the_factor_is_the_same_each_time() -> None:
    x = RNG.random((3000, 3))
    first, second = (spread_factor(x, Covariance.MATERN52, 0.3, 0.1, unhurried()) for _ in range(2))
    assert_array_equal(first.factor, second.factor)
