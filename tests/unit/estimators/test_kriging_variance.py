"""The variance of kriging against the textbook's inverse, and never below 0."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.engine.portions import SerialBlocks
from service.estimators import kriging_variance
from service.estimators.fits import Kriging
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import Solver, System, solve_system
from service.estimators.kriging_variance import latent_variance, signal_variance
from tests import naive

RNG = np.random.default_rng(23)
X, Q = RNG.random((40, 2)), RNG.random((7, 2))


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def rows_of(x: Floats) -> Resident:
    return NativeBackend().load(x, x[:, :1].copy())


def system_of(rows: Resident, fit: Kriging, solver: Solver = Solver.CHOLESKY) -> System:
    return solve_system(rows, fit.kernel, fit.length_scale, fit.alpha, solver, unhurried())


def expected_variance(x: Floats, q: Floats, fit: Kriging) -> float:
    matrix = naive.covariances(x, x, fit.kernel, fit.length_scale)
    (k,) = naive.covariances(q[None], x, fit.kernel, fit.length_scale)
    return float(1.0 - k @ np.linalg.solve(matrix + fit.alpha * np.eye(len(x)), k))


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("solver", Solver)
def test_the_variance_over_all_rows(kind: Covariance, solver: Solver) -> None:
    fit, rows = Kriging(kind, 0.4, 0.05), rows_of(X)
    got = latent_variance(rows, fit, system_of(rows, fit, solver), Q, unhurried())
    assert_allclose(got, [expected_variance(X, q, fit) for q in Q], rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", Covariance)
def test_the_variance_over_the_nearest_rows(kind: Covariance) -> None:
    fit = Kriging(kind, 0.4, 0.05, 9)
    got = latent_variance(rows_of(X), fit, None, Q, unhurried())
    expected = [expected_variance(X[naive.nearest(X, q, 9)], q, fit) for q in Q]
    assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_all_rows_as_the_nearest_are_all_rows() -> None:
    fit, rows = Kriging(Covariance.MATERN52, 0.4, 0.01), rows_of(X)
    over_all = latent_variance(rows, fit, system_of(rows, fit), Q, unhurried())
    nearest = Kriging(Covariance.MATERN52, 0.4, 0.01, 40)
    assert_allclose(latent_variance(rows, nearest, None, Q, unhurried()), over_all, atol=1e-11)


def test_queries_a_few_at_a_time_have_the_same_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, rows = Kriging(Covariance.GAUSSIAN, 0.4, 0.01), rows_of(X)
    system = system_of(rows, fit)
    together = latent_variance(rows, fit, system, Q, unhurried())
    monkeypatch.setattr(kriging_variance, "MOST_ENTRIES", 80)
    assert_allclose(latent_variance(rows, fit, system, Q, unhurried()), together, rtol=0, atol=0)


@pytest.mark.parametrize("n_neighbors", [None, 30])
@pytest.mark.parametrize("alpha", [0.0, 1e-12, 1e-8])
def test_a_nearly_singular_system_has_no_negative_variance(
    n_neighbors: int | None, alpha: float
) -> None:
    x = np.linspace(0, 1, 60)[:, None]
    fit, rows = Kriging(Covariance.GAUSSIAN, 2.0, alpha, n_neighbors), rows_of(x)
    system = system_of(rows, fit) if n_neighbors is None else None
    got = latent_variance(rows, fit, system, np.linspace(0, 1, 50)[:, None], unhurried())
    assert (got >= 0).all()
    assert (got < 1e-6).all()


def test_the_variance_is_0_at_a_row_without_noise_and_1_far_away() -> None:
    fit, rows = Kriging(Covariance.MATERN32, 0.3, 0.0), rows_of(X)
    q = np.vstack([X[:1], [[50.0, 50.0]]])
    got = latent_variance(rows, fit, system_of(rows, fit), q, unhurried())
    assert_allclose(got, [0.0, 1.0], atol=1e-12)


def test_the_signal_variance_is_found_again() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(600))[:, None]
    alpha, tau_sq = 0.1, np.array([4.0, 0.25])
    matrix = covariance(Covariance.MATERN32, distances(x, x), 0.1) + alpha * np.eye(600)
    y = np.linalg.cholesky(matrix) @ rng.normal(size=(600, 2)) * np.sqrt(tau_sq)
    inverse = np.linalg.inv(matrix)
    diagonal = np.diag(inverse)
    got = signal_variance(inverse @ y / diagonal[:, None], 1.0 / diagonal)
    assert_allclose(got, tau_sq, rtol=0.15)
