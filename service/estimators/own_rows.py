"""Which rows the queries are, where they are rows that are left out."""

import numpy as np

from service.domain.arrays import Floats, Rows


def own_rows(x: Floats, at: Rows, q: Floats) -> Rows:
    """Return the row that each query is, (m,); the queries are some of `at` (s,), in order."""
    if len(q) == len(at):
        return at
    own, start = np.empty(len(q), dtype=np.int64), 0
    for i in range(len(q)):
        while not np.array_equal(x[at[start]], q[i], equal_nan=True):
            start += 1
        own[i], start = at[start], start + 1
    return own
