"""What a backend computes: reductions over the rows, one result a query.

Everything statistical is built from these. Each merges over a split of the rows, so one machine,
several processes and a cluster share one definition:

| reduction | merge over parts of the rows                              |
|-----------|-----------------------------------------------------------|
| nearest   | the k smallest of the union, by (distance, row)           |
| within    | concatenation                                             |
| moments   | addition                                                  |
| product   | addition                                                  |

A backend knows arrays, not statistics. Calls are single-threaded and independent of each other:
the caller cuts the queries into blocks, and the same query gives the same bits in any block.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel

LEAST_EXPONENT = -350.0
"""Gaussian weights below exp of this count as zero: their squares are subnormal numbers, ten times
slower to add, and beside the nearest row's weight, 1, they are worth nothing."""

NEAREST_SLACK = 1.0 + 4.0 * float(np.finfo(np.float64).eps)
"""On δ², the squared distance to the nearest row: the square of a root may fall short of what it is
the root of, and where δ is 10⁸ bandwidths that would take the nearest row its weight."""


class Search(StrEnum):
    """How a backend finds rows; decided by the planner when they are loaded."""

    TREE = "tree"
    SCAN = "scan"

    __hash__ = str.__hash__  # see Kernel


@dataclass(frozen=True, eq=False)
class Nearest:
    """The k nearest rows of each query, ordered by (distance, row).

    Attributes:
        distances: (m, k), Euclidean, ascending.
        rows: (m, k).
        places: Where the backend keeps these rows, (m, k), if that helps its own sums.
    """

    distances: Floats
    rows: Rows
    places: Rows | None = None

    def at(self, queries: Rows) -> "Nearest":
        """Return those of some of the queries."""
        places = None if self.places is None else self.places[queries]
        return Nearest(self.distances[queries], self.rows[queries], places)


@dataclass(frozen=True, eq=False)
class Within:
    """The rows in reach of each query; query i has rows[offsets[i]:offsets[i+1]].

    Attributes:
        offsets: (m + 1,), ascending from 0.
        rows: Ordered by (distance, row) within a query.
        distances: Euclidean.
    """

    offsets: Rows
    rows: Rows
    distances: Floats


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums over the rows, with z = (x_i - c) / h and φ(z) its monomials.

    φ(z) = (1, z_1, …, z_d, z_1², z_1 z_2, …, z_d², z_1³, z_1² z_2, …, z_d³), as far as the degree
    asks: p monomials in all, graded, each product once. The centre c is the query, where no other
    is given.

    Attributes:
        gram: Σ w φ φᵀ, (m, p, p).
        rhs: Σ w φ yᵀ, (m, p, t).
        weight_sq: Σ w² / p, the rows' own weights p being 1 as a rule, (m,).
        count: The number of rows with w > 0, (m,).
        radius: Rows further away are not in the sums, (m,); infinity where all rows are.
    """

    gram: Floats
    rhs: Floats
    weight_sq: Floats
    count: Rows
    radius: Floats


@dataclass(frozen=True, eq=False)
class Sums:
    """An expansion at some queries.

    Attributes:
        values: (m, c).
        nearest_distance: Of each query to its nearest row, to a few units in the last place, (m,).
    """

    values: Floats
    nearest_distance: Floats


class Expansion(Protocol):
    """f(q) = Σ_i c(‖q - x_i‖) a_i, made ready to be taken at many queries."""

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the rows' own."""

    def at(self, q: Floats) -> Sums:
        """Return f at the queries q (m, d)."""

    @property
    def share_count(self) -> int:
        """Into how many shares f at the rows is cut."""

    def share(self, index: int) -> Floats:
        """Return one of the shares that add up to f at the rows, K(x, x) a, (n, c).

        Shares are fixed when the expansion is made, so that sums in their order have the same bits
        whichever is computed first. A backend may use the symmetry of K.
        """


