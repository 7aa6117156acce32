"""Predictions in threads of this process: for backends that release the GIL."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar, final

from service.backends.base import Backend, Search
from service.domain.dataset import Dataset
from service.domain.errors import NearfitError, NotReady
from service.engine.plan import FIRST_BLOCK
from service.engine.portions import Portions, SerialBlocks, too_late
from service.engine.prepared import Lease, NotPrepared, OnlyKept, Prepared, PreparedCache
from service.engine.task import RowsPart, prepared_rows, run_task, solution_part
from service.engine.workers.base import Computed, Task
from service.engine.workers.priority import work_last, yield_to_the_event_loop
from service.estimators.blocks import Blocks
from service.estimators.fits import Metric

T = TypeVar("T")

SHORT_THREADS, LONG_THREADS = 32, 8
"""Tasks under way at once, in two lanes, so that a short task does not wait behind long ones. The
blocks of all of them share the cores; each long one may hold a matrix of 128 MB."""

LONG_S = 0.5
"""Of expected computing time, from where a task takes the lane of the long ones."""

NOW_S = 1.0
"""The deadline of what is computed in the calling thread: far off, and looked at between blocks."""

PREPARED_AHEAD_ROWS = 10_000
"""A tree of fewer rows is made in a few milliseconds, when it is asked for."""

PREPARED_BYTES = 3
"""Rows made ready take at most about so many times the bytes of the dataset (a scaled copy, the
tree, its copies of x and y)."""

_log = logging.getLogger(__name__)


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

    def __call__(
        self, work: Callable[[slice], T], m: int, block_size: int, first: int = FIRST_BLOCK
    ) -> list[T]:
        """Return what `work` gives for each slice of at most block_size queries, in order."""
        if m <= block_size or self._cores == 1:
            return super().__call__(work, m, block_size, first)
        parts: list[T] = []
        portions = Portions(m, block_size, first)
        under_way: deque[Future[T]] = deque()

        def timed(part: slice) -> T:
            started = time.monotonic()
            result = work(part)
            portions.took(part, time.monotonic() - started)
            return result

        try:
            while portions.has_more:
                if len(under_way) == self._cores:
                    parts.append(under_way.popleft().result())
                self.check()
                under_way.append(self._pool.submit(timed, portions.next()))
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
        self._short = _pool(SHORT_THREADS, "nearfit-short")
        self._long = _pool(LONG_THREADS, "nearfit-long")
        self._blocks = _pool(cores, "nearfit-block")
        self._ahead = ThreadPoolExecutor(1, "nearfit-ahead", initializer=work_last)
        self._warm: Future[None] | None = None
        self._is_warm = False
        self._is_closed = False

    @property
    def is_ready(self) -> bool:
        """True once the compiled code is loaded."""
        return self._is_warm

    @property
    def state(self) -> str:
        """Half a sentence for people."""
        if self._warm is None:
            return "not started"
        if not self._warm.done():
            return "loading compiled code"
        error = self._warm.exception()
        return "ready" if error is None else f"could not load compiled code: {error}"

    @property
    def capacity(self) -> int:
        """The cores."""
        return self._cores

    @property
    def prepared_bytes(self) -> int:
        """Bytes of the trees and coefficients that are kept."""
        return self._cache.used_bytes

    async def start(self) -> None:
        """Load the compiled code in a thread."""
        self._warm = self._short.submit(self._load)

    def _load(self) -> None:
        self._warm_up()
        self._is_warm = True

    def predict_now(self, task: Task) -> Computed | None:
        """Return the prediction if all of it is prepared; see `workers.base.Worker`."""
        if not self._is_warm or self._is_closed:
            return None
        started = time.monotonic()
        blocks = SerialBlocks(started + NOW_S)
        try:
            prediction = run_task(task, self._backend, OnlyKept(self._cache), blocks)
        except NotPrepared:
            return None
        return Computed(prediction, time.monotonic() - started)

    async def predict(self, task: Task, deadline: float) -> Computed:
        """Return the prediction; see `workers.base.Worker`.

        While compiled code still loads, it waits for that, within its deadline.
        """

        def work(backend: Backend, prepared: Prepared, blocks: Blocks) -> Computed:
            started = time.monotonic()
            prediction = run_task(task, backend, prepared, blocks)
            return Computed(prediction, time.monotonic() - started)

        return await self._run(work, deadline, lambda: self._lane(task))

    async def run(self, work: Callable[[Backend, Prepared, Blocks], T], deadline: float) -> T:
        """Return what the work gives, computed like a long task; see `workers.base.LocalWorker`."""
        return await self._run(work, deadline, lambda: self._long)

    async def _run(
        self,
        work: Callable[[Backend, Prepared, Blocks], T],
        deadline: float,
        lane: Callable[[], ThreadPoolExecutor],
    ) -> T:
        given_up = threading.Event()
        prepared = self._cache.lease()

        def run() -> T:
            blocks = ThreadBlocks(self._blocks, self._cores, deadline, given_up.is_set)
            return work(self._backend, prepared, blocks)

        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._until_warm()
                return await asyncio.wrap_future(lane().submit(run))
        except TimeoutError:
            raise too_late() from None
        except RuntimeError as closed:
            if not self._is_closed:
                raise
            raise NotReady("The service is shutting down.", retry_after_s=5) from closed
        finally:
            # Also when the caller has gone: the threads stop at the next block.
            given_up.set()

    async def _until_warm(self) -> None:
        if self._warm is not None and not self._warm.done():
            # Shielded: a caller that leaves must not stop the loading for the others.
            await asyncio.wait([asyncio.wrap_future(self._warm)])
        if self._warm is not None and self._warm.exception() is not None:
            raise NotReady(f"The native engine is not ready: {self.state}.")

    def _lane(self, task: Task) -> ThreadPoolExecutor:
        seconds = len(task.q) * task.plan.query_s
        if task.plan.solve_s > 0:
            part = solution_part(task.fit, task.plan, self._backend)
            if self._cache.kept(task.dataset, part) is None:
                seconds += task.plan.solve_s
        return self._long if seconds > LONG_S else self._short

    def prepare(self, dataset: Dataset, metric: Metric, search: Search) -> None:
        """Begin to build the tree in a thread of the lowest priority; see `workers.base.Worker`."""
        if dataset.n_rows < PREPARED_AHEAD_ROWS or self._is_closed:
            return
        lease = self._cache.lease(is_ahead=True)
        self._ahead.submit(self._build, dataset, metric, search, lease)

    def _build(self, dataset: Dataset, metric: Metric, search: Search, lease: Lease) -> None:
        if lease.is_over(dataset) or PREPARED_BYTES * dataset.nbytes > self._cache.room_bytes:
            return
        try:
            prepared_rows(dataset, metric, search, self._backend, lease, lambda: None)
        except NearfitError:  # such as a metric that takes the rows out of range
            return  # whoever asks for it hears of it
        except Exception:
            _log.exception("The rows of dataset '%s' could not be prepared.", dataset.id)

    def supersede(self, old: Dataset) -> frozenset[Metric]:
        """Drop what the next version cannot be built upon; see `workers.base.Worker`."""
        in_use = [part for part in self._cache.parts(old) if isinstance(part, RowsPart)]
        self._cache.supersede(old, _is_base)
        return frozenset(part.metric for part in in_use)

    def forget(self, dataset_id: str) -> None:
        """Drop what was prepared from the dataset."""
        self._cache.forget(dataset_id)

    async def close(self) -> None:
        """Wait for the steps under way (a portion, a tree, a panel of a factor), and end."""
        self._is_closed = True
        for pool in (self._short, self._long, self._ahead):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (self._short, self._long, self._ahead, self._blocks):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


def _is_base(part: Hashable) -> bool:
    """Return whether the next version can be built upon this part of the present one.

    Appended rows change the standard deviations, and with them every scaled number.
    """
    return (
        isinstance(part, RowsPart) and part.search is Search.TREE and part.metric != "standardized"
    )


def _pool(threads: int, name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, name, initializer=yield_to_the_event_loop)
