"""Reductions on KeOps: the GPU engine, which runs on a CPU as well.

KeOps sums over all rows for every query, O(n d) a query, whatever the kernel's reach. What it
gives is rounded differently than the native engine's sums, within 1e-12 relative to the sum of the
absolute terms; distances and the order of neighbours are the same to the last bit, since they are
computed again here from the rows that KeOps finds.
"""

from typing import Any, Final, Literal, final

import numpy as np

from service.backends.base import (
    Moments,
    Nearest,
    Resident,
    Search,
    Sums,
    Within,
    monomial_count,
)
from service.backends.keops import exact, formulas
from service.backends.keops.library import Library, Report, open_library
from service.domain.arrays import Floats, as_floats
from service.domain.kernels import Covariance, Kernel

SHUFFLE_SEED = 7
"""KeOps' arg-min takes up to twenty times as long where rows come in the order of their distance,
as sorted data do. So it sees them in a fixed random order."""

PAIRS_A_SHARE = 4_000_000
"""About 80 ms on a CPU core."""


def open_backend(
    cache_folder: str,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 0,
    report: Report = lambda _: None,
) -> "KeopsBackend":
    """Return the backend with all formulas compiled; see `library.open_library`."""
    return KeopsBackend(open_library(cache_folder, device=device, threads=threads, report=report))


@final
class KeopsBackend:
    """KeOps in this process; for one thread."""

    name: Final = "keops"

    def __init__(self, library: Library) -> None:
        self._library: Final = library

    @property
    def device(self) -> formulas.Device:
        """Where it computes."""
        return self._library.device

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
    ) -> "KeopsResident":
        """Return the rows padded, shuffled and placed on the device.

        Raises:
            ValueError: There are more features than the widest formula has.
            TypeError: The rows have weights of their own, for which there is no formula.
        """
        if row_weights is not None:
            raise TypeError(NO_ROW_WEIGHTS)
        return KeopsResident(self._library, x, y, x.shape[1] if n_sloped is None else n_sloped)


NO_ROW_WEIGHTS = "there is no KeOps formula with weights of the rows"


