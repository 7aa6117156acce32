"""Descents through the tasks of predictions: what is kept, when they end, what is refused."""

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.domain.kernels import Kernel
from service.engine.commands import Minimum
from service.engine.minimizing import (
    MOST_NUMBERS,
    OVERTIME_S,
    Question,
    minimized,
    smooth_or,
    target_named,
)
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.estimators import kriging
from service.estimators.descent import Descent, Stop
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial
from tests.predicting import plan_of

RNG = np.random.default_rng(4)
X = RNG.uniform(-1, 1, size=(400, 2))
CENTER = np.array([0.2, -0.3])
Y = np.column_stack([((X - CENTER) ** 2).sum(axis=1), -((X + CENTER) ** 2).sum(axis=1)])
QUADRATIC = LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=0.5)


def rows(y: Floats = Y, names: tuple[str, ...] = ("cost", "gain")) -> Dataset:
    return make_dataset(X.copy(), y.copy(), target_names=names)


def question(
    fit: Fit = QUADRATIC,
    *,
    starts: Floats | None = None,
    target: int = 0,
    seconds: float = 60.0,
    dataset: Dataset | None = None,
    descent: Descent | None = None,
) -> Question:
    found = dataset or rows()
    at = np.array([[0.9, 0.9], [-0.8, 0.1]]) if starts is None else starts
    how = descent or Descent(0.2, max_steps=200)
    deadline = time.monotonic() + seconds
    return Question(found, fit, plan_of(fit, found), target, at, how, deadline)


def answered(asked: Question) -> Minimum:
    blocks = SerialBlocks(asked.deadline + OVERTIME_S)
    return minimized(asked, NativeBackend(), PreparedCache(0), blocks)


def test_it_finds_the_minimum_of_the_target() -> None:
    found = answered(question())
    assert [path.stop for path in found.paths] == [Stop.CONVERGED] * 2
    for path in found.paths:
        assert_allclose(path.points[-1], CENTER, atol=1e-3)
    assert found.left_data == (False, False)
    assert found.target == "cost"


def test_an_ascent_finds_the_maximum_of_another_target() -> None:
    found = answered(question(target=1, descent=Descent(0.2, max_steps=200, ascent=True)))
    assert found.target == "gain"
    assert_allclose(found.paths[0].points[-1], -CENTER, atol=1e-3)
    assert found.best is not None
    ends = [path.values[-1] for path in found.paths]
    assert ends[found.best] == max(ends)


@pytest.mark.parametrize("metric", ["standardized", (2.0, 0.5), ((2.0, 1.0), (0.0, 1.0))])
def test_steps_are_taken_in_data_units(metric: tuple[float, ...]) -> None:
    wide = LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=1.0, metric=metric)
    (path,) = answered(question(wide, starts=np.array([[0.5, 0.5]]))).paths
    # A quadratic is its own local polynomial in any metric.
    assert_allclose(path.gradients[0], 2 * (path.points[0] - CENTER), atol=1e-6)
    assert_allclose(path.points[1], path.points[0] - 0.2 * path.gradients[0])
    assert_allclose(path.points[-1], CENTER, atol=1e-3)


def test_each_start_goes_as_it_does_alone() -> None:
    starts = RNG.uniform(-1, 1, size=(5, 2))
    together = answered(question(starts=starts)).paths
    for start, path in zip(starts, together, strict=True):
        (alone,) = answered(question(starts=start[None])).paths
        assert_array_equal(alone.points, path.points)
        assert_array_equal(alone.values, path.values)


def test_what_is_solved_for_rows_sent_along_is_solved_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solves = 0
    prepare = kriging.prepare

    def counted(*args: object) -> kriging.Coefficients:
        nonlocal solves
        solves += 1
        return prepare(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(kriging, "prepare", counted)
    found = answered(question(Kriging(length_scale=0.5, alpha=1e-3)))
    assert not found.dataset.id
    assert len(found.paths[0].points) > 5
    assert solves == 1


def test_at_the_end_of_the_time_the_paths_end_where_they_are() -> None:
    endless = Descent(1e-9, tolerance=0, max_steps=100_000)
    found = answered(question(descent=endless, seconds=0.3))
    assert found.compute_s < 0.3 + OVERTIME_S
    for path in found.paths:
        assert path.stop is Stop.DEADLINE
        assert 1 < len(path.points) == len(path.values) == len(path.step_sizes) + 1


def test_without_time_for_the_starts_there_is_nothing_to_answer() -> None:
    with pytest.raises(DeadlineExceeded):
        answered(question(seconds=-1.0))


def test_leaving_the_data_is_told() -> None:
    plane = make_dataset(X.copy(), X[:, :1].copy())
    line = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.5)
    descent = Descent(0.5, tolerance=0, max_steps=4)
    starts = np.array([[0.0, 0.0], [0.0, 0.0]])
    found = answered(question(line, dataset=plane, starts=starts, descent=descent))
    assert found.left_data == (True, True)
    bounded = replace(descent, low=(-0.5, -0.5))
    found = answered(question(line, dataset=plane, starts=starts, descent=bounded))
    assert found.left_data == (False, False)


def test_a_surface_that_ends_ends_the_path() -> None:
    narrow = LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.3)
    starts = np.array([[0.5, 0.5], [9.0, 9.0]])
    found = answered(question(narrow, starts=starts, descent=Descent(0.2, max_steps=50)))
    assert found.paths[1].stop is Stop.NO_SUPPORT
    assert len(found.paths[1].points) == 1
    assert np.isnan(found.paths[1].values[0])
    assert found.best == 0
    lost = answered(question(narrow, starts=starts[1:]))
    assert lost.best is None


def test_a_point_beyond_the_numbers_of_the_metric_ends_its_path_alone() -> None:
    linear = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=1e60, metric=(1e-60, 1e-60))
    starts = np.array([[0.5, 0.5], [0.1, 0.1]])
    found = answered(
        question(linear, starts=starts, descent=Descent(1e100, tolerance=0, max_steps=3))
    )
    assert {path.stop for path in found.paths} == {Stop.NO_SUPPORT}
    assert all(len(path.points) == 1 for path in found.paths)


def test_paths_that_could_fill_the_memory_are_refused() -> None:
    starts = np.zeros((100, 2))
    most = MOST_NUMBERS // (100 * 6) - 1
    question(starts=starts, descent=Descent(max_steps=most))
    with pytest.raises(InvalidInput, match=f"send at most {most:,}") as refused:
        question(starts=starts, descent=Descent(max_steps=most + 1))
    assert refused.value.faults[0].pointer == "/max_steps"
    with pytest.raises(InvalidInput, match="send fewer starts"):
        question(starts=np.zeros((MOST_NUMBERS // 6, 2)), descent=Descent(max_steps=1))


def test_a_flat_surface_is_refused_unless_nobody_chose_it() -> None:
    with pytest.raises(InvalidInput) as refused:
        question(Knn(5))
    assert refused.value.faults[0].pointer == "/fit/weights"
    assert smooth_or(QUADRATIC, Knn(5)) == QUADRATIC
    assert smooth_or(QUADRATIC, Kriging()) == Kriging()


def test_the_target_goes_by_its_name() -> None:
    assert target_named(rows(), "gain") == 1
    assert target_named(rows(Y[:, :1], ("cost",)), None) == 0
    for name, says in ((None, "no target is named"), ("speed", "no target 'speed'")):
        with pytest.raises(InvalidInput, match=f"cost, gain, and .*{says}") as refused:
            target_named(rows(), name)
        assert refused.value.faults[0].pointer == "/target"
