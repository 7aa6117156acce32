"""The variance of linear smoothers against hat matrices made the obvious way."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Kernel
from service.engine.portions import SerialBlocks
from service.estimators import local_polynomial, uncertainty
from service.estimators.fits import Knn, LocalPolynomial, NadarayaWatson
from service.estimators.parts import parts
from service.estimators.uncertainty import (
    LinearFit,
    local_variance,
    residual_variance,
    squared_norms,
    variance_under,
)
from tests import naive

RNG = np.random.default_rng(17)
X = RNG.random((60, 2))
Y = np.column_stack([np.sin(4 * X[:, 0]), X[:, 1]]) + 0.1 * RNG.normal(size=(60, 2))
Q = RNG.random((9, 2))

FITS: list[LinearFit] = [
    Knn(7),
    Knn(7, "distance"),
    NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.2),
    NadarayaWatson(Kernel.UNIFORM, n_neighbors=9),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=20),
    LocalPolynomial(1, Kernel.EPANECHNIKOV, bandwidth=0.5),
    LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=0.4),
    LocalPolynomial(1, Kernel.GAUSSIAN, n_neighbors=5),
    LocalPolynomial(2, Kernel.GAUSSIAN, n_neighbors=40),
]


def rows_of(x: Floats, y: Floats) -> Resident:
    return NativeBackend().load(x, y)


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def equivalent_kernels(fit: LinearFit, q: Floats) -> Floats:
    """Return l_i(x), (m, n): what the fit makes of targets that are 1 at one row each."""
    unit = np.eye(len(X))
    match fit:
        case Knn():
            return np.array([naive.knn(X, unit, x, fit.n_neighbors, fit.weights) for x in q])
        case NadarayaWatson() | LocalPolynomial():
            degree = fit.degree if isinstance(fit, LocalPolynomial) else 0
            return np.array(
                [
                    naive.local_polynomial(
                        X,
                        unit,
                        x,
                        fit.kernel.value,
                        degree,
                        bandwidth=fit.bandwidth,
                        n_neighbors=fit.n_neighbors,
                    )
                    for x in q
                ]
            )


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_the_norms_are_those_of_the_equivalent_kernel(fit: LinearFit) -> None:
    expected = np.square(equivalent_kernels(fit, Q)).sum(axis=1)
    assert_allclose(squared_norms(rows_of(X, Y), fit, Q), expected, rtol=1e-9)


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_the_noise_of_each_row_goes_through_its_weight(fit: LinearFit) -> None:
    noise = RNG.random((60, 2))
    expected = np.square(equivalent_kernels(fit, Q)) @ noise
    assert_allclose(variance_under(rows_of(X, Y), fit, Q, noise), expected, rtol=1e-9)


@pytest.mark.parametrize("fit", [fit for fit in FITS if fit != Knn(7, "distance")], ids=str)
def test_the_residual_variance_is_that_of_the_hat_matrix(fit: LinearFit) -> None:
    hat = equivalent_kernels(fit, X)
    rest = np.eye(60) - hat
    first, second = np.trace(rest @ rest.T), np.trace(np.linalg.matrix_power(rest @ rest.T, 2))
    got = residual_variance(rows_of(X, Y), fit, None, unhurried())
    assert_allclose(got.variance, np.square(rest @ Y).sum(axis=0) / first, rtol=1e-8)
    assert_allclose(got.freedom, first**2 / second, rtol=1e-8)
    assert_allclose(got.trace, np.trace(hat), rtol=1e-9)
    assert_allclose(got.trace_of_squares, np.trace(hat.T @ hat), rtol=1e-9)
    assert (got.sampled, got.rows, got.is_estimate) == (60, 60, False)


def test_some_rows_estimate_what_all_would_say() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((3000, 1))
    y = np.sin(6 * x) + 0.2 * rng.normal(size=(3000, 1))
    rows, fit = rows_of(x, y), LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=100)
    at = np.sort(rng.choice(3000, 1000, replace=False))
    some = residual_variance(rows, fit, at, unhurried())
    every = residual_variance(rows, fit, None, unhurried())
    assert some.is_estimate
    assert not every.is_estimate
    # Four deviations of a variance from 1000 of 3000 normal residuals: 4 √(2 / 1000 · 2 / 3).
    assert_allclose(some.variance, every.variance, rtol=0.146)
    assert_allclose(some.trace, every.trace, rtol=0.05)
    assert_allclose(some.freedom, every.freedom, rtol=0.01)
    assert_allclose(every.variance, 0.04, rtol=0.1)


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_a_row_alone_says_what_it_says_among_all(fit: LinearFit) -> None:
    hat, at = equivalent_kernels(fit, X), np.array([3, 41, 7])
    got = residual_variance(rows_of(X, Y), fit, at, unhurried())
    assert_allclose(got.trace, 60 * np.diag(hat)[at].mean(), rtol=1e-8)
    assert_allclose(got.trace_of_squares, 60 * np.square(hat[at]).sum(axis=1).mean(), rtol=1e-8)
    if fit != Knn(7, "distance"):
        residual = (Y - hat @ Y)[at]
        freedom = 60 - 2 * got.trace + got.trace_of_squares
        assert_allclose(got.variance, 60 * np.square(residual).mean(axis=0) / freedom, rtol=1e-8)


def test_a_gaussian_far_off_its_rows_keeps_its_digits() -> None:
    x = np.array([[1000.0], [1000.001], [1000.002], [1000.003]])
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=500.0)
    listed = local_polynomial.predict(
        rows_of(x, x), fit, np.zeros((1, 1)), neighbor_limit=10, diagnostics=False
    ).neighbors
    assert listed is not None
    got = squared_norms(rows_of(x, x), fit, np.zeros((1, 1)))
    assert_allclose(got, [np.square(listed.weights).sum()], rtol=1e-12)


def test_degrees_of_freedom_without_the_matrix_are_near_those_with_it() -> None:
    rows, fit = rows_of(X, Y), LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=20)
    with_matrix = residual_variance(rows, fit, None, unhurried())
    without = residual_variance(rows, fit, np.arange(60), unhurried())
    assert_allclose(without.variance, with_matrix.variance, rtol=1e-12)
    assert without.trace == with_matrix.trace
    assert_allclose(without.freedom, with_matrix.freedom, rtol=0.1)


@pytest.mark.parametrize("fit", [Knn(1), Knn(5, "distance")])
def test_a_fit_through_all_rows_tells_no_noise(fit: LinearFit) -> None:
    got = residual_variance(rows_of(X, Y), fit, None, unhurried())
    assert np.isnan(got.variance).all()
    assert got.freedom == 0


def test_a_query_without_support_has_no_variance() -> None:
    fit = NadarayaWatson(Kernel.TRICUBE, bandwidth=0.1)
    q = np.array([[5.0, 5.0], [0.5, 0.5]])
    rows = rows_of(np.vstack([X, q[1:]]), np.vstack([Y, Y[:1]]))
    assert_array_equal(np.isnan(squared_norms(rows, fit, q)), [True, False])
    variance = variance_under(rows, fit, q, np.ones((61, 2)))
    assert_array_equal(np.isnan(variance), [[True, True], [False, False]])


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_listing_a_few_at_a_time_changes_no_bit(
    fit: LinearFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(X, Y)
    together = squared_norms(rows, fit, Q)
    alone = np.array([squared_norms(rows, fit, Q[i : i + 1])[0] for i in range(len(Q))])
    monkeypatch.setattr(uncertainty, "MOST_ENTRIES", 70)
    assert_array_equal(squared_norms(rows, fit, Q), together)
    assert_array_equal(alone, together)


def test_the_local_variance_is_the_mean_of_the_nearest_squares() -> None:
    errors = RNG.normal(size=(60, 2))
    expected = [np.square(errors[naive.nearest(X, x, 5)]).mean(axis=0) for x in Q]
    assert_allclose(local_variance(rows_of(X, errors), Q, 5), expected, rtol=1e-12)


def test_noise_that_grows_is_seen_to_grow() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((4000, 1))
    errors = (0.1 + x) * rng.normal(size=(4000, 1))
    got = local_variance(rows_of(x, errors), np.array([[0.1], [0.9]]), 400)
    assert_allclose(got, [[0.04], [1.0]], rtol=0.2)


def test_the_deadline_stops_the_look_at_the_rows() -> None:
    with pytest.raises(DeadlineExceeded):
        residual_variance(rows_of(X, Y), Knn(5), None, SerialBlocks(time.monotonic() - 1))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 3, 3], [(0, 2), (2, 3)]),
        ([9, 1, 1], [(0, 1), (1, 3)]),
        ([0, 0, 7], [(0, 3)]),
        ([0, 8, 8], [(0, 1), (1, 2), (2, 3)]),
        ([], []),
    ],
)
def test_parts_hold_as_many_as_fit(counts: list[int], expected: list[tuple[int, int]]) -> None:
    queries: Rows = np.array(counts, dtype=np.int64)
    assert [(part.start, part.stop) for part in parts(queries, 7)] == expected
