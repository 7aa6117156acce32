"""How the queries of a task are cut, so that its time can be watched and other tasks get a turn."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from service.domain.errors import DeadlineExceeded
from service.engine.plan import FIRST_BLOCK, PORTION_S

T = TypeVar("T")


class Portions:
    """How many queries come next: few at first, then as many as take `PORTION_S`.

    What a query costs depends on the data (a thousand rows at one place, say), so no plan can know
    it. A query's bits do not depend on its portion.

    Args:
        m: Queries in all.
        largest: The most at once.
        first: The most in the first portion.
    """

    def __init__(self, m: int, largest: int, first: int) -> None:
        self._m = m
        self._largest = largest
        self._size = min(first, largest)
        self._start = 0

    @property
    def has_more(self) -> bool:
        """True while queries are left."""
        return self._start < self._m

    def next(self) -> slice:
        """Return the next portion."""
        part = slice(self._start, min(self._start + self._size, self._m))
        self._start = part.stop
        return part

    def took(self, part: slice, seconds: float) -> None:
        """Learn from how long a portion took."""
        fitting = (part.stop - part.start) * PORTION_S / max(seconds, 1e-6)
        self._size = max(1, min(int(fitting), 4 * self._size, self._largest))


class SerialBlocks:
    """Runs the blocks of a task one after the other, and stops when its time is over.

    Args:
        deadline: On the clock of `time.monotonic`.
        cancelled: Asked between two blocks; True ends the task like a deadline.
    """

    def __init__(self, deadline: float, cancelled: Callable[[], bool] | None = None) -> None:
        self._deadline = deadline
        self._cancelled = cancelled

    def __call__(
        self, work: Callable[[slice], T], m: int, block_size: int, first: int = FIRST_BLOCK
    ) -> list[T]:
        """Return what `work` gives for each slice of at most block_size queries, in order."""
        if m <= min(first, block_size):
            self.check()
            return [work(slice(0, m))]
        parts = []
        portions = Portions(m, block_size, first)
        while portions.has_more:
            self.check()
            part = portions.next()
            started = time.monotonic()
            parts.append(work(part))
            portions.took(part, time.monotonic() - started)
        return parts

    def inside(self) -> "SerialBlocks":
        """Return blocks on the same clock for use inside of a slice."""
        return SerialBlocks(self._deadline, self._cancelled)

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time of the task is over."""
        if time.monotonic() > self._deadline or (self._cancelled and self._cancelled()):
            raise too_late()


def too_late(what: str = "prediction", easier: str = "fewer queries") -> DeadlineExceeded:
    """Return the error for a task whose time is over: what it was, and what makes it easier."""
    return DeadlineExceeded(
        f"The {what} took longer than its time: send {easier}, a larger timeout_s, or a fit that "
        "looks at fewer rows (n_neighbors)."
    )


@contextmanager
def late_as(what: str, easier: str) -> Iterator[None]:
    """Say of what is over its time in here that it was this; see `too_late`."""
    try:
        yield
    except DeadlineExceeded:
        raise too_late(what, easier) from None
