"""The search: it finds what was hidden, keeps its time and leaves a usable answer whenever cut."""

import time
from collections.abc import Callable
from itertools import islice, takewhile

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded
from service.domain.kernels import Covariance
from service.engine.portions import SerialBlocks
from service.estimators.fit_grid import grid
from service.estimators.fits import Knn, Kriging, Linear, LocalPolynomial
from service.estimators.judging import (
    FEW_ROWS,
    MANY_ROWS,
    Judge,
    Score,
    best_of,
    best_of_each_method,
)
from service.estimators.kriging_metric import KrigingMetric, descend
from service.estimators.leave_one_out import leave_one_out
from service.estimators.metric import metric_map
from service.estimators.tuning import search


def loader(y: Floats) -> Callable[[Floats], Resident]:
    return lambda z: NativeBackend().load(z, y)


def blocks() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 120)


def searched(x: Floats, y: Floats, seconds: float = 1e9) -> list[Score]:
    return list(search(x, y, loader(y), blocks(), seconds=seconds))


def hidden(n: int) -> tuple[Floats, Floats]:
    """Return a wave along one direction, and three features, of which it needs two."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(n, 3)) * np.array([1.0, 10.0, 3.0])
    return x, (np.sin(4 * x[:, 0] + 0.4 * x[:, 1]) + 0.05 * rng.normal(size=n))[:, None]


def test_it_finds_the_direction_that_matters() -> None:
    x, y = hidden(250)
    scores = searched(x, y)
    grid_best = best_of([score for score in scores if score.step == "grid"])
    best = best_of(scores)
    assert best.error < 0.3 * grid_best.error
    assert isinstance(best.fit.metric[0], tuple)
    matrix = metric_map(best.fit.metric, x).matrix
    assert matrix is not None
    _, _, directions = np.linalg.svd(matrix * x.std(axis=0))
    truth = np.array([4.0, 4.0, 0.0]) / np.sqrt(32)
    assert abs(directions[0] @ truth) > 0.99


def test_each_error_is_the_leave_one_out_error_of_its_fit() -> None:
    x, y = hidden(120)
    y = np.column_stack([y, 3 * x[:, 2]])
    for score in islice(search(x, y, loader(y), blocks(), seconds=1e9), 0, 60, 4):
        rows = loader(y)(np.ascontiguousarray(metric_map(score.fit.metric, x).of(x)))
        residual = leave_one_out(rows, score.fit, np.arange(120)).residual
        rmse = np.sqrt(np.mean(residual**2, axis=0))
        assert_allclose(score.rmse, rmse, rtol=1e-9)
        assert_allclose(score.error, np.sqrt(np.mean((rmse / y.std(axis=0)) ** 2)), rtol=1e-9)


def test_the_same_seed_gives_the_same_search() -> None:
    x, y = hidden(60)
    first, second = searched(x, y), searched(x, y)
    assert [score.fit for score in first] == [score.fit for score in second]
    assert [score.error for score in first] == [score.error for score in second]


def test_few_rows_judge_first_and_the_best_of_each_method_again() -> None:
    x, y = hidden(FEW_ROWS + 50)
    found = search(x, y, loader(y), blocks(), seconds=1e9)
    scores = list(takewhile(lambda score: score.step == "grid", found))
    few = [score for score in scores if score.rows == FEW_ROWS]
    again = scores[len(few) :]
    assert [score.fit for score in again] == [score.fit for score in best_of_each_method(few)]
    assert {score.rows for score in again} == {FEW_ROWS + 50}


def test_the_learners_do_not_judge_where_there_are_enough() -> None:
    x = np.random.default_rng(0).random((2 * MANY_ROWS, 1))
    judge = Judge(x, x, loader(x), blocks(), seconds=1.0, seed=0)
    assert not set(judge.judges) & set(judge.learners)
    assert len(judge.judges) == MANY_ROWS
    assert set(judge.few) <= set(judge.judges)


class Ticking:
    """A clock that goes on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_it_ends_with_its_time_and_has_an_answer_even_without_any() -> None:
    x, y = hidden(50)
    everything = searched(x, y)
    for seconds in (0.0, 30.0, 100.0):
        cut = list(search(x, y, loader(y), blocks(), seconds=seconds, clock=Ticking()))
        assert 1 <= len(cut) <= max(seconds, 1.0)
        assert len(cut) < len(everything)
        assert np.isfinite(best_of(cut).error)


def test_the_deadline_of_the_blocks_ends_it() -> None:
    x, y = hidden(100)
    late = SerialBlocks(time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded):
        list(search(x, y, loader(y), late, seconds=10.0))


