"""Predictions in threads of this process: for backends that release the GIL."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, final

from service.backends.base import Backend
from service.domain.errors import NotReady
from service.domain.prediction import Prediction
from service.engine.prepared import PreparedCache
from service.engine.task import SerialBlocks, run_task, too_late
from service.engine.workers.base import Task
from service.engine.workers.priority import yield_to_the_event_loop

T = TypeVar("T")

TASK_THREADS = 16
"""Tasks under way at once. Their blocks share the cores, so that a small task is not behind a
large one."""


@final
class ThreadBlocks(SerialBlocks):
    """Runs the blocks of a task on the cores, a few at a time, in order.

    Each task has at most one block a core under way or waiting, so tasks take turns.

    Args:
        pool: The threads of the cores; blocks in it never wait for other blocks.
        cores: The number of blocks under way at once.
        deadline: On the clock of `time.monotonic`.
        cancelled: Asked between two blocks.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        cores: int,
        deadline: float,
        cancelled: Callable[[], bool],
    ) -> None:
        super().__init__(deadline, cancelled)
        self._pool = pool
        self._cores = cores

    def __call__(self, work: Callable[[slice], T], m: int, block_size: int) -> list[T]:
        """Return what `work` gives for each slice of at most block_size queries, in order."""
        if m <= block_size or self._cores == 1:
            return super().__call__(work, m, block_size)
        parts: list[T] = []
        under_way: deque[Future[T]] = deque()
        try:
            for start in range(0, m, block_size):
                if len(under_way) == self._cores:
                    parts.append(under_way.popleft().result())
                self.check()
                part = slice(start, min(start + block_size, m))
                under_way.append(self._pool.submit(work, part))
            parts.extend(future.result() for future in under_way)
        except BaseException:
            for future in under_way:
                future.cancel()
            raise
        return parts


@final
class ThreadWorker:
    """Runs tasks in threads of this process.

    Args:
        backend: Must release the GIL while it computes.
        cores: How many blocks are computed at once.
        prepared_budget_bytes: For trees and coefficients kept between tasks.
        warm_up: Called once, in a thread, before the worker is ready: compiles or loads code.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        cores: int,
        prepared_budget_bytes: int,
        warm_up: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._cores = cores
        self._cache = PreparedCache(prepared_budget_bytes)
        self._warm_up = warm_up
        self._tasks = ThreadPoolExecutor(
            TASK_THREADS, "nearfit-task", initializer=yield_to_the_event_loop
        )
        self._blocks = ThreadPoolExecutor(
            cores, "nearfit-block", initializer=yield_to_the_event_loop
        )
        self._warm: Future[None] | None = None

    @property
    def is_ready(self) -> bool:
        """True once the compiled code is loaded."""
        return self._warm is not None and self._warm.done() and self._warm.exception() is None

    @property
    def state(self) -> str:
        """One sentence for people."""
        if self._warm is None:
            return "not started"
        if not self._warm.done():
            return "loading compiled code"
        error = self._warm.exception()
        return "ready" if error is None else f"could not load compiled code: {error}"

    async def start(self) -> None:
        """Load the compiled code in a thread."""
        self._warm = self._tasks.submit(self._warm_up)

    async def predict(self, task: Task, deadline: float) -> Prediction:
        """Return the prediction; see `workers.base.Worker`."""
        given_up = threading.Event()

        def work() -> Prediction:
            blocks = ThreadBlocks(self._blocks, self._cores, deadline, given_up.is_set)
            return run_task(task, self._backend, self._cache, blocks)

        try:
            future = self._tasks.submit(work)
        except RuntimeError as closed:
            raise NotReady("The service is shutting down.", retry_after_s=5) from closed
        try:
            left_s = max(0.0, deadline - time.monotonic())
            return await asyncio.wait_for(asyncio.wrap_future(future), left_s)
        except TimeoutError:
            raise too_late() from None
        finally:
            # Also when the caller has gone: the threads stop at the next block.
            given_up.set()

    def forget(self, dataset_id: str) -> None:
        """Drop what was prepared from the dataset."""
        self._cache.forget(dataset_id)

    async def close(self) -> None:
        """Wait for the blocks under way, at most a fraction of a second each, and end."""
        self._tasks.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._tasks.shutdown, wait=True)
        await asyncio.to_thread(self._blocks.shutdown, wait=True, cancel_futures=True)
