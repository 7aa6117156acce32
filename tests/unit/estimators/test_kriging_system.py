"""Every solver gives the same solution, says what it did, and stops when it is told to."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgError

from service.backends.native.backend import NativeBackend, NativeResident
from service.backends.native.single_products import NativeSingleProducts, Singles
from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Covariance
from service.domain.prediction import Status
from service.engine.portions import SerialBlocks
from service.engine.workers.thread import ThreadBlocks
from service.estimators import (
    dense_system,
    iterative_system,
    kriging,
    kriging_system,
    spread_factor,
)
from service.estimators.fits import Kriging
from service.estimators.kernels import distances
from service.estimators.kriging_system import (
    DENSE_ROWS,
    MILD_ALPHA,
    MILD_ROWS,
    Solver,
    System,
    preferred_solver,
    solve_system,
)
from tests import naive

RNG = np.random.default_rng(11)


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def solved(
    x: Floats, y: Floats, kind: Covariance, length_scale: float, alpha: float, solver: Solver
) -> System:
    rows = NativeBackend().load(x, y)
    return solve_system(rows, kind, length_scale, alpha, solver, unhurried())


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("kind", Covariance)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 3), (150, 1), (300, 2), (200, 5)])
def test_every_solver_solves_the_system(solver: Solver, kind: Covariance, n: int, d: int) -> None:
    x, y = RNG.random((n, d)), RNG.normal(size=(n, 2))
    got = solved(x, y, kind, 0.3, 0.05, solver)
    matrix = naive.covariances(x, x, kind, 0.3) + 0.05 * np.eye(n)
    assert_allclose(got.solution, np.linalg.solve(matrix, y), rtol=1e-8, atol=1e-8)
    assert got.report.jitter == 0
    true = np.linalg.norm(matrix @ got.solution - y, axis=0) / np.linalg.norm(y, axis=0)
    assert got.report.relative_residual <= 1e-10
    if got.report.method == "low_rank":
        assert got.report.relative_residual >= true.max() - 1e-13, "a bound, not an estimate"
    else:
        assert_allclose(got.report.relative_residual, true.max(), atol=1e-13, rtol=0.1)
    other = RNG.normal(size=(n, 3))
    assert_allclose(matrix @ got.solve(other, unhurried()), other, atol=1e-9)


def test_a_smooth_covariance_is_solved_by_its_rank_alone() -> None:
    x = RNG.random((3000, 1))
    got = solved(x, np.sin(6 * x), Covariance.GAUSSIAN, 0.1, 1.0, Solver.LOW_RANK)
    assert (got.report.method, got.report.iterations) == ("low_rank", 0)
    assert got.report.relative_residual < 1e-10
    assert got.nbytes < 8 * 3000 * 60


@pytest.mark.parametrize(("alpha", "d"), [(0.1, 1), (1.0, 1), (1.0, 2)])
def test_the_residual_of_a_partial_factor_is_bounded_without_a_product(
    alpha: float, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Floats:
        raise AssertionError("a product was taken")

    monkeypatch.setattr(NativeResident, "expansion", refuse)
    x, y = RNG.random((2000, d)), RNG.normal(size=(2000, 1))
    got = solved(x, y, Covariance.GAUSSIAN, 0.3, alpha, Solver.LOW_RANK)
    matrix = np.exp(-(distances(x, x) ** 2) / (2 * 0.3**2)) + alpha * np.eye(2000)
    true = np.linalg.norm(matrix @ got.solution - y) / np.linalg.norm(y)
    assert true - 1e-13 <= got.report.relative_residual <= 1e-8


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 10.0])
def test_changes_found_in_single_precision_end_at_the_true_residual(alpha: float) -> None:
    """1e-9 is beyond 32-bit floats: there the products are 64-bit ones."""
    x = 1e5 + RNG.random((900, 2))
    y = np.sin(6 * x[:, :1]) + 1e-200
    got = solved(x, y, Covariance.LAPLACIAN, 0.1, alpha, Solver.CONJUGATE_GRADIENT)
    matrix = np.exp(-distances(x, x) / 0.1) + alpha * np.eye(900)
    true = np.linalg.norm(matrix @ got.solution - y) / np.linalg.norm(y)
    assert got.report.method == "conjugate_gradient"
    assert_allclose(got.report.relative_residual, true, atol=1e-13, rtol=0.1)
    assert true <= 1e-10
    tiny = solved(x, 1e-100 * y, Covariance.LAPLACIAN, 0.1, alpha, Solver.CONJUGATE_GRADIENT)
    assert_allclose(1e100 * tiny.solution, got.solution, rtol=1e-7, atol=1e-7)


def test_products_that_mislead_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a change found in 32-bit floats does not help, 64-bit products finish the work."""
    calls = 0
    share = NativeSingleProducts.share

    def wrong(self: NativeSingleProducts, index: int, tiled: Singles) -> Floats:
        nonlocal calls
        calls += 1
        return 0.2 * share(self, index, tiled)

    monkeypatch.setattr(NativeSingleProducts, "share", wrong)
    x, y = RNG.random((600, 2)), RNG.normal(size=(600, 1))
    got = solved(x, y, Covariance.LAPLACIAN, 0.1, 0.5, Solver.CONJUGATE_GRADIENT)
    assert calls > 0
    assert got.report.relative_residual <= 1e-10


