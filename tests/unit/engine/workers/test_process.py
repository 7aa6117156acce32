"""A compute process: its answers, errors, deadlines and death, with a backend of no substance."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DeadlineExceeded, InvalidInput, WorkerLost
from service.engine.workers.base import Task
from service.engine.workers.child_process import ChildProcess
from service.engine.workers.process import ProcessWorker
from service.estimators.fits import Knn
from tests.predicting import plan_of, predict_here
from tests.unit.engine.workers.slow_backend import FAIL, REFUSE, SlowBackend, make_slow

T = TypeVar("T")

RNG = np.random.default_rng(3)
X, Y = RNG.random((200, 2)), RNG.normal(size=(200, 2))
STORED = replace(make_dataset(X, Y), id="ds_1")
SOON_S = 20.0
"""For what happens soon, on a machine that is busy."""


def task(*first: float, dataset: Dataset = STORED, block_size: int = 1) -> Task:
    """Return a task with these first features of the queries: what the backend is to do."""
    q: Floats = np.column_stack([first, np.zeros(len(first))])
    return Task(dataset, Knn(3), q, plan_of(Knn(3), dataset, block_size=block_size))


def in_time(seconds: float = SOON_S) -> float:
    return time.monotonic() + seconds


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not is_so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def working(
    *, dataset_budget_bytes: int = 10**8, grace_s: float = 0.5, **arguments: Any
) -> AsyncIterator[ProcessWorker]:
    worker = ProcessWorker(
        make_slow,
        arguments,
        prepared_budget_bytes=10**8,
        dataset_budget_bytes=dataset_budget_bytes,
        grace_s=grace_s,
    )
    await worker.start()
    try:
        if not arguments:
            await until(lambda: worker.is_ready)
        yield worker
    finally:
        await worker.close()


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(scenario)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def held_datasets(pid: int) -> int:
    """Return how many datasets the process has mapped."""
    maps = Path(f"/proc/{pid}/maps")
    return maps.read_text().count("memfd:nearfit-dataset")


def test_predictions_are_the_same_as_in_this_process(worker: ProcessWorker) -> None:
    inline = make_dataset(X + 1, Y)
    longer = STORED.appended(X[:50] + 0.5, Y[:50])

    async def scenario() -> None:
        for dataset in (STORED, inline, longer, inline, STORED):
            asked = task(0.0, 0.01, 0.02, dataset=dataset)
            got = (await worker.predict(asked, in_time())).prediction
            expected = predict_here(asked, SlowBackend())
            np.testing.assert_array_equal(got.mean, expected.mean)
            assert got.issues[0].advice == expected.issues[0].advice

    run(scenario())


def test_errors_come_back_as_what_they_are(
    worker: ProcessWorker, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        pid = worker.pid
        with pytest.raises(InvalidInput, match="Send fewer") as refused:
            await worker.predict(task(REFUSE), in_time())
        assert [fault.pointer for fault in refused.value.faults] == ["/fit/n_neighbors"]
        with (
            caplog.at_level(logging.ERROR),
            pytest.raises(RuntimeError, match="its traceback is in the log"),
        ):
            await worker.predict(task(FAIL), in_time())
        await worker.predict(task(0.0), in_time())
        assert worker.pid == pid

    run(scenario())
    assert "ZeroDivisionError: an error that nobody thought of" in caplog.text


def test_a_deadline_ends_the_task_between_two_blocks(worker: ProcessWorker) -> None:
    async def scenario() -> None:
        pid, started = worker.pid, time.monotonic()
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await worker.predict(task(*[0.05] * 1000), in_time(0.3))
        assert time.monotonic() - started < 1.5
        await worker.predict(task(0.0), in_time())
        assert time.monotonic() - started < 3.0
        assert worker.pid == pid

    run(scenario())


def test_a_process_that_misses_the_deadline_is_replaced() -> None:
    async def scenario() -> None:
        async with working() as worker:
            pid, started = worker.pid, time.monotonic()
            with pytest.raises(DeadlineExceeded, match="longer than its time"):
                await worker.predict(task(600.0), in_time(0.2))
            assert time.monotonic() - started < 1.5
            # It waits in the queue for the process that comes after.
            await worker.predict(task(0.0), in_time())
            assert pid is not None
            assert worker.pid != pid
            assert not is_alive(pid)

    run(scenario())


def test_a_killed_process_loses_one_request_and_no_other() -> None:
    async def scenario() -> None:
        async with working(start_s=1.0) as worker:
            await until(lambda: worker.is_ready)
            pid = worker.pid
            assert pid is not None
            hit = asyncio.create_task(worker.predict(task(600.0), in_time()))
            queued = asyncio.create_task(worker.predict(task(0.0), in_time()))
            await until(lambda: held_datasets(pid) == 1)
            # A new process takes more than the second that the backend asks for.
            hopeless = asyncio.create_task(worker.predict(task(0.0), in_time(0.9)))
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            with pytest.raises(WorkerLost, match="No dataset is lost") as lost:
                await hit
            assert time.monotonic() - killed < 0.5
            assert lost.value.retry_after_s is not None
            with pytest.raises(WorkerLost):
                await hopeless
            assert time.monotonic() - killed < 0.5
            assert (await queued).prediction.mean.shape == (1, 2)
            assert worker.is_ready
            assert worker.pid != pid

    run(scenario())


def test_a_message_that_cannot_be_read_costs_the_process_and_one_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def receive(_: ChildProcess) -> Any:
        raise MemoryError

    async def scenario() -> None:
        async with working() as worker:
            pid = worker.pid
            assert pid is not None
            with monkeypatch.context() as patched:
                patched.setattr(ChildProcess, "receive", receive)
                with pytest.raises(WorkerLost, match=r"followed \(MemoryError\)"):
                    await worker.predict(task(0.0), in_time())
            await until(lambda: worker.is_ready and worker.pid != pid)
            assert not is_alive(pid)
            await worker.predict(task(0.0), in_time())

    run(scenario())
    assert "Traceback" in caplog.text


def test_nobody_waits_behind_a_caller_who_has_gone(worker: ProcessWorker) -> None:
    async def scenario() -> None:
        pid, started = worker.pid, time.monotonic()
        gone = asyncio.create_task(worker.predict(task(*[0.05] * 1000), in_time()))
        also_gone = asyncio.create_task(worker.predict(task(600.0), in_time()))
        await asyncio.sleep(0.2)
        gone.cancel()
        also_gone.cancel()
        with pytest.raises(DeadlineExceeded, match="longer than its time"):
            await worker.predict(task(0.0), time.monotonic() - 1.0)
        await worker.predict(task(0.0), in_time())
        assert time.monotonic() - started < 2.0
        assert worker.pid == pid

    run(scenario())
