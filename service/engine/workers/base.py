"""Where a prediction is computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from service.backends.base import Backend, Search
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.prediction import MEAN_ALONE, Prediction, Wanted
from service.engine.plan import Plan
from service.engine.prepared import Prepared
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit, Metric

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Task:
    """All that a worker needs to make one prediction.

    Attributes:
        dataset: The version to look at. A worker may keep what it prepared from it under
            (dataset.id, dataset.digest) until `forget`; an inline dataset has the id "".
        fit: Resolved and checked against the dataset.
        q: Queries, (m, d), finite, C-contiguous.
        plan: How to compute it.
        wanted: What to fill of the prediction beside the mean.
    """

    dataset: Dataset
    fit: Fit
    q: Floats
    plan: Plan
    wanted: Wanted = MEAN_ALONE


@dataclass(frozen=True, eq=False)
class Computed:
    """A prediction, and how long it took to compute.

    Attributes:
        prediction: The estimates.
        compute_s: Seconds, without any waiting.
    """

    prediction: Prediction
    compute_s: float


class Worker(Protocol):
    """A place where predictions are computed; it keeps nothing that cannot be made again."""

    @property
    def is_ready(self) -> bool:
        """True once predictions can be computed without waiting for a start or a compiler."""

    @property
    def state(self) -> str:
        """What the worker is doing, or why it cannot work: half a sentence, without a full stop."""

    @property
    def capacity(self) -> int:
        """How many small tasks are computed at once; more of them only wait for each other."""

    @property
    def prepared_bytes(self) -> int:
        """Bytes, in this process, of what is kept from one task for the next."""

    async def start(self) -> None:
        """Begin to get ready; returns at once."""

    def predict_now(self, task: Task) -> Computed | None:
        """Return the prediction, computed in the calling thread, or None where that may wait.

        For tasks so short that handing them over would take longer.

        Raises:
            InvalidInput: The fit cannot be made on these rows.
        """

    async def predict(self, task: Task, deadline: float) -> Computed:
        """Return the prediction, by `deadline` on the clock of `time.monotonic`.

        Raises:
            DeadlineExceeded: The time is over. The worker is free for other tasks by then, or
                soon after.
            WorkerLost: The worker ended under the task; a new one starts by itself.
            NotReady: The worker is not ready yet, or has been closed.
            InvalidInput: The fit cannot be made on these rows.
        """

    def prepare(self, dataset: Dataset, metric: Metric, search: Search) -> None:
        """Begin to make the rows ready for fits in this metric, behind all that is asked for.

        Only where there is room without dropping anything, and where it takes a while.
        """

    def supersede(self, old: Dataset) -> frozenset[Metric]:
        """Drop what was prepared from a version that is not the present one any more.

        Predictions under way go on. Returns the metrics in which its rows were ready.
        """

    def forget(self, dataset_id: str) -> None:
        """Drop what was prepared from any version of the dataset; predictions under way go on."""

    async def close(self) -> None:
        """End the worker and all that belongs to it; safe to call twice."""


class LocalWorker(Worker, Protocol):
    """A worker in this process, which also does other work on rows than predictions."""

    async def run(self, work: Callable[[Backend, Prepared, Blocks], T], deadline: float) -> T:
        """Return what the work gives, on the backend, with what is prepared, block by block.

        It takes turns with the tasks under way. Ends as `predict` does: in time, and when the
        caller has gone, at the next look at the clock.

        Raises:
            DeadlineExceeded, NotReady: As `predict` does.
        """
