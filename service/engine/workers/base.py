"""Where a prediction is computed."""

from dataclasses import dataclass
from typing import Protocol

from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.prediction import Prediction
from service.estimators.fits import Fit


@dataclass(frozen=True, eq=False)
class Task:
    """All that a worker needs to make one prediction.

    Attributes:
        dataset: The version to look at. A worker may keep what it prepared from it under
            (dataset.id, dataset.digest) until `forget`; an inline dataset has the id "".
        fit: Resolved and checked against the dataset.
        q: Queries, (m, d), finite, C-contiguous.
        block_size: The number of queries to work on between two looks at the clock.
        neighbor_limit: Fill `Prediction.neighbors`, at most so many in all; None: do not.
        wants_diagnostics: Fill `Prediction.diagnostics`.
    """

    dataset: Dataset
    fit: Fit
    q: Floats
    block_size: int
    neighbor_limit: int | None = None
    wants_diagnostics: bool = False


class Worker(Protocol):
    """A place where predictions are computed; it keeps nothing that cannot be made again."""

    @property
    def is_ready(self) -> bool:
        """True once predictions can be computed without waiting for a start or a compiler."""

    @property
    def state(self) -> str:
        """What the worker is doing, or why it cannot work: half a sentence, without a full stop."""

    async def start(self) -> None:
        """Begin to get ready; returns at once."""

    async def predict(self, task: Task, deadline: float) -> Prediction:
        """Return the prediction, by `deadline` on the clock of `time.monotonic`.

        Raises:
            DeadlineExceeded: The time is over. The worker is free for other tasks by then, or
                soon after.
            WorkerLost: The worker ended under the task; a new one starts by itself.
            NotReady: The worker is not ready yet, or has been closed.
            InvalidInput: The fit cannot be made on these rows.
        """

    def forget(self, dataset_id: str) -> None:
        """Drop what was prepared from any version of the dataset; predictions under way go on."""

    async def close(self) -> None:
        """End the worker and all that belongs to it; safe to call twice."""
