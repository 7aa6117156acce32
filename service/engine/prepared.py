"""What is prepared once a dataset version and fit, and kept while there is room."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar, cast, final

from service.domain.dataset import Dataset


class Sized(Protocol):
    """Something prepared, that says how many bytes it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


T = TypeVar("T", bound=Sized)

_Key: TypeAlias = tuple[str, str, Hashable]
"""Of a dataset the id, the digest of the version, and the part."""

REMEMBERED = 10_000
"""Forgotten datasets and versions that are remembered; no task is older than so many."""

WAIT_S = 0.05
"""Between two looks at the clock while another thread prepares the same."""


class NotPrepared(Exception):
    """A part is not there, and the task may not wait for it."""


class Prepared(Protocol):
    """What a task finds prepared, or has prepared for it."""

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        """Return what `make` gives for this part of the dataset, made once."""

    def earlier(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return this part of an earlier version of the dataset, if one is still kept."""


@dataclass(eq=False)
class _Building:
    """A value that some thread is making."""

    done: threading.Event = field(default_factory=threading.Event)
    is_wanted: bool = True
    is_asked_for: bool = True


class PreparedCache:
    """The most recently used prepared values, by bytes. Safe to use from several threads.

    Keys hold the digest of the rows, so that a stale value can never be taken for a new one.

    Args:
        budget_bytes: How much to keep. A value larger than that is used once and dropped.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Sized] = OrderedDict()
        self._building: dict[_Key, _Building] = {}
        self._unasked: set[_Key] = set()
        self._used_bytes = 0
        self._forgets = 0
        self._forgotten: OrderedDict[tuple[str, str], int] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """Bytes of all that is kept."""
        return self._used_bytes

    @property
    def room_bytes(self) -> int:
        """Bytes that can be added without dropping anything."""
        return self._budget_bytes - self._used_bytes

    def lease(self, *, is_ahead: bool = False) -> "Lease":
        """Return access for one task: what it makes is kept unless forgotten from now on.

        Args:
            is_ahead: Nobody has asked for it yet. It makes way for the first part of its kind that
                somebody asks for, so that a dataset does not lie there twice for nothing.
        """
        return Lease(self, self._forgets, is_ahead)

    def get(
        self,
        dataset: Dataset,
        part: Hashable,
        make: Callable[[], T],
        check: Callable[[], None],
        *,
        since: int | None = None,
        is_ahead: bool = False,
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
            is_ahead: Nobody has asked for it yet; see `lease`.
        """
        if not dataset.id:
            return make()
        key = (dataset.id, dataset.digest, part)
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    self._unasked.discard(key)
                    return cast(T, self._kept[key])
                other = self._building.get(key)
                if other is not None:
                    other.is_asked_for |= not is_ahead
                else:
                    mine = self._building[key] = _Building(is_asked_for=not is_ahead)
                    break
            other.done.wait(WAIT_S)
            check()
        try:
            value = make()
            with self._lock:
                if mine.is_wanted and not self.is_forgotten(dataset, since):
                    self._keep(dataset, part, value, is_asked_for=mine.is_asked_for)
            return value
        finally:
            with self._lock:
                del self._building[key]
            mine.done.set()

    def kept(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return this part of the dataset if it is there."""
        key = (dataset.id, dataset.digest, part)
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
                if self._unasked:
                    self._unasked.discard(key)
            return value

    def earlier(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return this part of an earlier version of the dataset, if one is still kept."""
        with self._lock:
            return next((self._kept[key] for key in self._others(dataset.id, part, dataset)), None)

    def parts(self, dataset: Dataset) -> list[Hashable]:
        """Return the parts of this version that are kept."""
        with self._lock:
            return [key[2] for key in self._kept if key[:2] == (dataset.id, dataset.digest)]

    def forget(self, dataset_id: str) -> None:
        """Drop everything of the dataset, also what is being made."""
        with self._lock:
            self._remember(dataset_id, "")
            self._drop([key for key in self._kept if key[0] == dataset_id])
            for key, building in self._building.items():
                if key[0] == dataset_id:
                    building.is_wanted = False

    def supersede(self, old: Dataset, is_base: Callable[[Hashable], bool]) -> None:
        """Drop what was made from a version that is not the present one any more.

        Parts for which `is_base` is true stay until the next version's are made, beside which they
        are of no use. Predictions under way hold what they have.
        """
        version = (old.id, old.digest)
        with self._lock:
            self._remember(*version)
            self._drop([key for key in self._kept if key[:2] == version and not is_base(key[2])])
            for key, building in self._building.items():
                if key[:2] == version:
                    building.is_wanted = False

    def is_forgotten(self, dataset: Dataset, since: int | None) -> bool:
        """Return whether the dataset, or this version, was forgotten after so many forgettings."""
        forgotten = max(
            self._forgotten.get((dataset.id, digest), 0) for digest in ("", dataset.digest)
        )
        return since is not None and forgotten > since

    def _remember(self, dataset_id: str, digest: str) -> None:
        self._forgets += 1
        self._forgotten[dataset_id, digest] = self._forgets
        self._forgotten.move_to_end((dataset_id, digest))
        if len(self._forgotten) > REMEMBERED:
            self._forgotten.popitem(last=False)

    def _others(self, dataset_id: str, part: Hashable, but: Dataset) -> list[_Key]:
        """Return the keys of this part in the versions that are not this one."""
        return [
            key
            for key in self._kept
            if key[0] == dataset_id and key[2] == part and key[1] != but.digest
        ]

    def _keep(self, dataset: Dataset, part: Hashable, value: Sized, *, is_asked_for: bool) -> None:
        self._drop(self._others(dataset.id, part, dataset))
        if value.nbytes > self._budget_bytes:
            return
        version = (dataset.id, dataset.digest)
        alike = [key for key in self._kept if key[:2] == version and isinstance(key[2], type(part))]
        key = (*version, part)
        if is_asked_for:
            self._drop([other for other in alike if other in self._unasked])
        elif any(other not in self._unasked for other in alike):
            return
        else:
            self._unasked.add(key)
        self._kept[key] = value
        self._used_bytes += value.nbytes
        while self._used_bytes > self._budget_bytes:
            self._drop([next(iter(self._kept))])

    def _drop(self, keys: list[_Key]) -> None:
        for key in keys:
            self._used_bytes -= self._kept.pop(key).nbytes
            self._unasked.discard(key)


@dataclass(frozen=True)
class Lease:
    """A task's access to the cache: what it makes after its dataset was forgotten is not kept.

    Attributes:
        cache: Where things are kept.
        since: The count of forgettings when the task came.
        is_ahead: Nobody has asked for it yet; see `PreparedCache.lease`.
    """

    cache: PreparedCache
    since: int
    is_ahead: bool = False

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        """Return what `make` gives for this part of the dataset; see `PreparedCache.get`."""
        return self.cache.get(dataset, part, make, check, since=self.since, is_ahead=self.is_ahead)

    def earlier(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return this part of an earlier version; see `PreparedCache.earlier`."""
        return self.cache.earlier(dataset, part)

    def is_over(self, dataset: Dataset) -> bool:
        """Return whether the dataset, or this version of it, was forgotten meanwhile."""
        return self.cache.is_forgotten(dataset, self.since)


@final
@dataclass(frozen=True)
class OnlyKept:
    """A task's access to what is there already.

    Attributes:
        cache: Where things are kept.
    """

    cache: PreparedCache

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], T], check: Callable[[], None]
    ) -> T:
        """Return this part of the dataset.

        Raises:
            NotPrepared: It is not there.
        """
        value = self.cache.kept(dataset, part)
        if value is None:
            raise NotPrepared
        return cast(T, value)

    def earlier(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return nothing: nothing is made here."""
        return None
