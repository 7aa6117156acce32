"""A worker in a process of its own: for KeOps, which must not share its process with threads.

A thread (`keeper.Keeper`) hands over datasets and tasks, one task at a time in the order of
arrival, and starts the process anew when it ends. A prediction that is not done at its deadline is
answered then; the process has some seconds more to notice by itself, and is killed after that. The
datasets stay with the API process, so a lost process loses none.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from service.backends.base import Backend, Search
from service.domain.dataset import Dataset
from service.domain.errors import NotReady
from service.engine.portions import too_late
from service.engine.workers import messages
from service.engine.workers.base import Computed, Task
from service.engine.workers.keeper import CLOSING, Job, Keeper
from service.estimators.fits import Metric

RETRY_STARTING_S = 5
"""What a client is told while formulas compile: the whole set takes some seconds."""


@final
class ProcessWorker:
    """Computes predictions in one process; see `base.Worker`.

    Args:
        make_backend: A function of a module, called in the process with the arguments and with
            `report`, which takes half a sentence on what is being done.
        arguments: Its keyword arguments.
        prepared_budget_bytes: Budget of what the process prepares from datasets.
        dataset_budget_bytes: Budget of the datasets that the process holds.
        grace_s: How long the process may go on after a deadline, or after it was asked to end.
    """

    def __init__(
        self,
        make_backend: Callable[..., Backend],
        arguments: Mapping[str, Any],
        *,
        prepared_budget_bytes: int,
        dataset_budget_bytes: int,
        grace_s: float = 2.0,
    ) -> None:
        start = messages.Start(make_backend, dict(arguments), prepared_budget_bytes)
        self._keeper: Final = Keeper(start, dataset_budget_bytes, grace_s)
        self._grace_s: Final = grace_s
        self._is_started = False
        self._is_closed = False

    @property
    def is_ready(self) -> bool:
        """True while the process has its backend made."""
        return self._keeper.is_ready

    @property
    def state(self) -> str:
        """What the process is doing, or why it cannot work; see `base.Worker.state`."""
        return self._keeper.state

    @property
    def device(self) -> str:
        """Where the process computes, "cpu" or "cuda"; known once it has been ready."""
        return self._keeper.device

    @property
    def capacity(self) -> int:
        """One: the process computes a task at a time."""
        return 1

    @property
    def prepared_bytes(self) -> int:
        """None: the process keeps it."""
        return 0

    @property
    def pid(self) -> int | None:
        """The id of the present process, if there is one."""
        child = self._keeper.child
        return None if child is None else child.pid

    async def start(self) -> None:
        """Start the process; returns at once."""
        if not self._is_started and not self._is_closed:
            self._is_started = True
            self._keeper.thread.start()

    def predict_now(self, task: Task) -> Computed | None:
        """Return None: every task goes to the process."""
        return None

    async def predict(self, task: Task, deadline: float) -> Computed:
        """Return the prediction, computed in the process; see `base.Worker.predict`."""
        if self._is_closed:
            raise NotReady(CLOSING)
        if not self.is_ready:
            raise NotReady(
                f"The compute process is not ready: {self.state}.", retry_after_s=RETRY_STARTING_S
            )
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise too_late()
        job = Job(task, deadline)
        self._keeper.submit(job)
        try:
            # Where this wait ends early, the future is cancelled, and the keeper sees that.
            async with asyncio.timeout(left_s):
                return await asyncio.wrap_future(job.future)
        except TimeoutError:
            raise too_late() from None
        finally:
            self._keeper.look()

    def prepare(self, dataset: Dataset, metric: Metric, search: Search) -> None:
        """Do nothing: rows without a tree are ready as soon as they are there."""

    def supersede(self, old: Dataset) -> frozenset[Metric]:
        """Drop the dataset in the process, after the predictions that wait for it."""
        self._keeper.forget(old.id)
        return frozenset()

    def forget(self, dataset_id: str) -> None:
        """Drop the dataset in the process, after the predictions that wait for it."""
        self._keeper.forget(dataset_id)

    async def close(self) -> None:
        """End the process and the thread; what still waits is answered with `NotReady`."""
        self._is_closed = True
        self._keeper.close()
        if not self._is_started:
            return
        thread = self._keeper.thread
        await asyncio.to_thread(thread.join, 2 * self._grace_s)
        child = self._keeper.child
        if thread.is_alive() and child is not None:
            # The thread waits for the rest of a message from a process that does not go on.
            child.kill()
            await asyncio.to_thread(thread.join, self._grace_s)
