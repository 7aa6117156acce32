"""The use-cases: what the service does, without HTTP and without mathematics.

Over 300 lines: they share one store, one set of workers, and the count of who waits.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, final

from service.backends.base import Backend, Search
from service.backends.keops.formulas import Device
from service.backends.native.planning import indexed_after_append
from service.domain.arrays import Floats
from service.domain.categories import Points
from service.domain.dataset import Dataset
from service.domain.errors import NotReady, Overloaded
from service.domain.labels import Labels
from service.engine.aims import aim_of
from service.engine.batching import Batcher
from service.engine.commands import (
    Answer,
    ChosenBy,
    MinimizeCommand,
    Minimum,
    PredictCommand,
    Relevance,
    ScoreCard,
    ScoreCommand,
    TuneCommand,
)
from service.engine.jobs import Jobs, TuningJob
from service.engine.limits import Limits, check_columns, checked_queries, checked_rows
from service.engine.minimizing import (
    OVERTIME_S,
    Question,
    minimized,
    smooth_or,
    target_named,
)
from service.engine.missing import (
    check_no_gaps,
    check_no_missing,
    has_missing,
    joined,
    parts_of,
)
from service.engine.plan import NOTHING_FORCED, Forced, Plan, choose
from service.engine.portions import late_as
from service.engine.prepared import Prepared
from service.engine.relevance import learned_relevance, relevance_by_slopes
from service.engine.scoring import intervals_wanted, scored_by_others, scored_by_rows
from service.engine.tuner import LEAST_ROWS, Tuner
from service.engine.wanted import check_wanted
from service.engine.workers.base import Computed, LocalWorker, Task, Worker
from service.engine.workers.priority import yield_to_the_event_loop
from service.estimators.blocks import Blocks
from service.estimators.fits import AnyFit, Auto, Fit, resolved
from service.storage.store import DatasetStore, return_freed_memory

T = TypeVar("T")

ASIDE_THREADS = 4
"""Bodies read and answers written at once; each may hold a few hundred megabytes."""

TWICE_AHEAD_ROWS = 1_000_000
"""Up to here rows are made ready in data units, which explicit fits have, and in the metric of
`auto`, and fits are compared. A tree of more takes seconds and hundreds of megabytes."""

INLINE_NUMBERS = 50_000
"""So many queries are looked through in less time than a thread takes to begin."""


@final
class Engine:
    """Keeps datasets and answers predictions.

    Args:
        store: Owns the datasets.
        workers: By the name of their backend; "native" is always there.
        limits: What is taken.
        backend: The name of the backend to prefer.
        device: Where KeOps computes, "cpu" or "cuda".
        cores: Of the native engine.
        forced: The parts of every plan that the operator has decided.
        prepares_ahead: Whether the rows of a new dataset are made ready before someone asks.
        native: The worker of that name: what is no prediction is computed there.
        tuner: Searches for the best fits.
        tunes_ahead_s: Seconds for a search that begins at an upload; 0 for none.
    """

    def __init__(
        self,
        store: DatasetStore,
        workers: Mapping[str, Worker],
        limits: Limits,
        *,
        backend: str = "native",
        device: Device = "cpu",
        cores: int = 1,
        forced: Forced = NOTHING_FORCED,
        prepares_ahead: bool = True,
        native: LocalWorker,
        tuner: Tuner,
        tunes_ahead_s: float = 0.0,
    ) -> None:
        self.limits = limits
        self._store = store
        self._workers = workers
        self._batchers = {
            name: Batcher(worker, limits.max_batch_rows) for name, worker in workers.items()
        }
        self._choose = partial(choose, backend=backend, device=device, cores=cores, forced=forced)
        self._forced = forced
        self._prepares_ahead = prepares_ahead
        self._native = native
        self._tuner = tuner
        self._tunes_ahead_s = tunes_ahead_s
        self._aside = ThreadPoolExecutor(
            ASIDE_THREADS, "nearfit-aside", initializer=yield_to_the_event_loop
        )
        self._appending: dict[str, asyncio.Lock] = {}
        self._pending = 0
        self._is_closed = False

    @property
    def is_ready(self) -> bool:
        """True once every worker can compute."""
        return not self._is_closed and all(worker.is_ready for worker in self._workers.values())

    @property
    def readiness(self) -> dict[str, str]:
        """What each worker is doing, as half a sentence."""
        return {name: worker.state for name, worker in self._workers.items()}

    @property
    def jobs(self) -> Jobs:
        """The searches under way and the latest that have ended."""
        return self._tuner.jobs

    @property
    def memory_used_bytes(self) -> int:
        """Bytes of all datasets."""
        return self._store.used_bytes

    @property
    def pending_requests(self) -> int:
        """Predictions under way or waiting."""
        return self._pending

    @property
    def waiting_requests(self) -> int:
        """Predictions that wait for a batch to end."""
        return sum(batcher.waiting for batcher in self._batchers.values())

    @property
    def prepared_bytes(self) -> int:
        """Bytes of what this process has prepared from datasets."""
        return sum(worker.prepared_bytes for worker in self._workers.values())

    async def start(self) -> None:
        """Begin to get ready; returns at once."""
        for worker in self._workers.values():
            await worker.start()

    async def close(self) -> None:
        """End every worker and thread; safe to call twice."""
        self._is_closed = True
        await asyncio.to_thread(self._tuner.close)
        for worker in self._workers.values():
            await worker.close()
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def run_aside(self, work: Callable[[], T]) -> T:
        """Run CPU work that is no prediction (reading, writing) off the event loop."""
        if self._is_closed:
            raise NotReady("The service is shutting down.", retry_after_s=5)
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    async def upload(self, dataset: Dataset) -> tuple[Dataset, bool]:
        """Keep the dataset; return it with its id, and whether it is new.

        Raises:
            StoreFull: It does not fit.
            InvalidInput: It has more columns than the limits allow.
        """
        check_columns(self.limits, features=dataset.n_coordinates, targets=dataset.n_targets)
        stored, is_new = self._store.add(dataset)
        if is_new and self._prepares_ahead:
            auto = resolved(Auto(), stored)
            plan = self._plan(auto, stored, 1)
            worker = self._workers[plan.backend]
            worker.prepare(stored, "euclidean", plan.search)
            if stored.n_rows <= TWICE_AHEAD_ROWS:
                worker.prepare(stored, auto.metric, plan.search)
        if is_new:
            self._tune_ahead(stored)
        return stored, is_new

    def describe(self, dataset_id: str) -> Dataset:
        """Return the present version. Raises `DatasetNotFound`."""
        return self._store.get(dataset_id)

    def list(self, *, after: str | None, limit: int) -> tuple[list[Dataset], str | None]:
        """Return a page of datasets and the cursor of the next; see `DatasetStore.page`."""
        return self._store.page(after=after, limit=limit)

    async def append(
        self, dataset_id: str, x: Points, y: Floats | Labels, row_weights: Floats | None = None
    ) -> Dataset:
        """Add rows and return the new version, which later predictions look at.

        Appends to one dataset follow each other. Predictions under way keep their version.

        Raises:
            DatasetNotFound, InvalidInput, StoreFull: Nothing has changed then.
        """
        self._store.get(dataset_id)  # no lock is kept for an id that does not exist
        async with self._appending.setdefault(dataset_id, asyncio.Lock()):
            old = self._store.get(dataset_id)
            self._store.check_room(len(x) * (old.nbytes // old.n_rows))
            new = await self.run_aside(lambda: _appended(old, x, y, row_weights))
            self._store.replace(old, new)
        plan = self._plan(resolved(Auto(), new), new, 1)
        for worker in self._workers.values():
            for metric in worker.supersede(old):
                worker.prepare(new, metric, plan.search)
        self._tuner.carry_over(old, new)
        return new

    def tune(self, command: TuneCommand) -> TuningJob:
        """Begin a search for the best fit, which is what `auto` means from then on.

        Raises:
            DatasetNotFound: There is none with this id.
            InvalidInput: The dataset has too few rows to compare fits, or what is to be chosen
                does not suit it.
            NotReady: The service is shutting down.
            Overloaded: Too many searches wait already.
        """
        if self._is_closed:
            raise NotReady("The service is shutting down.", retry_after_s=5)
        if (waiting := self._tuner.jobs.waiting()) >= self.limits.max_pending_requests:
            raise Overloaded(f"{waiting} searches wait already; end some of them.", retry_after_s=5)
        dataset = self._dataset(command)
        fit = None if command.fit is None else self.resolve(command.fit, dataset)
        return self._tuner.begin(dataset, command.budget_s, aim=aim_of(command, dataset, fit))

    def _tune_ahead(self, dataset: Dataset) -> None:
        if self._tunes_ahead_s > 0 and LEAST_ROWS <= dataset.n_rows <= TWICE_AHEAD_ROWS:
            self._tuner.begin(dataset, self._tunes_ahead_s, is_automatic=True)

    def delete(self, dataset_id: str) -> None:
        """Drop the dataset and all that was prepared from it. Raises `DatasetNotFound`."""
        self._store.remove(dataset_id)
        self._appending.pop(dataset_id, None)
        self._tuner.forget(dataset_id)
        for worker in self._workers.values():
            worker.forget(dataset_id)
        return_freed_memory()

    async def predict(self, command: PredictCommand) -> Answer:
        """Return the prediction.

        Raises:
            DatasetNotFound, InvalidInput, DeadlineExceeded, WorkerLost, NotReady: See
                `workers.base.Worker`.
            Overloaded: Too many predictions wait already.
        """
        started = time.monotonic()
        self._check_room()
        dataset = self._dataset(command)
        fit = self.resolve(command.fit, dataset)
        if command.queries.size <= INLINE_NUMBERS:
            q = checked_queries(command.queries, dataset, self.limits)
        else:
            q = await self.run_aside(lambda: checked_queries(command.queries, dataset, self.limits))
        return await self._predicted(command, dataset, fit, q, started)

    async def _predicted(
        self, command: PredictCommand, dataset: Dataset, fit: Fit, q: Floats, started: float
    ) -> Answer:
        """Return the prediction at the queries as `checked_queries` returns them."""
        task = self._task(command, dataset, fit, q)
        deadline = started + (command.timeout_s or self.limits.default_timeout_s)
        with self._under_way(dataset):
            if has_missing(q):
                computed = await self._by_cells(task, deadline)
            else:
                batcher = self._batchers[task.plan.backend]
                computed = batcher.predict_now(task) or await batcher.predict(task, deadline)
        return _answer(task, computed, started, self._chosen_by(command.fit, task))

    async def _by_cells(self, task: Task, deadline: float) -> Computed:
        """Return the prediction at queries of which cells are missing, pattern by pattern."""

        def plan(fit: Fit, dataset: Dataset, m: int) -> Plan:
            has_extras = task.wanted.has_extras
            return self._plan(fit, dataset, m, has_extras=has_extras, is_derived=True)

        parts = parts_of(task, plan)
        computed = [
            await self._batchers[part.task.plan.backend].predict(part.task, deadline)
            for part in parts
        ]
        prediction = joined(task, parts, [one.prediction for one in computed])
        return Computed(prediction, sum(one.compute_s for one in computed))

    async def minimize(self, command: MinimizeCommand) -> Minimum:
        """Return where descents on a fitted surface lead; when their time is over, they end there.

        Raises:
            As `predict` does; DeadlineExceeded where not even the starts have a value in time.
        """
        started = time.monotonic()
        dataset = self._dataset(command)
        fit = self.resolve(command.fit, dataset)
        if isinstance(command.fit, Auto):
            fit = smooth_or(resolved(Auto(), dataset), fit)
        starts = checked_queries(command.starts, dataset, self.limits, "starts")
        check_no_missing(starts, "starts")
        check_no_gaps(dataset, "gradients", "/dataset_id" if dataset.id else "/dataset")
        seconds = command.timeout_s or self.limits.default_timeout_s
        plan = self._plan(fit, dataset, len(starts), has_extras=True)
        question = Question(
            dataset,
            fit,
            plan,
            target_named(dataset, command.target),
            starts,
            command.descent,
            started + seconds,
        )
        work = partial(minimized, question)
        with late_as("descent", "fewer starts"):
            return await self.compute(work, dataset, seconds + OVERTIME_S)

    async def score(self, command: ScoreCommand) -> ScoreCard:
        """Return how good a fit is, by the rows of the command, or by each row without itself.

        Raises:
            As `predict` does.
        """
        started = time.monotonic()
        dataset = self._dataset(command)
        fit = self.resolve(command.fit, dataset)
        if command.rows is not None:
            self._check_room()
            x, y, row_weights = checked_rows(
                *command.rows, command.row_weights, dataset, self.limits
            )
            predict = PredictCommand(
                queries=x,
                dataset_id=command.dataset_id,
                dataset=command.dataset,
                fit=command.fit,
                wanted=intervals_wanted(command, fit),
                timeout_s=command.timeout_s,
            )
            with late_as("score", "fewer rows"):
                answer = await self._predicted(predict, dataset, fit, x, started)
            return scored_by_rows(answer, y, row_weights, command.interval, command.level)
        task = Task(dataset, fit, dataset.x[:0], self._plan(fit, dataset, 1, has_extras=True))
        work = partial(scored_by_others, task, command.interval, command.level)
        with late_as("score", "rows to judge by"):
            return await self.compute(work, dataset, command.timeout_s)

    async def relevance(self, dataset_id: str) -> Relevance:
        """Return how much each feature of a dataset matters.

        By the metric of the tuned fit where it was learned, else by the slopes of a local line.

        Raises:
            As `predict` does.
        """
        dataset = self._store.get(dataset_id)
        tuned = self._tuner.tuned(dataset)
        if tuned is not None and isinstance(tuned.metric, tuple):
            return await self.run_aside(partial(learned_relevance, dataset, tuned))
        check_no_gaps(dataset, "slopes", "/dataset_id")
        line = resolved(Auto(), dataset)
        plan = self._plan(line, dataset, 1, has_extras=True)
        return await self.compute(partial(relevance_by_slopes, dataset, line, plan), dataset)

    async def compute(
        self,
        work: Callable[[Backend, Prepared, Blocks], T],
        dataset: Dataset,
        timeout_s: float | None = None,
    ) -> T:
        """Return what the work on a dataset gives, which is no prediction, on the native worker.

        Raises:
            Overloaded, DeadlineExceeded, NotReady, InvalidInput: As `predict` does.
        """
        self._check_room()
        deadline = time.monotonic() + (timeout_s or self.limits.default_timeout_s)
        with self._under_way(dataset):
            return await self._native.run(work, deadline)

    def _check_room(self) -> None:
        if self._pending >= self.limits.max_pending_requests:
            raise Overloaded(
                f"{self._pending} predictions wait already; send fewer at once.", retry_after_s=1
            )

    @contextmanager
    def _under_way(self, dataset: Dataset) -> Iterator[None]:
        """Count what is computed, and let nothing stay of a dataset that is gone at its end."""
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1
            if dataset.id and not self._store.holds(dataset):
                # Deleted or appended to meanwhile: the worker may have kept what came too late.
                self._drop(dataset)

    def predict_now(self, command: PredictCommand) -> Answer | None:
        """Return the prediction, computed in this call; None where that would take a while.

        For the small request on rows that are ready, which is answered in the time that handing it
        over would take. Everything else is for `predict`.

        Raises:
            DatasetNotFound, InvalidInput: As `predict` does.
        """
        if command.dataset is not None or command.queries.size > INLINE_NUMBERS:
            return None
        started = time.monotonic()
        dataset = self._dataset(command)
        q = checked_queries(command.queries, dataset, self.limits)
        if has_missing(q):
            return None
        task = self._task(command, dataset, self.resolve(command.fit, dataset), q)
        computed = self._batchers[task.plan.backend].predict_now(task)
        if computed is None:
            return None
        return _answer(task, computed, started, self._chosen_by(command.fit, task))

    def resolve(self, fit: AnyFit, dataset: Dataset) -> Fit:
        """Return the fit with every choice made, by what the search for the best has found.

        Raises:
            InvalidInput: It cannot be made on these rows.
        """
        return resolved(fit, dataset, self._tuner.tuned(dataset))

    def _chosen_by(self, fit: AnyFit, task: Task) -> ChosenBy | None:
        """Return what chose the fit of a task, where the client did not."""
        if not isinstance(fit, Auto):
            return None
        return "rule" if task.fit == resolved(fit, task.dataset) else "search"

    def _dataset(
        self, command: PredictCommand | TuneCommand | ScoreCommand | MinimizeCommand
    ) -> Dataset:
        dataset = command.dataset
        if dataset is None:
            return self._store.get(command.dataset_id or "")
        check_columns(
            self.limits,
            features=dataset.n_coordinates,
            targets=dataset.n_targets,
            parent="/dataset",
        )
        return dataset

    def _task(self, command: PredictCommand, dataset: Dataset, fit: Fit, q: Floats) -> Task:
        wanted = command.wanted
        check_wanted(wanted, fit)
        if wanted.slope or wanted.gradient:
            check_no_gaps(dataset, "slopes and gradients", "/include")
        plan = self._plan(fit, dataset, len(q), has_extras=wanted.has_extras)
        return Task(dataset, fit, q, plan, wanted)

    def _plan(
        self,
        fit: Fit,
        dataset: Dataset,
        m: int,
        *,
        has_extras: bool = False,
        is_derived: bool = False,
    ) -> Plan:
        """Return the plan for m queries; of a derived dataset, which is not kept, without a tree.

        A tree would be built for these queries alone, and KeOps would compile for them.
        """
        decided: dict[str, Any] = {}
        if is_derived:
            decided = {"backend": "native", "forced": replace(self._forced, search=Search.SCAN)}
        return self._choose(
            fit,
            **decided,
            n=dataset.n_rows,
            m=m,
            d=dataset.n_coordinates,
            t=dataset.n_targets,
            has_extras=has_extras,
            has_gaps=dataset.has_gaps,
            n_sloped=dataset.n_sloped,
            has_weights=dataset.row_weights is not None,
        )

    def _drop(self, dataset: Dataset) -> None:
        """Make every worker forget a version that is not the present one."""
        is_there = self._store.has(dataset.id)
        for worker in self._workers.values():
            if is_there:
                worker.supersede(dataset)
            else:
                worker.forget(dataset.id)


def _appended(old: Dataset, x: Points, y: Floats | Labels, row_weights: Floats | None) -> Dataset:
    """Return the next version, with the number of rows that its trees are built over."""
    new = old.appended(x, y, row_weights)
    return replace(new, indexed_rows=indexed_after_append(old.indexed_rows, new.n_rows))


def _answer(task: Task, computed: Computed, started: float, chosen_by: ChosenBy | None) -> Answer:
    queue_s = time.monotonic() - started - computed.compute_s
    return Answer(
        task.dataset,
        task.fit,
        computed.prediction,
        task.plan,
        queue_s,
        computed.compute_s,
        chosen_by,
    )
