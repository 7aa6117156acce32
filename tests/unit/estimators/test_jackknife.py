"""Every f₋ᵢ(x) is that of a fit to the rows without i, and the intervals hold."""

import time
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.engine.portions import SerialBlocks
from service.estimators import jackknife, kriging, local_polynomial, nadaraya_watson, neighbors
from service.estimators.fits import Knn, Kriging, LocalPolynomial, NadarayaWatson
from service.estimators.jackknife import jackknife_plus, kriging_without, predictions_without
from service.estimators.kriging_system import Solver

LocalFit: TypeAlias = Knn | NadarayaWatson | LocalPolynomial | Kriging

N = 30


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def refitted(x: Floats, y: Floats, fit: LocalFit, q: Floats) -> Floats:
    """Return the prediction of the fit to these rows, on as many neighbours as there are."""
    if fit.n_neighbors is not None:
        fit = replace(fit, n_neighbors=min(fit.n_neighbors, len(x)))
    rows = NativeBackend().load(np.ascontiguousarray(x), np.ascontiguousarray(y))
    match fit:
        case Knn():
            found = neighbors.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)
        case NadarayaWatson():
            found = nadaraya_watson.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)
        case LocalPolynomial():
            found = local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)
        case Kriging():
            solver = Solver.CHOLESKY if fit.n_neighbors is None else None
            kept = kriging.prepare(rows, fit, solver, unhurried())
            found = kriging.predict(
                rows, fit, kept, q, neighbor_limit=None, diagnostics=False, blocks=unhurried()
            )
    return found.mean


def check(fit: LocalFit, d: int, rtol: float = 1e-8) -> None:
    rng = np.random.default_rng(d)
    x, y = rng.random((N, d)), rng.normal(size=(N, 2))
    q = np.vstack([rng.random((5, d)), x[:2]])
    at = rng.choice(N, 17, replace=False)
    got = predictions_without(NativeBackend().load(x, y), fit, q, at)
    assert got.shape == (7, 17, 2)
    for place, i in enumerate(at):
        others = np.arange(N) != i
        assert_allclose(got[:, place], refitted(x[others], y[others], fit, q), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(
    "fit",
    [
        Knn(1),
        Knn(6),
        Knn(6, "distance"),
        Knn(29),
        Knn(30, "distance"),
        Kriging(Covariance.MATERN32, 0.5, 0.1, 6),
        Kriging(Covariance.GAUSSIAN, 0.5, 0.01, 30),
    ],
    ids=str,
)
def test_the_nearest_rows_without_each(fit: LocalFit, d: int) -> None:
    check(fit, d)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize(
    ("bandwidth", "n_neighbors", "ridge"),
    [(0.6, None, 0.0), (None, 18, 0.0), (None, 30, 0.0), (None, 6, 0.1), (0.6, None, 0.1)],
)
def test_smoothers_without_each(
    kernel: Kernel, degree: int, d: int, bandwidth: float | None, n_neighbors: int | None,
    ridge: float,
) -> None:  # fmt: skip
    check(LocalPolynomial(degree, kernel, bandwidth, n_neighbors, ridge), d)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE])
def test_the_weighted_mean_without_each(kernel: Kernel) -> None:
    check(NadarayaWatson(kernel, n_neighbors=8), 2)


def test_a_few_pairs_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jackknife, "MOST_ENTRIES", 40)
    check(LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=15), 2)
    check(Knn(6, "distance"), 2)


def test_a_query_whose_only_row_goes_has_no_prediction() -> None:
    x = np.array([[0.0], [0.1], [5.0]])
    rows, fit = NativeBackend().load(x, x), NadarayaWatson(Kernel.TRICUBE, bandwidth=0.5)
    got = predictions_without(rows, fit, np.array([[5.1]]), np.arange(3))
    assert_allclose(got[0, :, 0], [5.0, 5.0, np.nan])


