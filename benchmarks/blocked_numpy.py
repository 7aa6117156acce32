"""The same estimates in NumPy alone, as a careful user would write them: in blocks, on all cores.

NumPy releases the GIL in each operation, so blocks run in threads; its BLAS is held to one thread
in each.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import threadpool_limits

from service.backends.base import Nearest
from service.domain.arrays import Floats
from service.settings import available_cores

QUERY_BLOCK, ROW_BLOCK = 32, 4096
"""A block of exponents in float64 takes 1 MB, the second-level cache of a core."""

LEAST_EXPONENT = -87.0
"""In float32, exp of less is a subnormal number, which costs a hundred cycles."""


def on_all_cores(work: Callable[[slice], NDArray[Any]], m: int, block_size: int) -> NDArray[Any]:
    """Return the results of `work` for consecutive blocks of m queries, joined."""
    parts = [slice(start, start + block_size) for start in range(0, m, block_size)]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate(list(pool.map(work, parts)))


def nadaraya_watson(
    x: Floats, y: Floats, bandwidth: float, dtype: DTypeLike
) -> Callable[[Floats], NDArray[Any]]:
    """Return the Gaussian-weighted mean as a function of queries.

        -½‖q - x‖² / h² = qᵀx / h² - ½‖q‖² / h² - ½‖x‖² / h²

    is one matrix product with two more columns: no pass over the pairs but the product, the exp
    and the sums. Rows are centred, which keeps the digits of float32.
    """
    center = x.mean(axis=0)
    rows = (x - center) / bandwidth
    right = np.column_stack([rows, np.ones(len(x)), -0.5 * (rows**2).sum(axis=1)]).astype(dtype)
    columns = np.column_stack([y, np.ones(len(x))]).astype(dtype)

    def predict(q: Floats) -> NDArray[Any]:
        scaled = (q - center) / bandwidth
        left = np.column_stack([scaled, -0.5 * (scaled**2).sum(axis=1), np.ones(len(q))])
        left = left.astype(dtype)

        def block(part: slice) -> NDArray[Any]:
            sums = np.zeros((len(left[part]), 2))
            exponents = np.empty((len(left[part]), ROW_BLOCK), dtype=dtype)
            for start in range(0, len(right), ROW_BLOCK):
                some = right[start : start + ROW_BLOCK]
                weights = exponents[:, : len(some)]
                np.matmul(left[part], some.T, out=weights)
                if weights.dtype == np.float32:
                    np.maximum(weights, LEAST_EXPONENT, out=weights)
                np.exp(weights, out=weights)
                sums += weights @ columns[start : start + ROW_BLOCK]
            return sums[:, 0] / sums[:, 1]

        return on_all_cores(block, len(q), QUERY_BLOCK)

    return predict


def local_kriging(
    x: Floats,
    y: Floats,
    q: Floats,
    found: Callable[[Floats], Nearest],
    *,
    length_scale: float,
    alpha: float,
    block_size: int = 256,
) -> Floats:
    """Return simple kriging with the Gaussian covariance on the nearest rows of each query.

    Args:
        x: Rows.
        y: Targets, (n,).
        q: Queries.
        found: Gives the nearest rows of some queries.
        length_scale: Of the covariance.
        alpha: On the diagonal.
        block_size: Queries whose systems are solved by one call.
    """
    scale = -0.5 / length_scale**2

    def block(part: slice) -> Floats:
        nearest = found(q[part])
        rows = x[nearest.rows]  # (b, k, d)
        squares = np.einsum("bkd,bkd->bk", rows, rows)
        systems = squares[:, :, None] + squares[:, None, :] - 2 * rows @ rows.transpose(0, 2, 1)
        systems *= scale
        np.exp(systems, out=systems)
        k = systems.shape[1]
        systems[:, range(k), range(k)] = 1.0 + alpha
        coefficients = np.linalg.solve(systems, y[nearest.rows][:, :, None])[:, :, 0]
        to_query: Floats = np.exp(scale * nearest.distances**2)
        estimates: Floats = np.einsum("bk,bk->b", to_query, coefficients)
        return estimates

    return on_all_cores(block, len(q), block_size)
