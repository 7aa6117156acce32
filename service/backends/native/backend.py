"""The CPU engine: a kd-tree or sorted rows where rows have a reach, one scan where they do not."""

from typing import Final, final

import numpy as np

from service.backends.base import (
    Moments,
    Nearest,
    Resident,
    Search,
    Within,
    monomial_count,
    sloped,
)
from service.backends.native import gaps, gaussian_sums, scan, sorted_rows, sums, tree, tree_search
from service.backends.native.gaps import GappedResident
from service.backends.native.products import NativeExpansion
from service.backends.native.scan import Screen
from service.backends.native.single_products import NativeSingleProducts
from service.backends.native.tree import Tree
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel

NO_WEIGHTS: Final = np.empty(0)
"""Stands for rows that all count 1."""


@final
class NativeResident:
    """Rows with their tree, or screened for scans. Every call releases the GIL, on one thread.

    Cost a query, beside the lookup in the tree: O(rows in reach · p²) for moments, where the
    Gaussian reaches about eight bandwidths, see `gaussian_limits`; O(n) for a product.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        rows: Tree,
        screened: Screen | None = None,
        row_weights: Floats | None = None,
        leaf_y: Floats | None = None,
        n_sloped: int | None = None,
    ) -> None:
        self.n_sloped: Final = x.shape[1] if n_sloped is None else n_sloped
        self._screened: Final = screened
        self.row_weights: Final = row_weights
        self._leaf_y: Final = np.ascontiguousarray(y[rows.rows].T) if leaf_y is None else leaf_y
        self.x: Final = x
        self.y: Final = y
        self._tree: Final = rows

    @property
    def tree(self) -> Tree:
        """The rows in leaf order."""
        return self._tree

    @property
    def nbytes(self) -> int:
        """Bytes of the tree and of the copies in leaf order."""
        screened = 0 if self._screened is None else self._screened.nbytes
        return self._tree.nbytes + self._leaf_y.nbytes + screened

    def reweighted(self, row_weights: Floats) -> "NativeResident":
        """Return the same rows with other weights; see `backends.base.Resident`."""
        return NativeResident(
            self.x, self.y, self._tree, self._screened, row_weights, self._leaf_y, self.n_sloped
        )

    def _gapped(self) -> GappedResident:
        """Return the rows as those with gaps are looked at: in queries that miss cells."""
        return GappedResident(self.x, self.y, self.row_weights, self.n_sloped)

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query; see `backends.base.Resident`."""
        q = _writable(q)
        if k > len(self.x):  # the compiled searches would write past the end
            raise ValueError(f"{k} nearest rows of {len(self.x)}")
        if np.isnan(q).any():
            return self._gapped().nearest(q, k)
        distances = np.empty((len(q), k))
        places = np.empty((len(q), k), dtype=np.int64)
        rows = np.empty((len(q), k), dtype=np.int64)
        t = self._tree
        if self._screened is not None:
            scan.nearest_by_scan(t, self._screened, self.x, q, distances, places, rows)
        elif q.shape[1] == 1:
            order = sorted_rows.order_of(q)
            sorted_rows.nearest(t.x, t.rows, q, order, distances, places, rows)
        else:
            order = tree_search.order_of(t, q)
            tree_search.nearest(t.x, t.rows, t.bounds, t.boxes, q, order, distances, places, rows)
        return Nearest(distances, rows, places)

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows in reach; see `backends.base.Resident`."""
        q, radius = _writable(q), _writable(radius)
        if np.isnan(q).any():
            return self._gapped().within(q, radius)
        t = self._tree
        counts = np.empty(len(q), dtype=np.int64)
        tree_search.count_within(t.x, t.bounds, t.boxes, q, radius, counts)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.empty(offsets[-1], dtype=np.int64)
        distances = np.empty(offsets[-1])
        tree_search.fill_within(t.x, t.rows, t.bounds, t.boxes, q, radius, offsets, rows, distances)
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
        """Return the weighted sums; see `backends.base.Resident`."""
        q, bandwidth = _writable(q), _writable(bandwidth)
        center = sloped(self, q) if center is None else _writable(center)
        m, p = len(q), monomial_count(self.n_sloped, degree)
        gram = np.zeros((m, p, p))
        rhs = np.zeros((m, p, self.y.shape[1]))
        weight_sq = np.zeros(m)
        count = np.zeros(m, dtype=np.int64)
        radius = bandwidth
        t = self._tree
        if not kernel.is_compact:
            if nearest_distance is None:
                raise TypeError("the Gaussian kernel needs nearest_distance")
            radius = np.empty(m)
            gaussian_sums.gaussian_moments(
                t.x, self._leaf_y, _read_only(self.row_weights), t.rows, self._rows_of_least(),
                t.bounds, t.boxes, q, center, bandwidth, _writable(nearest_distance),
                _side_by_side(found, m), degree,
                gram, rhs, weight_sq, count, radius,
            )  # fmt: skip
        else:
            places, distances = np.empty((m, 0), dtype=np.int64), np.empty((m, 0))
            if found is not None and found.places is not None:
                places, distances = found.places, found.distances
            sums.compact_moments(
                t.x, self._leaf_y, _read_only(self.row_weights), t.rows, t.bounds, t.boxes, q,
                center, sums.KERNEL_CODES[kernel], bandwidth, places, distances, degree,
                gram, rhs, weight_sq, count,
            )  # fmt: skip
        return Moments(gram, rhs, weight_sq, count, radius)

    def _rows_of_least(self) -> float:
        """Return how many rows of the least weight that counts would weigh as much as all do."""
        if self.row_weights is None:
            return float(len(self.x))
        counted = self.row_weights[self.row_weights > 0.0]
        return float(counted.sum() / counted.min()) if counted.size else 1.0

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Return K(q, x) a; see `backends.base.Resident`."""
        return self.expansion(covariance, length_scale, a).at(q).values

    def expansion(self, covariance: Covariance, length_scale: float, a: Floats) -> NativeExpansion:
        """Return K(·, x) a with the rows in tiles; see `backends.base.Resident`."""
        return NativeExpansion(self._tree.x, self._tree.rows, covariance, length_scale, a)

    def single_products(self, covariance: Covariance, length_scale: float) -> NativeSingleProducts:
        """Return K(x, x) in 32-bit floats; see `backends.base.Resident`."""
        return NativeSingleProducts(self._tree.x, self._tree.rows, covariance, length_scale)


