"""What weights of rows mean: a row of weight 2 is two rows, one of weight 0 none."""

from typing import Literal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Resident, Search
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Prediction
from service.engine.portions import SerialBlocks
from service.estimators import kriging, linear, local_polynomial, nadaraya_watson, neighbors
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.gradients import gradient
from service.estimators.kriging_system import Solver
from service.estimators.kriging_variance import latent_variance
from service.estimators.leave_one_out import leave_one_out
from service.estimators.quantiles import weighted_quantiles
from service.estimators.uncertainty import squared_norms

RNG = np.random.default_rng(7)
N = 60
X = RNG.random((N, 2))
Y = np.column_stack([np.sin(3 * X[:, 0]) + X[:, 1], RNG.normal(size=N)])
Q = RNG.random((9, 2))
COPIES = RNG.integers(0, 4, N)
P = 0.2 + RNG.random(N)

SMOOTHERS: list[Fit] = [
    *(NadarayaWatson(kernel, bandwidth=0.5) for kernel in Kernel),
    *(LocalPolynomial(degree, Kernel.GAUSSIAN, bandwidth=0.3) for degree in (1, 2, 3)),
    *(LocalPolynomial(degree, Kernel.TRICUBE, bandwidth=0.8) for degree in (1, 2)),
    LocalPolynomial(2, Kernel.EPANECHNIKOV, bandwidth=0.7, ridge=0.1),
]
BY_NUMBER: list[Fit] = [
    NadarayaWatson(Kernel.GAUSSIAN, n_neighbors=12),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=25),
    Knn(8),
    Knn(8, "distance"),
]
KRIGING: list[Fit] = [Kriging(kind, 0.5, 0.1) for kind in Covariance]
LOCAL_KRIGING: list[Fit] = [
    Kriging(Covariance.MATERN52, 0.5, 0.1, 14),
    Kriging(Covariance.LAPLACIAN, 0.5, 0.1, 14, mean="constant"),
]
LINEAR: list[Fit] = [Linear(), Linear("gradient_descent")]
EVERY = [*SMOOTHERS, *BY_NUMBER, *KRIGING, *LOCAL_KRIGING, *LINEAR]
SOLVERS = list(Solver)


def unhurried() -> SerialBlocks:
    return SerialBlocks(np.inf)


def rows_of(p: Floats | None, search: Search = Search.TREE) -> Resident:
    return NativeBackend().load(X, Y, search, row_weights=p)


def repeated() -> Resident:
    return NativeBackend().load(np.repeat(X, COPIES, axis=0), np.repeat(Y, COPIES, axis=0))


def predicted(
    rows: Resident, fit: Fit, q: Floats = Q, solver: Solver = Solver.CHOLESKY
) -> Prediction:
    match fit:
        case Knn():
            return neighbors.predict(rows, fit, q, neighbor_limit=10_000, diagnostics=True)
        case NadarayaWatson():
            return nadaraya_watson.predict(rows, fit, q, neighbor_limit=10_000, diagnostics=True)
        case LocalPolynomial():
            return local_polynomial.predict(rows, fit, q, neighbor_limit=10_000, diagnostics=True)
        case Kriging():
            chosen = solver if fit.n_neighbors is None else None
            return kriging.predict(
                rows, fit, kriging.prepare(rows, fit, chosen, unhurried()), q,
                neighbor_limit=10_000, diagnostics=True, blocks=unhurried(),
            )  # fmt: skip
        case Linear():
            listed = 10_000 if fit.solver == "least_squares" else None
            model = linear.prepare(rows, fit, unhurried())
            return linear.predict(rows, fit, model, q, neighbor_limit=listed, diagnostics=True)


