"""Who waits, who is computed together, and what of the result is whose: no clock, no event loop."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar, final

import numpy as np

from service.domain.prediction import Issue, Prediction
from service.domain.runs import run_of
from service.engine.workers.base import Task

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(eq=False)
class _Line(Generic[T]):
    """Those of one kind: how many batches are under way, and who waits, with how many rows."""

    under_way: int = 0
    waiting: deque[tuple[T, int]] = field(default_factory=deque)


@final
class Lines(Generic[K, T]):
    """Who waits, and who leaves together: a pure decision.

    Args:
        capacity: So many batches are computed at once; more would only wait for each other.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity
        self._lines: Final[OrderedDict[K, _Line[T]]] = OrderedDict()
        self._under_way = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(line.waiting) for line in self._lines.values())

    def arrived(self, kind: K, one: T, rows: int) -> bool:
        """Return whether this one leaves at once, alone; else it waits."""
        line = self._lines.setdefault(kind, _Line())
        if line.under_way and self._under_way >= self._capacity:
            line.waiting.append((one, rows))
            return False
        self._begin(line)
        return True

    def ended(self, kind: K, most_rows: int) -> list[tuple[K, list[T]]]:
        """Return the batches that leave now that one of this kind has ended.

        Args:
            kind: Of the one that has ended.
            most_rows: Of a batch, unless a single one has more.
        """
        self._under_way -= 1
        self._lines[kind].under_way -= 1
        leaving = []
        for other, line in list(self._lines.items()):
            while line.waiting and not (line.under_way and self._under_way >= self._capacity):
                leaving.append((other, _taken(line.waiting, most_rows)))
                self._begin(line)
            if not line.under_way:
                del self._lines[other]
        return leaving

    def left(self, kind: K, one: T) -> None:
        """Let one that waits go away; nothing happens if it has left already."""
        line = self._lines.get(kind)
        if line is not None:
            remaining = [entry for entry in line.waiting if entry[0] is not one]
            line.waiting = deque(remaining)

    def _begin(self, line: _Line[T]) -> None:
        line.under_way += 1
        self._under_way += 1


def _taken(waiting: deque[tuple[T, int]], most_rows: int) -> list[T]:
    """Take from the front as many as have `most_rows` together, and at least one."""
    batch: list[T] = []
    total = 0
    while waiting and (not batch or total + waiting[0][1] <= most_rows):
        one, rows = waiting.popleft()
        batch.append(one)
        total += rows
    return batch


def merged(tasks: Sequence[Task]) -> Task:
    """Return one task with the queries of all, which agree in everything else.

    The plan is that of the first, so a batch has its block size: the bits do not depend on it.
    """
    return replace(tasks[0], q=np.concatenate([task.q for task in tasks]))


def split(prediction: Prediction, sizes: Sequence[int]) -> list[Prediction]:
    """Return the predictions of consecutive runs of queries, each as if it had been made alone.

    Neighbours are not split: who asks for them has a limit of their own, and is not joined.
    """
    parts = []
    start = 0
    for size in sizes:
        run = slice(start, start + size)
        part = run_of(prediction, run)
        parts.append(replace(part, issues=_issues(prediction.issues, run)))
        start = run.stop
    return parts


def _issues(issues: Sequence[Issue], run: slice) -> tuple[Issue, ...]:
    """Return the issues of a run of queries, counted from its start."""
    found = []
    for issue in issues:
        low, high = np.searchsorted(issue.queries, [run.start, run.stop])
        if low < high:
            found.append(replace(issue, queries=issue.queries[low:high] - run.start))
    return tuple(found)
