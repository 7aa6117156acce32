"""How far a kernel reaches at each query, and which rows it finds there."""

from dataclasses import dataclass

import numpy as np

from service.backends.base import (
    LEAST_EXPONENT,
    NEAREST_SLACK,
    Moments,
    Nearest,
    Resident,
    Within,
)
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.domain.prediction import Diagnostics
from service.estimators.fits import Smoother
from service.estimators.kernels import kernel_weight
from service.estimators.row_bandwidths import Spreading

LEAST_BANDWIDTH = 1e-150
"""Stands for 0, which a nearest-neighbour bandwidth can be: only exact hits are in reach, and its
square is still a normal number."""

FAR_BANDWIDTHS = 5.0
"""A Gaussian whose nearest row is further than this gave that row less than 4e-6 of its peak."""


@dataclass(frozen=True, eq=False)
class Reach:
    """The kernel at each query.

    Attributes:
        kernel: Weight function.
        bandwidth: h, (m,), positive.
        nearest_distance: For the Gaussian: distance to the nearest row that counts, (m,).
        found: The nearest rows, as far as they were looked for.
        is_of_rows: Each row has a bandwidth of its own, and `bandwidth` is but the unit of the
            monomials and of `nearest_distance`; see `row_bandwidths`.
    """

    kernel: Kernel
    bandwidth: Floats
    nearest_distance: Floats | None
    found: Nearest | None
    is_of_rows: bool = False

    def moments(
        self, rows: Resident, q: Floats, degree: int, center: Floats | None = None
    ) -> Moments:
        """Return the weighted sums of the rows in reach."""
        return rows.moments(
            q,
            self.kernel,
            self.bandwidth,
            degree,
            center=center,
            nearest_distance=self.nearest_distance,
            found=self.found,
        )

    def at(self, queries: Rows) -> "Reach":
        """Return the reach of some of the queries."""
        nearest = None if self.nearest_distance is None else self.nearest_distance[queries]
        found = None if self.found is None else self.found.at(queries)
        return Reach(self.kernel, self.bandwidth[queries], nearest, found, self.is_of_rows)


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """The rows that carry weight, for all queries one after the other, (entries,) each.

    Attributes:
        offsets: Query i has the entries offsets[i]:offsets[i+1].
        queries: The query of each entry.
        rows: The row of each entry; nearest first within a query, ties by row.
        distances: Distance of the row to the query.
        weights: w = K(u) p > 0, p the row's own weight, up to a factor a query.
    """

    offsets: Rows
    queries: Rows
    rows: Rows
    distances: Floats
    weights: Floats


def reach_of(rows: Resident, fit: Smoother, q: Floats) -> Reach:
    """Return the bandwidth at each query.

    With n_neighbors = k it is the distance to the k-th nearest row, as R's loess has it; a compact
    kernel then gives that row the weight 0, except the uniform one.
    """
    gaussian = not fit.kernel.is_compact
    if isinstance(rows, Spreading):
        unit = np.full(len(q), rows.spread.typical)
        least = rows.least_scaled(q) * unit if gaussian else None
        return Reach(fit.kernel, unit, least, None, is_of_rows=True)
    if fit.bandwidth is not None:
        bandwidth = np.full(len(q), fit.bandwidth)
        if not gaussian:
            return Reach(fit.kernel, bandwidth, None, None)
        found = rows.nearest(q, 1)
        return Reach(fit.kernel, bandwidth, nearest_that_counts(rows, q, found), found)
    if fit.n_neighbors is None:
        raise TypeError("a smoother has a bandwidth or a number of neighbours")
    found = rows.nearest(q, fit.n_neighbors)
    bandwidth = np.maximum(furthest(found.distances), LEAST_BANDWIDTH)
    nearest = nearest_that_counts(rows, q, found) if gaussian else None
    return Reach(fit.kernel, bandwidth, nearest, found)


