"""The classical selectors against their definitions and against theory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.estimators.bandwidths import aicc, gcv, plug_in_bandwidth


def wave(n: int = 80, noise: float = 0.2, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1))
    return x, np.sin(6 * x) + noise * rng.normal(size=(n, 1))


def test_no_freedom_left_is_worst() -> None:
    residual = np.zeros((4, 1))
    assert gcv(residual, 4.0, 4) == np.inf
    assert aicc(residual, 2.0, 4) == np.inf


def test_the_scores_of_a_straight_line() -> None:
    rng = np.random.default_rng(3)
    x, n = rng.random(40), 40
    y = 2 * x + rng.normal(size=n)
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    rss = float(residual @ residual)
    assert_allclose(gcv(residual[:, None], 2.0, n), n * rss / 38**2)
    assert_allclose(aicc(residual[:, None], 2.0, n), np.log(rss / n) + 1 + 2 * 3 / 36)


def test_the_plug_in_bandwidth_is_near_the_best_there_is() -> None:
    # f'' = -36 sin 6x on [0, 1], so θ₂₂ is known, and with it the bandwidth of the least error.
    n, noise = 1000, 0.2
    grid = np.linspace(0, 1, 100_001)
    theta = float(np.mean((36 * np.sin(6 * grid)) ** 2))
    best = (noise**2 / (2 * np.sqrt(np.pi) * n * theta)) ** 0.2
    found = [plug_in_bandwidth(*(a[:, 0] for a in wave(n, noise, seed))) for seed in range(5)]
    assert_allclose(np.mean(found), best, rtol=0.1)


def test_the_plug_in_bandwidth_has_the_unit_of_x() -> None:
    x, y = (a[:, 0] for a in wave(150))
    h = plug_in_bandwidth(x, y)
    assert_allclose(plug_in_bandwidth(1000 * x + 5, 7 * y - 3), 1000 * h, rtol=1e-6)


def test_too_few_places_have_no_plug_in_bandwidth() -> None:
    with pytest.raises(InvalidInput, match="distinct places"):
        plug_in_bandwidth(np.repeat(np.arange(5.0), 10), np.arange(50.0))


@pytest.mark.parametrize("unit", [1e-140, 1e140])
def test_the_plug_in_bandwidth_is_in_the_unit_of_x_whatever_that_is(unit: float) -> None:
    rng = np.random.default_rng(8)
    x, noise = np.sort(rng.uniform(0, 1, 200)), rng.normal(size=200)
    y = np.sin(6 * x) + 0.1 * noise
    h = plug_in_bandwidth(x, y)
    assert plug_in_bandwidth(x * unit, y * unit) == pytest.approx(h * unit, rel=1e-6)