@final
class KeopsResident:
    """Rows on the device; see `backends.base.Resident`."""

    def __init__(self, library: Library, x: Floats, y: Floats, n_sloped: int) -> None:
        self.n_sloped: Final = n_sloped
        self.x: Final = x
        self.y: Final = y
        self._library: Final = library
        self._features: Final = formulas.padded_features(x.shape[1], library.device)
        self._order: Final = np.random.default_rng(SHUFFLE_SEED).permutation(len(x))
        self._x: Final = library.place(self._padded(x[self._order]))
        self._y: Final = [self._column(y[:, j]) for j in range(y.shape[1])]

    @property
    def row_weights(self) -> None:
        """None: all rows count 1."""

    def reweighted(self, row_weights: Floats) -> Resident:
        """Refuse: there is no formula with weights of the rows."""
        raise TypeError(NO_ROW_WEIGHTS)

    @property
    def nbytes(self) -> int:
        """Bytes of the padded copy, the copies of the targets, and the order of the rows."""
        return 8 * len(self.y) * (self._features + len(self._y) + 1)

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query; see `backends.base.Resident`.

        KeOps finds K > k candidates; their distances are computed again and sorted. A row that is
        not among the candidates is no nearer than the last of them, up to rounding: where that one
        does not lie clearly beyond the k-th, as among many equal distances, the query is answered
        by a scan on the host.

        Raises:
            ValueError: k is above the most neighbours compiled, or above n.
        """
        n = len(self.x)
        if not 1 <= k <= min(n, formulas.CANDIDATES[-1] - 1):
            raise ValueError(f"k = {k} is not served for {n} rows; the planner sends it elsewhere.")
        candidates = next(K for K in formulas.CANDIDATES if k < K)
        if n <= candidates or not exact.squares_are_finite(self.x, q):
            return exact.nearest(self.x, q, k)
        formula = formulas.nearest_formula(self._features, candidates)
        places = self._library.reduce(formula, self._padded(q), self._x)
        rows = self._order[places.astype(np.int64)]
        distances = exact.distances(self.x[rows], q[:, None, :])
        rows, distances = exact.ordered(rows, distances)
        beyond = distances[:, k - 1] * (1 + 4 * formulas.distance_slack(self._features))
        unsure = np.flatnonzero(distances[:, -1] <= beyond)
        rows, distances = np.ascontiguousarray(rows[:, :k]), np.ascontiguousarray(distances[:, :k])
        if unsure.size:
            found = exact.nearest(self.x, q[unsure], k)
            rows[unsure], distances[unsure] = found.rows, found.distances
        return Nearest(distances, rows)

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows in reach, by a scan on the host; see `backends.base.Resident`."""
        return exact.within(self.x, q, radius)

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
        """Return the weighted sums, one pass over the rows a target; see `backends.base.Resident`.

        Raises:
            TypeError: The Gaussian kernel is asked for without nearest_distance.
            ValueError: No formula of this degree has so many features.
            FloatingPointError: A sum overflows.
        """
        m, d = q.shape
        if self._features > formulas.widest(self._library.device, degree):
            raise ValueError(f"No KeOps formula of degree {degree} has {d} features.")
        h = np.ascontiguousarray(bandwidth).reshape(m, 1)
        shift = np.zeros((m, 1))
        if kernel is Kernel.GAUSSIAN:
            if nearest_distance is None:
                raise TypeError("the Gaussian kernel needs nearest_distance")
            # A little more than δ: the nearest row weighs 1 even where KeOps rounds its distance
            # otherwise, which would matter where δ is 10⁸ h.
            shift = nearest_distance[:, None] / h * (1 + formulas.distance_slack(self._features))
        per_query = [self._padded(q), h, shift]
        if degree:
            per_query.append(self._padded(q if center is None else center))
        parameters = formulas.weight_parameters(kernel, self._features)
        formula = formulas.moments_formula(self._features, degree)
        sums = [
            self._library.reduce(formula, *per_query, self._x, column, parameters)
            for column in self._y
        ]
        radius = np.full(m, np.inf) if kernel is Kernel.GAUSSIAN else bandwidth
        return _unpacked(sums, d, self._features, degree, radius)

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Return K(q, x) a, one pass over the rows a column; see `backends.base.Resident`."""
        formula = formulas.product_formula(self._features)
        parameters = formulas.covariance_parameters(covariance, length_scale)
        padded = self._padded(q)
        columns = [
            self._library.reduce(formula, padded, self._x, self._column(a[:, j]), parameters)
            for j in range(a.shape[1])
        ]
        return np.concatenate(columns, axis=1)

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> "KeopsExpansion":
        """Return K(·, x) a; see `backends.base.Resident`."""
        return KeopsExpansion(self, covariance, length_scale, a)

    def single_products(self, covariance: Covariance, length_scale: float) -> None:
        """Return None: the formulas are compiled for 64 bits alone."""

    def _padded(self, points: Floats) -> Floats:
        """Return the points with columns of zeros up to the features of the formulas.

        Raises:
            ValueError: They do not have the features of the rows.
        """
        d = self.x.shape[1]
        if points.ndim != 2 or points.shape[1] != d:
            raise ValueError(f"Points of the shape {points.shape} do not have {d} features.")
        missing = self._features - d
        if missing == 0:
            return as_floats(points)
        return np.concatenate([points, np.zeros((len(points), missing))], axis=1)

    def _column(self, values: Floats) -> Any:
        """Return one value a row as a column on the device, in its order of the rows.

        Raises:
            ValueError: There is another number of values than of rows.
        """
        if len(values) != len(self.x):
            raise ValueError(f"There are {len(values)} values for {len(self.x)} rows.")
        return self._library.place(np.ascontiguousarray(values[self._order]).reshape(-1, 1))


@final
class KeopsExpansion:
    """f(q) = Σ_i c(‖q - x_i‖) a_i; see `backends.base.Expansion`."""

    def __init__(
        self, rows: KeopsResident, covariance: Covariance, length_scale: float, a: Floats
    ) -> None:
        self._rows: Final = rows
        self._covariance: Final = covariance
        self._length_scale: Final = length_scale
        self._a: Final = a
        self._share_rows: Final = max(1, PAIRS_A_SHARE // len(rows.x))

    @property
    def nbytes(self) -> int:
        """Bytes of the coefficients."""
        return self._a.nbytes

    def at(self, q: Floats) -> Sums:
        """Return f at the queries q (m, d); see `backends.base.Expansion`."""
        values = self._rows.product(q, self._covariance, self._length_scale, self._a)
        return Sums(values, np.ascontiguousarray(self._rows.nearest(q, 1).distances[:, 0]))

    @property
    def share_count(self) -> int:
        """Into how many shares f at the rows is cut."""
        return -(-len(self._rows.x) // self._share_rows)

    def share(self, index: int) -> Floats:
        """Return f at some of the rows, and 0 at the others, (n, c)."""
        share = np.zeros_like(self._a)
        part = slice(index * self._share_rows, (index + 1) * self._share_rows)
        share[part] = self._rows.product(
            self._rows.x[part], self._covariance, self._length_scale, self._a
        )
        return share


def _unpacked(sums: list[Floats], d: int, padded: int, degree: int, radius: Floats) -> Moments:
    """Return the moments of d features from the sums of each target over `padded` features."""
    p = monomial_count(padded, degree)
    kept = formulas.kept_monomials(d, padded, degree)
    first, second = np.triu_indices(p)
    triangle = len(first)
    gram = np.empty((len(sums[0]), p, p))
    gram[:, first, second] = sums[0][:, :triangle]
    gram[:, second, first] = sums[0][:, :triangle]
    rhs = np.stack([one[:, triangle : triangle + p][:, kept] for one in sums], axis=2)
    return Moments(
        gram=np.ascontiguousarray(gram[:, kept[:, None], kept]),
        rhs=rhs,
        weight_sq=sums[0][:, -2].copy(),
        count=np.rint(sums[0][:, -1]).astype(np.int64),
        radius=radius,
    )
