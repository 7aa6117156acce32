"""What a process worker and its compute process say to each other, as pickled objects.

Both ends are our own code of one version, on a socket that no one else can open; so pickle is safe
here. A dataset's numbers do not go through it: they lie in memory that both ends map, and only its
file descriptor is sent.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.backends.base import Backend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import NearfitError
from service.engine.workers.base import Computed, Task


@dataclass(frozen=True)
class Start:
    """The first message: make the backend, then say `Ready` or `Failed`.

    Attributes:
        make_backend: A function of a module; it is also given `report`, a function which takes
            half a sentence on what is being done. It raises RuntimeError for what is foreseen.
        arguments: Its keyword arguments.
        prepared_budget_bytes: Budget of what is prepared from datasets.
    """

    make_backend: Callable[..., Backend]
    arguments: Mapping[str, Any]
    prepared_budget_bytes: int


@dataclass(frozen=True, eq=False)
class Hold:
    """Keep this dataset; the file descriptor of its numbers follows on the socket.

    Attributes:
        dataset: With arrays of no rows in the place of its own.
        rows: The number of rows.
    """

    dataset: Dataset
    rows: int


@dataclass(frozen=True)
class Drop:
    """Forget the dataset and all that was prepared from it."""

    dataset_id: str


@dataclass(frozen=True, eq=False)
class Run:
    """Predict, from the dataset held under task.dataset.id.

    Attributes:
        number: Counts the tasks of the process.
        task: With the dataset as in `Hold`.
        deadline: On the clock of `time.monotonic`, which all processes of a machine share.
    """

    number: int
    task: Task
    deadline: float


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for the task any more: stop between two blocks."""

    number: int


@dataclass(frozen=True)
class Stop:
    """End the process."""


@dataclass(frozen=True)
class Progress:
    """What the process is doing on its way to `Ready`, as half a sentence."""

    doing: str


@dataclass(frozen=True)
class Ready:
    """Tasks can be computed.

    Attributes:
        device: Where the backend computes, "cpu" or "cuda".
    """

    device: str


@dataclass(frozen=True)
class Failed:
    """The backend cannot be made; the process ends.

    Attributes:
        reason: On one line, without a full stop at the end.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Answer:
    """How a task ended: with a prediction, an error of ours, or the traceback of any other."""

    number: int
    outcome: Computed | NearfitError | str


def without_rows(dataset: Dataset) -> Dataset:
    """Return the dataset with arrays of no rows: what is worth pickling of it."""
    return Dataset(
        x=np.empty((0, dataset.n_coordinates)),
        y=np.empty((0, dataset.n_targets)),
        feature_names=dataset.feature_names,
        target_names=dataset.target_names,
        name=dataset.name,
        id=dataset.id,
        version=dataset.version,
        indexed_rows=dataset.indexed_rows,
        digest=dataset.digest,
        encoding=dataset.encoding,
        row_weights=None if dataset.row_weights is None else np.empty(0),
    )


def with_rows(dataset: Dataset, rows: int, descriptor: int) -> Dataset:
    """Return the dataset with its numbers, mapped from what `numbers_of` wrote.

    The memory is given back when the last array on it is gone.
    """
    d, t, has_weights = dataset.n_coordinates, dataset.n_targets, dataset.row_weights is not None
    memory = mmap.mmap(descriptor, 8 * rows * (d + t + has_weights), access=mmap.ACCESS_READ)
    numbers: Floats = np.frombuffer(memory, dtype=np.float64)
    return Dataset(
        x=numbers[: rows * d].reshape(rows, d),
        y=numbers[rows * d : rows * (d + t)].reshape(rows, t),
        feature_names=dataset.feature_names,
        target_names=dataset.target_names,
        name=dataset.name,
        id=dataset.id,
        version=dataset.version,
        indexed_rows=dataset.indexed_rows,
        digest=dataset.digest,
        encoding=dataset.encoding,
        row_weights=numbers[rows * (d + t) :] if has_weights else None,
    )


def numbers_of(dataset: Dataset) -> int:
    """Return the descriptor of a new memory file with the numbers of x, of y, and the weights.

    The file has no name, so nothing of it can outlive the processes that have it open. The caller
    closes the descriptor.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("nearfit-dataset")
    else:
        with tempfile.TemporaryFile() as nameless:
            descriptor = os.dup(nameless.fileno())
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(dataset.x.data)
            file.write(dataset.y.data)
            if dataset.row_weights is not None:
                file.write(dataset.row_weights.data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
