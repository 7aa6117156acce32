"""The use-cases: what the service does, without HTTP and without mathematics."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, final

from service.backends.keops.formulas import Device
from service.domain.arrays import Floats, as_floats
from service.domain.dataset import Dataset, as_columns
from service.domain.errors import InvalidInput, NotReady, Overloaded
from service.domain.prediction import Prediction
from service.engine.limits import Limits
from service.engine.plan import Plan, choose
from service.engine.workers.base import Task, Worker
from service.engine.workers.priority import yield_to_the_event_loop
from service.estimators.fits import AnyFit, Auto, Fit, resolved
from service.storage.store import DatasetStore, return_freed_memory

T = TypeVar("T")

ASIDE_THREADS = 4
"""Bodies read and answers written at once; each may hold a few hundred megabytes."""

INLINE_NUMBERS = 50_000
"""So many queries are looked through in less time than a thread takes to begin."""


@dataclass(frozen=True, eq=False)
class PredictCommand:
    """A prediction as a client asks for it.

    Attributes:
        queries: (m, d), or (m,) for one feature.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        fit: What to fit.
        include: "neighbors", "diagnostics".
        timeout_s: How long it may take; None for the service's default.
    """

    queries: Floats
    dataset_id: str | None = None
    dataset: Dataset | None = None
    fit: AnyFit = field(default_factory=Auto)
    include: frozenset[str] = frozenset()
    timeout_s: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction and how it came about.

    Attributes:
        dataset: The version that was looked at; its id is "" for rows sent along.
        fit: As resolved.
        prediction: The estimates.
        plan: Where and in which portions they were computed.
        compute_s: Waiting and computing together.
    """

    dataset: Dataset
    fit: Fit
    prediction: Prediction
    plan: Plan
    compute_s: float


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
    ) -> None:
        self.limits = limits
        self._store = store
        self._workers = workers
        self._backend = backend
        self._device = device
        self._cores = cores
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
    def memory_used_bytes(self) -> int:
        """Bytes of all datasets."""
        return self._store.used_bytes

    async def start(self) -> None:
        """Begin to get ready; returns at once."""
        for worker in self._workers.values():
            await worker.start()

    async def close(self) -> None:
        """End every worker and thread; safe to call twice."""
        self._is_closed = True
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
        self._check_columns(dataset)
        return self._store.add(dataset)

    def describe(self, dataset_id: str) -> Dataset:
        """Return the present version. Raises `DatasetNotFound`."""
        return self._store.get(dataset_id)

    def list(self, *, after: str | None, limit: int) -> tuple[list[Dataset], str | None]:
        """Return a page of datasets and the cursor of the next; see `DatasetStore.page`."""
        return self._store.page(after=after, limit=limit)

    async def append(self, dataset_id: str, x: Floats, y: Floats) -> Dataset:
        """Add rows and return the new version, which later predictions look at.

        Appends to one dataset follow each other. Predictions under way keep their version.

        Raises:
            DatasetNotFound, InvalidInput, StoreFull: Nothing has changed then.
        """
        self._store.get(dataset_id)  # no lock is kept for an id that does not exist
        async with self._appending.setdefault(dataset_id, asyncio.Lock()):
            old = self._store.get(dataset_id)
            self._store.check_room(as_floats(x).nbytes + as_floats(y).nbytes)
            new = await self.run_aside(lambda: old.appended(x, y))
            self._store.replace(old, new)
        for worker in self._workers.values():
            worker.forget(dataset_id)
        return new

    def delete(self, dataset_id: str) -> None:
        """Drop the dataset and all that was prepared from it. Raises `DatasetNotFound`."""
        self._store.remove(dataset_id)
        self._appending.pop(dataset_id, None)
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
        if self._pending >= self.limits.max_pending_requests:
            raise Overloaded(
                f"{self._pending} predictions wait already; send fewer at once.", retry_after_s=1
            )
        dataset = command.dataset
        if dataset is None:
            dataset = self._store.get(command.dataset_id or "")
        else:
            self._check_columns(dataset)
        fit = resolved(command.fit, dataset)
        if command.queries.size <= INLINE_NUMBERS:
            q = self._checked_queries(command.queries, dataset)
        else:
            q = await self.run_aside(lambda: self._checked_queries(command.queries, dataset))
        plan = choose(
            fit,
            n=dataset.n_rows,
            m=len(q),
            d=dataset.n_features,
            t=dataset.n_targets,
            backend=self._backend,
            device=self._device,
            cores=self._cores,
        )
        task = Task(
            dataset,
            fit,
            q,
            plan.block_size,
            self.limits.max_neighbor_entries if "neighbors" in command.include else None,
            "diagnostics" in command.include,
        )
        timeout_s = command.timeout_s or self.limits.default_timeout_s
        worker = self._workers[plan.backend]
        self._pending += 1
        try:
            prediction = await worker.predict(task, started + timeout_s)
        finally:
            self._pending -= 1
            if dataset.id and not self._store.holds(dataset):
                # Deleted or appended to meanwhile: the worker may have kept what came too late.
                worker.forget(dataset.id)
        return Answer(dataset, fit, prediction, plan, time.monotonic() - started)

    def _checked_queries(self, queries: Floats, dataset: Dataset) -> Floats:
        q = as_columns(queries, "/queries")
        if q.shape[1] != dataset.n_features:
            hint = (
                " For one query, wrap it in another pair of brackets."
                if queries.ndim == 1 and len(queries) == dataset.n_features
                else ""
            )
            raise InvalidInput.at(
                "/queries",
                f"The queries have {q.shape[1]} features, but the dataset has "
                f"{dataset.n_features} ({', '.join(dataset.feature_names[:8])}); "
                f"send as many.{hint}",
            )
        if len(q) > self.limits.max_queries:
            raise InvalidInput.at(
                "/queries",
                f"There are {len(q)} queries, more than the {self.limits.max_queries} that one "
                "request may have; send them in several.",
            )
        return q

    def _check_columns(self, dataset: Dataset) -> None:
        for pointer, kind, number, limit in (
            ("/x", "features", dataset.n_features, self.limits.max_features),
            ("/y", "targets", dataset.n_targets, self.limits.max_targets),
        ):
            if number > limit:
                raise InvalidInput.at(
                    pointer,
                    f"There are {number} {kind}, more than the {limit} that a dataset may have.",
                )
