"""Agreement with scikit-learn, an independent implementation, on random data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor

from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Status
from service.estimators.fits import Knn, Kriging, NadarayaWatson
from tests.predicting import Predict

DIMENSIONS = [1, 2, 5, 9]
TARGETS = [1, 3]


def data(d: int, t: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(100 * d + t)
    return rng.random((200, d)), rng.normal(size=(200, t)), rng.random((30, d))


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("t", TARGETS)
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_k_neighbors_regressor(predict: Predict, d: int, t: int, weights: str, k: int) -> None:
    x, y, q = data(d, t)
    q[0] = x[3]  # an exact hit
    expected = KNeighborsRegressor(k, weights=weights, algorithm="kd_tree").fit(x, y).predict(q)
    fit = Knn(k, "distance" if weights == "distance" else "uniform")
    assert_allclose(predict(x, y, fit, q).mean, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("t", TARGETS)
@pytest.mark.parametrize("radius", [0.05, 0.4])
def test_radius_neighbors_regressor(predict: Predict, d: int, t: int, radius: float) -> None:
    x, y, q = data(d, t)
    counts = [len(rows) for rows in RadiusNeighborsRegressor(radius).fit(x, y).radius_neighbors(
        q, return_distance=False
    )]  # fmt: skip
    found = np.array(counts) > 0
    got = predict(x, y, NadarayaWatson(Kernel.UNIFORM, bandwidth=radius), q)
    if found.any():
        expected = RadiusNeighborsRegressor(radius).fit(x, y).predict(q[found])
        assert_allclose(got.mean[found], expected, rtol=1e-10, atol=1e-12)
    # Where scikit-learn warns and answers NaN: null, with an issue that names the queries.
    assert np.isnan(got.mean[~found]).all()
    empty = [issue for issue in got.issues if issue.status is Status.NO_SUPPORT]
    named = empty[0].queries.tolist() if empty else []
    assert named == np.flatnonzero(~found).tolist()


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("t", TARGETS)
def test_kernel_ridge(predict: Predict, d: int, t: int) -> None:
    x, y, q = data(d, t)
    length_scale, alpha = 0.3, 0.5
    expected = KernelRidge(alpha=alpha, kernel="rbf", gamma=0.5 / length_scale**2).fit(x, y)
    got = predict(x, y, Kriging(Covariance.GAUSSIAN, length_scale, alpha), q)
    assert_allclose(got.mean, expected.predict(q), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("t", TARGETS)
@pytest.mark.parametrize("kernel", Covariance)
def test_gaussian_process_regressor(predict: Predict, d: int, t: int, kernel: Covariance) -> None:
    x, y, q = data(d, t)
    theirs = {
        Covariance.GAUSSIAN: RBF(0.4),
        Covariance.LAPLACIAN: Matern(0.4, nu=0.5),
        Covariance.MATERN32: Matern(0.4, nu=1.5),
        Covariance.MATERN52: Matern(0.4, nu=2.5),
    }[kernel]
    expected = GaussianProcessRegressor(theirs, alpha=0.1, optimizer=None).fit(x, y).predict(q)
    got = predict(x, y, Kriging(kernel, 0.4, 0.1), q)
    assert_allclose(got.mean, expected.reshape(len(q), t), rtol=1e-8, atol=1e-9)