def test_a_factor_is_right_in_memory_that_held_no_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = RNG.random((600, 2))
    monkeypatch.setattr(np, "empty", lambda shape: np.full(shape, np.inf))
    with np.errstate(all="raise"):
        factor = dense_system.factorise(x, Covariance.MATERN32, 0.3, 0.1, unhurried())
    assert np.isfinite(np.tril(factor.lower)).all()


def test_where_the_rank_is_large_the_iteration_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kriging_system, "MOST_RANK", 5)
    x, y = RNG.random((600, 2)), RNG.normal(size=(600, 1))
    got = solved(x, y, Covariance.GAUSSIAN, 0.2, 0.1, Solver.LOW_RANK)
    assert got.report.method == "conjugate_gradient"
    assert got.report.iterations > 0
    assert got.report.relative_residual < 1e-8


def test_an_iteration_at_its_cap_is_reported_with_its_residual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iterative_system, "MAX_ITERATIONS", 2)
    monkeypatch.setattr(spread_factor, "LEAST_RANK", 2)
    monkeypatch.setattr(spread_factor, "RANK_SHARE", 0.1)
    rows = NativeBackend().load(RNG.random((300, 2)), RNG.normal(size=(300, 1)))
    fit, blocks = Kriging(Covariance.LAPLACIAN, 0.5, 1e-6), unhurried()
    coefficients = kriging.prepare(rows, fit, Solver.CONJUGATE_GRADIENT, blocks)
    got = kriging.predict(
        rows, fit, coefficients, RNG.random((3, 2)),
        neighbor_limit=None, diagnostics=False, blocks=blocks,
    )  # fmt: skip
    assert got.solve is not None
    assert got.solve.relative_residual > 1e-8
    advice = [i.advice for i in got.issues if i.status is Status.NOT_CONVERGED]
    assert len(advice) == 1
    assert f"{got.solve.relative_residual:.1e}" in advice[0]


@pytest.mark.parametrize("solver", Solver)
def test_a_singular_system_is_remedied_and_says_by_how_much(solver: Solver) -> None:
    x = np.linspace(0, 1e-6, 100)[:, None]
    got = solved(x, np.ones((100, 1)), Covariance.GAUSSIAN, 1.0, 0.0, solver)
    assert 0 < got.report.jitter <= 1e-4
    assert np.isfinite(got.solution).all()
    assert got.report.relative_residual < 1e-6


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("kernel", [Covariance.GAUSSIAN, Covariance.MATERN52])
@pytest.mark.parametrize("length_scale", [0.05, 0.5, 10.0])
def test_a_smooth_surface_without_noise_is_answered_or_said_not_to_be(
    solver: Solver, kernel: Covariance, length_scale: float
) -> None:
    x = np.sort(np.random.default_rng(0).random((600, 1)), axis=0)
    system = solved(x, np.sin(6 * x), kernel, length_scale, 0.0, solver)
    assert system.report.relative_residual < 1
    rows = NativeBackend().load(x, np.sin(6 * x))
    mean = rows.product(x[::50], kernel, length_scale, system.solution)
    assert np.abs(mean).max() < 2
    if system.report.relative_residual <= 1e-8:
        assert_allclose(mean, np.sin(6 * x[::50]), atol=1e-3)


