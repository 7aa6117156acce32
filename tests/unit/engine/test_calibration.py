"""What is known of a fit's errors: from a fixed sample, once a version and fit, in time."""

import time
from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Wanted
from service.engine import calibration
from service.engine.calibration import Calibration, CalibrationPart
from service.engine.portions import SerialBlocks
from service.engine.prepared import OnlyKept, PreparedCache, T
from service.engine.task import run_task
from service.engine.workers.base import Task
from service.estimators import kriging
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver
from service.estimators.uncertainty import EXACT_ROWS
from tests.predicting import plan_of, predict_here

RNG = np.random.default_rng(31)
X = RNG.random((60, 2))
Y = np.column_stack([np.sin(4 * X[:, 0]), X[:, 1]]) + 0.1 * RNG.normal(size=(60, 2))


def of(fit: Fit, x: Floats = X, y: Floats = Y, *, seconds: float = 60.0) -> Calibration:
    dataset, backend = make_dataset(x, y), NativeBackend()
    rows, plan = backend.load(x, y), plan_of(fit, dataset)
    blocks = SerialBlocks(time.monotonic() + seconds)
    solution = None
    if isinstance(fit, Kriging):
        unhurried = SerialBlocks(time.monotonic() + 60)
        solution = kriging.prepare(rows, fit, plan.solver, unhurried)
    return Calibration(dataset, fit, rows, solution, plan, backend, PreparedCache(0), blocks)


@pytest.mark.parametrize(
    "fit",
    [
        Knn(5),
        NadarayaWatson(Kernel.GAUSSIAN, 0.2),
        LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=20),
        Kriging(Covariance.MATERN52, 0.4, 0.05),
        Kriging(Covariance.MATERN52, 0.4, 0.05, 12),
    ],
    ids=str,
)
def test_the_residuals_are_those_of_fits_without_the_row(fit: Fit) -> None:
    got = of(fit).left_out()
    assert_array_equal(got.at, np.arange(60))
    for i in (0, 17, 59):
        rest = np.arange(60) != i
        dataset = make_dataset(X[rest], Y[rest])
        plan = plan_of(fit, dataset)
        plan = replace(plan, solver=plan.solver and Solver.CHOLESKY)
        task = Task(dataset, fit, X[i : i + 1].copy(), plan)
        mean = predict_here(task, NativeBackend()).mean[0]
        assert_allclose(got.residual[i], Y[i] - mean, rtol=1e-9, atol=1e-9)


def test_all_rows_as_neighbors_leave_all_others() -> None:
    got = of(Knn(60)).left_out().residual
    assert_allclose(got, (Y - Y.mean(axis=0)) * 60 / 59, rtol=1e-9, atol=1e-12)


def test_a_sample_stands_for_many_rows_and_is_always_the_same() -> None:
    rng = np.random.default_rng(5)
    x = rng.random((7_000, 1))
    made = of(Knn(9), x, rng.normal(size=(7_000, 1)))
    first, second = made.left_out(), made.left_out()
    assert len(first.at) == calibration.SAMPLE_ROWS
    assert (np.diff(first.at) > 0).all()
    assert_array_equal(first.residual, second.residual)
    assert made.noise().report.rows == EXACT_ROWS
    assert len(made.spacing().distances) == calibration.SAMPLE_ROWS
    assert (np.diff(made.spacing().distances) >= 0).all()


def test_kriging_over_many_rows_solves_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SOLVE_WORK", 10 * 60**2)
    monkeypatch.setattr(calibration, "LEAST_SOLVES", 5)
    got = of(Kriging(Covariance.MATERN52, 0.4, 0.05)).left_out()
    assert len(got.at) == 10
    monkeypatch.setattr(calibration, "LEAST_SOLVES", 20)
    assert len(of(Kriging(Covariance.MATERN52, 0.4, 0.05)).left_out().at) == 20


@pytest.mark.parametrize(
    "piece",
    [
        Calibration.left_out,
        Calibration.noise,
        Calibration.local_noise,
        Calibration.scores,
        Calibration.spacing,
    ],
)
def test_a_deadline_ends_every_piece(piece: Callable[[Calibration], object]) -> None:
    with pytest.raises(DeadlineExceeded):
        piece(of(Knn(5), seconds=-1))


class CountingCache:
    """Keeps nothing, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        if isinstance(part, CalibrationPart):
            self.asked.append(part.piece)
        return make()

    def earlier(self, dataset: Dataset, part: Hashable) -> None:
        return None


@pytest.mark.parametrize(
    ("wanted", "fit", "pieces"),
    [
        (Wanted(diagnostics=True), Knn(5), []),
        (Wanted(gradient=True), Knn(5, "distance"), []),
        (Wanted(quantiles=(0.5,)), Knn(5), []),
        (Wanted(std=True), Knn(5), ["noise"]),
        (Wanted(std=True), Kriging(), ["left_out", "noise"]),
        (Wanted(std=True, noise="local"), Knn(5), ["left_out", "local_noise"]),
        (Wanted(interval="confidence"), Knn(5), ["noise", "noise", "spacing"]),
        (Wanted(interval="conformal"), Knn(5), ["left_out", "scores", "spacing"]),
    ],
)
def test_nothing_is_made_that_nobody_wants(wanted: Wanted, fit: Fit, pieces: list[str]) -> None:
    cache, dataset = CountingCache(), make_dataset(X, Y)
    task = Task(dataset, fit, X[:2].copy(), plan_of(fit, dataset), wanted)
    run_task(task, NativeBackend(), cache, SerialBlocks(time.monotonic() + 60))
    assert sorted(cache.asked) == pieces


def test_what_was_made_is_kept_with_the_version() -> None:
    cache, backend = PreparedCache(10**8), NativeBackend()
    dataset = replace(make_dataset(X, Y), id="ds_1")
    wanted = Wanted(std=True, interval="conformal")
    task = Task(dataset, Knn(5), X[:2].copy(), plan_of(Knn(5), dataset), wanted)

    def blocks() -> SerialBlocks:
        return SerialBlocks(time.monotonic() + 60)

    first = run_task(task, backend, cache.lease(), blocks())
    kept = [part for part in cache.parts(dataset) if isinstance(part, CalibrationPart)]
    assert sorted(part.piece for part in kept) == ["left_out", "noise", "scores", "spacing"]
    # Nothing may be made here.
    again = run_task(task, backend, OnlyKept(cache), blocks())
    assert first.intervals is not None
    assert again.intervals is not None
    assert_array_equal(again.intervals.lower, first.intervals.lower)
    cache.forget("ds_1")
    assert cache.used_bytes == 0


def test_residuals_that_nobody_knows_tell_nothing() -> None:
    made = of(NadarayaWatson(Kernel.TRICUBE, 1e-3))
    assert not made.left_out().is_known.any()
    assert np.isnan(made.local_noise().at_rows).all()
    assert np.isnan(made.local_noise().at(X[:3])).all()
    assert made.scores().scale is None
    assert np.isinf(made.scores().scores).all()
    assert made.scores().nbytes > 0
    assert made.local_noise().nbytes > 0
