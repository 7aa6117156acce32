"""The jackknife+: intervals from all the fits that leave one row out.

    [ ⌊(1 - level)(s + 1)⌋-th smallest of  f₋ᵢ(x) - r_i c(x),
      ⌈level (s + 1)⌉-th smallest of       f₋ᵢ(x) + r_i c(x) ]

over s rows i, with r_i = |e_i| / c(x_i) the sizes of the leave-one-out residuals in units of a
scale c. With c = 1 and all rows it holds a new y with a probability of 2 level - 1 at least,
whatever the fit and the distribution, and of about `level` in practice.

f₋ᵢ(x) is f(x) for all rows without a part in f(x). For the others no fit is made anew:

| method                | f₋ᵢ(x), for a row i that has a part in f(x)                            |
|-----------------------|------------------------------------------------------------------------|
| knn                   | the mean of the k + 1 nearest rows without i                           |
| smoothers, bandwidth  | from the moments about x less the row's own: w_i φ_i φ_iᵀ, w_i φ_i y_iᵀ |
| smoothers, neighbours | the same; where i is among the k nearest, h reaches to the k + 1st     |
| kriging, all rows     | f(x) - l_i(x) e_i                                                      |
| kriging, k nearest    | the system of the k + 1 nearest rows without i                         |

A fit on n_neighbors rows takes n - 1 at most, as there are no more without i.

Source: Barber, Candès, Ramdas & Tibshirani (2021), Annals of Statistics 49(1), 486-507, theorem 1.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Resident, sloped
from service.domain.arrays import Floats, Rows
from service.estimators import local_polynomial
from service.estimators.blocks import Blocks
from service.estimators.fits import Knn, Kriging, LocalPolynomial, NadarayaWatson, as_polynomial
from service.estimators.intervals import Interval, conformal_quantiles
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import System
from service.estimators.local_kriging import nearest_weights
from service.estimators.local_polynomial import OFF_CENTER, monomials
from service.estimators.local_system import fill_values, solve
from service.estimators.ordered import ordered_sum
from service.estimators.parts import moments_of, parts
from service.estimators.reach import LEAST_BANDWIDTH, Reach, reach_of, weighted_rows
from service.estimators.row_weights import multiplied, weights_at

MOST_ENTRIES = 2**20
"""Numbers held at once for pairs of a query and a row."""

LEAST_REST, LEAST_EIGENVALUE = 1e-2, 1e-4
"""Of the weight left without the row, and of the correlations left of the monomials: below, a
difference of moments would give fewer than 10 digits, and the sums are taken anew."""


def jackknife_plus(without: Floats, scores: Floats, scale: Floats, level: float) -> Interval:
    """Return the interval at each query; infinite where the rows are too few for the level.

    Args:
        without: f₋ᵢ(x) of each query and row, (m, s, t); NaN bounds nothing.
        scores: r_i, (s, t).
        scale: c(x), (m, t).
        level: Between 0 and 1.
    """
    half = scores * scale[:, None]
    upper = conformal_quantiles(np.moveaxis(without + half, 1, 0), level)
    lower = -conformal_quantiles(np.moveaxis(half - without, 1, 0), level)
    return Interval(lower, upper, level)


def kriging_without(mean: Floats, weights: Floats, residual: Floats) -> Floats:
    """Return f₋ᵢ(x) = f(x) - l_i(x) e_i of kriging over all rows, (m, s, t).

    It holds since f₋ᵢ is f with y_i replaced by f₋ᵢ(x_i), to which the covariances are blind.

    Args:
        mean: f(x), (m, t).
        weights: l_i(x) of the s rows, (m, s).
        residual: e_i = y_i - f₋ᵢ(x_i), (s, t).
    """
    return np.asarray(mean[:, None] - weights[:, :, None] * residual)


def weights_over_all(
    rows: Resident, fit: Kriging, system: System, q: Floats, at: Rows, blocks: Blocks
) -> Floats:
    """Return l_i(x) of the rows `at` at each query, (m, s), of kriging over all rows.

    Cost a query: a solve of the system.
    """
    goal = covariance(fit.kernel, distances(rows.x, q), fit.length_scale)
    return np.ascontiguousarray(system.solve(goal, blocks)[at].T)


def predictions_without(
    rows: Resident,
    fit: Knn | NadarayaWatson | LocalPolynomial | Kriging,
    q: Floats,
    at: Rows,
) -> Floats:
    """Return f₋ᵢ(x) of each query and each of some rows, (m, s, t), for fits on nearby rows.

    NaN where no row but i carries weight.

    Args:
        rows: The dataset's rows in the metric of the fit; two at least.
        fit: What to fit; kriging over its nearest rows.
        q: Queries, (m, d), in the metric of the fit.
        at: The rows left out, one at a time, (s,), each once.

    Cost a query: m · s · t numbers; over the rows i in reach O(p³) each, O(k³) for kriging.
    """
    place = np.full(len(rows.x), -1, dtype=np.int64)
    place[at] = np.arange(len(at))
    match fit:
        case NadarayaWatson():
            return _smoother_without(rows, as_polynomial(fit), q, place, len(at))
        case LocalPolynomial():
            return _smoother_without(rows, fit, q, place, len(at))
        case Knn() | Kriging():
            return _nearest_without(rows, fit, q, place, len(at))


def _nearest_without(rows: Resident, fit: Knn | Kriging, q: Floats, place: Rows, s: int) -> Floats:
    """Return f₋ᵢ(x) of a fit on the k nearest rows, which looks at the k + 1 nearest."""
    m, k = len(q), min(fit.n_neighbors or 0, len(rows.x) - 1)
    found = rows.nearest(q, k + 1)
    # At k + 1 the last row has no part in f(x): f without it is f.
    every = np.arange(m)
    mean = _mean_of_nearest(rows, fit, q, every, found.rows[:, :k], found.distances[:, :k])
    without = np.repeat(mean[:, None], s, axis=1)
    for queries, dropped in _pairs(place[found.rows[:, :k]], (k + 1) * (k + 1)):
        stays = np.arange(k + 1) != dropped[:, None]
        near = found.rows[queries][stays].reshape(-1, k)
        far = found.distances[queries][stays].reshape(-1, k)
        row = place[found.rows[queries, dropped]]
        without[queries, row] = _mean_of_nearest(rows, fit, q, queries, near, far)
    return without


def _pairs(places: Rows, size: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the queries and columns of places (m, k) that are not -1, some at a time."""
    queries, columns = np.nonzero(places >= 0)
    for part in parts(np.full(len(queries), size), MOST_ENTRIES):
        yield queries[part], columns[part]