@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("d", [1, 3])
def test_a_handful_of_rows_is_enough(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.random((n, d)), rng.random((n, 1))
    assert np.isfinite(best_of(searched(x, y)).error)


def test_constant_features_targets_and_rows_at_one_place_do_no_harm() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.repeat(rng.random(20), 2), np.full(40, 3.0)])
    y = np.column_stack([rng.random(40), np.full(40, 2.0)])
    assert np.isfinite(best_of(searched(x, y)).error)


def test_the_best_is_among_those_over_the_most_rows() -> None:
    few = Score(Knn(1), 0.1, (0.1,), 10, "grid", 1.0)
    many = Score(Knn(2), 0.3, (0.3,), 20, "grid", 2.0)
    worse = Score(Knn(3), 0.4, (0.4,), 20, "grid", 3.0)
    assert best_of([few]) is few
    assert best_of([few, worse, many]) is many


@pytest.mark.parametrize(("most", "d"), [(2, 1), (49, 2), (10_000, 8), (99, 40)])
def test_the_grid_holds_no_fit_that_the_rows_cannot_serve(most: int, d: int) -> None:
    fits = list(grid(most, d))
    assert len(set(fits)) == len(fits)
    local = [fit for fit in fits if not isinstance(fit, Linear)]
    assert all(fit.n_neighbors is not None and 1 <= fit.n_neighbors <= most for fit in local)
    assert len(fits) - len(local) == (most >= 3 * (d + 1))
    assert any(isinstance(fit, LocalPolynomial) for fit in fits)


def test_where_the_truth_is_a_plane_it_is_found() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 3)) * np.array([1.0, 10.0, 0.1])
    y = (1.0 + x @ np.array([2.0, -0.3, 10.0]) + rng.normal(size=700))[:, None]
    methods = frozenset({Knn, LocalPolynomial, Linear})
    best = best_of(list(search(x, y, loader(y), blocks(), methods=methods, seconds=1e9)))
    assert isinstance(best.fit, Linear)
    left_out = []
    for i in range(700):
        others = np.column_stack([np.ones(699), np.delete(x, i, axis=0)])
        slopes = np.linalg.lstsq(others, np.delete(y[:, 0], i))[0]
        left_out.append(y[i, 0] - np.append(1.0, x[i]) @ slopes)
    assert best.rmse[0] == pytest.approx(np.sqrt(np.mean(np.square(left_out))), rel=1e-9)


@pytest.mark.parametrize("full", [False, True])
def test_a_round_lowers_the_error_of_kriging(full: bool) -> None:
    x, y = hidden(400)
    standard = x / x.std(axis=0)
    start = KrigingMetric(Covariance.MATERN52, np.eye(3), 0.01)
    at = np.arange(0, 400, 2)
    found = descend(standard, y, start, at, 20, full=full, load=loader(y), blocks=blocks())
    assert found.is_diagonal is not full

    def error(metric: KrigingMetric) -> float:
        rows = loader(y)(np.ascontiguousarray(standard @ metric.matrix.T))
        fit = Kriging(metric.kind, 1.0, metric.alpha, 20, mean="constant")
        return float(np.mean(leave_one_out(rows, fit, np.arange(1, 400, 2)).residual ** 2))

    assert error(found) < 0.8 * error(start)


def test_rows_that_come_in_pairs_are_judged_by_other_pairs() -> None:
    rng = np.random.default_rng(5)
    x, noise = np.repeat(rng.random((60, 1)), 2, axis=0), np.repeat(rng.normal(size=60), 2)
    y, pairs = noise[:, None], np.repeat(np.arange(60), 2)
    # The twin knows the answer; other pairs know nothing.
    alone = best_of(searched(x, y))
    grouped = best_of(list(search(x, y, loader(y), blocks(), groups=pairs, seconds=1e9)))
    assert alone.error < 0.1
    assert grouped.error > 0.8


def test_classes_are_judged_by_log_loss_over_that_of_their_frequencies() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 2))
    y = np.eye(3)[np.where(x[:, 0] > 0.6, 2, (x[:, 1] > 0).astype(int))]
    judge = Judge(x, y, loader(y), blocks(), seconds=9.0, seed=0, of_classes=True)
    score = judge.score(Knn(15, "distance"), "grid")
    surprise = []
    for i in range(60):
        distance = np.hypot(*(np.delete(x, i, axis=0) - x[i]).T)
        nearest = np.argsort(distance)[:15]
        shares = np.delete(y, i, axis=0)[nearest].T @ (1 / distance[nearest])
        surprise.append(-np.log(max((shares / shares.sum()) @ y[i], np.finfo(float).eps)))
    frequency = y.mean(axis=0)
    entropy = -np.sum(frequency * np.log(frequency))
    assert score.error == pytest.approx(np.mean(surprise) / entropy, rel=1e-9)
