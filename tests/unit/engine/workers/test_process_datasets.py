"""The datasets that a compute process holds: how they come, and that they leave."""

import asyncio
import os
from dataclasses import replace

import numpy as np

from service.domain.dataset import make_dataset
from service.engine.workers.process import ProcessWorker
from tests.predicting import predict_here
from tests.unit.engine.workers.slow_backend import SlowBackend
from tests.unit.engine.workers.test_process import (
    STORED,
    X,
    Y,
    held_datasets,
    in_time,
    run,
    task,
    until,
    working,
)


def test_forgetting_gives_the_memory_back(worker: ProcessWorker) -> None:
    other = replace(make_dataset(X + 1, Y), id="ds_2")

    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        for dataset in (STORED, STORED.appended(X, Y), other, make_dataset(X, Y)):
            await worker.predict(task(0.0, dataset=dataset), in_time())
        # The inline dataset is gone already, and the older version with the newer one.
        await until(lambda: held_datasets(pid) == 2)
        worker.forget("ds_1")
        await until(lambda: held_datasets(pid) == 1)
        worker.forget("ds_2")
        await until(lambda: held_datasets(pid) == 0)
        await worker.predict(task(0.0), in_time())

    run(scenario())


def test_a_dataset_leaves_after_the_last_job_that_waited_when_it_was_forgotten(
    worker: ProcessWorker,
) -> None:
    other = replace(make_dataset(X + 1, Y), id="ds_2")

    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        waiting = [
            asyncio.create_task(worker.predict(asked, in_time()))
            for asked in (task(0.3, dataset=other), task(0.0), task(0.0))
        ]
        await until(lambda: held_datasets(pid) == 1)
        worker.forget("ds_1")
        await asyncio.gather(*waiting)
        await until(lambda: held_datasets(pid) == 1)
        worker.forget("ds_2")
        await until(lambda: held_datasets(pid) == 0)

    run(scenario())


def test_the_same_rows_uploaded_again_stay_when_the_first_upload_is_forgotten(
    worker: ProcessWorker,
) -> None:
    again = replace(make_dataset(X, Y), id=STORED.id)
    assert again.digest == STORED.digest

    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        first = asyncio.create_task(worker.predict(task(0.3), in_time()))
        second = asyncio.create_task(worker.predict(task(0.0), in_time()))
        await until(lambda: held_datasets(pid) == 1)
        worker.forget(STORED.id)
        third = worker.predict(task(0.0, dataset=again), in_time())
        await asyncio.gather(first, second, third)
        assert held_datasets(pid) == 1
        worker.forget(again.id)
        await until(lambda: held_datasets(pid) == 0)

    run(scenario())


def test_versions_that_wait_together_get_their_own_rows(worker: ProcessWorker) -> None:
    longer = STORED.appended(np.tile([0.01, 0.0], (3, 1)), np.ones((3, 2)))
    asked = [task(0.3)] + [task(0.01, dataset=version) for version in (longer, STORED, longer)]

    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        waiting = [asyncio.create_task(worker.predict(one, in_time())) for one in asked]
        await until(lambda: held_datasets(pid) == 1)
        worker.forget(STORED.id)
        for one, got in zip(asked, await asyncio.gather(*waiting), strict=True):
            expected = predict_here(one, SlowBackend())
            np.testing.assert_array_equal(got.prediction.mean, expected.mean)

    run(scenario())
    assert predict_here(asked[1], SlowBackend()).mean.tolist() == [[1.0, 1.0]]
    assert predict_here(asked[2], SlowBackend()).mean.tolist() != [[1.0, 1.0]]


def test_this_process_keeps_no_copy_of_what_it_handed_over(worker: ProcessWorker) -> None:
    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        await worker.predict(task(0.0), in_time())
        assert held_datasets(pid) == 1
        assert held_datasets(os.getpid()) == 0

    run(scenario())


def test_the_datasets_in_the_process_keep_to_their_budget() -> None:
    several = [replace(make_dataset(X + i, Y), id=f"ds_{i}") for i in range(4)]

    async def scenario() -> None:
        async with working(dataset_budget_bytes=2 * STORED.nbytes) as worker:
            pid = worker.pid
            assert pid is not None
            for dataset in (*several, several[0]):
                await worker.predict(task(0.0, dataset=dataset), in_time())
            await until(lambda: held_datasets(pid) == 2)

    run(scenario())
