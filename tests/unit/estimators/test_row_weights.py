"""Rows with weights of their own against the obvious sums."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Status
from service.engine.portions import SerialBlocks
from service.estimators import linear, local_polynomial, neighbors
from service.estimators.fits import Knn, Kriging, Linear, LocalPolynomial
from service.estimators.gradients import slope
from service.estimators.kernels import covariance, distances
from service.estimators.leave_one_out import leave_one_out
from service.estimators.local_kriging import nearest_systems
from service.estimators.row_weights import counted, multiplied, noise_at, rows_of_least, weights_at
from service.estimators.uncertainty import residual_variance, squared_norms, variance_under
from tests import naive

RNG = np.random.default_rng(29)
X, Y = RNG.random((50, 2)), RNG.normal(size=(50, 2))
P = 0.1 + RNG.random(50)
Q = RNG.random((6, 2))
PLANE = LocalPolynomial(1, Kernel.UNIFORM, bandwidth=10.0)


def rows_of(p: Floats | None, x: Floats = X, y: Floats = Y) -> Resident:
    return NativeBackend().load(x, y, row_weights=p)


def unhurried() -> SerialBlocks:
    return SerialBlocks(np.inf)


def mean_of(rows: Resident, fit: LocalPolynomial, q: Floats) -> Floats:
    return local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False).mean


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize(("bandwidth", "n_neighbors"), [(0.6, None), (None, 30)])
def test_the_weights_multiply_those_of_the_kernel(
    kernel: Kernel, degree: int, bandwidth: float | None, n_neighbors: int | None
) -> None:
    fit = LocalPolynomial(degree, kernel, bandwidth, n_neighbors)
    for i, got in enumerate(mean_of(rows_of(P), fit, Q)):
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


def test_a_gaussian_far_away_answers_the_nearest_row_that_counts() -> None:
    x = np.arange(4.0)[:, None]
    rows = rows_of(np.array([1.0, 1.0, 1e-3, 0.0]), x, 10 * x)
    fit = LocalPolynomial(0, Kernel.GAUSSIAN, bandwidth=0.01)
    assert_allclose(mean_of(rows, fit, np.array([[9.0]])), [[20.0]])


@pytest.mark.parametrize("ratio", [1e-9, 1e-30])
def test_a_gaussian_leaves_out_no_row_that_weighs_far_more(ratio: float) -> None:
    x = np.linspace(0, 1, 2000)[:, None]
    p = np.where(x[:, 0] < 0.5, ratio, 1.0)
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.03)
    expected = naive.local_polynomial(
        x, np.cos(9 * x), np.array([0.2]), "gaussian", 1, bandwidth=0.03, row_weights=p
    )
    assert expected is not None
    got = mean_of(rows_of(p, x, np.cos(9 * x)), fit, np.array([[0.2]]))
    assert_allclose(got[0], expected, rtol=1e-6)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE])
def test_rows_that_do_not_count_are_not_counted(kernel: Kernel) -> None:
    x = np.array([[0.0], [0.1], [0.2], [1e120]])
    rows = rows_of(np.array([1.0, 1.0, 0.0, 0.0]), x, x)
    fit = LocalPolynomial(2, kernel, bandwidth=0.5)
    got = local_polynomial.predict(
        rows, fit, np.zeros((1, 1)), neighbor_limit=None, diagnostics=True
    )
    assert got.diagnostics is not None
    assert got.diagnostics.support.tolist() == [2]
    assert got.diagnostics.degree.tolist() == [1]
    assert_allclose(got.mean, [[0.0]], atol=1e-12)


def test_no_row_that_counts_is_no_support() -> None:
    none = rows_of(np.zeros(50))
    found = [
        local_polynomial.predict(
            none,
            LocalPolynomial(1, kernel, bandwidth=0.5),
            Q,
            neighbor_limit=None,
            diagnostics=True,
        )
        for kernel in (Kernel.GAUSSIAN, Kernel.TRICUBE)
    ]
    found += [
        neighbors.predict(none, Knn(3, weights), Q, neighbor_limit=9, diagnostics=True)
        for weights in ("uniform", "distance")
    ]
    for got in found:
        assert np.isnan(got.mean).all()
        assert Status.NO_SUPPORT in {issue.status for issue in got.issues}
        assert got.diagnostics is not None
        assert_array_equal(got.diagnostics.support, 0)
        assert_array_equal(got.diagnostics.effective_rows, 0)


def test_a_row_of_weight_0_at_the_query_hides_no_other() -> None:
    x = np.array([[0.0], [0.0], [1.0], [2.0]])
    rows = rows_of(np.array([0.0, 2.0, 4.0, 1.0]), x, np.array([[9.0], [1.0], [2.0], [3.0]]))
    at = np.zeros((1, 1))
    got = neighbors.predict(rows, Knn(4, "distance"), at, neighbor_limit=4, diagnostics=False)
    assert_allclose(got.mean, [[1.0]])
    near = neighbors.predict(rows, Knn(4, "distance"), at + 3, neighbor_limit=4, diagnostics=False)
    assert_allclose(near.mean, [[(1 * 3 + 4 / 2 * 2 + 2 / 3 * 1) / (1 + 4 / 2 + 2 / 3)]])


def test_rows_far_off_the_query_keep_their_digits() -> None:
    x = np.array([[1000.0], [1000.001], [1000.002], [1000.003]])
    rows = rows_of(np.array([1.0, 3.0, 0.5, 1.0]), x, 3 + 2 * x)
    got = mean_of(rows, LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=500.0), np.zeros((1, 1)))
    assert_allclose(got, [[3.0]], atol=1e-5)


def test_errors_are_those_of_weighted_least_squares() -> None:
    p = np.where(np.arange(50) % 7 == 0, 0.0, P)
    expected, rows = naive.weighted_least_squares(X, Y, p), rows_of(p)
    model = linear.prepare(rows, Linear(), unhurried())
    noise = linear.residual_variance(rows, model)
    local = residual_variance(rows, PLANE, None, unhurried())
    for found in (noise, local):
        assert_allclose(found.variance, expected.variance, rtol=1e-9)
        assert_allclose(found.freedom, expected.freedom, rtol=1e-9)
        assert_allclose([found.trace, found.trace_of_squares], 3.0, rtol=1e-9)
    design = np.column_stack([np.ones(len(Q)), Q])
    errors = np.einsum("mi,ij,mj->m", design, expected.covariance, design)
    assert_allclose(linear.squared_norms(model, Q), errors, rtol=1e-9)
    assert_allclose(squared_norms(rows, PLANE, Q), errors, rtol=1e-9)
    slopes = np.sqrt(np.diag(expected.covariance)[1:])
    assert_allclose(linear.slope_norm(model), slopes, rtol=1e-9)
    assert_allclose(slope(rows, PLANE, Q).norm, np.tile(slopes, (6, 1)), rtol=1e-8)
    hat = leave_one_out(rows, Linear(), np.arange(50), blocks=unhurried()).hat_diagonal
    assert_allclose(hat, expected.hat_diagonal, atol=1e-10)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.BIWEIGHT])
def test_the_variance_is_that_of_the_weights_of_the_answer(kernel: Kernel) -> None:
    fit, rows = LocalPolynomial(1, kernel, bandwidth=0.7), rows_of(P)
    listed = local_polynomial.predict(
        rows, fit, Q, neighbor_limit=9999, diagnostics=False
    ).neighbors
    assert listed is not None
    noise, expected = 1.0 + X[:, :1], []
    for i in range(len(Q)):
        part = slice(listed.offsets[i], listed.offsets[i + 1])
        square = listed.weights[part] ** 2 / P[listed.rows[part]]
        expected.append((square.sum(), square @ noise[listed.rows[part], 0]))
    assert_allclose(squared_norms(rows, fit, Q), [one for one, _ in expected], rtol=1e-9)
    got = variance_under(rows, fit, Q, noise)[:, 0]
    assert_allclose(got, [other for _, other in expected], rtol=1e-9)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.BIWEIGHT])
def test_a_sample_of_all_rows_tells_the_noise_as_all_rows_do(kernel: Kernel) -> None:
    fit, rows = LocalPolynomial(1, kernel, bandwidth=0.7), rows_of(P)
    exact = residual_variance(rows, fit, None, unhurried())
    got = residual_variance(rows, fit, np.arange(50), unhurried())
    assert_allclose(got.variance, exact.variance, rtol=1e-9)
    assert_allclose([got.trace, got.trace_of_squares], [exact.trace, exact.trace_of_squares])


@pytest.mark.parametrize("k", [40, 130])
def test_larger_systems_of_kriging_leave_out_rows_of_weight_0_too(k: int) -> None:
    x, fit = RNG.random((200, 2)), Kriging(Covariance.MATERN52, 0.3, 0.1, k)
    p = np.where(np.arange(200) % 3 == 0, 0.0, 0.3 + RNG.random(200))
    near = rows_of(p, x, x).nearest(Q, k).rows
    found = nearest_systems(x, Q, near, fit, p).weights
    for i, rows in enumerate(near):
        counts = p[rows] > 0
        z = x[rows[counts]]
        noise = np.diag(fit.alpha / p[rows[counts]])
        matrix = covariance(fit.kernel, distances(z, z), fit.length_scale) + noise
        goal = covariance(fit.kernel, distances(z, Q[i : i + 1]), fit.length_scale)[:, 0]
        assert_allclose(found[i, counts], np.linalg.solve(matrix, goal), atol=1e-10)
        assert_array_equal(found[i, ~counts], 0.0)


def test_weights_are_multiplied_and_looked_up() -> None:
    rows, at = rows_of(np.where(np.arange(50) < 2, 0.0, P)), np.array([1, 4])
    assert rows_of(None).row_weights is None
    assert_array_equal(weights_at(rows_of(None), at), [1.0, 1.0])
    assert_array_equal(weights_at(rows, at), [0.0, P[4]])
    assert_array_equal(noise_at(rows, at), [np.inf, 1 / P[4]])
    assert_array_equal(counted(rows), np.arange(2, 50))
    assert_array_equal(counted(rows_of(None)), np.arange(50))
    assert rows_of_least(rows_of(None)) == 50
    assert_allclose(rows_of_least(rows), P[2:].sum() / P[2:].min())
    twice = multiplied(rows_of(None), 2 * P)
    assert_array_equal(multiplied(twice, P).row_weights, 2 * P * P)
    assert twice.x is X
    assert twice.nbytes == rows.nbytes
