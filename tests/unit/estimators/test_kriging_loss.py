"""The loss against the predictions of local kriging, its gradient against differences."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.engine.portions import SerialBlocks
from service.estimators.fits import Kriging
from service.estimators.kriging_loss import Loss, loss
from service.estimators.leave_one_out import predicted_by_others
from service.estimators.others import Others

MATRIX = np.array([[1.5, 0.2, -0.1], [0.1, 0.8, 0.3], [0.0, -0.2, 2.0]])
AT = np.arange(0, 80, 3)


def sample() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1)
    x = rng.random((80, 3))
    return x, np.column_stack([np.sin(3 * x).sum(axis=1), x[:, 0] + 0.3 * rng.normal(size=80)])


def weights() -> Floats:
    return 0.2 + np.random.default_rng(2).random(80)


def loss_at(
    matrix: Floats, alpha: float, kind: Covariance, row_weights: Floats | None = None
) -> Loss:
    x, y = sample()
    # The neighbours of the first matrix, whatever the matrix is.
    z = x @ MATRIX.T
    neighbors = Others(NativeBackend().load(z, y), AT).nearest(z[AT], 12).rows
    noise = None if row_weights is None else 1.0 / row_weights
    blocks = SerialBlocks(time.monotonic() + 60)
    return loss(x, y, AT, neighbors, matrix, kind, alpha, blocks, noise)


def slope(f: Callable[[float], float]) -> float:
    h = 1e-5
    return (f(h) - f(-h)) / (2 * h)


@pytest.mark.parametrize("row_weights", [None, weights()], ids=["alike", "weights"])
@pytest.mark.parametrize("kind", Covariance)
def test_it_is_the_predictive_density_of_local_kriging(
    kind: Covariance, row_weights: Floats | None
) -> None:
    x, y = sample()
    rows = NativeBackend().load(x @ MATRIX.T, y, row_weights=row_weights)
    fit = Kriging(kind, 1.0, 0.05, n_neighbors=12, mean="constant")
    prediction, variance = predicted_by_others(rows, fit, AT)
    assert variance is not None
    signal = np.mean((y[AT] - prediction) ** 2 / variance[:, None], axis=0)
    expected = 0.5 * np.log(signal).mean() + 0.5 * np.log(variance).mean()
    assert_allclose(loss_at(MATRIX, 0.05, kind, row_weights).value, expected, rtol=1e-10)


@pytest.mark.parametrize("row_weights", [None, weights()], ids=["alike", "weights"])
@pytest.mark.parametrize("kind", Covariance)
def test_the_gradient_by_the_matrix_is_a_central_difference(
    kind: Covariance, row_weights: Floats | None
) -> None:
    got = loss_at(MATRIX, 0.05, kind, row_weights).by_matrix
    for i in range(3):
        for j in range(3):
            unit = np.zeros((3, 3))
            unit[i, j] = 1.0

            def along(h: float, unit: Floats = unit) -> float:
                return loss_at(MATRIX + h * unit, 0.05, kind, row_weights).value

            assert_allclose(got[i, j], slope(along), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row_weights", [None, weights()], ids=["alike", "weights"])
@pytest.mark.parametrize("kind", Covariance)
def test_the_gradient_by_the_noise_is_a_central_difference(
    kind: Covariance, row_weights: Floats | None
) -> None:
    expected = slope(lambda h: loss_at(MATRIX, 0.05 * np.exp(h), kind, row_weights).value)
    assert_allclose(loss_at(MATRIX, 0.05, kind, row_weights).by_log_alpha, expected, rtol=1e-6)
