"""Local kriging with a constant mean, against the bordered system that defines it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance
from service.domain.prediction import Status
from service.estimators.fits import Kriging
from service.estimators.local_kriging import nearest_systems
from tests import naive
from tests.predicting import make_task, predict_here

RNG = np.random.default_rng(6)
X, Q = RNG.random((80, 3)), RNG.random((40, 3))


def nearest(q: Floats, k: int) -> Rows:
    return NativeBackend().load(X, X[:, :1].copy()).nearest(q, k).rows


def bordered(near: Floats, q: Floats, kind: Covariance, scale: float, alpha: float) -> Floats:
    """Solve [[K + αI, 1], [1ᵀ, 0]] [w, -λ] = [k(x), 1]; return w and the variance left."""
    k = len(near)
    matrix = np.ones((k + 1, k + 1))
    matrix[k, k] = 0.0
    matrix[:k, :k] = naive.covariances(near, near, kind, scale) + alpha * np.eye(k)
    goal = np.append(naive.covariances(q[None], near, kind, scale), 1.0)
    solution = np.linalg.solve(matrix, goal)
    return np.append(solution[:k], 1.0 - solution @ goal)


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_weights_and_variance_solve_the_bordered_system(kind: Covariance, k: int) -> None:
    rows = nearest(Q, k)
    got = nearest_systems(X, Q, rows, Kriging(kind, 0.4, 0.05, k, mean="constant"))
    expected = np.array([bordered(X[rows[i]], q, kind, 0.4, 0.05) for i, q in enumerate(Q)])
    assert_allclose(got.weights, expected[:, :k], rtol=0, atol=1e-12)
    assert_allclose(got.variance, expected[:, k], rtol=0, atol=1e-12)
    assert_allclose(got.weights.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("kind", Covariance)
def test_with_mean_zero_the_variance_is_what_the_weights_do_not_explain(kind: Covariance) -> None:
    rows = nearest(Q, 12)
    got = nearest_systems(X, Q, rows, Kriging(kind, 0.4, 0.05, 12))
    for i, q in enumerate(Q):
        (goal,) = naive.covariances(q[None], X[rows[i]], kind, 0.4)
        assert_allclose(got.variance[i], 1.0 - goal @ got.weights[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("k", [1, 7, 50])
def test_a_query_has_the_same_bits_alone_and_beside_others(kind: Covariance, k: int) -> None:
    rows, fit = nearest(Q, k), Kriging(kind, 0.3, 1e-3, k, mean="constant")
    together = nearest_systems(X, Q, rows, fit)
    for size in (1, 2, 9, 33):
        few = nearest_systems(X, Q[:size], rows[:size], fit)
        assert_array_equal(few.weights, together.weights[:size])
        assert_array_equal(few.variance, together.variance[:size])


def test_a_constant_stays_constant_far_from_the_rows() -> None:
    far = Q + 100.0
    rows, fit = nearest(far, 10), Kriging(Covariance.MATERN52, 0.3, 0.1, 10, mean="constant")
    weights = nearest_systems(X, far, rows, fit).weights
    assert_allclose(weights @ np.full(10, 7.0), 7.0, rtol=1e-12)
    # Nothing is known there but the mean: its own variance is added to that of the surface.
    assert (nearest_systems(X, far, rows, fit).variance > 1.0).all()


def test_far_from_the_rows_the_advice_names_their_mean() -> None:
    fit = Kriging(Covariance.MATERN52, 0.3, 0.1, 10, mean="constant")
    got = predict_here(make_task(X, X[:, :1].copy(), fit, X[:1] + 100.0), NativeBackend())
    (issue,) = [issue for issue in got.issues if issue.status is Status.EXTRAPOLATED]
    assert "mean of the nearest rows" in issue.advice
