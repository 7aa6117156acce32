"""The p × p systems of a block of local fits.

Every operation is elementwise in the query or goes through one query after the other, so a query's
bits do not depend on the block.

Over 300 lines: the compiled loops and what is solved beside them are one system.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.backends.base import Moments
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


def solve_about_queries(
    moments: Moments, d: int, degree: int, ridge: float, off_center: float
) -> tuple[LocalSystem, Floats, bool]:
    """Return what `solve` does with φ centred at the queries, and the estimates, (m, t).

    And whether every query has rows that determine the degree, and is no further off their centre
    than `off_center`: then nothing is left to be said or done about any of them.
    """
    m, p, t = moments.rhs.shape
    system, mean = _unsolved(m, p, d), np.empty((m, t))
    is_open = np.zeros(m, dtype=np.bool_)
    is_plain = _solve_and_fill_values(
        moments.gram, moments.rhs, moments.count, d, degree, ridge, off_center,
        system.v, system.degree, system.off_center, is_open, mean,
    )  # fmt: skip
    if not is_plain:
        _solve_open(system, is_open, moments, d)
    return system, mean, is_plain


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
        degree: 0, 1, 2 or 3.
        ridge: ρ ≥ 0.
        target: φ(x) with the constant, (m, p); where None, φ is centred at x, so (1, 0, …).
        offset: Mean of the rows about the query in bandwidths, (m, d), if φ is not centred there.
    """
    m, p = moments.gram.shape[:2]
    system = _unsolved(m, p, d)
    if degree == 0:
        return system
    is_open = np.zeros(m, dtype=np.bool_)
    _solve_block(
        moments.gram,
        moments.count,
        np.zeros((m, 0)) if target is None else target,
        np.zeros((m, 0)) if offset is None else offset,
        d,
        degree,
        ridge,
        system.v,
        system.degree,
        system.off_center,
        is_open,
    )
    _solve_open(system, is_open, moments, d, target, offset)
    return system


def _unsolved(m: int, p: int, d: int) -> LocalSystem:
    center = np.empty((m, d))
    center.fill(np.nan)
    return LocalSystem(
        v=np.zeros((m, p - 1)),
        degree=np.zeros(m, dtype=np.int64),
        is_flat=np.zeros(m, dtype=np.bool_),
        off_center=np.zeros(m),
        center=center,
    )


def _solve_open(
    system: LocalSystem,
    is_open: NDArray[np.bool_],
    moments: Moments,
    d: int,
    target: Floats | None = None,
    offset: Floats | None = None,
) -> None:
    """Solve the queries whose rows do not determine degree 1."""
    for i in np.flatnonzero(is_open):
        _solve_where_spanned(
            system,
            int(i),
            moments.gram[i],
            None if target is None else target[i],
            None if offset is None else offset[i],
            d,
        )


@njit(nogil=True, cache=True, error_model="numpy")
def _solve_and_fill_values(
    gram: Floats,
    rhs: Floats,
    count: Rows,
    d: int,
    degree: int,
    ridge: float,
    most_off_center: float,
    v: Floats,
    used_degree: Rows,
    off_center: Floats,
    is_open: NDArray[np.bool_],
    mean: Floats,
) -> bool:
    """Solve each query, and fill in its estimate; see `solve_about_queries`."""
    if degree > 0:
        nothing = np.empty((gram.shape[0], 0))
        _solve_block(
            gram, count, nothing, nothing, d, degree, ridge, v, used_degree, off_center, is_open
        )
    fill_values(gram, rhs, count, v, mean)
    is_plain = True
    for query in range(gram.shape[0]):
        is_plain &= count[query] > 0 and used_degree[query] == degree
        is_plain &= off_center[query] <= most_off_center
    return is_plain


@njit(nogil=True, cache=True, error_model="numpy")
def _solve_block(
    gram: Floats,
    count: Rows,
    target: Floats,
    offset: Floats,
    d: int,
    degree: int,
    ridge: float,
    v: Floats,
    used_degree: Rows,
    off_center: Floats,
    is_open: NDArray[np.bool_],
) -> None:
    """Solve each query for the highest degree that its rows determine.

    Fills v, the degree used, max_j φ̄_j² / C_jj, and which queries not even degree 1 could be
    solved for. An empty target or offset stands for None.
    """
    slopes, quadratics = gram.shape[1] - 1, d + d * (d + 1) // 2
    phi_bar, goal, scale = np.empty(slopes), np.empty(slopes), np.empty(slopes)
    covariance, lower = np.empty((slopes, slopes)), np.empty((slopes, slopes))
    is_constant = np.empty(slopes, dtype=np.bool_)
    for query in range(gram.shape[0]):
        # One row has no spread: what its sums show of one is rounding.
        if count[query] <= 1:
            continue
        _center(gram, query, target, offset, d, phi_bar, covariance, goal, is_constant)
        for j in range(d):
            mean_sq, variance = phi_bar[j] * phi_bar[j], covariance[j, j]
            ratio = mean_sq / variance if variance > 0.0 else np.inf
            if variance <= 0.0 and mean_sq == 0.0:
                ratio = 0.0
            off_center[query] = max(off_center[query], ratio)
        is_open[query] = True
        for lower_degree in range(degree, 0, -1):
            size = slopes if lower_degree == degree else d if lower_degree == 1 else quadratics
            trace = 0.0
            for a in range(size):
                trace += covariance[a, a]
            penalty = ridge * trace / size
            if _factorise(covariance, penalty, is_constant, size, scale, lower):
                _substitute(lower, scale, goal, size, v, query)
                used_degree[query] = lower_degree
                is_open[query] = False
                break


