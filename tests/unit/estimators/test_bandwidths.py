"""The classical selectors against their definitions and against theory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.estimators.bandwidths import Criterion, aicc, gcv, plug_in_bandwidth, select
from service.estimators.fits import LocalPolynomial, NadarayaWatson, Smoother
from tests import naive


def wave(n: int = 80, noise: float = 0.2, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1))
    return x, np.sin(6 * x) + noise * rng.normal(size=(n, 1))


def hat_matrix(x: Floats, kernel: str, degree: int, h: float) -> Floats:
    """Return the predictions at the rows, one unit target at a time."""
    unit = np.eye(len(x))
    rows = [naive.local_polynomial(x, unit, q, kernel, degree, bandwidth=h) for q in x]
    return np.array([row for row in rows if row is not None])


def obvious(x: Floats, y: Floats, degree: int, h: float, criterion: Criterion) -> float:
    hat = hat_matrix(x, "gaussian", degree, h)
    residual, trace, n = (y - hat @ y)[:, 0], float(np.trace(hat)), len(x)
    if criterion == "cv_ls":
        return float(np.mean((residual / (1 - np.diag(hat))) ** 2))
    if criterion == "gcv":
        return float(n * np.sum(residual**2) / (n - trace) ** 2)
    return float(np.log(np.mean(residual**2)) + 1 + 2 * (trace + 1) / (n - trace - 2))


@pytest.mark.parametrize("criterion", ["cv_ls", "gcv", "aicc"])
@pytest.mark.parametrize("degree", [0, 1])
def test_the_curve_is_the_criterion_and_the_choice_its_least(
    criterion: Criterion, degree: int
) -> None:
    x, y = wave()
    fit: Smoother = (
        LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=1.0)
        if degree
        else NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0)
    )
    found = select(NativeBackend().load(x, y), fit, criterion, np.arange(80))
    usable = [(h, score) for h, score in found.curve if h > 0.02]
    for h, score in usable[::5]:
        assert_allclose(score, obvious(x, y, degree, h, criterion), rtol=1e-6)
    assert found.fit.bandwidth == min(found.curve, key=lambda point: point[1])[0]
    assert 0.02 < found.fit.bandwidth < 0.2


def test_a_number_of_neighbours_is_chosen_where_the_fit_has_one() -> None:
    x, y = wave(200)
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=5)
    found = select(NativeBackend().load(x, y), fit, "cv_ls", np.arange(200))
    assert found.fit.bandwidth is None
    assert found.fit.n_neighbors is not None
    assert 20 <= found.fit.n_neighbors <= 120
    assert all(k == int(k) for k, _ in found.curve)


def test_rows_at_one_place_have_no_bandwidth() -> None:
    x, y = np.ones((5, 1)), np.arange(5.0)[:, None]
    with pytest.raises(InvalidInput, match="one place"):
        select(NativeBackend().load(x, y), NadarayaWatson(bandwidth=1.0), "gcv", np.arange(5))


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
