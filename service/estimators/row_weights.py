"""Rows that count more or less than once: w_i = K(‖x_i - x‖ / h) p_i.

A row of weight 2 is worth two rows at its place, and a row of weight 0 none, but for bandwidths
from a number of neighbours, which count rows whatever their weight, as R's loess does.

Source: Cleveland & Devlin (1988), JASA 83(403), 596-610, section 2.
"""

import sys
from typing import NoReturn, final

import numpy as np

from service.backends.base import (
    LEAST_EXPONENT,
    Expansion,
    Moments,
    Nearest,
    Resident,
    SingleProducts,
    Within,
)
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel
from service.estimators.kernels import distances
from service.estimators.local_polynomial import monomials
from service.estimators.parts import moments_of, parts
from service.estimators.reach import Reach, weighted_rows

MOST_ENTRIES = 2**20
"""Rows in reach that are looked at together, over all queries of a part."""


@final
class Weighted:
    """A resident set of rows with a weight each, for smoothers; made without copying the rows.

    Args:
        rows: The rows.
        row_weights: p_i ≥ 0, (n,).
    """

    def __init__(self, rows: Resident, row_weights: Floats) -> None:
        self._rows = rows
        self._row_weights = row_weights

    @property
    def x(self) -> Floats:
        """The rows, (n, d), in the metric of the fit."""
        return self._rows.x

    @property
    def y(self) -> Floats:
        """The targets, (n, t)."""
        return self._rows.y

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the dataset's own arrays."""
        return self._rows.nbytes + self._row_weights.nbytes

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query, whatever their weights."""
        return self._rows.nearest(q, k)

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
        """Return the weighted sums for w_i = K(‖x_i - q‖ / h) p_i; see `Resident.moments`.

        The Gaussian weighs exp(-(d_i² - δ²) / 2h²) p_i with δ the distance to the nearest row that
        counts at all, and all rows, since those left out as faint may be the ones that count.

        Cost: the rows in reach are listed, and p² sums taken over the lists.
        """
        if kernel.is_compact:
            reach = Reach(kernel, bandwidth, None, found)
            # What the kernel alone has in reach says how many queries can be listed together.
            alone = reach.moments(self._rows, q, 0)
            counts, radius = alone.count, alone.radius
        else:
            counts, radius = np.full(len(q), len(self.x)), np.full(len(q), np.inf)
        sums = []
        for part in parts(counts, MOST_ENTRIES):
            at, h = np.ascontiguousarray(q[part]), bandwidth[part]
            if kernel.is_compact:
                places = np.arange(part.start, part.stop)
                few = moments_of(alone, places)
                listed = weighted_rows(self._rows, reach.at(places), at, few, sys.maxsize)
                queries, rows = listed.queries, listed.rows
                w = listed.weights * self._row_weights[rows]
            else:
                queries, rows, w = self._by_gaussian(at, h)
            counted = w > 0  # the monomials of the others could be infinite
            queries, rows, w = queries[counted], rows[counted], w[counted]
            middle = at if center is None else center[part]
            z = (self.x[rows] - middle[queries]) / h[queries, None]
            sums.append(_sums(queries, len(at), w, monomials(z, degree), self.y[rows]))
        gram, rhs, weight_sq, count = (np.concatenate(arrays) for arrays in zip(*sums, strict=True))
        return Moments(gram, rhs, weight_sq, count, radius)

    def _by_gaussian(self, q: Floats, h: Floats) -> tuple[Rows, Rows, Floats]:
        """Return the query, the row and the weight of each entry, all rows for all queries."""
        m, n = len(q), len(self.x)
        sq = np.square(distances(q, self.x))
        nearest = np.min(sq, axis=1, where=self._row_weights > 0, initial=np.inf)
        with np.errstate(over="ignore"):  # to -∞, a weight of 0
            exponent = (nearest[:, None] - sq) / (2 * h * h)[:, None]
        clipped = np.clip(exponent, LEAST_EXPONENT, 0.0)
        kernel = np.where(exponent > LEAST_EXPONENT, np.exp(clipped), 0.0)
        queries, rows = np.repeat(np.arange(m), n), np.tile(np.arange(n), m)
        return queries, rows, (kernel * self._row_weights).reshape(-1)

    def within(self, q: Floats, radius: Floats) -> Within:
        """Refuse: a list of rows would carry the kernel's weights without those of the rows."""
        _refuse()

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Refuse: in kriging a row's weight is a noise of its own, no factor."""
        _refuse()

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> Expansion:
        """Refuse, as `product` does."""
        _refuse()

    def single_products(self, covariance: Covariance, length_scale: float) -> SingleProducts | None:
        """Refuse, as `product` does."""
        _refuse()


def _sums(
    queries: Rows, m: int, w: Floats, phi: Floats, y: Floats
) -> tuple[Floats, Floats, Floats, Rows]:
    """Return Σ w φφᵀ, Σ w φyᵀ, Σ w² and the count of each of m queries from their entries.

    Each sum is added from first to last, so that a query's bits do not depend on the others.
    """

    def total(values: Floats) -> Floats:
        return np.bincount(queries, weights=values, minlength=m).astype(np.float64, copy=False)

    p = phi.shape[1]
    gram, rhs = np.empty((m, p, p)), np.empty((m, p, y.shape[1]))
    for a in range(p):
        weighted = w * phi[:, a]
        for b in range(a + 1):
            gram[:, a, b] = gram[:, b, a] = total(weighted * phi[:, b])
        for c in range(y.shape[1]):
            rhs[:, a, c] = total(weighted * y[:, c])
    count = np.bincount(queries, minlength=m).astype(np.int64, copy=False)
    return gram, rhs, total(w * w), count


def _refuse() -> NoReturn:
    raise TypeError("rows with weights of their own have moments only")