def _mean_of_nearest(
    rows: Resident, fit: Knn | Kriging, q: Floats, queries: Rows, near: Rows, distances: Floats
) -> Floats:
    """Return the fit of each query on given rows, (pairs, t); near and distances are (pairs, k)."""
    if isinstance(fit, Kriging):
        near = np.ascontiguousarray(near)
        weights, _ = nearest_weights(
            rows.x, np.ascontiguousarray(q[queries]), near, fit, rows.row_weights
        )
        return ordered_sum(weights[:, :, None] * rows.y[near])
    weights, own = np.ones_like(distances), weights_at(rows, near)
    if fit.weights == "distance":
        first = np.argmax(own > 0, axis=1)  # the nearest that counts
        least = np.take_along_axis(distances, first[:, None], axis=1)
        np.divide(least, distances, out=weights, where=distances > least)
    weights *= own
    weighted, total = ordered_sum(weights[:, :, None] * rows.y[near]), ordered_sum(weights)
    mean = np.full_like(weighted, np.nan)
    np.divide(weighted, total[:, None], out=mean, where=total[:, None] > 0)
    return mean


def _smoother_without(
    rows: Resident, fit: LocalPolynomial, q: Floats, place: Rows, s: int
) -> Floats:
    m, n = len(q), len(rows.x)
    if fit.n_neighbors is not None:
        fit = replace(fit, n_neighbors=min(fit.n_neighbors, n - 1))
    mean = local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False).mean
    without = np.repeat(mean[:, None], s, axis=1)
    reach, near = reach_of(rows, fit, q), np.empty(0, dtype=np.int64)
    if fit.n_neighbors is not None:
        found = rows.nearest(q, fit.n_neighbors + 1)
        near = (np.arange(m)[:, None] * n + found.rows[:, :-1]).reshape(-1)
        bandwidth = np.maximum(found.distances[:, -1], LEAST_BANDWIDTH)
        wider = Reach(fit.kernel, bandwidth, reach.nearest_distance, found)
        for pairs in _weighted_pairs(rows, wider, q, place):
            _drop_each(rows, fit, q, wider, pairs.where(pairs.is_among(near, n)), place, without)
    for pairs in _weighted_pairs(rows, reach, q, place):
        _drop_each(rows, fit, q, reach, pairs.where(~pairs.is_among(near, n)), place, without)
    return without


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Queries and rows that carry weight in them.

    Attributes:
        queries: (pairs,).
        rows: (pairs,).
        weights: w_i, (pairs,).
    """

    queries: Rows
    rows: Rows
    weights: Floats

    def is_among(self, codes: Rows, n: int) -> NDArray[np.bool_]:
        """Return for which pairs query · n + row is one of the codes."""
        return np.isin(self.queries * n + self.rows, codes)

    def where(self, chosen: NDArray[np.bool_] | slice) -> "_Pairs":
        """Return some of the pairs."""
        return _Pairs(self.queries[chosen], self.rows[chosen], self.weights[chosen])


def _weighted_pairs(rows: Resident, reach: Reach, q: Floats, place: Rows) -> Iterator[_Pairs]:
    """Yield the pairs whose row is to be left out, some at a time."""
    alone = reach.moments(rows, q, 0)
    for part in parts(alone.count, MOST_ENTRIES):
        some = np.arange(part.start, part.stop)
        listed = weighted_rows(
            rows,
            reach.at(some),
            np.ascontiguousarray(q[part]),
            moments_of(alone, some),
            sys.maxsize,
        )
        pairs = _Pairs(some[listed.queries], listed.rows, listed.weights)
        yield pairs.where(place[listed.rows] >= 0)


def _drop_each(
    rows: Resident,
    fit: LocalPolynomial,
    q: Floats,
    reach: Reach,
    pairs: _Pairs,
    place: Rows,
    without: Floats,
) -> None:
    """Fill f₋ᵢ(x) of the pairs, at the bandwidth of the reach."""
    if not len(pairs.rows):
        return
    moments = reach.moments(rows, q, fit.degree)
    size = np.full(len(pairs.rows), moments.gram[0].size + moments.rhs[0].size)
    for part in parts(size, MOST_ENTRIES):
        some = pairs.where(part)
        z = sloped(rows, rows.x[some.rows] - q[some.queries])
        z = z / reach.bandwidth[some.queries, None]
        phi = monomials(z, fit.degree)
        own = some.weights[:, None] * phi
        rest = moments_of(moments, some.queries)
        total = rest.gram[:, 0, 0].copy()
        # The copies of moments_of are this function's own.
        rest.gram[:] -= own[:, :, None] * phi[:, None, :]
        rest.rhs[:] -= own[:, :, None] * rows.y[some.rows][:, None, :]
        rest.count[:] -= weights_at(rows, some.rows) > 0
        system = solve(rest, rows.n_sloped, fit.degree, fit.ridge)
        mean = np.empty((len(some.rows), rows.y.shape[1]))
        fill_values(rest.gram, rest.rhs, rest.count, system.v, mean)
        lost = rest.gram[:, 0, 0] < LEAST_REST * total
        lost |= system.off_center > OFF_CENTER
        lost[~lost] = _least_eigenvalue(rest.gram[~lost]) < LEAST_EIGENVALUE
        for pair in np.flatnonzero(lost & (rest.count > 0)):
            mean[pair] = _anew(rows, fit, q, reach, some.queries[pair], some.rows[pair])
        without[some.queries, place[some.rows]] = mean


def _least_eigenvalue(gram: Floats) -> Floats:
    """Return the smallest eigenvalue of the monomials' correlations, (pairs,); 1 of none.

    A monomial without variance has correlations of 0, its own among them.
    """
    if gram.shape[1] == 1:
        return np.ones(len(gram))
    weight = gram[:, :1, :1]
    mean = gram[:, 0, 1:] / weight[:, 0]
    covariance = gram[:, 1:, 1:] / weight - mean[:, :, None] * mean[:, None, :]
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    deviation = np.sqrt(np.where(variance > 0, variance, np.inf))
    correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
    return np.asarray(np.linalg.eigvalsh(correlation)[:, 0])


def _anew(
    rows: Resident, fit: LocalPolynomial, q: Floats, reach: Reach, query: int, row: int
) -> Floats:
    """Return f₋ᵢ(x) of one pair, from sums without the row, (t,)."""
    counts = np.ones(len(rows.x))
    counts[row] = 0.0
    fixed = replace(fit, bandwidth=float(reach.bandwidth[query]), n_neighbors=None)
    one = np.ascontiguousarray(q[query : query + 1])
    prediction = local_polynomial.predict(
        multiplied(rows, counts), fixed, one, neighbor_limit=None, diagnostics=False
    )
    return np.asarray(prediction.mean[0])