@njit(nogil=True, cache=True, error_model="numpy")
def _center(
    gram: Floats,
    query: int,
    target: Floats,
    offset: Floats,
    d: int,
    phi_bar: Floats,
    covariance: Floats,
    goal: Floats,
    is_constant: NDArray[np.bool_],
) -> None:
    """Fill φ̄, C, φ(x) - φ̄ and which monomials are constant, from the sums of one query."""
    slopes = phi_bar.shape[0]
    weight, largest = gram[query, 0, 0], 0.0
    for j in range(offset.shape[1]):
        largest = max(largest, abs(offset[query, j]))
    for a in range(slopes):
        phi_bar[a] = gram[query, 0, 1 + a] / weight
        goal[a] = -phi_bar[a] if target.shape[1] == 0 else target[query, 1 + a] - phi_bar[a]
        for b in range(a + 1):
            covariance[a, b] = gram[query, 1 + a, 1 + b] / weight - phi_bar[a] * phi_bar[b]
            covariance[b, a] = covariance[a, b]
        distance = phi_bar[a]
        if offset.shape[1] > 0:
            # A product lies within the product of the largest offset.
            distance = offset[query, a] if a < d else largest * largest
            if a >= d + d * (d + 1) // 2:
                distance *= largest
        is_constant[a] = covariance[a, a] <= LEAST_VARIANCE * distance * distance


@njit(nogil=True, cache=True)
def _factorise(
    covariance: Floats,
    penalty: float,
    is_constant: NDArray[np.bool_],
    size: int,
    scale: Floats,
    lower: Floats,
) -> bool:
    """Fill the deviations and the Cholesky factor of the first correlations, if they have one.

    Their diagonal is 1, so a pivot is the share of a monomial's variance that the earlier ones do
    not explain.
    """
    for a in range(size):
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
def _substitute(
    lower: Floats, scale: Floats, goal: Floats, size: int, v: Floats, query: int
) -> None:
    """Fill the solution, forwards through the factor and backwards through its transpose."""
    for a in range(size):
        value = goal[a] / scale[a]
        for c in range(a):
            value -= lower[a, c] * v[query, c]
        v[query, a] = value / lower[a, a]
    for a in range(size - 1, -1, -1):
        value = v[query, a]
        for c in range(a + 1, size):
            value -= lower[c, a] * v[query, c]
        v[query, a] = value / lower[a, a]
    for a in range(size):
        v[query, a] /= scale[a]


def _solve_where_spanned(
    system: LocalSystem,
    i: int,
    gram: Floats,
    target: Floats | None,
    offset: Floats | None,
    d: int,
) -> None:
    """Solve degree 1 for one query by the pseudo-inverse of the correlations."""
    phi_bar, goal, is_constant = np.empty(d), np.empty(d), np.empty(d, dtype=np.bool_)
    block = np.empty((d, d))
    no_columns = np.zeros((1, 0))
    _center(
        np.ascontiguousarray(gram[None, : 1 + d, : 1 + d]),
        0,
        no_columns if target is None else target[None, : 1 + d].copy(),
        no_columns if offset is None else offset[None],
        d,
        phi_bar,
        block,
        goal,
        is_constant,
    )
    variance = np.diag(block)
    varies = np.flatnonzero(~is_constant & (variance > 0))
    system.is_flat[i] = True
    if not varies.size:
        return
    scale = np.sqrt(variance[varies])
    values, vectors = np.linalg.eigh(block[np.ix_(varies, varies)] / np.outer(scale, scale))
    spanned = values > LEAST_PIVOT * len(varies)
    rotated = vectors[:, spanned].T @ (goal[varies] / scale)
    system.v[i, varies] = (vectors[:, spanned] @ (rotated / values[spanned])) / scale
    system.degree[i] = 1


@njit(nogil=True, cache=True, error_model="numpy")
def fill_values(gram: Floats, rhs: Floats, count: Rows, v: Floats, mean: Floats) -> None:
    """Fill mean (m, t) with ȳ + vᵀ Σ w̃ (φ_i - φ̄) y_i; NaN where no row carries weight."""
    for query in range(mean.shape[0]):
        weight = gram[query, 0, 0]
        for c in range(mean.shape[1]):
            if count[query] == 0:
                mean[query, c] = np.nan
                continue
            mean_y = rhs[query, 0, c] / weight
            value = mean_y
            for a in range(v.shape[1]):
                phi_bar, phi_y = gram[query, 0, 1 + a] / weight, rhs[query, 1 + a, c] / weight
                value += v[query, a] * (phi_y - phi_bar * mean_y)
            mean[query, c] = value
