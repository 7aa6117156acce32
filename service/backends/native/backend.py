"""The CPU engine: a kd-tree where rows have a reach, one scan where they do not."""

from typing import Final, final

import numpy as np

from service.backends.base import Moments, Nearest, Search, Within, monomial_count
from service.backends.native import sums, tree
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel


@final
class NativeResident:
    """Rows with their tree. Every call releases the GIL and uses one thread.

    Cost a query, beside the lookup in the tree: O(rows in reach · p²) for compact kernels, O(n p²)
    for the Gaussian, O(n) for a product.
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x: Final = x
        self.y: Final = y
        self._tree: Final = tree.build(x)
        self._leaf_y: Final = np.ascontiguousarray(y[self._tree.rows])

    @property
    def nbytes(self) -> int:
        """Bytes of the tree and of the copies in leaf order."""
        held = (self._tree.x, self._tree.rows, self._tree.bounds, self._tree.boxes, self._leaf_y)
        return sum(array.nbytes for array in held)

    def nearest(self, q: Floats, k: int) -> Nearest:
        """Return the k nearest rows of each query; see `backends.base.Resident`."""
        q = _writable(q)
        distances = np.empty((len(q), k))
        rows = np.empty((len(q), k), dtype=np.int64)
        t = self._tree
        tree.nearest(t.x, t.rows, t.bounds, t.boxes, q, distances, rows)
        return Nearest(distances, rows)

    def within(self, q: Floats, radius: Floats) -> Within:
        """Return the rows in reach; see `backends.base.Resident`."""
        q, radius = _writable(q), _writable(radius)
        t = self._tree
        counts = np.empty(len(q), dtype=np.int64)
        tree.count_within(t.x, t.bounds, t.boxes, q, radius, counts)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.empty(offsets[-1], dtype=np.int64)
        distances = np.empty(offsets[-1])
        tree.fill_within(t.x, t.rows, t.bounds, t.boxes, q, radius, offsets, rows, distances)
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
        center = q if center is None else _writable(center)
        m, d = q.shape
        p = monomial_count(d, degree)
        gram = np.zeros((m, p, p))
        rhs = np.zeros((m, p, self.y.shape[1]))
        weight_sq = np.zeros(m)
        count = np.zeros(m, dtype=np.int64)
        t = self._tree
        if kernel.is_compact:
            sums.compact_moments(
                t.x, self._leaf_y, t.bounds, t.boxes, q, center, sums.KERNEL_CODES[kernel],
                bandwidth, degree, gram, rhs, weight_sq, count,
            )  # fmt: skip
        else:
            if nearest_distance is None:
                raise TypeError("the Gaussian kernel needs nearest_distance")
            sums.gaussian_moments(
                t.x, self._leaf_y, q, center, bandwidth, _writable(nearest_distance), degree,
                gram, rhs, weight_sq, count,
            )  # fmt: skip
        return Moments(gram, rhs, weight_sq, count)

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        """Return K(q, x) a; see `backends.base.Resident`."""
        result = np.zeros((len(q), a.shape[1]))
        code = sums.COVARIANCE_CODES[covariance]
        leaf_a = np.ascontiguousarray(a[self._tree.rows])
        sums.product(self._tree.x, _writable(q), code, length_scale, leaf_a, result)
        return result


@final
class NativeBackend:
    """NumPy and Numba in this process."""

    name: Final = "native"

    def load(self, x: Floats, y: Floats, search: Search = Search.TREE) -> NativeResident:
        """Return the rows with their tree built. Cost: O(n log n · d)."""
        return NativeResident(x, y)


def _writable(array: Floats) -> Floats:
    """Return the array, copied if it is read-only: Numba would compile a second variant for it."""
    return np.require(array, dtype=np.float64, requirements=["C", "W"])


def warm_up() -> None:
    """Compile every loop, or load it from the cache, so that no request waits for a compiler."""
    rows = NativeBackend().load(np.zeros((3, 1)), np.zeros((3, 1)))
    q, one = np.zeros((1, 1)), np.ones(1)
    rows.nearest(q, 1)
    rows.within(q, one)
    rows.moments(q, Kernel.TRICUBE, one, 1)
    rows.moments(q, Kernel.GAUSSIAN, one, 1, nearest_distance=one)
    rows.product(q, Covariance.GAUSSIAN, 1.0, np.zeros((3, 1)))
