"""The p × p systems of a block of local fits.

Every operation is elementwise in the query or goes through one query after the other, so a query's
bits do not depend on the block.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.backends.base import Moments, monomial_count
from service.domain.arrays import Floats, Rows

LEAST_PIVOT = 1e-10
"""A monomial of which less than this share of the variance is not explained by the others is not
determined: its coefficient would carry fewer than 5 correct digits."""

LEAST_VARIANCE = 1e-26
"""Variance relative to the squared distance from the query, below which a monomial is constant: a
thousand times what the rounding of the coordinates can make."""


@dataclass(eq=False)
class LocalSystem:
    """The solutions v of a block, see `local_polynomial`; changed only while they are made.

    Attributes:
        v: (C + rI)⁻¹ (φ(x) - φ̄), (m, p - 1); zero for monomials that were left out.
        degree: The degree used, (m,).
        is_flat: Where some directions were left flat, (m,).
        off_center: max_j φ̄_j² / C_jj over the linear monomials, (m,).
        center: What φ is centred at, where not at the query, (m, d) with NaN for the query.
    """

    v: Floats
    degree: Rows
    is_flat: NDArray[np.bool_]
    off_center: Floats
    center: Floats

    def replace_at(self, queries: Rows, other: "LocalSystem", center: Floats) -> None:
        """Take the solutions of some queries from another system, centred elsewhere."""
        self.v[queries] = other.v
        self.degree[queries] = other.degree
        self.is_flat[queries] = other.is_flat
        self.center[queries] = center

    def center_or(self, q: Floats) -> Floats:
        """Return the centre of each query's monomials."""
        return np.where(np.isnan(self.center), q, self.center)


def solve(
    moments: Moments,
    d: int,
    degree: int,
    ridge: float,
    *,
    target: Floats | None = None,
    offset: Floats | None = None,
) -> LocalSystem:
    """Solve (C + rI) v = φ(x) - φ̄ for each query, by Cholesky with a check on every pivot.

    A system that does not determine its degree is solved for the next lower one. Degree 1, where
    even that is not determined, is solved in the directions that the rows span and kept flat in
    the others (the minimum-norm solution in units of the monomials' deviations).

    Args:
        moments: Sums of the block.
        d: Number of features.
        degree: 0, 1 or 2.
        ridge: ρ ≥ 0.
        target: φ(x) with the constant, (m, p); where None, φ is centred at x, so (1, 0, …).
        offset: Mean of the rows about the query in bandwidths, (m, d), if φ is not centred there.
    """
    m, p = moments.gram.shape[:2]
    weight = np.where(moments.count > 0, moments.gram[:, 0, 0], 1.0)
    phi_bar = moments.gram[:, 0, 1:] / weight[:, None]
    covariance = moments.gram[:, 1:, 1:] / weight[:, None, None]
    covariance = covariance - phi_bar[:, :, None] * phi_bar[:, None, :]
    goal = -phi_bar if target is None else target[:, 1:] - phi_bar
    variance = np.ascontiguousarray(np.einsum("maa->ma", covariance))
    linear = slice(0, d) if degree > 0 else slice(0, 0)
    system = LocalSystem(
        v=np.zeros((m, p - 1)),
        degree=np.zeros(m, dtype=np.int64),
        is_flat=np.zeros(m, dtype=np.bool_),
        off_center=_off_center(phi_bar[:, linear], variance[:, linear]),
        center=np.full((m, d), np.nan),
    )
    open_queries = np.flatnonzero(moments.count > 0)
    distance = phi_bar if offset is None else _offset_of_all(offset, p - 1)
    is_constant = variance <= LEAST_VARIANCE * distance * distance
    for lower in range(degree, 0, -1):
        size = monomial_count(d, lower) - 1
        v = np.empty((len(open_queries), size))
        solved = np.empty(len(open_queries), dtype=np.bool_)
        _cholesky_solve(
            np.ascontiguousarray(covariance[open_queries, :size, :size]),
            np.ascontiguousarray(goal[open_queries, :size]),
            _penalty(variance[open_queries, :size], ridge),
            np.ascontiguousarray(is_constant[open_queries, :size]),
            v,
            solved,
        )
        done = open_queries[solved]
        system.v[done, :size] = v[solved]
        system.degree[done] = lower
        open_queries = open_queries[~solved]
    if degree > 0 and open_queries.size:
        _solve_where_spanned(system, open_queries, covariance, goal, is_constant, d)
    return system


