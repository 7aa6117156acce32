"""The small systems of local kriging against NumPy, alone and side by side."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgError

from service.backends.native.backend import NativeBackend
from service.domain.kernels import Covariance
from service.estimators import local_kriging
from service.estimators.fits import Kriging
from service.estimators.local_kriging import MOST_SIDE_BY_SIDE, nearest_systems, nearest_weights
from tests import naive

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("d", [1, 2, 3, 8])
@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_the_weights_solve_each_system(kind: Covariance, d: int, k: int) -> None:
    x, q = RNG.random((60, d)), RNG.random((35, d))
    rows = NativeBackend().load(x, x[:, :1].copy()).nearest(q, k).rows
    weights, jitters = nearest_weights(x, q, rows, Kriging(kind, 0.4, 0.05, k))
    for i in range(len(q)):
        near = x[rows[i]]
        matrix = naive.covariances(near, near, kind, 0.4)
        (goal,) = naive.covariances(q[i : i + 1], near, kind, 0.4)
        expected = np.linalg.solve(matrix + 0.05 * np.eye(k), goal)
        assert_allclose(weights[i], expected, rtol=0, atol=1e-12)
    assert not jitters.any()


@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("k", [1, 3, 4, 5, 50])
def test_a_query_has_the_same_bits_alone_and_beside_others(
    kind: Covariance, d: int, k: int
) -> None:
    x, q = RNG.random((500, d)), RNG.random((70, d))
    rows = NativeBackend().load(x, x[:, :1].copy()).nearest(q, k).rows
    fit = Kriging(kind, 0.3, 1e-3, k)
    together, _ = nearest_weights(x, q, rows, fit)
    for size in (1, 2, 9, 33):
        few, _ = nearest_weights(x, q[:size], rows[:size], fit)
        assert_array_equal(few, together[:size])


@pytest.mark.parametrize("mean", ["zero", "constant"])
def test_a_large_system_is_solved_alone_with_the_same_bits_beside_others(
    mean: Literal["zero", "constant"],
) -> None:
    x, q = RNG.random((400, 3)), RNG.random((5, 3))
    k = MOST_SIDE_BY_SIDE + 20
    rows = NativeBackend().load(x, x[:, :1].copy()).nearest(q, k).rows
    fit = replace(Kriging(Covariance.MATERN52, 0.3, 1e-3, k), mean=mean)
    together = nearest_systems(x, q, rows, fit)
    for i in range(len(q)):
        alone = nearest_systems(x, q[i : i + 1], rows[i : i + 1], fit)
        assert_array_equal(alone.weights[0], together.weights[i])
        assert_array_equal(alone.variance[0], together.variance[i])


@pytest.mark.parametrize("mean", ["zero", "constant"])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_both_ways_of_solving_agree(
    monkeypatch: pytest.MonkeyPatch, k: int, mean: Literal["zero", "constant"]
) -> None:
    x, q = RNG.random((200, 2)), RNG.random((7, 2))
    rows = NativeBackend().load(x, x[:, :1].copy()).nearest(q, k).rows
    fit, p = replace(Kriging(Covariance.MATERN32, 0.4, 0.01, k), mean=mean), RNG.random(200)
    p[rows[0, :1]] = 0.0
    for row_weights in (None, p):
        side_by_side = nearest_systems(x, q, rows, fit, row_weights)
        with monkeypatch.context() as patched:
            patched.setattr(local_kriging, "MOST_SIDE_BY_SIDE", 0)
            alone = nearest_systems(x, q, rows, fit, row_weights)
        assert_allclose(alone.weights, side_by_side.weights, rtol=0, atol=1e-11)
        assert_allclose(alone.variance, side_by_side.variance, rtol=0, atol=1e-11)


@pytest.mark.parametrize("most", [0, MOST_SIDE_BY_SIDE])
def test_only_the_singular_systems_are_damped(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(local_kriging, "MOST_SIDE_BY_SIDE", most)
    x = np.concatenate([np.arange(5.0), 100 + 1e-9 * np.arange(5)])[:, None]
    q = np.array([[2.2], [100.0], [1.8]])
    rows = NativeBackend().load(x, x.copy()).nearest(q, 5).rows
    fit = Kriging(Covariance.GAUSSIAN, 1.0, 0.0, 5)
    weights, jitters = nearest_weights(x, q, rows, fit)
    assert jitters[0] == jitters[2] == 0
    assert 0 < jitters[1] <= 1e-4
    assert np.isfinite(weights).all()
    for i in range(3):
        alone, jitter = nearest_weights(x, q[i : i + 1], rows[i : i + 1], fit)
        assert_array_equal(alone[0], weights[i])
        assert jitter[0] == jitters[i]


@pytest.mark.parametrize("most", [0, MOST_SIDE_BY_SIDE])
def test_a_system_that_nothing_mends_is_an_error(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(local_kriging, "MOST_SIDE_BY_SIDE", most)
    x = np.arange(3.0)[:, None]
    with pytest.raises(LinAlgError, match="not positive definite"):
        nearest_weights(x, x[:1], np.array([[0, 1, 2]]), Kriging(Covariance.GAUSSIAN, 1, -5.0, 3))
