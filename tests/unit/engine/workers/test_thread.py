"""Tasks in threads: shared cores, deadlines, a clean end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from service.backends.base import Resident, Search
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded, NotReady
from service.domain.kernels import Covariance
from service.domain.prediction import Prediction
from service.engine.plan import Forced
from service.engine.portions import Portions
from service.engine.workers.base import Task
from service.engine.workers.thread import ThreadWorker
from service.estimators.fits import Fit, Knn, Kriging
from service.estimators.kriging_system import Solver
from tests.predicting import make_task, plan_of, predict_here

RNG = np.random.default_rng(5)
X, Y, Q = RNG.random((500, 2)), RNG.normal(size=(500, 1)), RNG.random((400, 2))
DATA = make_dataset(X.copy(), Y.copy())


class SlowBackend:
    """The native backend after a pause at every load."""

    name = "slow"

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    def load(
        self,
        x: Floats,
        y: Floats,
        search: Search = Search.TREE,
        *,
        indexed_rows: int | None = None,
        base: Resident | None = None,
        row_weights: Floats | None = None,
        n_sloped: int | None = None,
    ) -> Resident:
        time.sleep(self._pause_s)
        return NativeBackend().load(
            x,
            y,
            search,
            indexed_rows=indexed_rows,
            base=base,
            row_weights=row_weights,
            n_sloped=n_sloped,
        )


def worker(
    cores: int = 2, pause_s: float = 0.0, warm_up: Callable[[], None] = lambda: None
) -> ThreadWorker:
    return ThreadWorker(
        SlowBackend(pause_s), cores=cores, prepared_budget_bytes=10**8, warm_up=warm_up
    )


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("block_size", [1, 7, 400])
def test_blocks_on_several_cores_come_back_in_order(cores: int, block_size: int) -> None:
    async def scenario() -> Prediction:
        threads = worker(cores)
        try:
            task = make_task(X, Y, Knn(5), Q, neighbors=True, block_size=block_size)
            return (await threads.predict(task, time.monotonic() + 30)).prediction
        finally:
            await threads.close()

    got = asyncio.run(scenario())
    expected = predict_here(make_task(X, Y, Knn(5), Q, neighbors=True), NativeBackend())
    np.testing.assert_array_equal(got.mean, expected.mean)
    assert got.neighbors is not None
    assert expected.neighbors is not None
    np.testing.assert_array_equal(got.neighbors.offsets, expected.neighbors.offsets)
    np.testing.assert_array_equal(got.neighbors.rows, expected.neighbors.rows)


def test_the_caller_hears_of_the_deadline_at_once() -> None:
    async def scenario() -> float:
        threads = worker(pause_s=1.0)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await threads.predict(make_task(X, Y, Knn(5), Q), started + 0.1)
        elapsed = time.monotonic() - started
        await threads.close()
        return elapsed

    assert asyncio.run(scenario()) < 0.8


def test_a_deadline_frees_the_threads_for_the_next() -> None:
    big = RNG.random((3000, 3))

    async def scenario() -> None:
        threads = worker(cores=1)
        slow = make_task(big, big[:, :1].copy(), Kriging(length_scale=0.1), big, block_size=1)
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await threads.predict(slow, time.monotonic() + 0.2)
        quick = await threads.predict(make_task(X, Y, Knn(5), Q), time.monotonic() + 10)
        assert quick.prediction.mean.shape == (400, 1)
        await threads.close()

    asyncio.run(scenario())


def test_it_is_ready_once_warm_and_says_why_when_not() -> None:
    def fail() -> None:
        raise OSError("no room for the cache")

    async def scenario() -> None:
        good, bad = worker(), worker(warm_up=fail)
        assert (good.is_ready, good.state) == (False, "not started")
        for threads in (good, bad):
            await threads.start()
            while threads.state == "loading compiled code":
                await asyncio.sleep(0.01)
        assert (good.is_ready, good.state) == (True, "ready")
        assert not bad.is_ready
        assert "no room for the cache" in bad.state
        await good.close()
        await bad.close()

    asyncio.run(scenario())


def test_after_its_end_it_refuses() -> None:
    async def scenario() -> None:
        threads = worker()
        await threads.close()
        await threads.close()
        with pytest.raises(NotReady, match="shutting down"):
            await threads.predict(make_task(X, Y, Knn(5), Q), time.monotonic() + 10)

    asyncio.run(scenario())


def test_weights_of_many_rows_do_not_stop_the_pool() -> None:
    """Each block solves for its weights; solving in blocks of the same pool would wait for ever."""
    fit = Kriging(Covariance.GAUSSIAN, 0.2, 0.1)
    forced = Forced(solver=Solver.CONJUGATE_GRADIENT)

    async def scenario() -> None:
        threads = worker(cores=2)
        weighty = make_task(X, Y, fit, Q, neighbors=True, block_size=20, forced=forced)
        got = (await threads.predict(weighty, time.monotonic() + 60)).prediction
        assert got.neighbors is not None
        weights = got.neighbors.weights.reshape(len(Q), len(X))
        rows = got.neighbors.rows.reshape(len(Q), len(X))
        np.testing.assert_allclose(np.einsum("mn,mnt->mt", weights, Y[rows]), got.mean, atol=1e-8)
        await threads.predict(make_task(X, Y, Knn(5), Q, block_size=10), time.monotonic() + 10)
        await threads.close()

    asyncio.run(scenario())


def test_a_short_task_does_not_wait_behind_long_ones() -> None:
    rows = RNG.random((3000, 2))

    async def scenario() -> None:
        threads = worker(cores=1, pause_s=1.0)
        fits = [Kriging(length_scale=0.1 + 0.01 * i) for i in range(20)]
        long = [
            asyncio.ensure_future(
                threads.predict(
                    make_task(rows, rows[:, :1].copy(), fit, rows), time.monotonic() + 3
                )
            )
            for fit in fits
        ]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await threads.predict(make_task(X, Y, Knn(5), Q[:3]), started + 30)
        assert time.monotonic() - started < 2.8  # its own pause is 1 s; 20 of them would take 3 s
        await asyncio.gather(*long, return_exceptions=True)
        await threads.close()

    asyncio.run(scenario())


def test_what_a_queued_task_prepares_after_a_delete_is_not_kept() -> None:
    async def scenario() -> None:
        threads = worker(pause_s=0.3)
        stored = replace(make_task(X, Y, Knn(5), Q), dataset=replace(DATA, id="ds-gone"))
        running = asyncio.ensure_future(threads.predict(stored, time.monotonic() + 10))
        await asyncio.sleep(0.1)
        threads.forget("ds-gone")
        await running
        assert threads.prepared_bytes == 0
        await threads.predict(stored, time.monotonic() + 10)
        assert threads.prepared_bytes > 0
        await threads.close()

    asyncio.run(scenario())


def test_a_task_waits_for_compiled_code_within_its_deadline() -> None:
    async def scenario() -> None:
        threads = worker(warm_up=lambda: time.sleep(0.5))
        await threads.start()
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await threads.predict(make_task(X, Y, Knn(5), Q), time.monotonic() + 0.1)
        got = await threads.predict(make_task(X, Y, Knn(5), Q), time.monotonic() + 10)
        assert got.prediction.mean.shape == (400, 1)
        await threads.close()

    asyncio.run(scenario())


def test_portions_grow_while_they_are_quick_and_shrink_when_not() -> None:
    portions = Portions(100_000, 4096, 16)
    sizes = []
    for seconds in (0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 10.0, 0.05):
        part = portions.next()
        sizes.append(part.stop - part.start)
        portions.took(part, seconds)
    assert sizes == [16, 64, 256, 1024, 4096, 4096, 20]
    assert portions.has_more


LONG = replace(make_dataset(RNG.random((12_000, 2)), RNG.random(12_000)), id="ds-long")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


def ask(dataset: Dataset, fit: Fit | None = None) -> Task:
    fit = fit or Knn(5)
    return Task(dataset, fit, Q[:2].copy(), plan_of(fit, dataset))


def test_a_task_in_the_calling_thread_finds_all_prepared_or_is_not_done() -> None:
    async def scenario() -> None:
        threads = worker()
        assert threads.predict_now(ask(LONG)) is None  # not ready
        await threads.start()
        await until(lambda: threads.is_ready)
        assert threads.predict_now(ask(LONG)) is None
        first = await threads.predict(ask(LONG), time.monotonic() + 10)
        again = threads.predict_now(ask(LONG))
        assert again is not None
        np.testing.assert_array_equal(again.prediction.mean, first.prediction.mean)
        threads.forget("ds-long")
        assert threads.predict_now(ask(LONG)) is None
        await threads.close()
        assert threads.predict_now(ask(LONG)) is None

    asyncio.run(scenario())


def test_rows_made_ready_ahead_are_there_when_they_are_asked_for() -> None:
    async def scenario() -> None:
        threads = worker(pause_s=0.3)
        await threads.start()
        await until(lambda: threads.is_ready)
        threads.prepare(LONG, "euclidean", Search.TREE)
        quick = await threads.predict(make_task(X, Y, Knn(5), Q[:2]), time.monotonic() + 10)
        assert quick.compute_s < 0.5  # its own pause, and none behind the other
        await until(lambda: threads.predict_now(ask(LONG)) is not None)
        await threads.close()

    asyncio.run(scenario())


def test_rows_are_not_made_ready_ahead_where_that_would_drop_others() -> None:
    async def scenario() -> None:
        threads = ThreadWorker(
            NativeBackend(),
            cores=1,
            prepared_budget_bytes=2 * LONG.nbytes,
            warm_up=lambda: None,
        )
        threads.prepare(LONG, "euclidean", Search.TREE)
        await threads.close()
        assert threads.prepared_bytes == 0

    asyncio.run(scenario())


def test_rows_of_a_deleted_dataset_are_not_made_ready() -> None:
    async def scenario() -> None:
        threads = worker(pause_s=0.3)
        for metric in ("euclidean", "standardized"):
            threads.prepare(LONG, metric, Search.TREE)
        await asyncio.sleep(0.1)
        threads.forget("ds-long")
        started = time.monotonic()
        await threads.close()
        assert time.monotonic() - started < 0.4  # the first pause alone
        assert threads.prepared_bytes == 0

    asyncio.run(scenario())


def test_the_next_version_takes_over_what_was_in_use() -> None:
    kriging = Kriging(length_scale=0.1)

    async def scenario() -> None:
        threads = worker()
        small = replace(DATA, id="ds-small")
        for fit in (Knn(5), Knn(5, metric="standardized"), kriging):
            await threads.predict(ask(small, fit), time.monotonic() + 20)
        everything = threads.prepared_bytes
        assert threads.supersede(small) == {"euclidean", "standardized"}
        base = threads.prepared_bytes
        assert 0 < base < everything
        longer = small.appended(X[:20] + 0.5, Y[:20])
        assert longer.indexed_rows == len(X)
        got = await threads.predict(ask(longer), time.monotonic() + 20)
        expected = predict_here(ask(longer), NativeBackend())
        np.testing.assert_array_equal(got.prediction.mean, expected.mean)
        threads.forget("ds-small")
        assert threads.prepared_bytes == 0
        await threads.close()

    asyncio.run(scenario())
