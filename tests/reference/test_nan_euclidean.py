"""Agreement with scikit-learn where cells are missing, whose distances are nan_euclidean."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics.pairwise import nan_euclidean_distances
from sklearn.neighbors import KNeighborsRegressor

from service.backends.native.gaps import GappedResident
from service.domain.arrays import Floats
from service.estimators.fits import Knn
from service.estimators.neighbors import predict


def some(d: int, share: float) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(d)
    x, q = rng.normal(size=(120, d)), rng.normal(size=(30, d))
    for points in (x, q):
        points[rng.random(points.shape) < share] = np.nan
        points[np.isnan(points).all(axis=1), 0] = 0.5
    return x, rng.normal(size=(120, 2)), q


@pytest.mark.parametrize("d", [2, 3, 9])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_distances(d: int, share: float) -> None:
    x, y, q = some(d, share)
    theirs = nan_euclidean_distances(q, x)
    found = GappedResident(x, y).nearest(q, len(x))
    ours = np.empty_like(theirs)
    np.put_along_axis(ours, found.rows, found.distances, axis=1)
    # They take the squares from products, which costs digits of small distances.
    assert_allclose(ours, np.where(np.isnan(theirs), np.inf, theirs), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_k_neighbors_regressor(k: int, weights: str) -> None:
    x, y, q = some(6, 0.2)
    theirs = KNeighborsRegressor(k, weights=weights, metric="nan_euclidean").fit(x, y).predict(q)
    fit = Knn(k, "distance" if weights == "distance" else "uniform")
    ours = predict(GappedResident(x, y), fit, q, neighbor_limit=None, diagnostics=False)
    assert_allclose(ours.mean, theirs, rtol=1e-9, atol=1e-12)
