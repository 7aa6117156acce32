"""Descent on surfaces whose paths are known, and on fitted ones against published paths."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.estimators.descent import ADVICE, Decay, Descent, Path, Stop, Surface, descend

CURVATURE = np.array([1.0, 9.0])
MINIMUM = np.array([0.5, -1.0])


def bowl(points: Floats) -> tuple[Floats, Floats]:
    """Return f = 3 + ½ Σ c_j (x_j - minimum_j)² and its gradient."""
    offset = points - MINIMUM
    return 3 + 0.5 * np.sum(CURVATURE * offset**2, axis=1), CURVATURE * offset


def disc(points: Floats) -> tuple[Floats, Floats]:
    """Return a plane that exists only within 1 of the origin."""
    inside = np.linalg.norm(points, axis=1) <= 1
    gradients = np.where(inside[:, None], [[1.0, 0.0]], np.nan)
    return np.where(inside, points[:, 0], np.nan), gradients


def descend_one(surface: Surface, start: list[float], descent: Descent) -> Path:
    (path,) = descend(surface, np.array([start]), descent)
    return path


def naive_path(start: list[float], descent: Descent) -> Floats:
    """Return the points of heavy-ball descent on the bowl, one step after the other."""
    points = [np.array(start)]
    before = points[0]
    for step in range(descent.max_steps):
        rate = {
            Decay.CONSTANT: descent.rate,
            Decay.EXPONENTIAL: descent.rate * np.exp(-descent.decay_rate * step),
            Decay.INVERSE: descent.rate / (1 + descent.decay_rate * step),
            Decay.STEP: descent.rate * 0.5 ** int(descent.decay_rate * step),
        }[descent.decay]
        x = points[-1]
        ahead = x - rate * CURVATURE * (x - MINIMUM) + descent.momentum * (x - before)
        before = x
        points.append(ahead)
    return np.array(points)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("decay", Decay)
def test_the_steps_are_those_of_the_rule(decay: Decay, momentum: float) -> None:
    descent = Descent(0.1, decay, 0.3, momentum, tolerance=0, max_steps=20)
    path = descend_one(bowl, [2.0, 2.0], descent)
    assert_allclose(path.points, naive_path([2.0, 2.0], descent), rtol=1e-13, atol=1e-13)
    assert path.stop is Stop.MAX_STEPS
    values, gradients = bowl(path.points)
    assert_array_equal(path.values, values)
    assert_array_equal(path.gradients, gradients)
    assert path.step_sizes.shape == (20,)
    assert path.step_sizes[0] == 0.1
    assert path.step_sizes[7] == descent.rate_at(7)


def test_the_rate_falls_as_the_decay_says() -> None:
    def rates(decay: Decay) -> list[float]:
        return [Descent(1.0, decay, 0.5).rate_at(step) for step in (0, 1, 2, 3, 4)]

    assert rates(Decay.CONSTANT) == [1, 1, 1, 1, 1]
    assert_allclose(rates(Decay.EXPONENTIAL), np.exp([0, -0.5, -1, -1.5, -2]))
    assert_allclose(rates(Decay.INVERSE), [1, 2 / 3, 1 / 2, 2 / 5, 1 / 3])
    assert rates(Decay.STEP) == [1, 1, 0.5, 0.5, 0.25]


def test_it_converges_to_the_minimum() -> None:
    path = descend_one(bowl, [4.0, 4.0], Descent(0.15, tolerance=1e-14))
    assert path.stop is Stop.CONVERGED
    assert_allclose(path.points[-1], MINIMUM, atol=1e-6)
    assert (np.diff(path.values) <= 0).all()
    assert abs(path.values[-1] - path.values[-2]) <= 1e-14 * 3


def test_a_minimum_at_zero_is_converged_to_as_well() -> None:
    def cup(points: Floats) -> tuple[Floats, Floats]:
        return points[:, 0] ** 2, 2 * points

    path = descend_one(cup, [2.0], Descent(0.2, tolerance=1e-6))
    assert path.stop is Stop.CONVERGED
    assert abs(path.points[-1, 0]) < 1e-3


def test_ascent_is_descent_on_the_negative() -> None:
    def hill(points: Floats) -> tuple[Floats, Floats]:
        values, gradients = bowl(points)
        return -values, -gradients

    descent = Descent(0.1, max_steps=30)
    down = descend_one(bowl, [2.0, 2.0], descent)
    up = descend_one(hill, [2.0, 2.0], replace(descent, ascent=True))
    assert_array_equal(up.points, down.points)
    assert_array_equal(up.values, -down.values)
    assert_array_equal(up.gradients, -down.gradients)
    assert up.stop is down.stop


def test_bounds_hold_and_the_end_is_the_best_point_within() -> None:
    descent = Descent(0.05, low=(1.0, -0.5), high=(3.0, 5.0), momentum=0.3)
    path = descend_one(bowl, [9.0, -9.0], descent)
    assert_array_equal(path.points[0], [3.0, -0.5])
    assert (path.points >= [1.0, -0.5]).all()
    assert (path.points <= [3.0, 5.0]).all()
    assert_array_equal(path.points[-1], [1.0, -0.5])
    assert path.stop in (Stop.STATIONARY, Stop.CONVERGED)


def test_a_line_search_takes_any_rate() -> None:
    path = descend_one(bowl, [4.0, 4.0], Descent(1e3, line_search=True, tolerance=1e-13))
    assert_allclose(path.points[-1], MINIMUM, atol=1e-5)
    x, g = path.points[:-1], path.gradients[:-1]
    promised = np.sum(g * (path.points[1:] - x), axis=1)
    assert (path.values[1:] <= path.values[:-1] + 1e-4 * promised).all()
    halvings = np.log2(1e3 / path.step_sizes)
    assert_allclose(halvings, np.rint(halvings), atol=1e-9)


def test_a_line_search_that_cannot_go_lower_is_stationary() -> None:
    def wrong(points: Floats) -> tuple[Floats, Floats]:
        return points[:, 0], -np.ones_like(points)

    path = descend_one(wrong, [0.0], Descent(1.0, line_search=True))
    assert path.stop is Stop.STATIONARY
    assert len(path.points) == 1


def test_a_flat_start_is_stationary() -> None:
    path = descend_one(bowl, [0.5, -1.0], Descent())
    assert path.stop is Stop.STATIONARY
    assert len(path.points) == 1
    assert path.step_sizes.shape == (0,)


def test_a_path_ends_where_the_surface_does() -> None:
    path = descend_one(disc, [0.0, 0.0], Descent(0.3))
    assert path.stop is Stop.NO_SUPPORT
    assert_allclose(path.points[:, 0], [0, -0.3, -0.6, -0.9])
    outside = descend_one(disc, [2.0, 0.0], Descent(0.3))
    assert outside.stop is Stop.NO_SUPPORT
    assert np.isnan(outside.values[0])


def test_a_line_search_stays_where_the_surface_is() -> None:
    path = descend_one(disc, [0.0, 0.0], Descent(0.3, line_search=True, tolerance=0))
    assert path.stop is Stop.STATIONARY
    assert_allclose(path.points[-1], [-1.0, 0.0])


def test_too_high_a_rate_diverges_and_says_so() -> None:
    path = descend_one(bowl, [4.0, 4.0], Descent(10.0))
    assert path.stop is Stop.DIVERGED
    assert np.isfinite(path.points).all()
    assert np.isfinite(path.values).all()


def test_each_start_has_the_path_that_it_has_alone() -> None:
    starts = np.array([[4.0, 4.0], [0.5, -1.0], [-3.0, 2.0], [100.0, -1.0]])
    for descent in (Descent(0.1), Descent(5.0, line_search=True), Descent(0.1, momentum=0.6)):
        together = descend(bowl, starts, descent)
        for start, path in zip(starts, together, strict=True):
            alone = descend_one(bowl, start.tolist(), descent)
            assert_array_equal(path.points, alone.points)
            assert_array_equal(path.step_sizes, alone.step_sizes)
            assert path.stop is alone.stop


def test_the_starts_are_left_as_they_were() -> None:
    starts = np.array([[4.0, 4.0]])
    descend(bowl, starts, Descent(max_steps=3))
    assert_array_equal(starts, [[4.0, 4.0]])


def test_what_was_found_until_the_deadline_is_returned() -> None:
    asked = 0

    def slow(points: Floats) -> tuple[Floats, Floats]:
        nonlocal asked
        asked += 1
        if asked > 4:
            raise DeadlineExceeded("the time is over")
        return bowl(points)

    path = descend_one(slow, [4.0, 4.0], Descent())
    assert path.stop is Stop.DEADLINE
    assert len(path.points) == 4


def test_finished_starts_are_not_asked_about_again() -> None:
    sizes = []

    def counted(points: Floats) -> tuple[Floats, Floats]:
        sizes.append(len(points))
        return bowl(points)

    descend(counted, np.array([[0.5, -1.0], [4.0, 4.0]]), Descent(0.1, max_steps=5))
    assert sizes == [2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("descent", "pointer", "match"),
    [
        (Descent(low=(0.0,)), "/bounds/low", "1 bounds for 2 features"),
        (Descent(high=(0.0, 1.0, 2.0)), "/bounds/high", "3 bounds for 2 features"),
        (Descent(low=(0.0, 2.0), high=(1.0, 1.0)), "/bounds/low/1", "feature 1, 2, is above"),
        (Descent(momentum=0.5, line_search=True), "/momentum", "line search"),
    ],
)
def test_what_does_not_fit_is_refused(descent: Descent, pointer: str, match: str) -> None:
    with pytest.raises(InvalidInput, match=match) as refused:
        descend_one(bowl, [0.0, 0.0], descent)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_every_way_to_stop_has_its_advice() -> None:
    assert set(ADVICE) == set(Stop)
