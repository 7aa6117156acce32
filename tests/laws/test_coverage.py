"""Intervals hold as often as they say, on rows that were held out of a simulated set."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import IntervalKind, Intervals, NoiseKind, Wanted
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from tests.predicting import make_task, predict_here

TRAINING, HELD_OUT, LEVEL = 800, 1500, 0.9
LEAST, MOST = 0.86, 0.94
"""Of 1500 rows, 0.9 ± 4 deviations is 0.869 to 0.931; the residuals that calibrate vary too."""

FITS: list[Fit] = [
    Knn(15),
    NadarayaWatson(Kernel.GAUSSIAN, 0.06),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=40),
    Kriging(Covariance.MATERN52, 0.5, 0.02),
    Kriging(Covariance.MATERN52, 0.5, 0.02, 30),
]


def constant(x: Floats) -> Floats:
    return np.full(len(x), 0.2)


def growing(x: Floats) -> Floats:
    return 0.05 + 0.4 * x[:, 0]


@cache
def simulated(noise: Callable[[Floats], Floats]) -> tuple[Floats, Floats, Floats]:
    """Return rows, the truth there, and y."""
    rng = np.random.default_rng(12)
    x = rng.random((TRAINING + HELD_OUT, 2))
    truth = np.sin(4 * x[:, 0]) + np.cos(3 * x[:, 1])
    return x, truth, truth + noise(x) * rng.normal(size=len(x))


def intervals(
    fit: Fit, kind: IntervalKind, x: Floats, y: Floats, noise: NoiseKind = "constant"
) -> Intervals:
    wanted = Wanted(interval=kind, level=LEVEL, noise=noise)
    task = make_task(x[:TRAINING], y[:TRAINING, None], fit, x[TRAINING:], wanted=wanted)
    found = predict_here(task, NativeBackend()).intervals
    assert found is not None
    return found


def coverage(found: Intervals, values: Floats) -> float:
    return float(np.mean((found.lower[:, 0] <= values) & (values <= found.upper[:, 0])))


@pytest.mark.parametrize("fit", FITS, ids=str)
@pytest.mark.parametrize("kind", ["prediction", "conformal", "jackknife_plus"])
def test_a_new_observation_is_held_as_often_as_promised(fit: Fit, kind: IntervalKind) -> None:
    x, _, y = simulated(constant)
    assert LEAST < coverage(intervals(fit, kind, x, y), y[TRAINING:]) < MOST


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_conformal_intervals_follow_noise_that_grows(fit: Fit) -> None:
    x, _, y = simulated(growing)
    found = intervals(fit, "conformal", x, y)
    assert LEAST < coverage(found, y[TRAINING:]) < MOST
    width, place = (found.upper - found.lower)[:, 0], x[TRAINING:, 0]
    assert width[place > 0.8].mean() > 2.5 * width[place < 0.2].mean()


@pytest.mark.parametrize("fit", FITS[:3], ids=str)
def test_prediction_intervals_follow_noise_that_grows_where_it_is_supposed_to(fit: Fit) -> None:
    x, _, y = simulated(growing)
    found = intervals(fit, "prediction", x, y, noise="local")
    assert LEAST < coverage(found, y[TRAINING:]) < MOST
    width, place = (found.upper - found.lower)[:, 0], x[TRAINING:, 0]
    assert width[place > 0.8].mean() > 2.5 * width[place < 0.2].mean()


@pytest.mark.parametrize("fit", FITS[:3], ids=str)
def test_the_mean_is_held_as_often_as_promised(fit: Fit) -> None:
    """y is drawn anew many times about a truth without bias: a level, or a plane."""
    rng = np.random.default_rng(3)
    x, q = rng.random((150, 2)), rng.random((20, 2))
    truth, at = 0.0 * x[:, 0] + 1.0, np.ones(len(q))
    if isinstance(fit, LocalPolynomial):
        truth, at = truth + x @ [1.0, -2.0], at + q @ [1.0, -2.0]
    held = []
    for _ in range(60):
        y = (truth + 0.2 * rng.normal(size=len(x)))[:, None]
        wanted = Wanted(interval="confidence", level=LEVEL)
        found = predict_here(make_task(x, y, fit, q, wanted=wanted), NativeBackend()).intervals
        assert found is not None
        held.append(coverage(found, at))
    assert LEAST < np.mean(held) < MOST


@pytest.mark.parametrize("n_neighbors", [None, 40])
def test_kriging_holds_the_surface_that_it_assumes(n_neighbors: int | None) -> None:
    rng = np.random.default_rng(8)
    x = rng.random((260, 2))
    r = np.linalg.norm(x[:, None] - x[None], axis=2) / 0.4
    s = np.sqrt(5.0) * r
    root = np.linalg.cholesky((1 + s + s * s / 3) * np.exp(-s) + 1e-9 * np.eye(len(x)))
    fit = Kriging(Covariance.MATERN52, 0.4, 0.05, n_neighbors)
    held = []
    for _ in range(40):
        surface = 3.0 * root @ rng.normal(size=len(x))
        y = (surface + 3.0 * np.sqrt(0.05) * rng.normal(size=len(x)))[:200, None]
        wanted = Wanted(interval="confidence", level=LEVEL)
        task = make_task(x[:200], y, fit, x[200:], wanted=wanted)
        found = predict_here(task, NativeBackend()).intervals
        assert found is not None
        held.append(coverage(found, surface[200:]))
    assert LEAST < np.mean(held) < MOST
