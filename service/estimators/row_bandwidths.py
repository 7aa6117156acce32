"""A bandwidth for each row: its distance to its own k-th nearest other row.

    w_i = K(‖x_i - x‖ / h_i) p_i,     h_i = ‖x_i - x_(k)‖, x_(k) the k-th nearest row to row i

A row reaches as far as its surroundings are sparse, wherever the query is: an isolated row is heard
from afar, and one in a crowd only nearby. Where k other rows lie at the place of a row, h_i is 0,
and it counts at that place only. Some queries may be in the reach of no row.

h_i does not depend on the query, and the surface is as smooth as the kernel. A row that is left out
is no neighbour of the others either: h_i is then the distance to the next further row where it was
among the k nearest.

Sources: Breiman, Meisel & Purcell (1977), Technometrics 19(2), 135-144; Abramson (1982), Annals of
Statistics 10(4), 1217-1223.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from service.backends.base import (
    Expansion,
    Moments,
    Nearest,
    Resident,
    SingleProducts,
    Within,
    monomial_count,
    sloped,
)
from service.backends.native.row_bandwidths import fill_least, fill_moments, list_rows
from service.backends.native.sums import KERNEL_CODES
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel
from service.estimators.blocks import Blocks
from service.estimators.kernels import kernel_weight
from service.estimators.own_rows import own_rows
from service.estimators.view import View

BLOCK_ROWS = 1024


@final
@dataclass(frozen=True, eq=False)
class Spread:
    """How far the rows reach.

    Attributes:
        bandwidth: h_i, (n,).
        wider: The distance to the k + 1-st nearest other row, (n,).
    """

    bandwidth: Floats
    wider: Floats

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.bandwidth.nbytes + self.wider.nbytes

    @property
    def typical(self) -> float:
        """The median of the bandwidths that are not 0, in whose units polynomials are taken."""
        wide = self.bandwidth[self.bandwidth > 0]
        return float(np.median(wide)) if wide.size else 1.0


def spread_of(rows: Resident, k: int, blocks: Blocks) -> Spread:
    """Return how far each row reaches, for k other rows of n - 2 at most.

    Cost: a search for k + 2 rows at each row.

    Raises:
        DeadlineExceeded: Between two blocks, when the time is over.
    """

    def distances(part: slice) -> Floats:
        # The first is the row itself, or one at its place.
        found = rows.nearest(np.ascontiguousarray(rows.x[part]), k + 2).distances[:, 1:]
        known = np.maximum.accumulate(np.where(np.isfinite(found), found, 0.0), axis=1)
        return np.ascontiguousarray(known[:, -2:])

    found = np.concatenate(blocks(distances, len(rows.x), BLOCK_ROWS))
    return Spread(np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1]))


@final
@dataclass(frozen=True, eq=False)
class Spreading(View):
    """A view of rows of which each has its bandwidth, for smoothers; it copies nothing.

    Attributes:
        spread: How far they reach.
        at: The rows that the queries are, (s,), if each of them is left out; None for any queries.
    """

    spread: Spread
    at: Rows | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the rows' own."""
        return self.spread.nbytes

    def reweighted(self, row_weights: Floats) -> "Spreading":
        """Return the same rows with other weights (n,), and the same bandwidths."""
        return replace(self, rows=self.rows.reweighted(row_weights))

    def without(self, at: Rows) -> "Spreading":
        """Return the view for queries that are these rows, each of which is left out."""
        return replace(self, at=at)

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query, however far they reach."""
        return self.rows.nearest(q, k)

    def least_scaled(self, q: Floats) -> Floats:
        """Return the least d_i / h_i of each query, over the rows that count, (m,)."""
        least = np.empty(len(q))
        fill_least(*self._rows_and_queries(q), least)
        return least

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows in a radius of each query, however far they reach."""
        return self.rows.within(q, radius)

    def reaching(self, q: Floats, kernel: Kernel, least: Floats | None) -> tuple[Within, Floats]:
        """Return the rows in reach of each query, and K(d_i / h_i) of each; `least` is δ, (m,)."""
        delta = np.zeros(len(q)) if least is None else least
        given = *self._rows_and_queries(q), delta, KERNEL_CODES[kernel]
        counts, nothing = np.empty(len(q), dtype=np.int64), np.empty(0, dtype=np.int64)
        list_rows(*given, nothing, counts, nothing, np.empty(0))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows, distances = np.empty(offsets[-1], dtype=np.int64), np.empty(offsets[-1])
        list_rows(*given, offsets, counts, rows, distances)
        h = self.spread.bandwidth[rows]
        u = np.divide(distances, h, out=np.zeros_like(distances), where=distances > 0)
        if kernel.is_compact:
            weights = kernel_weight(kernel, u)
        else:
            nearest = np.repeat(delta, counts)
            weights = np.exp(np.minimum(0.5 * (nearest * nearest - u * u), 0.0))
        return Within(offsets, rows, distances), weights

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
        """Return the weighted sums; see `backends.base.Resident`.

        `bandwidth` (m,) is no more than the unit of the monomials, and that of `nearest_distance`,
        which is δ times it.
        """
        m, p = len(q), monomial_count(self.n_sloped, degree)
        gram, rhs = np.zeros((m, p, p)), np.zeros((m, p, self.y.shape[1]))
        weight_sq, count = np.zeros(m), np.zeros(m, dtype=np.int64)
        least = np.zeros(m) if nearest_distance is None else nearest_distance / bandwidth
        x, weights, h, wider, at, left_out = self._rows_and_queries(q)
        middle = _fixed(sloped(self, q) if center is None else center)
        fill_moments(
            x, _fixed(self.y), weights, h, wider, at, left_out, middle, _fixed(bandwidth), least,
            KERNEL_CODES[kernel], degree, gram, rhs, weight_sq, count,
        )  # fmt: skip
        return Moments(gram, rhs, weight_sq, count, np.full(m, np.inf))

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Refuse: kriging has one length scale."""
        raise TypeError("only smoothers have bandwidths of rows")

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> Expansion:
        """Refuse, as `product` does."""
        raise TypeError("only smoothers have bandwidths of rows")

    def single_products(self, covariance: Covariance, length_scale: float) -> SingleProducts | None:
        """Refuse, as `product` does."""
        raise TypeError("only smoothers have bandwidths of rows")

    def _rows_and_queries(self, q: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats, Rows]:
        """Return x, p, h, the wider h, the queries, and which row each leaves out (-1: none)."""
        n = len(self.x)
        left_out = np.full(len(q), -1, dtype=np.int64)
        if self.at is not None:
            left_out = own_rows(self.x, self.at, q)
        weights = np.ones(n) if self.row_weights is None else self.row_weights
        h, wider = self.spread.bandwidth, self.spread.wider
        return _fixed(self.x), _fixed(weights), _fixed(h), _fixed(wider), _fixed(q), left_out


def _fixed(array: Floats) -> Floats:
    """Return the array as compiled code always gets it: it is compiled for each kind."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
