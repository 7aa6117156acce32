"""What is prepared once a dataset version and fit, and kept while there is room."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from service.domain.dataset import Dataset


class Sized(Protocol):
    """Something prepared, that says how many bytes it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


T = TypeVar("T", bound=Sized)

REMEMBERED = 10_000
"""Forgotten datasets that are remembered; no task is older than so many deletions."""

WAIT_S = 0.05
"""Between two looks at the clock while another thread prepares the same."""


class Prepared(Protocol):
    """What a task finds prepared, or has prepared for it: a `PreparedCache` or a `Lease`."""

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        """Return what `make` gives for this part of the dataset, made once."""


@dataclass(eq=False)
class _Building:
    """A value that some thread is making."""

    done: threading.Event = field(default_factory=threading.Event)
    is_wanted: bool = True


class PreparedCache:
    """The most recently used prepared values, by bytes. Safe to use from several threads.

    Keys hold the digest of the rows, so that a stale value can never be taken for a new one.

    Args:
        budget_bytes: How much to keep. A value larger than that is used once and dropped.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, Hashable], Sized] = OrderedDict()
        self._building: dict[tuple[str, str, Hashable], _Building] = {}
        self._used_bytes = 0
        self._forgets = 0
        self._forgotten: OrderedDict[str, int] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """Bytes of all that is kept."""
        return self._used_bytes

    def lease(self) -> "Lease":
        """Return access for one task: what it makes is kept unless forgotten from now on."""
        return Lease(self, self._forgets)

    def get(
        self,
        dataset: Dataset,
        part: Hashable,
        make: Callable[[], T],
        check: Callable[[], None],
        *,
        since: int | None = None,
    ) -> T:
        """Return what `make` gives for this part of the dataset, made once.

        Threads that ask for the same while it is made wait for it, calling `check` now and then.
        If making it fails, each of them tries for itself.

        Args:
            dataset: Whose part it is.
            part: Which part.
            make: Makes it.
            check: Raises when the time of the caller is over.
            since: Do not keep what was forgotten after this count of forgettings.
        """
        if not dataset.id:
            return make()
        key = (dataset.id, dataset.digest, part)
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return cast(T, self._kept[key])
                other = self._building.get(key)
                if other is None:
                    mine = self._building[key] = _Building()
                    break
            other.done.wait(WAIT_S)
            check()
        try:
            value = make()
            with self._lock:
                if mine.is_wanted and not self._is_forgotten(dataset.id, since):
                    self._keep(key, value)
            return value
        finally:
            with self._lock:
                del self._building[key]
            mine.done.set()

    def forget(self, dataset_id: str) -> None:
        """Drop everything of the dataset, also what is being made."""
        with self._lock:
            self._forgets += 1
            self._forgotten[dataset_id] = self._forgets
            self._forgotten.move_to_end(dataset_id)
            if len(self._forgotten) > REMEMBERED:
                self._forgotten.popitem(last=False)
            for key in [key for key in self._kept if key[0] == dataset_id]:
                self._used_bytes -= self._kept.pop(key).nbytes
            for key, building in self._building.items():
                if key[0] == dataset_id:
                    building.is_wanted = False

    def _is_forgotten(self, dataset_id: str, since: int | None) -> bool:
        return since is not None and self._forgotten.get(dataset_id, 0) > since

    def _keep(self, key: tuple[str, str, Hashable], value: Sized) -> None:
        if value.nbytes > self._budget_bytes:
            return
        self._kept[key] = value
        self._used_bytes += value.nbytes
        while self._used_bytes > self._budget_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._used_bytes -= oldest.nbytes


@dataclass(frozen=True)
class Lease:
    """A task's access to the cache: what it makes after its dataset was forgotten is not kept.

    Attributes:
        cache: Where things are kept.
        since: The count of forgettings when the task came.
    """

    cache: PreparedCache
    since: int

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        """Return what `make` gives for this part of the dataset; see `PreparedCache.get`."""
        return self.cache.get(dataset, part, make, check, since=self.since)
