"""The reductions over all rows but the query's own, or but its group: for leave-one-out.

The i-th query is the row at[i] itself. Then

    nearest:  one more row is looked for, and the own one, or else the furthest, is left out
    moments:  the own row has u = 0, K(0) = 1 and, centred at itself, φ = (1, 0, …, 0), so that
              Σ w φφᵀ and Σ w φyᵀ lose p_i and p_i y_i in their first entry, Σ w² / p loses p_i

Where the other rows weigh less than the own one, the difference would lose digits, and the sums are
made anew from the rows in reach; so they are where a whole group is left out. Every estimator works
on this view as it does on all rows.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from service.backends.base import (
    NEAREST_SLACK,
    Expansion,
    Moments,
    Nearest,
    SingleProducts,
    Within,
    sloped,
)
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel
from service.estimators.kernels import kernel_weight
from service.estimators.local_polynomial import monomials
from service.estimators.own_rows import own_rows
from service.estimators.row_weights import rows_of_least
from service.estimators.view import View

LEAST_SHARE = 1.0
"""Of the own weight that the others must reach for the difference to keep its digits."""

FAINT = 75.0
"""Twice the exponent beyond which a Gaussian weight is below the rounding of the nearest row's."""


@final
@dataclass(frozen=True, eq=False)
class Others(View):
    """A view of all rows in which each query misses the row that it is.

    Attributes:
        at: The row that each query is, (s,).
        groups: The group of each row, (n,), if with a row its group is left out.
    """

    at: Rows
    groups: Rows | None = None

    def reweighted(self, row_weights: Floats) -> "Others":
        """Return the same view of the rows with other weights."""
        return Others(self.rows.reweighted(row_weights), self.at, self.groups)

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the rows' own."""
        return self.at.nbytes

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest other rows of each query, or as many as each has."""
        own = self._own(q)
        most = 1 if self.groups is None else int(np.bincount(self.groups).max())
        k = min(k, len(self.rows.x) - most)
        found = self.rows.nearest(q, k + most)
        kept = _first(~self._is_left_out(found.rows, own[:, None]), k)
        places = None if found.places is None else found.places[kept].reshape(-1, k)
        return Nearest(
            found.distances[kept].reshape(-1, k), found.rows[kept].reshape(-1, k), places
        )

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the other rows in reach of each query."""
        found = self.rows.within(q, radius)
        queries = np.repeat(np.arange(len(q)), np.diff(found.offsets))
        kept = ~self._is_left_out(found.rows, self._own(q)[queries])
        counts = np.bincount(queries[kept], minlength=len(q))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Within(offsets, found.rows[kept], found.distances[kept])

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
        """Return the weighted sums of the other rows; see `backends.base.Resident`."""
        own = self._own(q)
        if center is not None or self.groups is not None:
            center = sloped(self, q) if center is None else center
            return self._listed_moments(q, kernel, bandwidth, degree, center, nearest_distance, own)
        p = np.ones(len(q)) if self.row_weights is None else self.row_weights[own]
        counts = p > 0
        # With the own row, at distance 0, the nearest one: no weight overflows.
        zero = None if nearest_distance is None else np.where(counts, 0.0, nearest_distance)
        sums = self.rows.moments(q, kernel, bandwidth, degree, nearest_distance=zero, found=None)
        sums.gram[:, 0, 0] -= p
        sums.rhs[:, 0] -= p[:, None] * self.rows.y[own]
        sums.weight_sq[:] -= p
        sums.count[:] -= counts
        faint = np.flatnonzero((sums.gram[:, 0, 0] < LEAST_SHARE * p) & counts)
        if faint.size:
            anew = self._listed_moments(
                np.ascontiguousarray(q[faint]), kernel, bandwidth[faint], degree,
                sloped(self, q[faint]),
                None if nearest_distance is None else nearest_distance[faint], own[faint],
            )  # fmt: skip
            sums.gram[faint], sums.rhs[faint] = anew.gram, anew.rhs
            sums.weight_sq[faint], sums.count[faint] = anew.weight_sq, anew.count
            sums.radius[faint] = anew.radius
        return sums

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Return K(q, x) a without the own rows, of which c(0) = 1."""
        return self.rows.product(q, covariance, length_scale, a) - a[self._own(q)]

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> Expansion:
        """Refuse: the coefficients of all rows depend on the own one."""
        raise TypeError("leave-one-out of a fit over all rows is in closed form")

    def single_products(self, covariance: Covariance, length_scale: float) -> SingleProducts | None:
        """Return None: there is no system of the other rows."""
        return None

    def _is_left_out(self, rows: Rows, own: Rows) -> NDArray[np.bool_]:
        """Return where a row is left out for the query that is the row `own`."""
        if self.groups is None:
            return np.asarray(rows == own)
        return np.asarray(self.groups[rows] == self.groups[own])

    def _own(self, q: Floats) -> Rows:
        """Return the row that each query is; the queries are some of `at`, in order."""
        return own_rows(self.rows.x, self.at, q)

    def _listed_moments(
        self,
        q: Floats,
        kernel: Kernel,
        bandwidth: Floats,
        degree: int,
        center: Floats,
        nearest_distance: Floats | None,
        own: Rows,
    ) -> Moments:
        """Return the sums over the other rows one by one, φ centred at `center`."""
        radius = bandwidth
        if nearest_distance is not None:
            most = FAINT + 2.0 * np.log(rows_of_least(self.rows))
            radius = np.sqrt(nearest_distance**2 + most * bandwidth**2) * NEAREST_SLACK
        found = self.rows.within(q, radius)
        parts = []
        for i in range(len(q)):
            entries = slice(found.offsets[i], found.offsets[i + 1])
            others = ~self._is_left_out(found.rows[entries], own[i : i + 1])
            rows, distances = found.rows[entries][others], found.distances[entries][others]
            if nearest_distance is None:
                w = kernel_weight(kernel, np.minimum(distances / bandwidth[i], 1.0))
            else:
                excess = (nearest_distance[i] ** 2 - distances**2) / bandwidth[i] ** 2
                w = np.exp(0.5 * np.minimum(excess, 0.0))
            p = np.ones(len(rows)) if self.row_weights is None else self.row_weights[rows]
            z = (sloped(self, self.rows.x[rows]) - center[i]) / bandwidth[i]
            phi = monomials(z, degree)
            squares, w = (w * p) @ w, w * p
            weighted = phi * w[:, None]
            parts.append((weighted.T @ phi, weighted.T @ self.rows.y[rows], squares, np.sum(w > 0)))
        gram, rhs, weight_sq, count = zip(*parts, strict=True)
        return Moments(
            np.array(gram),
            np.array(rhs),
            np.array(weight_sq, dtype=np.float64),
            np.array(count, dtype=np.int64),
            np.asarray(radius, dtype=np.float64),
        )


def _first(is_other: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Return where the first k other rows of each query are, (s, found)."""
    return is_other & (np.cumsum(is_other, axis=1) <= k)
