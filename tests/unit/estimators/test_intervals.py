"""Quantiles, indices and coverage of intervals."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.estimators.intervals import (
    LocalScale,
    conformal_interval,
    conformal_quantiles,
    local_scale,
    rank_of,
    t_interval,
)
from tests import naive


@pytest.mark.parametrize(
    ("freedom", "level", "quantile"),
    [
        # Any table of Student's t.
        (1, 0.95, 12.7062),
        (10, 0.95, 2.2281),
        (10, 0.90, 1.8125),
        (30, 0.99, 2.7500),
        (np.inf, 0.95, 1.9600),
    ],
)
def test_t_intervals_have_the_quantiles_of_the_tables(
    freedom: float, level: float, quantile: float
) -> None:
    got = t_interval(np.array([[1.0]]), np.array([[4.0]]), freedom, level)
    assert_allclose([got.lower[0, 0], got.upper[0, 0]], 1 + 2 * quantile * np.array([-1, 1]), 1e-4)
    assert got.level == level


def test_no_variance_means_no_interval() -> None:
    got = t_interval(np.array([[1.0]]), np.array([[np.nan]]), 5.0, 0.9)
    assert np.isnan([got.lower, got.upper]).all()


@pytest.mark.parametrize(
    ("level", "count", "rank"),
    [(0.9, 9, 9), (0.9, 10, 10), (0.9, 19, 18), (0.9, 8, 9), (0.55, 19, 11), (0.7, 9, 7)],
)
def test_the_rank_is_the_next_whole_number(level: float, count: int, rank: int) -> None:
    assert rank_of(level, count) == rank


@given(st.integers(1, 2000), st.integers(1, 999))
def test_the_rank_is_that_of_exact_arithmetic(count: int, thousandths: int) -> None:
    assert rank_of(thousandths / 1000, count) == -(-thousandths * (count + 1) // 1000)


def test_every_order_of_the_scores_together_holds_the_level_exactly() -> None:
    values, level = [1.0, 2.0, 3.0, 4.0, 5.0], 0.6
    held = [
        order[-1] <= conformal_quantiles(np.array(order[:-1])[:, None], level)[0]
        for order in permutations(values)
    ]
    assert np.mean(held) == level


def test_tied_scores_hold_more_than_the_level_never_less() -> None:
    values, level = [1.0, 1.0, 1.0, 2.0, 2.0], 0.6
    held = [
        order[-1] <= conformal_quantiles(np.array(order[:-1])[:, None], level)[0]
        for order in permutations(values)
    ]
    assert np.mean(held) >= level


def test_too_few_scores_bound_nothing() -> None:
    quantiles = conformal_quantiles(np.ones((8, 2)), 0.9)
    assert_array_equal(quantiles, [np.inf, np.inf])
    got = conformal_interval(np.zeros((3, 2)), np.ones((3, 2)), quantiles, 0.9)
    assert (got.lower == -np.inf).all()
    assert (got.upper == np.inf).all()
    assert np.isfinite(conformal_quantiles(np.ones((9, 2)), 0.9)).all()


def test_a_row_without_a_score_counts_as_the_worst() -> None:
    scores = np.array([[1.0], [np.nan], [2.0], [3.0]])
    assert_array_equal(conformal_quantiles(scores, 0.6), [3.0])
    assert_array_equal(conformal_quantiles(scores, 0.8), [np.inf])


def scale_of(x: Floats, size: Floats, k: int, floor: float) -> LocalScale:
    return LocalScale(NativeBackend().load(x, size), k, np.full(size.shape[1], floor))


def test_the_scale_of_a_row_leaves_its_own_residual_out() -> None:
    rng = np.random.default_rng(2)
    x, size = rng.random((30, 2)), rng.random((30, 2))
    scale, q = scale_of(x, size, 4, 0.5), rng.random((5, 2))
    expected = [size[naive.nearest(x, row, 4)].mean(axis=0) + 0.5 for row in q]
    assert_allclose(scale.at(q), expected, rtol=1e-12)
    others = [[i for i in naive.nearest(x, x[row], 5) if i != row] for row in range(30)]
    expected = [size[rows].mean(axis=0) + 0.5 for rows in others]
    assert_allclose(scale.at_rows(), expected, rtol=1e-12)
    assert_allclose(scale.scores(), size / expected, rtol=1e-12)


def test_rows_at_one_place_have_others_of_it() -> None:
    size = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    got = scale_of(np.zeros((5, 1)), size, 2, 0.0).at_rows()
    # Ties go to the smaller row: 0, 1 and 2, or the first two of them that are others.
    assert_allclose(got[:, 0], [2.5, 2.0, 1.5, 1.5, 1.5])


def test_the_scale_takes_as_many_rows_as_there_are() -> None:
    x, size = np.arange(3.0)[:, None], np.array([[1.0], [2.0], [6.0]])
    scale = local_scale(NativeBackend().load(x, size))
    assert scale.k == 2
    assert_allclose(scale.at_rows()[:, 0] - scale.floor[0], [4.0, 3.5, 1.5])
    assert_allclose(scale.floor, 0.3)


def test_no_residuals_give_intervals_of_no_width() -> None:
    x = np.arange(30.0)[:, None]
    scale = local_scale(NativeBackend().load(x, np.zeros((30, 1))))
    quantiles = conformal_quantiles(scale.scores(), 0.9)
    got = conformal_interval(np.ones((1, 1)), scale.at(x[:1]), quantiles, 0.9)
    assert got.lower == got.upper == 1


def test_conformal_intervals_hold_and_follow_the_noise() -> None:
    rng = np.random.default_rng(8)
    x, q = rng.random((3000, 1)), rng.random((6000, 1))
    # Residuals of a fit that is known: far from normal, and five times larger on the right.
    errors = (0.2 + 0.8 * x) * rng.standard_t(3, size=x.shape)
    truth = (0.2 + 0.8 * q) * rng.standard_t(3, size=q.shape)
    scale = local_scale(NativeBackend().load(x, np.abs(errors)))
    quantiles = conformal_quantiles(scale.scores(), 0.9)
    got = conformal_interval(np.zeros_like(q), scale.at(q), quantiles, 0.9)
    held = (got.lower <= truth) & (truth <= got.upper)
    assert 0.88 < held.mean() < 0.92
    right = q[:, 0] > 0.5
    assert 0.87 < held[right].mean() < 0.93
    assert 0.87 < held[~right].mean() < 0.93
    width = got.upper - got.lower
    assert width[right].mean() > 1.5 * width[~right].mean()
