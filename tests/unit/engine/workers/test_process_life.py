"""How a compute process starts and ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.backends.base import Backend
from service.domain.errors import NotReady
from service.engine.workers.process import ProcessWorker
from tests.unit.engine.workers.slow_backend import make_slow
from tests.unit.engine.workers.test_process import (
    held_datasets,
    in_time,
    is_alive,
    run,
    task,
    until,
    working,
)


def test_before_it_is_ready_it_says_what_it_does() -> None:
    async def scenario() -> None:
        async with working(start_s=0.5) as worker:
            await until(lambda: worker.state == "getting up slowly")
            with pytest.raises(NotReady, match="not ready: getting up slowly") as refused:
                await worker.predict(task(0.0), in_time())
            assert refused.value.retry_after_s == 5
            await until(lambda: worker.is_ready)
            assert worker.state == "ready"

    run(scenario())


def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    async def scenario() -> None:
        async with working(broken_while=str(broken)) as worker:
            await until(lambda: worker.state.endswith("s: there is no compiler"))
            assert not worker.is_ready
            with pytest.raises(NotReady, match="there is no compiler"):
                await worker.predict(task(0.0), in_time())
            broken.unlink()
            await until(lambda: worker.is_ready)
            await worker.predict(task(0.0), in_time())

    run(scenario())


def without_compiler(*, report: Callable[[str], None]) -> Backend:
    raise RuntimeError("KeOps needs\na compiler.")


def test_a_start_that_fails_for_a_foreseen_reason_says_so_in_a_line(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = ProcessWorker(
        without_compiler, {}, prepared_budget_bytes=0, dataset_budget_bytes=0, grace_s=0.5
    )

    async def scenario() -> str:
        await worker.start()
        try:
            await until(lambda: "next try" in worker.state)
            return worker.state
        finally:
            await worker.close()

    assert run(scenario()) == "cannot start, next try in 0.5 s: KeOps needs a compiler"
    assert caplog.messages[0] == "The compute process has ended: KeOps needs a compiler."
    assert "Traceback" not in capfd.readouterr().err


def test_the_end_leaves_no_process_and_no_memory() -> None:
    async def scenario() -> int:
        async with working() as worker:
            pid = worker.pid
            assert pid is not None
            busy = asyncio.create_task(worker.predict(task(600.0), in_time()))
            queued = asyncio.create_task(worker.predict(task(0.0), in_time()))
            await until(lambda: held_datasets(pid) == 1)
            started = time.monotonic()
            await worker.close()
            assert time.monotonic() - started < 2.0
            for waiting in (busy, queued):
                with pytest.raises(NotReady, match="shutting down"):
                    await waiting
            await worker.close()
            with pytest.raises(NotReady, match="shutting down"):
                await worker.predict(task(0.0), in_time())
            assert worker.state == "closed"
            assert worker.pid is None
            return pid

    assert not is_alive(run(scenario()))
    assert held_datasets(os.getpid()) == 0


def test_it_can_be_closed_before_it_is_ready_and_before_it_is_started() -> None:
    async def scenario() -> None:
        async with working(start_s=600.0) as worker:
            await until(lambda: worker.pid is not None)
        never = ProcessWorker(make_slow, {}, prepared_budget_bytes=0, dataset_budget_bytes=0)
        await never.close()
        await never.start()
        assert never.pid is None

    run(scenario())


def test_an_interrupt_from_the_terminal_does_not_end_it(worker: ProcessWorker) -> None:
    async def scenario() -> None:
        pid = worker.pid
        assert pid is not None
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        await worker.predict(task(0.0), in_time())
        assert worker.pid == pid

    run(scenario())


ORPHAN = """
import asyncio, sys
from tests.unit.engine.workers.test_process import in_time, task, working

async def scenario():
    async with working() as worker:
        print(worker.pid, flush=True)
        await worker.predict(task(600.0), in_time(600))

# No guard: the process must not run this file again.
asyncio.run(scenario())
"""


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(ORPHAN)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)