@pytest.mark.parametrize("solver", Solver)
def test_a_solve_stops_in_between_when_its_time_is_over(solver: Solver) -> None:
    looks = 0

    def is_cancelled() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    rows = NativeBackend().load(RNG.random((1500, 2)), RNG.normal(size=(1500, 1)))
    blocks = SerialBlocks(time.monotonic() + 60, is_cancelled)
    with pytest.raises(DeadlineExceeded):
        solve_system(rows, Covariance.LAPLACIAN, 0.1, 1.0, solver, blocks)
    assert looks == 4


@pytest.mark.parametrize("solver", Solver)
def test_the_solution_has_the_same_bits_on_one_core_and_on_two(solver: Solver) -> None:
    rows = NativeBackend().load(RNG.random((1500, 2)), RNG.normal(size=(1500, 1)))
    alone = solve_system(rows, Covariance.MATERN32, 0.1, 1.0, solver, unhurried())
    with ThreadPoolExecutor(2) as pool:
        blocks = ThreadBlocks(pool, 2, time.monotonic() + 60, lambda: False)
        for _ in range(3):
            shared = solve_system(rows, Covariance.MATERN32, 0.1, 1.0, solver, blocks)
            assert_array_equal(shared.solution, alone.solution)


@pytest.mark.parametrize("n", [255, 256, 257, 768, 1100])
def test_the_factor_is_whole_at_the_edges_of_panels_and_pieces(n: int) -> None:
    x = RNG.random((n, 2))
    factor = dense_system.factorise(x, Covariance.MATERN32, 0.3, 0.1, unhurried())
    lower = np.tril(factor.lower)
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    s = np.sqrt(3 * squares) / 0.3
    assert_allclose(lower @ lower.T, (1 + s) * np.exp(-s) + 0.1 * np.eye(n), atol=1e-12)


def test_a_matrix_that_no_jitter_mends_is_an_error() -> None:
    x = np.linspace(0, 1, 5)[:, None]
    with pytest.raises(LinAlgError):
        dense_system.factorise(x, Covariance.GAUSSIAN, 0.1, -2.0, unhurried())


def test_the_matrix_is_formed_for_few_rows_and_fewer_where_alpha_is_large() -> None:
    choices = {
        (n, alpha): preferred_solver(n, 2, Covariance.LAPLACIAN, alpha)[0]
        for n in (MILD_ROWS, MILD_ROWS + 1, DENSE_ROWS, DENSE_ROWS + 1)
        for alpha in (0.0, 0.99, MILD_ALPHA)
    }
    formed = {key for key, solver in choices.items() if solver is Solver.CHOLESKY}
    assert formed == {
        (n, alpha) for n, alpha in choices if n <= (DENSE_ROWS if alpha < MILD_ALPHA else MILD_ROWS)
    }
    assert set(choices.values()) == {Solver.CHOLESKY, Solver.CONJUGATE_GRADIENT}


def test_smooth_covariances_are_factorised_partially_where_that_is_exact() -> None:
    choices = {
        (n, d, kind, alpha): preferred_solver(n, d, kind, alpha)[0]
        for n in (100, 2000, 20_000)
        for d in (1, 8)
        for kind in (Covariance.GAUSSIAN, Covariance.LAPLACIAN)
        for alpha in (0.0, 1.0)
    }
    assert choices[2000, 1, Covariance.GAUSSIAN, 1.0] is Solver.LOW_RANK
    assert choices[20_000, 8, Covariance.GAUSSIAN, 0.0] is Solver.LOW_RANK
    assert choices[2000, 1, Covariance.GAUSSIAN, 0.0] is Solver.CHOLESKY
    assert choices[2000, 8, Covariance.GAUSSIAN, 1.0] is Solver.CHOLESKY
    assert choices[20_000, 1, Covariance.LAPLACIAN, 1.0] is Solver.CONJUGATE_GRADIENT
    assert all(choices[key] is Solver.CHOLESKY for key in choices if key[0] == 100)
