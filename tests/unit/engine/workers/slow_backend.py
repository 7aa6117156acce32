"""A backend for the tests of a compute process: each query says how it wants to be answered."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.backends.base import Nearest, Resident, Search
from service.backends.keops import exact
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput

REFUSE, FAIL = -1.0, -2.0
"""A query with this first feature ends in an InvalidInput, or in an error of no kind of ours."""


class SlowResident:
    """Sleeps as many seconds as the first feature of the first query says."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x, self.y, self.row_weights, self.nbytes = x, y, None, 1000
        self.n_sloped = x.shape[1]

    def nearest(self, q: Floats, k: int) -> Nearest:
        order = float(q[0, 0])
        if order == REFUSE:
            raise InvalidInput.at("/fit/n_neighbors", "Send fewer.")
        if order == FAIL:
            raise ZeroDivisionError("an error that nobody thought of")
        time.sleep(order)
        return exact.nearest(self.x, q, k)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the tests do not use {name}")


class SlowBackend:
    """Makes its rows wait."""

    name = "slow"

    def load(
        self,
        x: Floats,
        y: Floats,
        search: Search = Search.TREE,
        *,
        indexed_rows: int | None = None,
        base: Resident | None = None,
        row_weights: Floats | None = None,
        n_sloped: int | None = None,
    ) -> Resident:
        rows: Resident = SlowResident(x, y)
        return rows


def make_slow(
    *, report: Callable[[str], None], start_s: float = 0.0, broken_while: str = ""
) -> SlowBackend:
    """Return the backend after `start_s` seconds; fails while the file `broken_while` exists."""
    report("getting up slowly")
    time.sleep(start_s)
    if broken_while and Path(broken_while).exists():
        raise RuntimeError("there is no compiler")
    return SlowBackend()
