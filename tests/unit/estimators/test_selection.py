"""The classical selectors: their curves against the definitions, and what they refuse."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.engine.portions import SerialBlocks
from service.estimators.bandwidths import plug_in_bandwidth
from service.estimators.fits import Fit, Knn, LocalPolynomial, NadarayaWatson, Smoother
from service.estimators.judging import Judge, Score, best_of
from service.estimators.leave_one_out import leave_one_out
from service.estimators.selection import Selector, check_selectable, select
from tests import naive

LINE = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=1.0)
MEAN = NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0)


def wave(n: int = 80, noise: float = 0.2, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1))
    return x, np.sin(6 * x) + noise * rng.normal(size=(n, 1))


def selected(
    x: Floats, y: Floats, fit: Smoother, selector: Selector, groups: Rows | None = None
) -> list[Score]:
    def load(z: Floats) -> Resident:
        return NativeBackend().load(z, y)

    blocks = SerialBlocks(time.monotonic() + 60)
    return list(select(Judge(x, y, load, blocks, groups=groups, seconds=1e9), fit, selector))


def reach_of(score: Score) -> float:
    fit = score.fit
    assert isinstance(fit, NadarayaWatson | LocalPolynomial)
    return float(fit.bandwidth or fit.n_neighbors or 0)


def hat_matrix(x: Floats, kernel: str, degree: int, h: float) -> Floats:
    """Return the predictions at the rows, one unit target at a time."""
    unit = np.eye(len(x))
    rows = [naive.local_polynomial(x, unit, q, kernel, degree, bandwidth=h) for q in x]
    return np.array([row for row in rows if row is not None])


def obvious(x: Floats, y: Floats, degree: int, h: float, selector: Selector) -> float:
    hat = hat_matrix(x, "gaussian", degree, h)
    residual, trace, n = (y - hat @ y)[:, 0], float(np.trace(hat)), len(x)
    if selector == "cv_ls":
        return float(np.mean((residual / (1 - np.diag(hat))) ** 2))
    if selector == "gcv":
        return float(n * np.sum(residual**2) / (n - trace) ** 2)
    return float(np.log(np.mean(residual**2)) + 1 + 2 * (trace + 1) / (n - trace - 2))


@pytest.mark.parametrize("selector", ["cv_ls", "gcv", "aicc"])
@pytest.mark.parametrize("fit", [LINE, MEAN])
def test_the_curve_is_the_criterion_and_the_choice_its_least(
    selector: Selector, fit: Smoother
) -> None:
    x, y = wave()
    curve = selected(x, y, fit, selector)
    degree = 1 if fit is LINE else 0
    for score in [score for score in curve if reach_of(score) > 0.02][::5]:
        expected = obvious(x, y, degree, reach_of(score), selector)
        assert score.criterion is not None
        assert_allclose(score.criterion, expected, rtol=1e-6)
    best = best_of(curve)
    assert best.criterion == min(score.criterion for score in curve if score.criterion is not None)
    assert 0.02 < reach_of(best) < 0.2


def test_each_point_has_its_leave_one_out_error_too() -> None:
    x, y = wave()
    rows = NativeBackend().load(x, y)
    for score in selected(x, y, LINE, "gcv")[5::7]:
        residual = leave_one_out(rows, score.fit, np.arange(80)).residual
        assert_allclose(score.rmse[0], np.sqrt(np.mean(residual**2)), rtol=1e-9)


def test_a_number_of_neighbours_is_chosen_where_the_fit_has_one() -> None:
    x, y = wave(200)
    curve = selected(x, y, LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=5), "cv_ls")
    assert all(isinstance(score.fit.n_neighbors, int) for score in curve)
    assert 20 <= reach_of(best_of(curve)) <= 120


def test_rows_of_one_group_do_not_vouch_for_each_other() -> None:
    # Every row twice: a copy predicts the other one with no reach at all.
    x, y = wave(60)
    x, y = np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0)
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=5)
    alone = best_of(selected(x, y, fit, "cv_ls"))
    paired = best_of(selected(x, y, fit, "cv_ls", np.repeat(np.arange(60), 2)))
    assert alone.error < 1e-6
    assert paired.error > 0.15
    assert reach_of(paired) >= 2 * reach_of(alone)


def test_the_plug_in_bandwidth_is_the_formula_s() -> None:
    x, y = wave(150)
    (score,) = selected(x, y, LINE, "dpill")
    assert score.fit == replace(LINE, bandwidth=plug_in_bandwidth(x[:, 0], y[:, 0]))


def test_a_metric_scales_the_bandwidth() -> None:
    x, y = wave(60)
    plain = best_of(selected(x, y, LINE, "gcv"))
    scaled = best_of(selected(1000 * x, y, replace(LINE, metric=(1000.0,)), "gcv"))
    assert_allclose(reach_of(scaled), reach_of(plain), rtol=1e-9)


def test_rows_at_one_place_have_no_bandwidth() -> None:
    with pytest.raises(InvalidInput, match="one place"):
        selected(np.ones((5, 1)), np.arange(5.0)[:, None], MEAN, "gcv")


@pytest.mark.parametrize(
    ("fit", "selector", "shape", "words"),
    [
        (Knn(5), "gcv", {}, "none"),
        (replace(LINE, robust=2), "gcv", {"t": 2}, "robust"),
        (MEAN, "dpill", {}, "local line"),
        (replace(LINE, kernel=Kernel.TRICUBE), "dpill", {}, "Gaussian"),
        (replace(LINE, bandwidth=None, n_neighbors=9), "dpill", {}, "bandwidth"),
        (LINE, "dpill", {"d": 2}, "one feature"),
        (LINE, "dpill", {"t": 2}, "one target"),
        (LINE, "dpill", {"n": 5_001}, "5000"),
    ],
)
def test_what_no_selector_can_choose_is_refused(
    fit: Fit, selector: Selector, shape: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_selectable(fit, selector, **{"n": 100, "d": 1, "t": 1, **shape})


@pytest.mark.parametrize("selector", ["cv_ls", "gcv", "aicc"])
def test_every_smoother_has_a_reach_to_choose(selector: Selector) -> None:
    for fit in (MEAN, LINE, LocalPolynomial(2, n_neighbors=9)):
        assert check_selectable(fit, selector, 6_000, 3, 2) == fit
