"""Rows with weights of their own against the obvious sums, and against the rows written out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Status
from service.estimators import local_polynomial, row_weights
from service.estimators.fits import LocalPolynomial
from service.estimators.row_weights import Weighted
from tests import naive

RNG = np.random.default_rng(29)
X, Y = RNG.random((50, 2)), RNG.normal(size=(50, 2))
P = 0.1 + RNG.random(50)
Q = RNG.random((6, 2))


def mean_of(rows: Resident, fit: LocalPolynomial, q: Floats) -> Floats:
    return local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False).mean


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize(("bandwidth", "n_neighbors"), [(0.6, None), (None, 30)])
def test_the_weights_multiply_those_of_the_kernel(
    kernel: Kernel, degree: int, bandwidth: float | None, n_neighbors: int | None
) -> None:
    fit = LocalPolynomial(degree, kernel, bandwidth, n_neighbors)
    for i, got in enumerate(mean_of(Weighted(NativeBackend().load(X, Y), P), fit, Q)):
        expected = naive.local_polynomial(
            X,
            Y,
            Q[i],
            kernel.value,
            degree,
            bandwidth=bandwidth,
            n_neighbors=n_neighbors,
            row_weights=P,
        )
        assert expected is not None
        assert_allclose(got, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_row_of_weight_2_is_two_rows(kernel: Kernel, degree: int) -> None:
    fit = LocalPolynomial(degree, kernel, bandwidth=0.6)
    copies = RNG.integers(0, 4, 50)
    written = NativeBackend().load(np.repeat(X, copies, axis=0), np.repeat(Y, copies, axis=0))
    weighted = Weighted(NativeBackend().load(X, Y), copies.astype(np.float64))
    assert_allclose(mean_of(weighted, fit, Q), mean_of(written, fit, Q), rtol=1e-8, atol=1e-10)


def test_a_gaussian_far_away_answers_the_nearest_row_that_counts() -> None:
    x = np.arange(4.0)[:, None]
    rows = Weighted(NativeBackend().load(x, 10 * x), np.array([1.0, 1.0, 1e-3, 0.0]))
    fit = LocalPolynomial(0, Kernel.GAUSSIAN, bandwidth=0.01)
    assert_allclose(mean_of(rows, fit, np.array([[9.0]])), [[20.0]])


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE])
def test_rows_that_do_not_count_are_not_counted(kernel: Kernel) -> None:
    x = np.array([[0.0], [0.1], [0.2], [1e120]])
    rows = Weighted(NativeBackend().load(x, x), np.array([1.0, 1.0, 0.0, 0.0]))
    fit = LocalPolynomial(2, kernel, bandwidth=0.5)
    got = local_polynomial.predict(
        rows, fit, np.zeros((1, 1)), neighbor_limit=None, diagnostics=True
    )
    assert got.diagnostics is not None
    assert got.diagnostics.support.tolist() == [2]
    assert got.diagnostics.degree.tolist() == [1]
    assert_allclose(got.mean, [[0.0]], atol=1e-12)


def test_no_row_that_counts_is_no_support() -> None:
    for kernel in (Kernel.GAUSSIAN, Kernel.TRICUBE):
        rows = Weighted(NativeBackend().load(X, Y), np.zeros(50))
        fit = LocalPolynomial(1, kernel, bandwidth=0.5)
        got = local_polynomial.predict(rows, fit, Q, neighbor_limit=None, diagnostics=True)
        assert np.isnan(got.mean).all()
        assert Status.NO_SUPPORT in {issue.status for issue in got.issues}
        assert got.diagnostics is not None
        assert_array_equal(got.diagnostics.support, 0)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE])
def test_queries_a_few_at_a_time_have_the_same_bits(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Weighted(NativeBackend().load(X, Y), P)
    fit = LocalPolynomial(2, kernel, bandwidth=0.5)
    together = mean_of(rows, fit, Q)
    monkeypatch.setattr(row_weights, "MOST_ENTRIES", 60)
    assert_array_equal(mean_of(rows, fit, Q), together)


def test_rows_far_off_the_query_keep_their_digits() -> None:
    x = np.array([[1000.0], [1000.001], [1000.002], [1000.003]])
    rows = Weighted(NativeBackend().load(x, 3 + 2 * x), np.array([1.0, 3.0, 0.5, 1.0]))
    got = mean_of(rows, LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=500.0), np.zeros((1, 1)))
    assert_allclose(got, [[3.0]], atol=1e-5)


def test_what_would_pass_over_the_weights_is_refused() -> None:
    rows = Weighted(NativeBackend().load(X, Y), P)
    with pytest.raises(TypeError, match="moments only"):
        rows.within(Q, np.ones(6))
    with pytest.raises(TypeError, match="moments only"):
        rows.product(Q, Covariance.GAUSSIAN, 1.0, Y)
    with pytest.raises(TypeError, match="moments only"):
        rows.expansion(Covariance.GAUSSIAN, 1.0, Y)
    with pytest.raises(TypeError, match="moments only"):
        rows.single_products(Covariance.GAUSSIAN, 1.0)


def test_it_holds_the_rows_and_its_weights() -> None:
    rows = NativeBackend().load(X, Y)
    weighted = Weighted(rows, P)
    assert weighted.x is rows.x
    assert weighted.y is rows.y
    assert weighted.nbytes == rows.nbytes + P.nbytes
    assert_array_equal(weighted.nearest(Q, 3).rows, rows.nearest(Q, 3).rows)
