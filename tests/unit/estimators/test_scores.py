"""The size of errors, beside scikit-learn's, and what becomes of rows without a prediction."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from service.backends.base import Resident, Search
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.estimators.intervals import Interval
from service.estimators.scores import errors_of, held_by, intervals_by_halves, smoothing_of

RNG = np.random.default_rng(11)
Y = RNG.normal(size=(50, 2)) * [1.0, 100.0] + [0.0, 1e6]
PREDICTION = Y + RNG.normal(size=(50, 2)) * [0.5, 70.0]


def load(x: Floats, y: Floats) -> Resident:
    return NativeBackend().load(x, y, Search.TREE)


def test_the_errors_are_those_of_scikit_learn() -> None:
    found = errors_of(Y, PREDICTION)
    each = {"multioutput": "raw_values"}
    assert_allclose(found.rmse, root_mean_squared_error(Y, PREDICTION, **each), rtol=1e-12)
    assert_allclose(found.mae, mean_absolute_error(Y, PREDICTION, **each), rtol=1e-12)
    assert_allclose(found.r2, r2_score(Y, PREDICTION, **each), rtol=1e-12)
    assert found.missing == 0


def test_rows_without_a_prediction_are_counted_and_in_no_figure() -> None:
    missing = PREDICTION.copy()
    missing[[3, 17]] = np.nan
    found, rest = errors_of(Y, missing), np.delete(np.arange(50), [3, 17])
    expected = errors_of(Y[rest], PREDICTION[rest])
    assert (found.missing, expected.missing) == (2, 0)
    for name in ("rmse", "mae", "r2"):
        assert_array_equal(getattr(found, name), getattr(expected, name))


def test_without_any_prediction_there_is_no_figure() -> None:
    found = errors_of(Y, np.full_like(Y, np.nan))
    assert found.missing == 50
    assert np.isnan([found.rmse, found.mae, found.r2]).all()


def test_equal_targets_leave_nothing_to_explain() -> None:
    y = np.full((7, 1), 0.1)
    found = errors_of(y, y + 0.5)
    assert np.isnan(found.r2).all()
    assert_allclose(found.rmse, 0.5)


def test_intervals_are_counted_with_their_ends() -> None:
    y = np.array([[0.0], [1.0], [2.0], [3.0]])
    lower = np.array([[0.0], [0.0], [2.5], [np.nan]])
    upper = np.array([[1.0], [1.0], [3.0], [np.nan]])
    found = held_by(Interval(lower, upper, 0.9), y)
    assert_allclose(found.coverage, 2 / 3)
    assert_allclose(found.mean_width, 2.5 / 3)


def test_without_any_interval_there_is_no_coverage() -> None:
    nothing = np.full((4, 1), np.nan)
    found = held_by(Interval(nothing, nothing, 0.9), np.zeros((4, 1)))
    assert np.isnan([found.coverage, found.mean_width]).all()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_intervals_of_one_half_hold_the_other(level: float) -> None:
    x = RNG.random((4000, 2))
    noise = (0.1 + x[:, :1]) * RNG.standard_t(4, size=(4000, 1))
    interval = intervals_by_halves(x, np.zeros((4000, 1)), noise, level, load)
    found = held_by(interval, noise)
    assert abs(found.coverage[0] - level) < 0.025  # three deviations of 4,000 rows, twice
    # Wider where the noise is.
    width = interval.upper - interval.lower
    assert width[x[:, 0] > 0.9].mean() > 3 * width[x[:, 0] < 0.1].mean()


def test_half_of_few_rows_bounds_nothing() -> None:
    x = np.arange(4.0)[:, None]
    interval = intervals_by_halves(x, x, x, 0.9, load)
    assert_array_equal(interval.lower, np.full((4, 1), -np.inf))
    found = held_by(interval, x)
    assert (found.coverage[0], found.mean_width[0]) == (1.0, np.inf)


def test_a_half_with_a_single_residual_bounds_nothing() -> None:
    x = np.arange(3.0)[:, None]
    interval = intervals_by_halves(x, x, x, 0.1, load)
    assert np.isinf(interval.upper).sum() == 2  # those judged by the half of one row


def test_a_row_without_a_prediction_counts_as_a_large_score() -> None:
    x = np.arange(40.0)[:, None]
    residual = np.ones((40, 1))
    finite = intervals_by_halves(x, x, residual, 0.8, load)
    assert np.isfinite(finite.upper).all()
    residual[::3] = np.nan  # a third: more than the level leaves out
    unbounded = intervals_by_halves(x, x, residual, 0.8, load)
    assert np.isinf(unbounded.upper).all()


def test_the_criteria_are_the_formulae() -> None:
    n = 30
    hat = np.linalg.qr(RNG.normal(size=(n, 4)))[0]
    hat = hat @ hat.T  # of a regression on four columns: the trace is 4
    y = RNG.normal(size=(n, 2))
    residual = y - hat @ y
    found = smoothing_of(np.diag(hat), residual, n)
    assert found.trace is not None
    assert_allclose(found.trace, 4.0)
    mean_square = (residual**2).mean(axis=0)
    assert_allclose(found.gcv, mean_square / (1 - 4 / n) ** 2)
    assert_allclose(found.aicc, np.log(mean_square) + 1 + 2 * 5 / (n - 6))
