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
from service.domain.dataset import make_dataset
from service.domain.errors import DeadlineExceeded, NotReady
from service.domain.kernels import Covariance
from service.domain.prediction import Prediction
from service.engine.task import Portions
from service.engine.workers.thread import ThreadWorker
from service.estimators import kriging_system
from service.estimators.fits import Knn, Kriging
from tests.predicting import make_task, predict_here

RNG = np.random.default_rng(5)
X, Y, Q = RNG.random((500, 2)), RNG.normal(size=(500, 1)), RNG.random((400, 2))
DATA = make_dataset(X.copy(), Y.copy())


class SlowBackend:
    """The native backend after a pause at every load."""

    name = "slow"

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    def load(self, x: Floats, y: Floats, search: Search = Search.TREE) -> Resident:
        time.sleep(self._pause_s)
        return NativeBackend().load(x, y)


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
            return await threads.predict(task, time.monotonic() + 30)
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
        assert quick.mean.shape == (400, 1)
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


def test_weights_of_many_rows_do_not_stop_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block solves for its weights; solving in blocks of the same pool would wait for ever."""
    monkeypatch.setattr(kriging_system, "DENSE_ROWS", 100)
    fit = Kriging(Covariance.GAUSSIAN, 0.2, 0.1)

    async def scenario() -> None:
        threads = worker(cores=2)
        weighty = make_task(X, Y, fit, Q, neighbors=True, block_size=20)
        got = await threads.predict(weighty, time.monotonic() + 60)
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
        assert got.mean.shape == (400, 1)
        await threads.close()

    asyncio.run(scenario())


def test_portions_grow_while_they_are_quick_and_shrink_when_not() -> None:
    portions = Portions(100_000, 4096)
    sizes = []
    for seconds in (0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 10.0, 0.05):
        part = portions.next()
        sizes.append(part.stop - part.start)
        portions.took(part, seconds)
    assert sizes == [16, 64, 256, 1024, 4096, 4096, 20]
    assert portions.has_more