def _off_center(phi_bar: Floats, variance: Floats) -> Floats:
    ratio = np.full(phi_bar.shape, np.inf)
    with np.errstate(over="ignore"):  # infinitely far off its rows is far off
        np.divide(phi_bar * phi_bar, variance, out=ratio, where=variance > 0)
    ratio[(variance <= 0) & (phi_bar == 0)] = 0.0
    return np.asarray(np.max(ratio, axis=1, initial=0.0))


def _offset_of_all(offset: Floats, columns: int) -> Floats:
    """Return the offsets of the linear monomials, with their largest for the quadratic ones."""
    largest = np.max(np.abs(offset), axis=1, keepdims=True)
    rest = np.repeat(largest * largest, columns - offset.shape[1], axis=1)
    return np.concatenate([offset, rest], axis=1)


def _penalty(variance: Floats, ridge: float) -> Floats:
    """Return r, ρ times the mean variance, (m,)."""
    if ridge == 0:
        return np.zeros(len(variance))
    trace = np.zeros(len(variance))
    for a in range(variance.shape[1]):
        trace += variance[:, a]
    return np.asarray(ridge * trace / variance.shape[1])


@njit(nogil=True, cache=True)
def _cholesky_solve(
    covariance: Floats,
    goal: Floats,
    penalty: Floats,
    is_constant: NDArray[np.bool_],
    solution: Floats,
    solved: NDArray[np.bool_],
) -> None:
    """Fill the solutions (m, slopes), and where every pivot was large enough."""
    slopes = goal.shape[1]
    scale, lower = np.empty(slopes), np.empty((slopes, slopes))
    for query in range(goal.shape[0]):
        solved[query] = _factorise(
            covariance[query], penalty[query], is_constant[query], scale, lower
        )
        if solved[query]:
            _substitute(lower, scale, goal[query], solution[query])


@njit(nogil=True, cache=True)
def _factorise(
    covariance: Floats, penalty: float, is_constant: NDArray[np.bool_], scale: Floats, lower: Floats
) -> bool:
    """Fill the deviations and the Cholesky factor of the correlations, if they have one.

    Their diagonal is 1, so a pivot is the share of a monomial's variance that the earlier ones do
    not explain.
    """
    for a in range(scale.shape[0]):
        variance = covariance[a, a] + penalty
        if variance <= 0.0 or (is_constant[a] and penalty == 0.0):
            return False
        scale[a] = np.sqrt(variance)
        pivot = 1.0
        for b in range(a):
            entry = covariance[a, b] / (scale[a] * scale[b])
            for c in range(b):
                entry -= lower[a, c] * lower[b, c]
            lower[a, b] = entry / lower[b, b]
            pivot -= lower[a, b] * lower[a, b]
        if not pivot > LEAST_PIVOT:
            return False
        lower[a, a] = np.sqrt(pivot)
    return True


@njit(nogil=True, cache=True)
def _substitute(lower: Floats, scale: Floats, goal: Floats, solution: Floats) -> None:
    """Fill the solution, forwards through the factor and backwards through its transpose."""
    slopes = scale.shape[0]
    for a in range(slopes):
        value = goal[a] / scale[a]
        for c in range(a):
            value -= lower[a, c] * solution[c]
        solution[a] = value / lower[a, a]
    for a in range(slopes - 1, -1, -1):
        value = solution[a]
        for c in range(a + 1, slopes):
            value -= lower[c, a] * solution[c]
        solution[a] = value / lower[a, a]
    for a in range(slopes):
        solution[a] /= scale[a]


def _solve_where_spanned(
    system: LocalSystem,
    queries: Rows,
    covariance: Floats,
    goal: Floats,
    is_constant: NDArray[np.bool_],
    d: int,
) -> None:
    """Solve degree 1 by the pseudo-inverse of the correlations, for the few queries left."""
    for i in queries:
        block = covariance[i, :d, :d]
        variance = np.diag(block)
        varies = np.flatnonzero(~is_constant[i, :d] & (variance > 0))
        system.is_flat[i] = True
        if not varies.size:
            continue
        scale = np.sqrt(variance[varies])
        values, vectors = np.linalg.eigh(block[np.ix_(varies, varies)] / np.outer(scale, scale))
        spanned = values > LEAST_PIVOT * len(varies)
        rotated = vectors[:, spanned].T @ (goal[i, varies] / scale)
        system.v[i, varies] = (vectors[:, spanned] @ (rotated / values[spanned])) / scale
        system.degree[i] = 1
