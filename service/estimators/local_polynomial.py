"""Local polynomial regression of degree 0 to 3.

At each query x the weighted least-squares polynomial in z_i = (x_i - x) / h is fitted, and its
value at x is the prediction. With w̃ = w / Σw, φ the monomials of z without the constant,
φ̄ = Σ w̃ φ_i and ȳ = Σ w̃ y_i, in doubly centred form:

    C = Σ w̃ (φ_i - φ̄)(φ_i - φ̄)ᵀ,     r = ρ trace(C) / (p - 1)
    v = (C + rI)⁻¹ (φ(x) - φ̄)
    l_i = w̃_i [1 + vᵀ(φ_i - φ̄)]          the equivalent kernel, Σ l_i = 1
    f(x) = Σ l_i y_i = ȳ + vᵀ Σ w̃ (φ_i - φ̄) y_i

One solve a query serves any number of targets. The intercept is never penalised.

Sources: Cleveland & Devlin (1988), JASA 83(403), 596-610; Fan & Gijbels, Local Polynomial
Modelling (1996), section 3.1; Loader, Local Regression and Likelihood (1999), chapter 2.
"""

import numpy as np

from service.backends.base import Moments, Resident, sloped
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Issue, Neighbors, Prediction, Status, issues_where
from service.estimators.fits import LocalPolynomial
from service.estimators.local_system import LocalSystem, fill_values, solve, solve_about_queries
from service.estimators.reach import (
    FAR_BANDWIDTHS,
    Reach,
    reach_of,
    smoother_diagnostics,
    weighted_rows,
)

OFF_CENTER = 1e4
"""Rows whose mean lies further from the query than 100 of their deviations lose more than 4 digits
when their covariance is taken about the query; it is then taken anew about their mean."""

ONE_PLACE = 1e12
"""Rows whose mean lies this many squared deviations away lie at one place: what their sums show of
a spread is rounding."""

NO_SUPPORT = (
    "No row carries weight at these queries: widen bandwidth, raise n_neighbors, or ask nearer "
    "to the data."
)
LOWER_DEGREE = (
    "The rows in reach are too few or too alike for a polynomial of degree {}, so degree {} was "
    "used: widen bandwidth, raise n_neighbors, add a ridge, or ask for a lower degree."
)
FLAT = (
    "The rows in reach do not vary in every direction, so {} kept flat where they do "
    "not: widen bandwidth, raise n_neighbors, add a ridge, or leave constant features out."
)
MEAN_ONLY = (
    "The rows in reach lie at one place, so their weighted mean (degree 0) was used: widen "
    "bandwidth or raise n_neighbors."
)
FAR = (
    "The nearest row is more than 5 bandwidths away, so these answers rest on the very nearest "
    "rows alone: widen bandwidth or ask nearer to the data."
)


def predict(
    rows: Resident,
    fit: LocalPolynomial,
    q: Floats,
    *,
    neighbor_limit: int | None,
    diagnostics: bool,
) -> Prediction:
    """Return the local polynomial's value at each query.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What to fit.
        q: Queries, (m, d), in the metric of the fit.
        neighbor_limit: List the rows that carry weight, at most so many in all; None lists none.
        diagnostics: Fill `Prediction.diagnostics`.

    Cost: O(rows in reach · p²) + O(p³) a query, p the number of monomials.
    """
    reach = reach_of(rows, fit, q)
    moments = reach.moments(rows, q, fit.degree)
    system, mean, is_plain = solve_about_queries(
        moments, rows.n_sloped, fit.degree, fit.ridge, OFF_CENTER
    )
    if not is_plain:
        _refine(system, rows, reach, q, moments, fit)
        fill_values(moments.gram, moments.rhs, moments.count, system.v, mean)
    return Prediction(
        mean,
        issues=_issues(fit, moments.count, system, reach, is_plain=is_plain),
        neighbors=None
        if neighbor_limit is None
        else _equivalent_kernel(rows, fit, reach, q, moments, system, neighbor_limit),
        diagnostics=smoother_diagnostics(reach, moments, system.degree) if diagnostics else None,
    )