@final
class NativeBackend:
    """NumPy and Numba in this process."""

    name: Final = "native"

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
    ) -> NativeResident | GappedResident:
        """Return the rows made ready; see `backends.base.Backend`.

        Cost: O(n log n · d) with a new tree, O(n d) with the tree of `base` or with none. The rows
        of one feature are sorted, and have no tail. Where cells are missing, no search helps.
        """
        if np.isnan(np.min(x)):
            return GappedResident(x, y, row_weights, n_sloped)
        if search is Search.SCAN:
            rows, screened = tree.unindexed(x), scan.screen(x)
            return NativeResident(x, y, rows, screened, row_weights, n_sloped=n_sloped)
        if x.shape[1] == 1:
            known = base.tree.rows if isinstance(base, NativeResident) else sorted_rows.NO_ROWS
            rows = sorted_rows.build(x, known)
            return NativeResident(x, y, rows, None, row_weights, n_sloped=n_sloped)
        indexed = len(x) if indexed_rows is None else indexed_rows
        if isinstance(base, NativeResident) and base.tree.indexed_rows == indexed:
            shared = base.tree
        else:
            shared = tree.build(x[:indexed])
        rows = tree.with_tail(shared, x)
        return NativeResident(x, y, rows, None, row_weights, n_sloped=n_sloped)


def _read_only(row_weights: Floats | None) -> Floats:
    """Return the weights as Numba always gets them: it compiles a variant for each."""
    view = (NO_WEIGHTS if row_weights is None else row_weights).view()
    view.flags.writeable = False
    return view


def _writable(array: Floats) -> Floats:
    """Return the array, copied if it is read-only: Numba would compile a second variant for it."""
    flags = array.flags
    if flags.c_contiguous and flags.writeable and array.dtype == np.float64:
        return array  # what `require` finds out too, in ten times as long
    return np.require(array, dtype=np.float64, requirements=["C", "W"])


def _side_by_side(found: Nearest | None, m: int) -> Rows:
    """Return the queries in the order of the places of their nearest rows, where those are known.

    It speeds up the search, and no result depends on it.
    """
    if found is None or found.places is None:
        return np.arange(m, dtype=np.int64)
    return np.argsort(found.places[:, 0])


def warm_up() -> None:
    """Compile every loop, or load it from the cache, so that no request waits for a compiler."""
    rows = NativeBackend().load(np.zeros((3, 1)), np.zeros((3, 1)))
    q, one = np.zeros((1, 1)), np.ones(1)
    rows.nearest(q, 1)
    flat = NativeBackend().load(np.zeros((3, 2)), np.zeros((3, 1)))
    flat.nearest(np.zeros((2, 2)), 1)
    many = np.zeros((scan.LEAST_ROWS, 1))
    NativeBackend().load(many, many, Search.SCAN).nearest(q, 1)
    rows.within(q, one)
    rows.moments(q, Kernel.TRICUBE, one, 1)
    rows.moments(q, Kernel.GAUSSIAN, one, 1, nearest_distance=one)
    expansion = rows.expansion(Covariance.GAUSSIAN, 1.0, np.zeros((3, 1)))
    expansion.at(q)
    expansion.share(0)
    singles = rows.single_products(Covariance.GAUSSIAN, 1.0)
    singles.share(0, singles.tiled(np.zeros((3, 1))))
    gaps.warm_up()
