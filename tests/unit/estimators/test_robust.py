"""What outliers can do to a robust fit: nothing, up to half of the rows."""

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import t as student

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Kernel
from service.domain.prediction import Status, Wanted
from service.engine.portions import SerialBlocks
from service.estimators import local_polynomial, robust
from service.estimators.fits import LocalPolynomial
from tests import naive
from tests.predicting import make_task, predict_here

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


def test_pseudovalues_are_those_of_loess() -> None:
    # The median size is 1, so that s is 6; the last row had a weight of 0 in the fit.
    mean, residual = np.arange(5.0), np.array([0.0, -1.0, 1.0, 3.0, 60.0])
    weights = np.array([1.0, 0.9, 0.8, 0.5, 0.0])
    u = residual / 6
    factor = 5 / np.sum((1 - 5 * u**2) * np.sqrt(weights))
    expected = mean + factor * weights * residual
    assert_allclose(robust.pseudovalues(mean, residual, weights), expected, rtol=1e-14)
    # A row of weight 4 has half the noise: its residual counts twice.
    residual[1] = -0.5
    got = robust.pseudovalues(mean, residual, weights, np.array([1.0, 4, 1, 1, 1]))
    assert_allclose(got, mean + factor * weights * residual, rtol=1e-14)


def test_pseudovalues_of_an_exact_fit_are_the_targets_of_the_rows_that_count() -> None:
    mean, residual = np.zeros(5), np.array([0.0, 0.0, 0.0, 5.0, 0.0])
    assert_array_equal(robust.pseudovalues(mean, residual, np.array([1.0, 1, 1, 0, 1])), mean)


@pytest.mark.parametrize("degree", [0, 1])
def test_errors_are_those_of_loess_with_the_symmetric_family(degree: int) -> None:
    """The noise by pseudovalues under the plain operator, the norms under the robust one."""
    rng = np.random.default_rng(8)
    n, level = 50, 0.8
    x = np.sort(rng.random((n, 1)), axis=0)
    y = np.sin(6 * x) + 0.1 * rng.standard_t(1.5, size=(n, 1))
    fit = LocalPolynomial(degree, Kernel.TRICUBE, n_neighbors=20, robust=3)
    rows, q = NativeBackend().load(x, y), rng.random((6, 1))
    r = robust.robustness_weights(rows, fit, 3, unhurried())[:, 0]
    assert (r < 0.1).any()

    def operator(at: Floats, row_weights: Floats) -> Floats:
        found = [
            naive.local_polynomial(
                x, np.eye(n), point, "tricube", degree, n_neighbors=20, row_weights=row_weights
            )
            for point in at
        ]
        return np.array(found)

    plain, weighed = operator(x, np.ones(n)), operator(x, r)
    mean = weighed @ y[:, 0]
    pseudo = robust.pseudovalues(mean, y[:, 0] - mean, r)
    rest = np.eye(n) - plain
    first, second = np.trace(rest @ rest.T), np.trace(rest @ rest.T @ rest @ rest.T)
    sigma = np.sqrt(np.sum((rest @ pseudo) ** 2) / first)
    expected = sigma * np.sqrt(np.square(operator(q, r)).sum(axis=1))

    wanted = Wanted(std=True, interval="confidence", level=level, slope=degree > 0)
    got = predict_here(make_task(x, y, fit, q, wanted=wanted), NativeBackend())
    assert got.deviations is not None
    assert got.noise is not None
    assert got.intervals is not None
    assert_allclose(got.noise.scale, [sigma], rtol=1e-9)
    assert got.noise.freedom is not None
    assert_allclose(got.noise.freedom, first**2 / second, rtol=1e-9)
    assert_allclose(got.deviations.estimate[:, 0], expected, rtol=1e-9)
    both = np.hypot(expected, sigma)
    assert_allclose(got.deviations.observation[:, 0], both, rtol=1e-9)
    half = student.ppf(0.5 + level / 2, first**2 / second) * expected
    assert_allclose(got.intervals.upper[:, 0] - got.mean[:, 0], half, rtol=1e-7)
    if got.slopes is not None:
        for i, point in enumerate(q):
            near = np.abs(x[:, 0] - point[0])
            h = np.sort(near)[19]
            w = r * np.clip(1 - (near / h) ** 3, 0, None) ** 3
            design = np.column_stack([np.ones(n), x[:, 0] - point[0]]) * np.sqrt(w)[:, None]
            weights = (np.linalg.pinv(design) * np.sqrt(w))[1]
            assert_allclose(got.slopes.slope[i, 0, 0], weights @ y[:, 0], rtol=1e-7)
            error = sigma * np.sqrt(np.sum(weights**2))
            assert_allclose(got.slopes.standard_error[i, 0, 0], error, rtol=1e-7)


def test_errors_do_not_grow_with_how_far_off_outliers_are() -> None:
    rng = np.random.default_rng(5)
    clean = 1 + 2 * X + 0.05 * rng.normal(size=(100, 1))
    dirty = clean.copy()
    dirty[10::10] += 1e4
    fit = replace(FIT, robust=5)
    near, far = (
        predict_here(make_task(X, y, fit, X[::9], wanted=Wanted(std=True)), NativeBackend())
        for y in (clean, dirty)
    )
    assert near.deviations is not None
    assert far.deviations is not None
    ratio = far.deviations.estimate / near.deviations.estimate
    assert ((ratio > 0.7) & (ratio < 1.6)).all()