def monomials(z: Floats, degree: int) -> Floats:
    """Return φ(z) with the constant, (…, p), graded, each product once.

    A missing z_j, NaN, counts as 0: it says nothing about that direction.
    """
    d = z.shape[-1]
    if np.isnan(np.min(z, initial=0.0)):
        z = np.where(np.isnan(z), 0.0, z)
    columns = [np.ones(z.shape[:-1])]
    if degree > 0:
        columns += [z[..., j] for j in range(d)]
    if degree > 1:
        columns += [z[..., a] * z[..., b] for a in range(d) for b in range(a, d)]
    if degree > 2:
        columns += [
            z[..., a] * z[..., b] * z[..., c]
            for a in range(d)
            for b in range(a, d)
            for c in range(b, d)
        ]
    return np.stack(columns, axis=-1)


def _refine(
    system: LocalSystem,
    rows: Resident,
    reach: Reach,
    q: Floats,
    moments: Moments,
    fit: LocalPolynomial,
) -> None:
    """Solve anew, about the mean of their rows, the queries that lie far off their rows."""
    if fit.degree == 0:
        return
    # A penalty on products depends on their centre: with a ridge it stays at the query, but for
    # rows at one place, which leave nothing to penalise.
    limit = ONE_PLACE if fit.degree > 1 and fit.ridge > 0 else OFF_CENTER
    if not (system.off_center > limit).any():
        return
    d, point = rows.n_sloped, sloped(rows, q)
    far = np.flatnonzero((system.off_center > limit) & (moments.count > 1))
    if not far.size:
        return
    offset = moments.gram[far, 0, 1 : 1 + d] / moments.gram[far, 0, 0, None]
    center = point[far] + offset * reach.bandwidth[far, None]
    about_mean = reach.at(far).moments(rows, np.ascontiguousarray(q[far]), fit.degree, center)
    target = (point[far] - center) / reach.bandwidth[far, None]
    anew = solve(
        about_mean, d, fit.degree, fit.ridge, target=monomials(target, fit.degree), offset=offset
    )
    moments.gram[far], moments.rhs[far] = about_mean.gram, about_mean.rhs
    moments.radius[far] = about_mean.radius
    system.replace_at(far, anew, center)


def _issues(
    fit: LocalPolynomial, count: Rows, system: LocalSystem, reach: Reach, *, is_plain: bool
) -> tuple[Issue, ...]:
    issues: tuple[Issue, ...] = ()
    if not is_plain:
        supported = count > 0
        issues += issues_where(~supported, Status.NO_SUPPORT, NO_SUPPORT)
        alone = supported & (system.degree == 0) & (fit.degree > 0)
        flat = supported & system.is_flat & ~alone
        lower = supported & (system.degree < fit.degree) & ~alone & ~flat
        issues += issues_where(alone, Status.DEGENERATE, MEAN_ONLY)
        fitted = "the fit was" if fit.degree == 1 else f"degree 1, not {fit.degree}, was used and"
        issues += issues_where(flat, Status.DEGENERATE, FLAT.format(fitted))
        for degree in range(fit.degree - 1, 0, -1):
            advice = LOWER_DEGREE.format(fit.degree, degree)
            issues += issues_where(lower & (system.degree == degree), Status.DEGENERATE, advice)
    if reach.nearest_distance is not None:
        far = (reach.nearest_distance > FAR_BANDWIDTHS * reach.bandwidth) & (count > 0)
        issues += issues_where(far, Status.EXTRAPOLATED, FAR)
    return issues


def _equivalent_kernel(
    rows: Resident,
    fit: LocalPolynomial,
    reach: Reach,
    q: Floats,
    moments: Moments,
    system: LocalSystem,
    limit: int,
) -> Neighbors:
    """Return l_i = w̃_i [1 + vᵀ(φ_i - φ̄)] of each row that carries weight."""
    found = weighted_rows(rows, reach, q, moments, limit)
    total = _sum_by_query(found.weights, found.queries, len(q))
    w = found.weights / total[found.queries]
    h = reach.bandwidth[found.queries, None]
    center = system.center_or(sloped(rows, q))
    z = (sloped(rows, rows.x[found.rows]) - center[found.queries]) / h
    phi = monomials(z, fit.degree)
    factor = np.ones(len(w))
    for a in range(1, phi.shape[1]):
        phi_bar = _sum_by_query(w * phi[:, a], found.queries, len(q))
        v = system.v[:, a - 1]
        factor += v[found.queries] * (phi[:, a] - phi_bar[found.queries])
    return Neighbors(found.offsets, found.rows, found.distances, w * factor)


def _sum_by_query(values: Floats, queries: Rows, m: int) -> Floats:
    return np.bincount(queries, weights=values, minlength=m).astype(np.float64, copy=False)
