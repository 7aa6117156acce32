"""Rows of which cells are missing: one scan over distances that skip what is missing.

NaN stands for a missing cell, of a row or of a query. Over the features j that both have,

    d² = D / D_common · Σ_j (x_ij - q_j)²     and infinite where they have none in common

so that a pair is as far apart as it would be if the features that it lacks were like those that it
has. In the monomials of the sums a missing cell has z_j = 0: that of a row puts it where the query
is, that of a query takes the feature out of its fit. Each query is looked at on its own, so its
bits do not depend on the others.

Source: Dixon (1979), IEEE Transactions on Systems, Man, and Cybernetics 9(10), 617-621, method 5.
"""

import math
from typing import Final, NoReturn, final

import numpy as np
from numba import njit

from service.backends.base import (
    LEAST_EXPONENT,
    NEAREST_SLACK,
    Moments,
    Nearest,
    Within,
    monomial_count,
    sloped,
)
from service.backends.native.sums import KERNEL_CODES, _weigh, add_slopes, mirror
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel

BLOCK_ROWS: Final = 256
_GAUSSIAN: Final = KERNEL_CODES[Kernel.GAUSSIAN]


@final
class GappedResident:
    """Rows with missing cells. Every call releases the GIL, on one thread.

    Cost a query: O(n d) for any reduction, and O(rows in reach · p²) for moments.

    Args:
        x: Rows, (n, d), NaN where a cell is missing.
        y: Targets, (n, t).
        row_weights: What each row counts, (n,); None where all count 1.
        n_sloped: See `backends.base.Resident`; None for all columns.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        row_weights: Floats | None = None,
        n_sloped: int | None = None,
    ) -> None:
        self.n_sloped: Final = x.shape[1] if n_sloped is None else n_sloped
        self.x: Final = x
        self.y: Final = y
        self.row_weights: Final = row_weights
        self._rows: Final = np.require(x, requirements=["C", "W"])
        self._targets: Final = np.require(y, requirements=["C", "W"])
        self._weights: Final = np.ones(len(x)) if row_weights is None else row_weights.copy()

    @property
    def nbytes(self) -> int:
        """Bytes of the copies."""
        copies = sum(
            copy.nbytes
            for copy, own in ((self._rows, self.x), (self._targets, self.y))
            if copy is not own
        )
        return copies + self._weights.nbytes

    def reweighted(self, row_weights: Floats) -> "GappedResident":
        """Return the same rows with other weights; see `backends.base.Resident`."""
        return GappedResident(self.x, self.y, row_weights, self.n_sloped)

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows; those with no cell in common come last, at infinity."""
        distances, rows = np.empty((len(q), k)), np.empty((len(q), k), dtype=np.int64)
        _nearest(self._rows, _writable(q), distances, rows)
        return Nearest(distances, rows)

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows in reach; one with no cell in common never is."""
        q, radius = _writable(q), _writable(radius)
        counts = np.empty(len(q), dtype=np.int64)
        nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
        _within(self._rows, q, radius, np.empty(0, dtype=np.int64), counts, nothing, none)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows, distances = np.empty(offsets[-1], dtype=np.int64), np.empty(offsets[-1])
        _within(self._rows, q, radius, offsets, counts, rows, distances)
        return Within(offsets, rows, distances)

    def moments(
        self,
        q: Floats,
        kernel: Kernel,
        bandwidth: Floats,
        degree: int,
        *,
        center: Floats | None = None,
        nearest_distance: Floats | None = None,
        found: Nearest | None = None,
    ) -> Moments:
        """Return the weighted sums, of all rows for the Gaussian; see `backends.base.Resident`."""
        q, bandwidth = _writable(q), _writable(bandwidth)
        m, center = len(q), sloped(self, q) if center is None else _writable(center)
        if nearest_distance is None:
            if not kernel.is_compact:
                raise TypeError("the Gaussian kernel needs nearest_distance")
            nearest_distance = np.zeros(m)  # unused
        p = monomial_count(self.n_sloped, degree)
        gram, rhs = np.zeros((m, p, p)), np.zeros((m, p, self.y.shape[1]))
        weight_sq, count = np.zeros(m), np.zeros(m, dtype=np.int64)
        _moments(
            self._rows, self._targets, self._weights, q, center,
            KERNEL_CODES[kernel], bandwidth, _writable(nearest_distance), degree,
            gram, rhs, weight_sq, count,
        )  # fmt: skip
        radius = bandwidth if kernel.is_compact else np.full(m, np.inf)
        return Moments(gram, rhs, weight_sq, count, radius)

    def product(
        self, q: Floats, covariance: Covariance, length_scale: float, a: Floats
    ) -> NoReturn:
        """Refuse: covariances of such distances make no valid matrix."""
        _refuse()

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> NoReturn:
        """Refuse, as `product` does."""
        _refuse()

    def single_products(self, covariance: Covariance, length_scale: float) -> NoReturn:
        """Refuse, as `product` does."""
        _refuse()


def _refuse() -> NoReturn:
    raise TypeError("there is no kriging over rows with missing cells")


def _writable(array: Floats) -> Floats:
    """Return the array as compiled code always gets it: it is compiled for each kind."""
    return np.require(array, dtype=np.float64, requirements=["C", "W"])


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_distances(x: Floats, q: Floats, distances: Floats) -> None:
    """Fill in the distance of each row (n, d) to one query (d,)."""
    d = x.shape[1]
    for i in range(x.shape[0]):
        total, common = 0.0, 0
        for j in range(d):
            difference = x[i, j] - q[j]
            if not math.isnan(difference):
                total += difference * difference
                common += 1
        distances[i] = math.sqrt(total * (d / common)) if common > 0 else math.inf


@njit(nogil=True, cache=True)
def _nearest(x: Floats, q: Floats, distances: Floats, rows: Rows) -> None:
    """Fill in the k nearest rows of each query, (m, k), by (distance, row)."""
    n, k = x.shape[0], rows.shape[1]
    every, near = np.empty(n), np.empty(k, dtype=np.int64)
    for query in range(q.shape[0]):
        _fill_distances(x, q[query], every)
        edge = np.partition(every, k - 1)[k - 1]
        found = 0
        for i in range(n):
            if every[i] < edge:
                near[found] = i
                found += 1
        for i in range(n):
            if found == k:
                break
            if every[i] == edge:
                near[found] = i
                found += 1
        order = np.argsort(every[near], kind="mergesort")  # stable: ties stay by row
        for place in range(k):
            rows[query, place] = near[order[place]]
            distances[query, place] = every[near[order[place]]]


@njit(nogil=True, cache=True)
def _within(
    x: Floats, q: Floats, radius: Floats, offsets: Rows, counts: Rows, rows: Rows, distances: Floats
) -> None:
    """Count the rows in reach of each query; with offsets, list them by (distance, row)."""
    every = np.empty(x.shape[0])
    for query in range(q.shape[0]):
        _fill_distances(x, q[query], every)
        found = np.flatnonzero((every <= radius[query]) & (every < math.inf))
        counts[query] = found.size
        if offsets.size > 0:
            order = found[np.argsort(every[found], kind="mergesort")]
            for place in range(order.size):
                rows[offsets[query] + place] = order[place]
                distances[offsets[query] + place] = every[order[place]]


@njit(nogil=True, cache=True, error_model="numpy")
def _weigh_all(
    every: Floats, kernel: int, h: float, nearest_sq: float, places: Rows, weights: Floats
) -> int:
    """Fill in the rows that carry weight, and their weights; return how many they are."""
    size = 0
    if kernel != _GAUSSIAN:
        reached = np.empty(every.shape[0])
        for i in range(every.shape[0]):
            if every[i] <= h and every[i] < math.inf:
                reached[size] = every[i]
                places[size] = i
                size += 1
        _weigh(kernel, reached, h, weights, size)
        return size
    precision = 0.5 / (h * h)
    for i in range(every.shape[0]):
        exponent = precision * (nearest_sq - every[i] * every[i])
        if exponent > LEAST_EXPONENT and every[i] < math.inf:
            weights[size] = math.exp(min(exponent, 0.0))
            places[size] = i
            size += 1
    return size


@njit(nogil=True, cache=True, error_model="numpy")
def _moments(
    x: Floats,
    y: Floats,
    row_weights: Floats,
    q: Floats,
    center: Floats,
    kernel: int,
    bandwidth: Floats,
    nearest_distance: Floats,
    degree: int,
    gram: Floats,
    rhs: Floats,
    weight_sq: Floats,
    count: Rows,
) -> None:
    """Add the rows that carry weight to the sums of each query, block by block."""
    n, d, p, t = x.shape[0], center.shape[1], gram.shape[1], y.shape[1]
    every, kernel_weights, places = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    phi, block_y = np.empty((p - 1, BLOCK_ROWS)), np.empty((t, BLOCK_ROWS))
    weights, weighted = np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)
    for query in range(q.shape[0]):
        h = bandwidth[query]
        _fill_distances(x, q[query], every)
        nearest_sq = nearest_distance[query] * nearest_distance[query] * NEAREST_SLACK
        reached = _weigh_all(every, kernel, h, nearest_sq, places, kernel_weights)
        for first in range(0, reached, BLOCK_ROWS):
            size = min(BLOCK_ROWS, reached - first)
            for i in range(size):
                row, weight = places[first + i], kernel_weights[first + i]
                weights[i] = weight * row_weights[row]
                count[query] += weights[i] > 0.0
                weight_sq[query] += weight * weights[i]
                gram[query, 0, 0] += weights[i]
                rhs[query, 0, 0] += weights[i] * y[row, 0]
                block_y[:, i] = y[row]
                for j in range(min(d, p - 1)):
                    z = (x[row, j] - center[query, j]) / h
                    phi[j, i] = 0.0 if math.isnan(z) else z
            add_slopes(phi, block_y, 0, weights, weighted, size, d, degree, query, gram, rhs)
        mirror(gram[query])


def warm_up() -> None:
    """Compile the loops, or load them from the cache."""
    rows = GappedResident(np.array([[0.0], [np.nan], [1.0]]), np.zeros((3, 1)))
    q, one = np.zeros((1, 1)), np.ones(1)
    rows.nearest(q, 1)
    rows.within(q, one)
    rows.moments(q, Kernel.TRICUBE, one, 1)