def test_kriging_over_all_rows_without_each() -> None:
    rng = np.random.default_rng(9)
    x, y, q = rng.random((N, 2)), rng.normal(size=(N, 2)), rng.random((5, 2))
    fit = Kriging(Covariance.MATERN52, 0.5, 0.1)
    rows = NativeBackend().load(x, y)
    kept = kriging.prepare(rows, fit, Solver.CHOLESKY, unhurried())
    assert kept.solved is not None
    system, _ = kept.solved
    residual = system.solution / np.diag(system.solve(np.eye(N), unhurried()))[:, None]
    listed = kriging.predict(
        rows, fit, kept, q, neighbor_limit=10**6, diagnostics=False, blocks=unhurried()
    )
    assert listed.neighbors is not None
    weights = np.empty((5, N))
    np.put_along_axis(
        weights, listed.neighbors.rows.reshape(5, N), listed.neighbors.weights.reshape(5, N), axis=1
    )
    got = kriging_without(listed.mean, weights, residual)
    for i in range(N):
        others = np.arange(N) != i
        assert_allclose(got[:, i], refitted(x[others], y[others], fit, q), rtol=1e-9, atol=1e-10)


def test_a_fit_that_no_row_moves_gives_the_conformal_interval() -> None:
    rng = np.random.default_rng(1)
    scores, mean, scale = rng.random((19, 2)), rng.random((4, 2)), 1 + rng.random((4, 2))
    without = np.repeat(mean[:, None], 19, axis=1)
    got = jackknife_plus(without, scores, scale, 0.9)
    half = np.sort(scores, axis=0)[17] * scale
    assert_allclose(got.lower, mean - half, rtol=1e-12)
    assert_allclose(got.upper, mean + half, rtol=1e-12)


def test_the_ends_are_the_ranks_of_the_definition() -> None:
    rng = np.random.default_rng(2)
    without, scores = rng.normal(size=(3, 19, 1)), rng.random((19, 1))
    got = jackknife_plus(without, scores, np.ones((3, 1)), 0.9)
    # ⌊0.1 · 20⌋ = 2 and ⌈0.9 · 20⌉ = 18, from 1.
    assert_array_equal(got.lower, np.sort(without - scores, axis=1)[:, 1])
    assert_array_equal(got.upper, np.sort(without + scores, axis=1)[:, 17])


def test_few_rows_or_none_without_bound_nothing() -> None:
    without = np.zeros((1, 8, 1))
    got = jackknife_plus(without, np.ones((8, 1)), np.ones((1, 1)), 0.9)
    assert (got.lower[0, 0], got.upper[0, 0]) == (-np.inf, np.inf)
    without = np.zeros((1, 9, 1))
    without[0, 4] = np.nan
    got = jackknife_plus(without, np.ones((9, 1)), np.ones((1, 1)), 0.9)
    assert (got.lower[0, 0], got.upper[0, 0]) == (-np.inf, np.inf)
    got = jackknife_plus(without, np.ones((9, 1)), np.ones((1, 1)), 0.8)
    assert (got.lower[0, 0], got.upper[0, 0]) == (-1.0, 1.0)


def test_intervals_hold_for_a_fit_that_passes_through_its_rows() -> None:
    """One neighbour has no residuals in sample at all; those of leave-one-out still hold."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, q = rng.random((80, 1)), rng.random((100, 1))
        y, truth = (np.sin(6 * z) + rng.standard_t(3, size=z.shape) for z in (x, q))
        rows, fit = NativeBackend().load(x, y), Knn(1)
        own = predictions_without(rows, fit, x, np.arange(80))
        size = np.abs(y - own[np.arange(80), np.arange(80)])
        without = predictions_without(rows, fit, q, np.arange(80))
        got = jackknife_plus(without, size, np.ones((100, 1)), 0.9)
        held.append(np.mean((got.lower <= truth) & (truth <= got.upper)))
    assert 0.88 < np.mean(held) < 0.92
