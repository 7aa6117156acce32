"""The array types that every layer shares, and the one place that makes them.

| On paper | Code | Shape  | Meaning                     |
|----------|------|--------|-----------------------------|
| x_i      | x    | (n, d) | rows: where y was seen      |
| y_i      | y    | (n, t) | targets, one or more        |
| x        | q    | (m, d) | queries: where y is wanted  |
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]


def as_floats(values: Any) -> Floats:
    """Return `values` as a float64, C-contiguous array, without a copy where it is one."""
    return np.ascontiguousarray(values, dtype=np.float64)


def column_extremes(x: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest value of each column of x (n, d), (d,) each; n > 0.

    NaN, a missing cell, is passed over; a column of nothing else has NaN.

    Cost: O(n d). Over long and narrow rows NumPy takes ten times as long as over a copy of a block
    of them that has the columns side by side.
    """
    n, d = x.shape
    if x.size <= NUMBERS_AT_ONCE or d >= MANY_COLUMNS:
        return np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
    rows = NUMBERS_AT_ONCE // d
    starts = range(0, n, rows)
    extremes = np.empty((2, d, len(starts)))
    for block, start in enumerate(starts):
        columns = np.ascontiguousarray(x[start : start + rows].T)
        extremes[0, :, block] = np.fmin.reduce(columns, axis=1)
        extremes[1, :, block] = np.fmax.reduce(columns, axis=1)
    return np.fmin.reduce(extremes[0], axis=1), np.fmax.reduce(extremes[1], axis=1)


NUMBERS_AT_ONCE = 2**16
"""Numbers of which a copy stays in the cache."""

MANY_COLUMNS = 32
"""So many next to each other NumPy reduces as fast as they can be read."""
