"""What outliers can do to a robust fit: nothing, up to half of the rows."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Kernel
from service.domain.prediction import Status
from service.engine.portions import SerialBlocks
from service.estimators import local_polynomial, robust
from service.estimators.fits import LocalPolynomial

FIT = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=30)
X = np.linspace(0, 1, 100)[:, None]


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def robust_mean(y: Floats, iterations: int) -> Floats:
    rows = NativeBackend().load(X, y)
    weights = robust.robustness_weights(rows, FIT, iterations, unhurried())
    return robust.predict(rows, FIT, weights, X, diagnostics=False).mean


def test_the_weights_are_tukeys() -> None:
    # The median size is 1, so the scale is 6.
    residual = np.array([0.0, -1.0, 1.0, 3.0, -6.0, 60.0, 0.5])
    expected = [1.0, (35 / 36) ** 2, (35 / 36) ** 2, 0.75**2, 0.0, 0.0, (1 - 1 / 144) ** 2]
    assert_allclose(robust.bisquare_weights(residual), expected, rtol=1e-14)


def test_an_exact_fit_of_most_rows_weighs_no_row_down() -> None:
    assert_array_equal(robust.bisquare_weights(np.array([0.0, 0.0, 0.0, 5.0, -1.0])), np.ones(5))


def test_no_iteration_is_the_plain_fit() -> None:
    y = np.random.default_rng(0).normal(size=(100, 1))
    plain = local_polynomial.predict(
        NativeBackend().load(X, y), FIT, X, neighbor_limit=None, diagnostics=False
    )
    assert_allclose(robust_mean(y, 0), plain.mean, rtol=0, atol=1e-12)


def test_outliers_do_not_pull_the_fit() -> None:
    rng = np.random.default_rng(5)
    clean = 1 + 2 * X + 0.05 * rng.normal(size=(100, 1))
    dirty = clean.copy()
    dirty[10::10] += 50.0
    assert np.abs(robust_mean(dirty, 0) - (1 + 2 * X)).max() > 3
    assert np.abs(robust_mean(dirty, 5) - (1 + 2 * X)).max() < 0.1


def test_each_target_has_outliers_of_its_own() -> None:
    rng = np.random.default_rng(6)
    y = np.column_stack([X[:, 0], 1 - X[:, 0]]) + 0.05 * rng.normal(size=(100, 2))
    y[20, 0] += 9.0
    y[70, 1] -= 9.0
    together = robust_mean(y, 3)
    for c in range(2):
        assert_array_equal(together[:, c], robust_mean(y[:, c : c + 1].copy(), 3)[:, 0])


def test_a_row_that_has_lost_all_in_its_reach_keeps_its_weight() -> None:
    # The rows of the pair at 9 pull each other off the line, and are both weighed down to 0.
    x = np.concatenate([np.linspace(0, 1, 40), [9.0, 9.0]])[:, None]
    y = np.concatenate([np.sin(9 * x[:40, 0]), [100.0, -100.0]])[:, None]
    rows = NativeBackend().load(x, y)
    fit = LocalPolynomial(0, Kernel.TRICUBE, bandwidth=0.2)
    weights = robust.robustness_weights(rows, fit, 4, unhurried())
    assert_array_equal(weights[40:], 0.0)
    assert (weights[:40] > 0).any()
    got = robust.predict(rows, fit, weights, np.array([[9.0], [0.5]]), diagnostics=True)
    assert np.isnan(got.mean[0, 0])
    assert np.isfinite(got.mean[1, 0])
    assert [issue.status for issue in got.issues] == [Status.NO_SUPPORT]
    assert got.diagnostics is not None
    assert got.diagnostics.support[0] == 0


def test_an_outcome_of_any_target_is_told_once() -> None:
    x = np.array([[0.0], [0.1], [0.2], [5.0], [9.0]])
    rows = NativeBackend().load(x, np.column_stack([x, x]))
    weights = np.ones((5, 2))
    weights[3, 0] = weights[4, 1] = 0.0
    fit = LocalPolynomial(0, Kernel.TRICUBE, bandwidth=0.5)
    got = robust.predict(rows, fit, weights, x, diagnostics=False)
    assert len(got.issues) == 1
    assert got.issues[0].queries.tolist() == [3, 4]
    assert_array_equal(np.isnan(got.mean[3:]), [[True, False], [False, True]])


def test_the_deadline_stops_the_iterations() -> None:
    rows = NativeBackend().load(X, X.copy())
    with pytest.raises(DeadlineExceeded):
        robust.robustness_weights(rows, FIT, 3, SerialBlocks(time.monotonic() - 1))
