"""Small requests that ask the same of the same rows are computed together.

A lone request never waits. While a batch of its kind is under way and the worker has all that it
can do at once, a request waits for the end of that batch, and leaves with all that have come
meanwhile. A query has the same bits in any batch, so nobody can tell.

What is decided and what is computed for that is in `batches`; this is the shell around it.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, TypeAlias, final

from service.domain.errors import NearfitError, RequestRefused
from service.domain.prediction import Wanted
from service.engine.batches import Lines, merged, split
from service.engine.portions import too_late
from service.engine.workers.base import Computed, Task, Worker
from service.estimators.fits import Fit

Kind: TypeAlias = tuple[str, str, Fit, Wanted]

BATCH_S: Final = 0.05
"""Expected computing time of a batch, at most: nobody waits for much longer than that."""

AT_ONCE_S: Final = 200e-6
"""Expected computing time, with all prepared, up to which a request is not handed over: that takes
about as long, and the event loop can wait for so long."""

AT_ONCE_MEASURED_S: Final = 1e-3
"""What requests of the kind may have taken of late, for the next to be computed at once."""

SLOWER: Final = 1.5
"""By how much one request can make its kind look slower: on a busy machine any of them may be kept
waiting for a core, and 16 clients that then went through the worker would keep each other there."""

REMEMBERED_KINDS: Final = 4096


@dataclass(eq=False)
class _Caller:
    """A request that waits, or whose batch is under way.

    Attributes:
        task: What it asks for.
        deadline: On the clock of `time.monotonic`.
        future: How it ended; cancelled once nobody waits any more.
        batch: The batch that it has left with.
    """

    task: Task
    deadline: float
    future: asyncio.Future[Computed]
    batch: "_Batch | None" = None


@dataclass(eq=False)
class _Pace:
    """How long a query of one kind takes, as far as is known."""

    query_s: float = inf

    def learn(self, m: int, computed: Computed) -> None:
        """Take note of how long so many queries took."""
        self.query_s = min(computed.compute_s / m, SLOWER * self.query_s)


@dataclass(eq=False)
class _Batch:
    """Callers that are served together, and what serves them."""

    callers: list[_Caller]
    serving: asyncio.Task[None]


@final
class Batcher:
    """Hands tasks to a worker, alone or in batches; for one event loop.

    Args:
        worker: Where they are computed.
        max_rows: Queries of a batch, at most; 1: every request goes alone.
    """

    def __init__(self, worker: Worker, max_rows: int) -> None:
        self._worker: Final = worker
        self._max_rows: Final = max_rows
        self._lines: Final[Lines[Kind, _Caller]] = Lines(worker.capacity)
        self._pace: Final[dict[Kind, _Pace]] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait for a batch to end."""
        return self._lines.waiting

    def predict_now(self, task: Task) -> Computed | None:
        """Return the prediction, computed in this thread; None where that could take a while.

        Only what has been computed elsewhere before, so that nothing is prepared or compiled here,
        and was quick then.
        """
        m = len(task.q)
        if m * task.plan.query_s > AT_ONCE_S:
            return None
        pace = self._pace.get(_kind(task))
        if pace is None or m * pace.query_s > AT_ONCE_MEASURED_S:
            return None
        computed = self._worker.predict_now(task)
        if computed is not None:
            pace.learn(m, computed)
        return computed

    async def predict(self, task: Task, deadline: float) -> Computed:
        """Return the prediction; see `workers.base.Worker.predict`."""
        kind = _kind(task)
        if not self._is_joined(kind, task):
            return await self._compute(kind, task, deadline)
        caller = _Caller(task, deadline, asyncio.get_running_loop().create_future())
        if self._lines.arrived(kind, caller, len(task.q)):
            try:
                return await self._compute(kind, task, deadline)
            finally:
                self._end(kind, task)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await caller.future
        except TimeoutError:
            raise too_late() from None
        finally:
            if caller.future.cancelled():
                self._leave(kind, caller)
            else:
                caller.future.exception()  # seen, also where this task was cancelled meanwhile

    async def _compute(self, kind: Kind, task: Task, deadline: float) -> Computed:
        computed = await self._worker.predict(task, deadline)
        pace = self._pace.get(kind)
        if pace is not None:
            pace.learn(len(task.q), computed)
        else:  # it may have prepared for all
            self._pace[kind] = _Pace()
            if len(self._pace) > REMEMBERED_KINDS:
                del self._pace[next(iter(self._pace))]
        return computed

    def _is_joined(self, kind: Kind, task: Task) -> bool:
        """Return whether the task may wait for others and go with them.

        Not what has a limit of its own, nor what is long: it is shared among the cores by itself.
        """
        return bool(
            task.dataset.id
            and task.wanted.neighbor_limit is None
            and 2 * len(task.q) <= self._most_rows(kind, task)
        )

    def _most_rows(self, kind: Kind, task: Task) -> int:
        pace = self._pace.get(kind)
        query_s = task.plan.query_s if pace is None else min(pace.query_s, task.plan.query_s)
        return min(self._max_rows, int(BATCH_S / query_s) if query_s > 0 else self._max_rows)

    def _end(self, kind: Kind, task: Task) -> None:
        for other, callers in self._lines.ended(kind, self._most_rows(kind, task)):
            serving = asyncio.create_task(self._serve(other, callers))
            # Not at the end of `_serve`: a task cancelled before its first step runs none of it.
            serving.add_done_callback(partial(self._served, other, callers[0].task))
            batch = _Batch(callers, serving)
            for caller in callers:
                caller.batch = batch

    def _served(self, kind: Kind, task: Task, _: asyncio.Task[None]) -> None:
        self._end(kind, task)

    async def _serve(self, kind: Kind, callers: list[_Caller]) -> None:
        tasks = [caller.task for caller in callers]
        try:
            # Each caller watches its own deadline; the work goes on while one of them waits.
            latest = max(caller.deadline for caller in callers)
            computed = await self._compute(kind, merged(tasks), latest)
            parts = split(computed.prediction, [len(task.q) for task in tasks])
            for caller, part in zip(callers, parts, strict=True):
                _settle(caller, Computed(part, computed.compute_s))
        except Exception as error:
            if len(callers) == 1 or _is_of_all(error):
                for caller in callers:
                    _settle(caller, error)
            else:  # one of them is to blame, and only that one is to hear of it
                await asyncio.gather(*(self._serve_alone(caller) for caller in callers))

    async def _serve_alone(self, caller: _Caller) -> None:
        if caller.future.done():
            return
        try:
            _settle(caller, await self._worker.predict(caller.task, caller.deadline))
        except Exception as error:
            _settle(caller, error)

    def _leave(self, kind: Kind, caller: _Caller) -> None:
        """Let a caller go whose time is over or whose client has gone."""
        if caller.batch is None:
            self._lines.left(kind, caller)
        elif all(other.future.done() for other in caller.batch.callers):
            caller.batch.serving.cancel()


def _kind(task: Task) -> Kind:
    """Return what tasks have to agree in, to be computed together."""
    return task.dataset.id, task.dataset.digest, task.fit, task.wanted


def _is_of_all(error: Exception) -> bool:
    """Return whether the error concerns every request of a batch, whatever its queries are."""
    return isinstance(error, NearfitError) and not isinstance(error, RequestRefused)


def _settle(caller: _Caller, outcome: Computed | Exception) -> None:
    """End the wait of the caller, if it still waits."""
    with suppress(asyncio.InvalidStateError):
        if isinstance(outcome, Exception):
            caller.future.set_exception(outcome)
        else:
            caller.future.set_result(outcome)
