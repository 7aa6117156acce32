"""The local polynomials of a block of queries: their coefficients, and the rows they rest on.

With the notation of `local_polynomial`, the polynomial about a query is ȳ + bᵀ(φ - φ̄), with
b = (C + rI)⁻¹ Σ w̃ (φ_i - φ̄) y_i, in the directions and of the degree that `predict` has used.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from service.backends.base import Moments, Nearest, Resident, sloped
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel
from service.estimators.fits import LocalPolynomial
from service.estimators.kernels import kernel_weight
from service.estimators.local_polynomial import _refine
from service.estimators.local_system import LocalSystem, solve
from service.estimators.parts import parts
from service.estimators.reach import Reach, WeightedRows, reach_of, weighted_rows

MOST_ENTRIES = 500_000
"""Rows in reach that are listed at once, for all queries together: 30 MB."""


@dataclass(frozen=True, eq=False)
class LocalFits:
    """The local polynomials of a block of queries.

    Attributes:
        fit: What was fitted.
        q: Queries, (m, D).
        point: Those of their columns that have slopes, (m, d).
        reach: The kernel at each.
        moments: Their weighted sums.
        system: v, and what φ is centred at.
        coefficients: b, (m, t, p - 1); zero for monomials that were left out.
    """

    fit: LocalPolynomial
    q: Floats
    point: Floats
    reach: Reach
    moments: Moments
    system: LocalSystem
    coefficients: Floats

    @property
    def target(self) -> Floats:
        """The queries' own z, (m, d): 0 but where φ is not centred at them."""
        center = self.system.center_or(self.point)
        return (self.point - center) / self.reach.bandwidth[:, None]


def local_fits(rows: Resident, fit: LocalPolynomial, q: Floats) -> LocalFits:
    """Return the local polynomial at each query, the one whose value `predict` gives."""
    q = np.require(q, requirements=["C", "W"])  # since Numba compiles a variant for each
    reach = reach_of(rows, fit, q)
    moments = reach.moments(rows, q, fit.degree)
    system = solve(moments, rows.n_sloped, fit.degree, fit.ridge)
    _refine(system, rows, reach, q, moments, fit)
    fits = LocalFits(fit, q, sloped(rows, q), reach, moments, system, np.empty((len(q), 0, 0)))
    return replace(fits, coefficients=_coefficients(fits))


def _coefficients(fits: LocalFits) -> Floats:
    """Return b = (C + rI)⁻¹ Σ w̃ (φ_i - φ̄) y_i, (m, t, p - 1)."""
    gram, rhs = fits.moments.gram, fits.moments.rhs
    with np.errstate(invalid="ignore"):  # 0 / 0 where no row carries weight
        mean = rhs / gram[:, 0, 0, None, None]
        phi_bar = gram[:, 0, 1:] / gram[:, 0, 0, None]
        goals = mean[:, 1:] - phi_bar[:, :, None] * mean[:, :1]
    columns = [solved(fits, np.ascontiguousarray(goals[:, :, c])) for c in range(rhs.shape[2])]
    return np.stack(columns, axis=1)


def solved(fits: LocalFits, goal: Floats) -> Floats:
    """Return (C + rI)⁻¹ goal, (m, p - 1), in the directions and of the degree that v has.

    It is what `solve` gives for φ(x) = φ̄ + goal. The goal is first taken in units in which no
    entry exceeds its monomial's deviation, so that adding φ̄ costs none of its digits that count.
    """
    moments, center, d = fits.moments, fits.system.center, fits.point.shape[1]
    if not goal.shape[1]:
        return goal
    with np.errstate(invalid="ignore"):  # 0 / 0 where no row carries weight
        phi_bar = moments.gram[:, 0, 1:] / moments.gram[:, 0, 0, None]
        mean_sq = np.diagonal(moments.gram, axis1=1, axis2=2)[:, 1:] / moments.gram[:, 0, 0, None]
        deviation = np.sqrt(np.maximum(mean_sq - phi_bar * phi_bar, 0.0))
    unit = np.zeros_like(goal)
    np.divide(np.abs(goal), deviation, out=unit, where=deviation > 0)
    unit = np.max(unit, axis=1, keepdims=True)
    unit[~(unit > 0)] = 1.0
    target = np.concatenate([np.ones((len(goal), 1)), phi_bar + goal / unit], axis=1)
    solution = solve(moments, d, fits.fit.degree, fits.fit.ridge, target=target).v
    far = np.flatnonzero(~np.isnan(center).all(axis=1))
    if far.size:
        offset = (center[far] - fits.point[far]) / fits.reach.bandwidth[far, None]
        offset[np.isnan(offset)] = 0.0  # where the query has no cell, neither has its centre
        solution[far] = solve(
            _moments_at(moments, far), d, fits.fit.degree, fits.fit.ridge,
            target=target[far], offset=offset,
        ).v  # fmt: skip
    return np.asarray(solution * unit)


def _moments_at(moments: Moments, queries: Rows) -> Moments:
    return Moments(*(getattr(moments, field.name)[queries] for field in fields(Moments)))


def listed_rows(rows: Resident, fits: LocalFits) -> Iterator[tuple[slice, WeightedRows]]:
    """Yield consecutive queries and the rows that carry weight there, not too many at once."""
    for part in parts(fits.moments.count, MOST_ENTRIES):
        places = np.arange(part.start, part.stop)
        reach, q = fits.reach.at(places), np.ascontiguousarray(fits.q[part])
        if fits.fit.n_neighbors is not None and reach.found is not None and _is_found(fits.fit):
            yield part, _found_rows(rows, reach, reach.found)
        else:
            moments = _moments_at(fits.moments, places)
            yield part, weighted_rows(rows, reach, q, moments, sys.maxsize)


def no_rows(m: int) -> WeightedRows:
    """Return an empty list for each of m queries."""
    nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
    return WeightedRows(np.zeros(m + 1, dtype=np.int64), nothing, nothing, none, none)


def _is_found(fit: LocalPolynomial) -> bool:
    """Say whether only the k nearest rows carry weight: beyond the edge, none but with ties do."""
    return fit.kernel.is_compact and fit.kernel is not Kernel.UNIFORM


def _found_rows(rows: Resident, reach: Reach, found: Nearest) -> WeightedRows:
    """Return those of the nearest rows that are nearer than the bandwidth."""
    h = reach.bandwidth[:, None]
    weights = kernel_weight(reach.kernel, np.minimum(found.distances / h, 1.0))
    if rows.row_weights is not None:
        weights = weights * rows.row_weights[found.rows]
    carries = (found.distances < h) & (weights > 0)
    counts = carries.sum(axis=1)
    return WeightedRows(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        queries=np.repeat(np.arange(len(h)), counts),
        rows=found.rows[carries],
        distances=found.distances[carries],
        weights=weights[carries],
    )