def nearest_that_counts(rows: Resident, q: Floats, found: Nearest) -> Floats:
    """Return the distance of each query to the nearest row with a weight above 0, (m,).

    Where none of the k nearest rows counts, twice as many are looked for. Where none does at all
    it is that to the nearest row.
    """
    nearest = found.distances[:, 0].copy()
    if rows.row_weights is None or rows.row_weights.all():
        return nearest
    most = min(int(np.count_nonzero(rows.row_weights == 0)) + 1, len(rows.x))
    open_queries, k = np.arange(len(q)), found.rows.shape[1]
    while True:
        counts = rows.row_weights[found.rows] > 0
        has_any = counts.any(axis=1)
        first = np.argmax(counts, axis=1)[has_any]
        nearest[open_queries[has_any]] = found.distances[np.flatnonzero(has_any), first]
        open_queries = open_queries[~has_any]
        if not open_queries.size or k >= most:
            return nearest
        k = min(2 * k, most)
        found = rows.nearest(np.ascontiguousarray(q[open_queries]), k)


def furthest(distances: Floats) -> Floats:
    """Return the last of ascending distances (m, k) that is finite, (m,), or 0.

    Rows are infinitely far where no cell is common to them and the query.
    """
    last = distances[:, -1]
    if np.isfinite(last).all():
        return last
    return np.asarray(np.max(distances, axis=1, where=np.isfinite(distances), initial=0.0))


def weighted_rows(
    rows: Resident, reach: Reach, q: Floats, moments: Moments, limit: int
) -> WeightedRows:
    """Return the rows in reach of each query with their weights.

    Raises:
        InvalidInput: There are more than `limit` in all.
    """
    # Before they are listed: where many rows lie at one place, they may be more than memory holds.
    check_entries(int(moments.count.sum()), limit)
    if isinstance(rows, Spreading):
        nearest = reach.nearest_distance
        least = None if nearest is None else nearest / reach.bandwidth
        found, weights = rows.reaching(q, reach.kernel, least)
    else:
        found = rows.within(q, _listed_radius(reach, moments))
        weights = _kernel_weights(reach, found)
    queries = np.repeat(np.arange(len(q)), np.diff(found.offsets))
    if rows.row_weights is not None:
        weights = weights * rows.row_weights[found.rows]
    carries = weights > 0
    counts = np.bincount(queries[carries], minlength=len(q))
    return WeightedRows(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        queries=queries[carries],
        rows=found.rows[carries],
        distances=found.distances[carries],
        weights=weights[carries],
    )


def _kernel_weights(reach: Reach, found: Within) -> Floats:
    """Return K(u) of each row found, up to a factor a query."""
    queries = np.repeat(np.arange(len(reach.bandwidth)), np.diff(found.offsets))
    h = reach.bandwidth[queries]
    if reach.nearest_distance is None:
        return kernel_weight(reach.kernel, found.distances / h)
    nearest = reach.nearest_distance[queries]
    precision = 0.5 / (h * h)
    nearest_sq = nearest * nearest * NEAREST_SLACK
    with np.errstate(over="ignore"):  # to -∞, a weight of 0
        exponent = precision * (nearest_sq - found.distances * found.distances)
    clipped = np.clip(exponent, LEAST_EXPONENT, 0.0)
    return np.where(exponent > LEAST_EXPONENT, np.exp(clipped), 0.0)


def _listed_radius(reach: Reach, moments: Moments) -> Floats:
    """Return how far rows are listed: without the edge, where all but the uniform kernel are 0."""
    if not reach.kernel.is_compact:
        return moments.radius
    if reach.kernel is Kernel.UNIFORM:
        return reach.bandwidth
    return np.nextafter(reach.bandwidth, 0.0)


def check_entries(entries: int, limit: int) -> None:
    """Refuse to list more than `limit` neighbours in one answer.

    Raises:
        InvalidInput: There are more.
    """
    if entries > limit:
        raise InvalidInput.at(
            "/include",
            f"The neighbours of these queries are at least {entries} rows in all, more than the "
            f"{limit} that one answer lists; send fewer queries or a smaller reach.",
        )


def smoother_diagnostics(reach: Reach, moments: Moments, degree: Rows) -> Diagnostics:
    """Return how each local fit came about."""
    weight = moments.gram[:, 0, 0]
    supported = moments.count > 0
    effective = np.zeros_like(weight)
    np.divide(weight * weight, moments.weight_sq, out=effective, where=supported)
    bandwidth = np.full_like(weight, np.nan) if reach.is_of_rows else reach.bandwidth
    return Diagnostics(moments.count, effective, bandwidth, np.where(supported, degree, -1))