class SingleProducts(Protocol):
    """K(x, x) a in 32-bit floats, for steps that are corrected later; a is at most 1 in size.

    The matrix is symmetric and the same every time. Shares are fixed when this is made.
    """

    @property
    def share_count(self) -> int:
        """Into how many shares a product is cut."""

    def tiled(self, a: Floats) -> NDArray[np.float32]:
        """Return the coefficients a (n, c) as `share` takes them."""

    def share(self, index: int, tiled: NDArray[np.float32]) -> Floats:
        """Return one of the shares that add up to the product."""

    def untiled(self, sums: Floats) -> Floats:
        """Return the sum of the shares as (n, c), in the order of the rows."""


class Resident(Protocol):
    """One set of rows, made ready for reductions (tree built, tensors in place).

    All arrays in and out are float64 or int64, C-contiguous; q is (m, d), finite, m ≥ 1.
    """

    @property
    def x(self) -> Floats:
        """The rows, (n, d), in the metric of the fit."""

    @property
    def y(self) -> Floats:
        """The targets, (n, t)."""

    @property
    def row_weights(self) -> Floats | None:
        """What each row counts, p_i ≥ 0, (n,); None where all count 1."""

    @property
    def n_sloped(self) -> int:
        """How many columns of x, the first, polynomials have slopes in; all but for categories.

        The others, coordinates of categories, enter distances alone.
        """

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the dataset's own arrays."""

    def reweighted(self, row_weights: Floats) -> "Resident":
        """Return the same rows with other weights (n,); what is prepared of the rows is shared."""

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query, 1 ≤ k ≤ n; ties go to the smaller row.

        Rows are found whatever their weights, as those of `within` are.
        """

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows at a distance ≤ radius (m,) of each query; infinity means all rows."""

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
        """Return the weighted sums for w_i = K(‖x_i - q‖ / h) p_i, h = bandwidth (m,) > 0.

        Compact kernels weigh the rows with u ≤ 1. The Gaussian takes `nearest_distance` (m,),
        δ = min ‖x_i - q‖ over the rows with p_i > 0, and weighs exp(-(d_i² - δ²) / 2h²): a common
        factor, which cancels in every ratio, and which keeps far queries from dividing zero by
        zero. Rows may be left out that together weigh less than 10⁻¹² of all; see `Moments.radius`.

        Args:
            q: Queries, (m, d).
            kernel: Weight function.
            bandwidth: (m,), positive.
            degree: 0, 1, 2 or 3.
            center: (m, n_sloped), what φ is centred at; the query where None. Weights stay
                about q.
            nearest_distance: (m,); required for the Gaussian, unused for others.
            found: What `nearest` gave for these queries, for any k: a backend may save itself a
                second search. The result does not depend on it but for the rounding of sums.
        """

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Return K(q, x) a, (m, c), for coefficients a (n, c)."""

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> Expansion:
        """Return K(·, x) a for coefficients a (n, c), for more products than one."""

    def single_products(self, covariance: Covariance, length_scale: float) -> SingleProducts | None:
        """Return K(x, x) in 32-bit floats; None from a backend that has no such products."""


class Backend(Protocol):
    """Makes rows resident."""

    @property
    def name(self) -> str:
        """Short name for people: native or keops."""

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
        """Return the rows made ready for reductions, found the way `search` says.

        A backend that has one way only takes that, and one that knows no weights of rows refuses
        them with a TypeError.

        Args:
            x: The rows, (n, d).
            y: The targets, (n, t).
            search: How rows are found.
            indexed_rows: The first rows, which an index covers; the others are looked at beside
                it. None: all. The results do not depend on it but for the rounding of sums.
            base: What was loaded for an earlier version, whose rows are the first of x: its index
                is used where it covers `indexed_rows` rows. Nothing else depends on it.
            row_weights: What each row counts, p_i ≥ 0, (n,); None where all count 1.
            n_sloped: See `Resident`; None for all columns.
        """


def sloped(rows: Resident, points: Floats) -> Floats:
    """Return the columns of points (…, D) that polynomials have slopes in, (…, n_sloped)."""
    d = rows.n_sloped
    return points if d == points.shape[-1] else np.ascontiguousarray(points[..., :d])


def monomial_count(d: int, degree: int) -> int:
    """Return p, the number of monomials of φ: C(d + degree, degree)."""
    return math.comb(d + degree, degree)
