"""A compute process for the tests that leave it as they found it: to start one takes seconds."""

import asyncio
from collections.abc import Iterator

import pytest

from service.engine.workers.process import ProcessWorker
from tests.unit.engine.workers.test_process import STORED, held_datasets, run, until, working


@pytest.fixture(scope="package")
def lasting() -> Iterator[ProcessWorker]:
    """A worker whose process serves one test after the other."""
    with asyncio.Runner() as runner:
        context = working()
        yield runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def worker(lasting: ProcessWorker) -> Iterator[ProcessWorker]:
    """That worker; its process holds no dataset, and is the same one afterwards."""
    pid = lasting.pid
    assert pid is not None
    assert held_datasets(pid) == 0
    yield lasting
    assert lasting.pid == pid
    for dataset_id in (STORED.id, "ds_2"):
        lasting.forget(dataset_id)
    run(until(lambda: held_datasets(pid) == 0))