@pytest.mark.parametrize("fit", [*SMOOTHERS, *KRIGING, *LINEAR], ids=repr)
def test_a_row_of_weight_2_is_two_rows(fit: Fit) -> None:
    got, expected = predicted(rows_of(COPIES.astype(float)), fit), predicted(repeated(), fit)
    assert_allclose(got.mean, expected.mean, rtol=1e-9, atol=1e-9)
    if isinstance(fit, Kriging):
        return
    assert got.diagnostics is not None
    assert expected.diagnostics is not None
    assert_allclose(got.diagnostics.effective_rows, expected.diagnostics.effective_rows, rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_row_of_weight_2_is_two_rows_to_every_solver(solver: Solver) -> None:
    for fit in KRIGING:
        got = predicted(rows_of(COPIES.astype(float)), fit, solver=solver)
        assert_allclose(got.mean, predicted(repeated(), fit).mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_two_rows_among_all_neighbors(weights: Literal["uniform", "distance"]) -> None:
    got = predicted(rows_of(COPIES.astype(float)), Knn(N, weights))
    every = predicted(repeated(), Knn(int(COPIES.sum()), weights))
    assert_allclose(got.mean, every.mean, rtol=1e-9, atol=1e-9)
    assert got.diagnostics is not None
    assert every.diagnostics is not None
    assert_allclose(got.diagnostics.effective_rows, every.diagnostics.effective_rows, rtol=1e-9)


@pytest.mark.parametrize("fit", [*SMOOTHERS, *LINEAR[:1]], ids=repr)
def test_variances_are_those_of_two_rows(fit: Fit) -> None:
    weighted, written = rows_of(COPIES.astype(float)), repeated()
    if isinstance(fit, Linear):
        got = linear.squared_norms(linear.prepare(weighted, fit, unhurried()), Q)
        expected = linear.squared_norms(linear.prepare(written, fit, unhurried()), Q)
    else:
        assert isinstance(fit, NadarayaWatson | LocalPolynomial)
        got, expected = squared_norms(weighted, fit, Q), squared_norms(written, fit, Q)
    assert_allclose(got, expected, rtol=1e-8)


def test_quantiles_are_those_of_two_rows() -> None:
    fit, levels = NadarayaWatson(Kernel.TRICUBE, bandwidth=0.5), (0.1, 0.5, 0.9)
    got = weighted_quantiles(rows_of(COPIES.astype(float)), fit, Q, levels)
    assert_array_equal(got, weighted_quantiles(repeated(), fit, Q, levels))


def test_the_surface_of_kriging_is_as_sure_as_with_two_rows() -> None:
    fit = Kriging(Covariance.MATERN32, 0.5, 0.1)
    got, expected = (
        latent_variance(rows, fit, solved[0], Q, unhurried())
        for rows in (rows_of(COPIES.astype(float)), repeated())
        if (solved := kriging.prepare(rows, fit, Solver.CHOLESKY, unhurried()).solved)
    )
    assert_allclose(got, expected, rtol=1e-8)


@pytest.mark.parametrize("fit", [*SMOOTHERS, *BY_NUMBER, *LINEAR], ids=repr)
def test_only_how_weights_compare_matters(fit: Fit) -> None:
    one, other = predicted(rows_of(P), fit), predicted(rows_of(1e3 * P), fit)
    assert_allclose(one.mean, other.mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fit", [*KRIGING, *LOCAL_KRIGING], ids=repr)
def test_in_kriging_weights_divide_the_noise(fit: Fit) -> None:
    assert isinstance(fit, Kriging)
    other = Kriging(fit.kernel, 0.5, 100 * fit.alpha, fit.n_neighbors, mean=fit.mean)
    got = predicted(rows_of(100 * P), other).mean
    assert_allclose(got, predicted(rows_of(P), fit).mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fit", [*SMOOTHERS, *KRIGING, *LINEAR], ids=repr)
def test_a_row_of_weight_0_is_not_there(fit: Fit) -> None:
    out = np.arange(N) % 3 == 0
    left = NativeBackend().load(X[~out], Y[~out], row_weights=P[~out])
    got, expected = predicted(rows_of(np.where(out, 0.0, P)), fit), predicted(left, fit)
    assert_allclose(got.mean, expected.mean, rtol=1e-9, atol=1e-9)
    assert got.diagnostics is not None
    assert expected.diagnostics is not None
    assert_array_equal(got.diagnostics.support, expected.diagnostics.support)


@pytest.mark.parametrize("fit", LOCAL_KRIGING, ids=repr)
def test_a_row_of_weight_0_among_the_nearest_has_no_place_in_their_system(fit: Fit) -> None:
    assert isinstance(fit, Kriging)
    nearest = rows_of(None).nearest(Q[:1], 14).rows[0]
    p = P.copy()
    p[nearest[3:]] = 0.0
    got = predicted(rows_of(p), fit, Q[:1])
    three = NativeBackend().load(X, Y, row_weights=P)
    expected = predicted(three, Kriging(fit.kernel, 0.5, 0.1, 3, mean=fit.mean), Q[:1])
    assert_allclose(got.mean, expected.mean, rtol=1e-9)
    assert got.neighbors is not None
    assert_array_equal(got.neighbors.rows, nearest[:3])


@pytest.mark.parametrize("fit", EVERY, ids=repr)
def test_weights_of_1_are_none(fit: Fit) -> None:
    got, expected = predicted(rows_of(np.ones(N)), fit), predicted(rows_of(None), fit)
    assert_allclose(got.mean, expected.mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("fit", EVERY, ids=repr)
def test_a_query_has_the_same_bits_alone_and_in_any_batch(fit: Fit, search: Search) -> None:
    rows = rows_of(np.where(np.arange(N) % 5 == 0, 0.0, P), search)
    together = predicted(rows, fit).mean
    alone = [predicted(rows, fit, Q[i : i + 1]).mean[0] for i in range(len(Q))]
    assert_array_equal(together, alone)


@pytest.mark.parametrize("fit", [f for f in EVERY if f != LINEAR[1]], ids=repr)
def test_the_weights_of_the_answer_reproduce_it(fit: Fit) -> None:
    found = predicted(rows_of(np.where(np.arange(N) % 5 == 0, 0.0, P)), fit)
    listed = found.neighbors
    assert listed is not None
    for i, mean in enumerate(found.mean):
        part = slice(listed.offsets[i], listed.offsets[i + 1])
        assert_allclose(listed.weights[part] @ Y[listed.rows[part]], mean, atol=1e-10)


@pytest.mark.parametrize("fit", [f for f in EVERY if f != LINEAR[1]], ids=repr)
def test_leave_one_out_is_the_fit_to_the_other_rows(fit: Fit) -> None:
    p = np.where(np.arange(N) % 5 == 0, 0.0, P)
    at, rows, system = np.arange(0, N, 4), rows_of(p), None
    if isinstance(fit, Kriging) and fit.n_neighbors is None:
        solved = kriging.prepare(rows, fit, Solver.CHOLESKY, unhurried()).solved
        assert solved is not None
        system = solved[0]
    found = leave_one_out(rows, fit, at, system=system, blocks=unhurried())
    for i, row in enumerate(at):
        others = np.delete(np.arange(N), row)
        left = NativeBackend().load(X[others], Y[others], row_weights=p[others])
        expected = predicted(left, fit, X[row : row + 1]).mean[0]
        assert_allclose(found.prediction[i], expected, rtol=1e-9, atol=1e-9)
        listed = predicted(rows, fit, X[row : row + 1]).neighbors
        assert listed is not None
        own = float(listed.weights[listed.rows == row].sum())
        assert_allclose(found.hat_diagonal[i], own, atol=1e-9)


SMOOTH: list[Fit] = [
    NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.3),
    LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3),
    LocalPolynomial(2, Kernel.BIWEIGHT, bandwidth=0.8),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=25),
    Knn(8, "distance"),
    *LOCAL_KRIGING,
]


@pytest.mark.parametrize("fit", SMOOTH, ids=repr)
def test_the_gradient_is_that_of_the_weighted_surface(fit: Fit) -> None:
    rows, step = rows_of(np.where(np.arange(N) % 5 == 0, 0.0, P)), 1e-6
    got = gradient(rows, fit, Q).gradient
    for j in range(2):
        ahead, behind = Q.copy(), Q.copy()
        ahead[:, j] += step
        behind[:, j] -= step
        change = predicted(rows, fit, ahead).mean - predicted(rows, fit, behind).mean
        assert_allclose(got[:, :, j], change / (2 * step), rtol=1e-5, atol=1e-6)
