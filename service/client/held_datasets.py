"""Datasets that estimators have uploaded, and that are deleted once no estimator holds them.

A finalizer may run at any moment, in any thread, within any other call; so it takes no lock and
asks no network, but puts a name in a queue that is made for that. A thread of its own deletes.
Estimators of the same content hold the same dataset; what another process uploaded is its own to
delete.
"""

import atexit
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from service.client.answers import DatasetInfo
from service.client.client import Client
from service.client.errors import NearfitError
from service.client.retrying import Retry

DELETE_WITHIN_S: Final = 5.0


class Holding(NamedTuple):
    """One dataset at one service."""

    url: str
    dataset_id: str


class _Holdings:
    """How often each dataset is held in this process, and which of them it has uploaded."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.released: SimpleQueue[Holding] = SimpleQueue()
        self._lock = threading.Lock()
        self._counts: Counter[Holding] = Counter()
        self._uploaded: set[Holding] = set()
        threading.Thread(target=self._work, name="nearfit-datasets", daemon=True).start()
        atexit.register(self._delete_all)

    def add(self, url: str, upload: Callable[[], DatasetInfo]) -> DatasetInfo:
        with self._lock:  # else what is found there could be deleted before it is held
            dataset = upload()
            holding = Holding(url, dataset.id)
            self._counts[holding] += 1
            if dataset.is_new:
                self._uploaded.add(holding)
        return dataset

    def _work(self) -> None:
        while True:
            holding = self.released.get()
            with self._lock:
                self._counts[holding] -= 1
                is_last = self._counts[holding] <= 0 and holding in self._uploaded
                if is_last:
                    self._uploaded.discard(holding)
                    _delete(holding)

    def _delete_all(self) -> None:
        if os.getpid() == self.pid:  # a forked process has a copy of what is its parent's
            with self._lock:
                left, self._uploaded = self._uploaded, set()
            for holding in left:
                _delete(holding)


@lru_cache(maxsize=1)
def _holdings(pid: int) -> _Holdings:
    assert pid == os.getpid()
    return _Holdings()


def hold(
    holder: Any, url: str, upload: Callable[[], DatasetInfo]
) -> tuple[DatasetInfo, "weakref.finalize[..., Any]"]:
    """Upload a dataset, and keep it until the holder is collected, or the second result is called.

    Uploads and deletions of a process go by turn. At its end, what it has uploaded and still holds
    is deleted too.
    """
    holdings = _holdings(os.getpid())
    dataset = holdings.add(url, upload)
    finalizer = weakref.finalize(holder, _release, holdings, Holding(url, dataset.id))
    finalizer.atexit = False
    return dataset, finalizer


def _release(holdings: _Holdings, holding: Holding) -> None:
    if os.getpid() == holdings.pid:
        holdings.released.put(holding)


def _delete(holding: Holding) -> None:
    retry = Retry(tries=1)
    try:
        with Client(holding.url, deadline_s=DELETE_WITHIN_S, retry=retry) as client:
            client.datasets.delete(holding.dataset_id)
    except NearfitError:
        pass  # it is gone already, or its service is
