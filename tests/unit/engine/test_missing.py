"""Queries of which cells are missing: how a task is cut, and how its parts are joined."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend
from service.domain.categories import MixedRows
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
from service.domain.prediction import Prediction, Status, Wanted
from service.engine.missing import check_no_missing, joined, parts_of
from service.engine.plan import Plan, Precision, choose
from service.engine.workers.base import Task
from service.estimators.fits import Fit, Knn, LocalPolynomial
from tests.predicting import make_task, plan_of, predict_here

NAN = np.nan
RNG = np.random.default_rng(0)
X, Y = RNG.random((50, 3)), RNG.normal(size=(50, 1))
Q = np.array(
    [[NAN, 0.5, 0.5], [0.1, 0.2, 0.3], [NAN] * 3, [NAN, 0.1, 0.9], [0.3, NAN, NAN], [0.9] * 3]
)


def plan(fit: Fit, dataset: Dataset, m: int) -> Plan:
    return plan_of(fit, dataset)


def answered(task: Task) -> Prediction:
    parts = parts_of(task, plan)
    return joined(task, parts, [predict_here(part.task, NativeBackend()) for part in parts])


def test_queries_that_miss_the_same_are_a_part_and_those_that_miss_none_the_first() -> None:
    parts = parts_of(make_task(X, Y, Knn(5), Q), plan)
    assert [part.queries.tolist() for part in parts] == [[1, 5], [0, 3], [4]]
    assert [part.task.q.shape for part in parts] == [(2, 3), (2, 2), (1, 1)]
    assert [part.features.tolist() for part in parts[1:]] == [
        [False, True, True],
        [True, False, False],
    ]
    assert all(part.task.dataset.id == "" for part in parts)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4], [2], [2, 4], [0, 3]])
def test_each_query_has_its_bits_whatever_it_comes_with(order: list[int]) -> None:
    wanted = Wanted(10**6, diagnostics=True, std=True, slope=True, gradient=True)
    task = make_task(X, Y, LocalPolynomial(n_neighbors=20), Q[order], wanted=wanted)
    together = answered(task)
    for i in range(len(order)):
        alone = answered(replace(task, q=task.q[i : i + 1]))
        assert_array_equal(alone.mean[0], together.mean[i])
        for name in ("deviations", "slopes", "diagnostics"):
            for field, value in vars(getattr(alone, name)).items():
                assert_array_equal(value[0], vars(getattr(together, name))[field][i])
        assert alone.gradient is not None
        assert together.gradient is not None
        assert_array_equal(alone.gradient[0], together.gradient[i])
        assert alone.neighbors is not None
        assert together.neighbors is not None
        near = slice(together.neighbors.offsets[i], together.neighbors.offsets[i + 1])
        for field in ("rows", "distances", "weights"):
            assert_array_equal(
                getattr(alone.neighbors, field), getattr(together.neighbors, field)[near]
            )


def test_issues_name_the_queries_of_the_task() -> None:
    found = answered(make_task(X, Y, Knn(5), Q + 7.0))
    told = {(issue.status, *issue.queries.tolist()) for issue in found.issues}
    assert told == {
        (Status.EXTRAPOLATED, 0, 1, 3, 4, 5),
        (Status.MISSING_CELLS, 2),
        (Status.MISSING_CELLS, 0, 3, 4),
    }


def test_the_limit_of_neighbours_is_for_all_parts_together() -> None:
    task = make_task(X, Y, Knn(5), Q, wanted=Wanted(neighbor_limit=24))
    with pytest.raises(InvalidInput, match="more than the 24"):
        answered(task)
    assert answered(replace(task, wanted=Wanted(neighbor_limit=25))).neighbors is not None


def test_numbers_may_be_missing_beside_categories() -> None:
    colors = Labels(("blue", "red"), np.arange(50) % 2)
    numbers = np.column_stack([X[:, 0], np.full(50, NAN), X[:, 1]])
    dataset = make_dataset(MixedRows(numbers, {1: colors}), Y)
    q = dataset.coordinates(
        MixedRows(np.array([[NAN, NAN, 0.5]]), {1: Labels(("red",), np.array([0]))}), "/queries"
    )
    fit = Knn(4)
    task = Task(dataset, fit, q, plan_of(fit, dataset), Wanted(neighbor_limit=100))
    (part,) = parts_of(task, plan)
    assert part.task.dataset.feature_names == ("x2", "x3")
    assert part.task.dataset.n_sloped == 1
    found = answered(task)
    assert found.neighbors is not None
    order = np.argsort(np.hypot(np.sqrt(1.5) * (X[:, 1] - 0.5), np.sqrt(1.5) * (colors.codes == 0)))
    assert found.neighbors.rows.tolist() == order[:4].tolist()


def test_rows_with_gaps_are_planned_for_the_native_engine() -> None:
    chosen = choose(
        Knn(5), n=100, m=1, d=3, t=1, backend="keops", device="cpu", cores=1, has_gaps=True
    )
    assert (chosen.backend, chosen.search) == ("native", Search.SCAN)
    assert chosen.precision is Precision.DOUBLE
    assert "missing cells" in chosen.reasons[0]


def test_a_path_needs_all_coordinates() -> None:
    check_no_missing(Q[1:2], "starts")
    with pytest.raises(InvalidInput) as refused:
        check_no_missing(Q, "starts")
    assert refused.value.faults[0].pointer == "/starts/0/0"
