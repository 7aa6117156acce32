"""How long work is cut, so that it can be shared among cores and stopped between two cuts."""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Blocks(Protocol):
    """Runs a piece of work over consecutive slices of m queries, in order, perhaps in parallel.

    A call raises `DeadlineExceeded` between two slices once the time of the task is over.
    """

    def __call__(
        self, work: Callable[[slice], T], m: int, block_size: int, first: int = ...
    ) -> list[T]:
        """Return what `work` gives for each slice of at most block_size queries, in order.

        The first slice has at most `first` queries, and others follow the clock.

        `work` must not call the same blocks: it may hold the last free core. See `inside`.
        """

    def inside(self) -> "Blocks":
        """Return blocks on the same clock for use inside of a slice: one after the other."""

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time of the task is over."""
