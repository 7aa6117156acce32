"""Quantiles of the rows behind an estimate."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.estimators import uncertainty
from service.estimators.fits import Knn, LocalPolynomial, NadarayaWatson
from service.estimators.quantiles import weighted_quantiles
from service.estimators.uncertainty import LinearFit, equivalent_kernels

RNG = np.random.default_rng(41)
X = RNG.random((70, 2))
Y = RNG.normal(size=(70, 2))
Q = RNG.random((6, 2))
LEVELS = (0.1, 0.5, 0.75, 0.9)


def rows_of(x: Floats, y: Floats) -> Resident:
    return NativeBackend().load(x, y)


def naive_quantile(y: Floats, weights: Floats, level: float) -> float:
    """Return the smallest y up to which the positive weights have the share `level`."""
    kept = np.maximum(weights, 0)
    for candidate in sorted(y[kept > 0]):
        if kept[y <= candidate].sum() >= level * kept.sum() * (1 - 1e-12):
            return float(candidate)
    raise AssertionError("the largest has all of it")


@pytest.mark.parametrize("k", [1, 5, 8, 10])
def test_those_of_a_plain_mean_are_the_sample_quantiles(k: int) -> None:
    rows = rows_of(X, Y)
    got = weighted_quantiles(rows, Knn(k), Q, LEVELS)
    y = Y[rows.nearest(Q, k).rows]
    expected = np.quantile(y, LEVELS, axis=1, method="inverted_cdf")
    assert_array_equal(got, expected.transpose(1, 0, 2))


@pytest.mark.parametrize(
    "fit",
    [
        Knn(9, "distance"),
        NadarayaWatson(Kernel.GAUSSIAN, 0.2),
        LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=20),
        LocalPolynomial(2, Kernel.EPANECHNIKOV, bandwidth=0.6),
    ],
    ids=str,
)
def test_each_is_the_first_y_with_the_share(fit: LinearFit) -> None:
    rows = rows_of(X, Y)
    got = weighted_quantiles(rows, fit, Q, LEVELS)
    ((_, listed, _),) = equivalent_kernels(rows, fit, Q)
    for i in range(len(Q)):
        near = slice(listed.offsets[i], listed.offsets[i + 1])
        for c in range(2):
            y, weights = Y[listed.rows[near], c], listed.weights[near]
            assert got[i, :, c].tolist() == [naive_quantile(y, weights, v) for v in LEVELS]


def test_no_support_has_no_quantile(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, q = NadarayaWatson(Kernel.TRICUBE, 0.1), np.vstack([[[9.0, 9.0]], X[:2]])
    rows = rows_of(X, Y)
    together = weighted_quantiles(rows, fit, q, LEVELS)
    assert np.isnan(together[0]).all()
    assert not np.isnan(together[1:]).any()
    monkeypatch.setattr(uncertainty, "MOST_ENTRIES", 1)
    assert_array_equal(weighted_quantiles(rows, fit, q, LEVELS), together)
