"""How far a query lies from the data, in terms of how far the rows lie from each other.

An interval speaks of places like those where rows were seen. With D(x) the distance from x to its
nearest row and D₋ᵢ(x_i) that from a row to the nearest other row,

    rank(x) = share of the rows with D₋ᵢ(x_i) < D(x)

so that a query drawn like the rows has ranks spread evenly over 0 to 1, and one at rank 1 lies
further from the data than any row lies from the others.

Source: Laxhammar & Falkman (2010), 13th International Conference on Information Fusion, for the
nearest distance as the nonconformity score of a conformal test.
"""

from dataclasses import dataclass

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows


@dataclass(frozen=True, eq=False)
class Isolation:
    """How far each query lies from the data.

    Attributes:
        distance: To the nearest row, in the metric of the fit, (m,).
        rank: The share of the rows that lie nearer to their nearest other row, (m,).
    """

    distance: Floats
    rank: Floats


def spacing(rows: Resident, at: Rows) -> Floats:
    """Return the distances of some rows to their nearest other rows, ascending, (s,).

    Cost: a search for two neighbours a row. Needs two rows at least.
    """
    found = rows.nearest(np.ascontiguousarray(rows.x[at]), 2)
    return np.sort(found.distances[:, 1])


def isolation(rows: Resident, q: Floats, spacing: Floats) -> Isolation:
    """Return how far each query lies from the data, given the `spacing` of some rows."""
    distance = rows.nearest(q, 1).distances[:, 0].copy()
    return Isolation(distance, np.searchsorted(spacing, distance, side="left") / len(spacing))
