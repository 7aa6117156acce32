"""The datasets in memory, by id."""

import ctypes
import hashlib
import sys
import threading
from dataclasses import dataclass, replace

from service.domain.dataset import Dataset
from service.domain.errors import DatasetNotFound, InvalidInput, StoreFull


@dataclass(frozen=True, eq=False)
class _Entry:
    """A dataset and its place in the order of creation."""

    dataset: Dataset
    sequence: int


class DatasetStore:
    """Owns the arrays of all datasets, within a byte budget. Safe to use from several threads.

    The id of a new dataset is made from its digest, so the same upload has the same id on every
    service. It stays when rows are appended, while the digest changes. Nothing is ever dropped to
    make room: a full store refuses.

    Args:
        budget_bytes: For x and y of all datasets together.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._created = 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all datasets."""
        return sum(entry.dataset.nbytes for entry in list(self._entries.values()))

    def add(self, dataset: Dataset, *, dataset_id: str | None = None) -> tuple[Dataset, bool]:
        """Keep the dataset; return it with its id, and whether it is new.

        The same content is kept once: the dataset that is there already is returned, under the
        name of its first upload.

        Args:
            dataset: A first version, without an id.
            dataset_id: The id to use in place of one made from the digest.

        Raises:
            StoreFull: It does not fit.
        """
        with self._lock:
            for entry in self._entries.values():
                if entry.dataset.digest == dataset.digest:
                    return entry.dataset, False
            self._check_room(dataset.nbytes)
            stored = replace(dataset, id=dataset_id or self._free_id(dataset.digest))
            self._created += 1
            self._entries[stored.id] = _Entry(stored, self._created)
            return stored, True

    def get(self, dataset_id: str) -> Dataset:
        """Return the present version.

        Raises:
            DatasetNotFound: There is none with this id.
        """
        entry = self._entries.get(dataset_id)
        if entry is None:
            raise not_found(dataset_id)
        return entry.dataset

    def has(self, dataset_id: str) -> bool:
        """Return whether there is a dataset with this id."""
        return dataset_id in self._entries

    def holds(self, dataset: Dataset) -> bool:
        """Return whether this very version is the present one."""
        entry = self._entries.get(dataset.id)
        return entry is not None and entry.dataset is dataset

    def page(self, *, after: str | None, limit: int) -> tuple[list[Dataset], str | None]:
        """Return up to `limit` datasets in the order of creation, and the cursor of the next page.

        The cursor goes on where the page ended, also when that dataset has been deleted since.

        Raises:
            InvalidInput: `after` is not a cursor that a page ended with.
        """
        try:
            start = int(after) if after is not None else 0
        except ValueError:
            raise InvalidInput.at(
                "after", f"'{(after or '')[:40]}' is not a cursor; send what `next` had."
            ) from None
        entries = [entry for entry in list(self._entries.values()) if entry.sequence > start]
        page = entries[:limit]
        has_more = len(entries) > limit
        return [entry.dataset for entry in page], str(page[-1].sequence) if has_more else None

    def replace(self, old: Dataset, new: Dataset) -> None:
        """Put the next version in the place of the present one.

        Raises:
            DatasetNotFound: The dataset was deleted, or changed, in the meantime.
            StoreFull: The new version does not fit.
        """
        with self._lock:
            entry = self._entries.get(old.id)
            if entry is None or entry.dataset is not old:
                raise not_found(old.id)
            self._check_room(new.nbytes - old.nbytes)
            self._entries[old.id] = _Entry(new, entry.sequence)

    def check_room(self, nbytes: int) -> None:
        """Raise `StoreFull` if so many more bytes do not fit."""
        with self._lock:
            self._check_room(nbytes)

    def remove(self, dataset_id: str) -> None:
        """Drop the dataset. Its memory is free once the predictions that look at it have ended.

        Raises:
            DatasetNotFound: There is none with this id.
        """
        with self._lock:
            if self._entries.pop(dataset_id, None) is None:
                raise not_found(dataset_id)

    def _free_id(self, digest: str) -> str:
        """Return an id made from the digest; another one if that was taken by a changed dataset."""
        seed = digest
        while (dataset_id := f"ds-{hashlib.sha256(seed.encode()).hexdigest()[:12]}") in (
            self._entries
        ):
            seed += "+"
        return dataset_id

    def _check_room(self, nbytes: int) -> None:
        used = self.used_bytes
        if used + nbytes <= self._budget_bytes:
            return
        missing = used + nbytes - self._budget_bytes
        largest = sorted(
            (entry.dataset for entry in self._entries.values()), key=lambda d: -d.nbytes
        )[:3]
        listed = ", ".join(f"'{d.id}' ({d.nbytes:,} bytes)" for d in largest)
        advice = (
            f" DELETE would free: {listed}." if listed else " It is larger than the whole budget."
        )
        raise StoreFull(
            f"The datasets hold {used:,} of {self._budget_bytes:,} bytes and this needs "
            f"{nbytes:,} more, {missing:,} too many.{advice}"
        )


def not_found(dataset_id: str) -> DatasetNotFound:
    """Return the error for an unknown id."""
    return DatasetNotFound(
        f"There is no dataset '{dataset_id[:80]}'; GET /datasets lists those there are."
    )


def return_freed_memory() -> None:
    """Give freed memory back to the operating system, where the C library keeps it (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
