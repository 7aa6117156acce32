"""Who waits, who goes together, and that each gets what is theirs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded, InvalidInput, NotReady
from service.domain.prediction import Prediction, Wanted
from service.engine.batches import Lines, merged, split
from service.engine.batching import Batcher
from service.engine.workers.base import Computed, Task
from service.estimators.fits import Fit, Knn, LocalPolynomial, Metric
from tests.predicting import make_task, plan_of, predict_here

RNG = np.random.default_rng(0)
X, Y = RNG.random((80, 2)), RNG.normal(size=(80, 2))
STORED = replace(make_dataset(X, Y), id="ds_1")
BAD = 99.0
"""A query with this first feature is refused."""


def task(*first: float, fit: Fit | None = None, dataset: Dataset = STORED) -> Task:
    fit = fit or Knn(3)
    q: Floats = np.column_stack([first, np.zeros(len(first))])
    return Task(dataset, fit, q, plan_of(fit, dataset))


def soon() -> float:
    return time.monotonic() + 20


class GatedWorker:
    """Computes when the gate is open; remembers what it was asked for."""

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.is_ready, self.state, self.prepared_bytes = True, "ready", 0
        self.gate = asyncio.Event()
        self.tasks: list[Task] = []
        self.deadlines: list[float] = []
        self.cancelled = 0
        self.failure: Exception | None = None
        self.compute_s = 0.25

    @property
    def rows(self) -> list[int]:
        return [len(one.q) for one in self.tasks]

    async def start(self) -> None:
        self.gate.set()

    def predict_now(self, task: Task) -> Computed | None:
        return Computed(predict_here(task, NativeBackend()), 1e-6)

    async def predict(self, task: Task, deadline: float) -> Computed:
        self.tasks.append(task)
        self.deadlines.append(deadline)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        if (task.q[:, 0] == BAD).any():
            raise InvalidInput.at("/queries", "Send another.")
        return Computed(predict_here(task, NativeBackend()), self.compute_s)

    def prepare(self, dataset: Dataset, metric: Metric, search: Search) -> None: ...

    def supersede(self, old: Dataset) -> frozenset[Metric]:
        return frozenset()

    def forget(self, dataset_id: str) -> None: ...

    async def close(self) -> None: ...


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class TestLines:
    def test_a_lone_one_never_waits(self) -> None:
        lines: Lines[str, int] = Lines(1)
        assert lines.arrived("a", 1, 5)
        assert lines.arrived("b", 2, 5)  # of another kind, and nobody to wait for

    def test_while_one_is_under_way_the_others_wait_and_then_leave_together(self) -> None:
        lines: Lines[str, int] = Lines(1)
        assert lines.arrived("a", 1, 5)
        assert not any(lines.arrived("a", i, 5) for i in (2, 3, 4))
        assert lines.waiting == 3
        assert lines.ended("a", 100) == [("a", [2, 3, 4])]
        assert lines.ended("a", 100) == []
        assert lines.arrived("a", 5, 5)

    def test_nobody_waits_while_there_is_a_free_core(self) -> None:
        lines: Lines[str, int] = Lines(2)
        assert lines.arrived("a", 1, 5)
        assert lines.arrived("a", 2, 5)
        assert not lines.arrived("a", 3, 5)

    def test_rows_are_counted_and_not_requests(self) -> None:
        lines: Lines[str, int] = Lines(1)
        lines.arrived("a", 0, 1)
        for i, rows in enumerate((4, 5, 2, 50, 1), start=1):
            lines.arrived("a", i, rows)
        assert lines.ended("a", 10) == [("a", [1, 2])]
        assert lines.ended("a", 10) == [("a", [3])]
        assert lines.ended("a", 10) == [("a", [4])]
        assert lines.ended("a", 10) == [("a", [5])]

    def test_one_that_has_gone_leaves_with_nobody(self) -> None:
        lines: Lines[str, int] = Lines(1)
        for i in range(3):
            lines.arrived("a", i, 1)
        lines.left("a", 1)
        lines.left("b", 1)
        assert lines.ended("a", 10) == [("a", [2])]

    @given(
        capacity=st.integers(1, 3),
        steps=st.lists(
            st.tuples(st.sampled_from("aab"), st.integers(1, 9), st.booleans()), max_size=60
        ),
    )
    def test_everybody_leaves_once_in_order_and_with_their_own_kind(
        self, capacity: int, steps: list[tuple[str, int, bool]]
    ) -> None:
        lines: Lines[str, int] = Lines(capacity)
        rows: list[int] = []
        kinds: list[str] = []
        left: list[int] = []
        under_way: list[str] = []

        def end() -> None:
            for kind, batch in lines.ended(under_way.pop(0), 10):
                assert {kinds[one] for one in batch} == {kind}
                assert len(batch) == 1 or sum(rows[one] for one in batch) <= 10
                under_way.append(kind)
                left.extend(batch)

        for kind, count, ends in steps:
            rows.append(count)
            kinds.append(kind)
            if lines.arrived(kind, len(rows) - 1, count):
                under_way.append(kind)
                left.append(len(rows) - 1)
            if ends and under_way:
                end()
            assert len(left) + lines.waiting == len(rows)
            # One that waits does so behind another of its kind.
            assert not lines.waiting or len(under_way) >= 1
        while under_way:
            end()
        assert sorted(left) == list(range(len(rows)))
        for kind in "ab":
            mine = [one for one in left if kinds[one] == kind]
            assert mine == sorted(mine)


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6), seed=st.integers(0, 100))
def test_what_was_merged_comes_apart_as_it_was_alone(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for fit in (Knn(3), LocalPolynomial(1, bandwidth=0.2), LocalPolynomial(2, n_neighbors=7)):
        tasks = [
            # Some outside of the rows, some where none is in reach, some in a crowd.
            replace(
                make_task(X, Y, fit, 2 * rng.random((size, 2)) - 0.5, diagnostics=True),
                dataset=STORED,
            )
            for size in sizes
        ]
        together = predict_here(merged(tasks), NativeBackend())
        for one, part in zip(tasks, split(together, sizes), strict=True):
            assert_same(part, predict_here(one, NativeBackend()))


def assert_same(got: Prediction, expected: Prediction) -> None:
    assert_array_equal(got.mean, expected.mean)
    assert [(issue.status, issue.advice, issue.queries.tolist()) for issue in got.issues] == [
        (issue.status, issue.advice, issue.queries.tolist()) for issue in expected.issues
    ]
    assert got.diagnostics is not None
    assert expected.diagnostics is not None
    for name in ("support", "effective_rows", "bandwidth", "degree"):
        assert_array_equal(getattr(got.diagnostics, name), getattr(expected.diagnostics, name))


def test_requests_that_come_while_one_is_computed_are_computed_together() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        asked = [task(i / 10, i / 20) for i in range(10)]
        answers = [asyncio.ensure_future(batcher.predict(one, soon())) for one in asked]
        await settled()
        assert (worker.rows, batcher.waiting) == ([2], 9)
        worker.gate.set()
        for one, answer in zip(asked, await asyncio.gather(*answers), strict=True):
            assert_array_equal(answer.prediction.mean, predict_here(one, NativeBackend()).mean)
            assert answer.compute_s == 0.25
        assert worker.rows == [2, 18]
        assert batcher.waiting == 0

    run(scenario)


def test_other_fits_versions_and_rows_sent_along_are_not_joined() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        listing = replace(task(0.1), wanted=Wanted(neighbor_limit=10))
        others = [
            task(0.1, fit=Knn(4)),
            task(0.1, dataset=STORED.appended(X, Y)),
            replace(task(0.1), wanted=Wanted(diagnostics=True)),
            replace(task(0.1), wanted=Wanted(std=True)),
            replace(task(0.1), wanted=Wanted(interval="conformal", level=0.8)),
            replace(task(0.1), wanted=Wanted(interval="conformal", level=0.9)),
            *[listing] * 2,
            *[task(0.1, dataset=make_dataset(X, Y))] * 2,
        ]
        answers = [
            asyncio.ensure_future(batcher.predict(one, soon())) for one in (task(0.1), *others)
        ]
        await settled()
        assert worker.rows == [1] * 11
        worker.gate.set()
        await asyncio.gather(*answers)
        assert worker.rows == [1] * 11

    run(scenario)


def test_requests_that_want_the_same_intervals_are_computed_together() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        wanted = Wanted(std=True, interval="conformal", level=0.8)
        asked = [replace(task(i / 10), wanted=wanted) for i in range(5)]
        answers = [asyncio.ensure_future(batcher.predict(one, soon())) for one in asked]
        await settled()
        worker.gate.set()
        for one, answer in zip(asked, await asyncio.gather(*answers), strict=True):
            expected = predict_here(one, NativeBackend()).intervals
            got = answer.prediction.intervals
            assert got is not None
            assert expected is not None
            assert_array_equal(got.upper, expected.upper)
            assert_array_equal(got.rank, expected.rank)
        assert worker.rows == [1, 4]

    run(scenario)


def test_a_long_request_neither_waits_nor_makes_others_wait() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 10)
        answers = [
            asyncio.ensure_future(batcher.predict(task(*[0.5] * rows), soon()))
            for rows in (6, 6, 1, 6)
        ]
        await settled()
        assert worker.rows == [6, 6, 1, 6]
        worker.gate.set()
        await asyncio.gather(*answers)

    run(scenario)


def test_with_one_row_a_batch_every_request_goes_alone() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1)
        answers = [asyncio.ensure_future(batcher.predict(task(0.5), soon())) for _ in range(5)]
        await settled()
        assert worker.rows == [1] * 5
        worker.gate.set()
        await asyncio.gather(*answers)

    run(scenario)


def test_the_one_to_blame_is_the_only_one_to_hear_of_it() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        asked = [task(0.1), task(0.2), task(BAD), task(0.3)]
        answers = [asyncio.ensure_future(batcher.predict(one, soon())) for one in asked]
        await settled()
        worker.gate.set()
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        assert [isinstance(outcome, InvalidInput) for outcome in outcomes] == [
            False, False, True, False,
        ]  # fmt: skip
        for one, outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Computed):
                assert_array_equal(outcome.prediction.mean, predict_here(one, NativeBackend()).mean)

    run(scenario)


def test_what_concerns_the_worker_is_told_to_all() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        worker.failure = NotReady("not now")
        batcher = Batcher(worker, 1000)
        answers = [asyncio.ensure_future(batcher.predict(task(0.1), soon())) for _ in range(4)]
        await settled()
        worker.gate.set()
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NotReady] * 4
        assert worker.rows == [1, 3]

    run(scenario)


def test_each_has_a_deadline_of_its_own() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        first = asyncio.ensure_future(batcher.predict(task(0.1), soon()))
        await settled()
        latest = soon() + 5
        hurried = asyncio.ensure_future(batcher.predict(task(0.2), time.monotonic() + 0.05))
        patient = asyncio.ensure_future(batcher.predict(task(0.3), latest))
        also = asyncio.ensure_future(batcher.predict(task(0.4), latest - 1))
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await hurried
        assert (not patient.done(), batcher.waiting) == (True, 2)
        worker.gate.set()
        await asyncio.gather(first, patient, also)
        assert worker.rows == [1, 2]
        assert worker.deadlines[1] == latest

    run(scenario)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_the_work_goes_on_while_one_of_them_waits(gone: int) -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        first = asyncio.ensure_future(batcher.predict(task(0.1), soon()))
        await settled()
        waiting = [asyncio.ensure_future(batcher.predict(task(0.2), soon())) for _ in range(3)]
        await settled()
        worker.gate.set()
        worker.gate = asyncio.Event()
        await first
        await settled()
        assert worker.rows == [1, 3]
        for one in waiting[:gone]:
            one.cancel()
        await settled()
        assert worker.cancelled == (gone == 3)
        worker.gate.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(outcome, Computed) for outcome in outcomes) == 3 - gone
        assert (await batcher.predict(task(0.5), soon())).prediction.mean.shape == (1, 2)

    run(scenario)


def test_one_that_goes_while_it_waits_is_not_computed() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        batcher = Batcher(worker, 1000)
        first = asyncio.ensure_future(batcher.predict(task(0.1), soon()))
        await settled()
        gone = asyncio.ensure_future(batcher.predict(task(0.2), soon()))
        stays = asyncio.ensure_future(batcher.predict(task(0.3), soon()))
        await settled()
        gone.cancel()
        await settled()
        assert batcher.waiting == 1
        first.cancel()  # the next do not need the end of the work, but its place
        await settled()
        assert (worker.cancelled, worker.rows) == (1, [1, 1])
        worker.gate.set()
        await stays
        assert batcher.waiting == 0

    run(scenario)


@pytest.mark.parametrize("steps", range(6))
def test_a_batch_whose_callers_go_at_any_step_gives_its_place_back(steps: int) -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        worker.compute_s = 1e-6  # quick enough for later ones to be computed at once
        batcher = Batcher(worker, 1000)
        first = asyncio.ensure_future(batcher.predict(task(0.1), soon()))
        await settled()
        gone = asyncio.ensure_future(batcher.predict(task(0.2), soon()))
        await settled()
        worker.gate.set()
        worker.gate = asyncio.Event()
        for _ in range(steps):  # at some step the batch has been made and has not begun
            await asyncio.sleep(0)
        gone.cancel()
        await settled()
        assert first.done()
        worker.gate.set()
        await asyncio.wait_for(batcher.predict(task(0.3), soon()), 5)
        await settled()
        assert batcher.waiting == 0
        assert batcher.predict_now(task(0.4)) is not None

    run(scenario)


def test_at_once_goes_what_is_known_to_be_quick_and_nothing_else() -> None:
    async def scenario() -> None:
        worker = GatedWorker()
        worker.gate.set()
        batcher = Batcher(worker, 1000)
        quick, costly = task(0.1), task(0.1, fit=LocalPolynomial(2, bandwidth=1.0))
        costly = replace(costly, plan=replace(costly.plan, query_s=1.0))
        assert batcher.predict_now(quick) is None  # never computed before
        for _ in range(2):
            await batcher.predict(quick, soon())
            assert batcher.predict_now(quick) is None  # it may have prepared; it was slow
        worker.compute_s = 1e-6
        for one in (quick, costly, costly):
            await batcher.predict(one, soon())
        assert batcher.predict_now(quick) is not None
        assert batcher.predict_now(costly) is None  # though it was quick, this time
        assert batcher.predict_now(task(*[0.1] * 1000)) is None
        worker.compute_s = 10.0
        worker.gate = asyncio.Event()
        under_way = asyncio.ensure_future(batcher.predict(quick, soon()))
        await settled()
        # Else a crowd would stay in the line for ever, each the one that the others wait for.
        assert batcher.predict_now(quick) is not None
        worker.gate.set()
        await under_way
        assert batcher.predict_now(quick) is not None  # one may have waited for a core
        for _ in range(20):
            await batcher.predict(quick, soon())
        assert batcher.predict_now(quick) is None  # but not all of them

    run(scenario)
