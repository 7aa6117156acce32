"""How sure a linear smoother is of its answers.

Nearest neighbours, Nadaraya-Watson and local polynomials are linear in the targets, with weights
l_i(x) that do not look at them (the equivalent kernel):

    f(x) = Σ l_i(x) y_i,     Var f(x) = Σ l_i(x)² σ_i²     or σ² Σ l_i(x)² where all σ_i are σ

What noise there is, the residuals at the rows say. With the hat matrix L, L_ij = l_j(x_i):

    ν₁ = tr L,   ν₂ = tr LᵀL,   δ₁ = tr (I - L)ᵀ(I - L) = n - 2ν₁ + ν₂,   δ₂ = tr [(I - L)(I - L)ᵀ]²
    σ² = Σ (y_i - f(x_i))² / δ₁     with δ₁² / δ₂ degrees of freedom

For the Gaussian, which gives every row weight, no row is listed: with u = (1 - vᵀφ̄, v) in the words
of `local_polynomial`, l_i = w_i uᵀφ_i / Σw, and w_i² is the Gaussian of the bandwidth h / √2, so

    Σ l_i² = uᵀ (Σ w_i² φ_i φ_iᵀ) u / (Σw)²     from the moments of that bandwidth

Above `EXACT_ROWS` rows the averages of L_ii, Σ_j L_ij² and the squared residuals over some of the
rows stand for those over all, and δ₁ for the degrees of freedom. None of this sees the bias of f.

Sources: Cleveland & Devlin (1988), JASA 83(403), 596-610, for δ₁ and δ₂; Loader, Local Regression
and Likelihood (1999), section 2.3; Fan & Yao (1998), Biometrika 85(3), 645-660, for local noise.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel
from service.domain.prediction import Neighbors, Prediction
from service.estimators import local_polynomial, nadaraya_watson, neighbors
from service.estimators.blocks import Blocks
from service.estimators.fits import Knn, LocalPolynomial, NadarayaWatson
from service.estimators.local_polynomial import OFF_CENTER, monomials
from service.estimators.local_system import fill_values, solve
from service.estimators.ordered import ordered_sum
from service.estimators.parts import parts
from service.estimators.reach import reach_of

LinearFit: TypeAlias = Knn | NadarayaWatson | LocalPolynomial

EXACT_ROWS = 2000
"""Up to here L is formed: 32 MB, and 2n³ operations for δ₂."""

BLOCK_ROWS = 256

MOST_ENTRIES = 2**21
"""Weights listed at once; six arrays of them take 100 MB."""


@dataclass(frozen=True, eq=False)
class ResidualVariance:
    """What the residuals say of the noise, and how much they can say.

    Attributes:
        variance: σ² of each target, (t,); NaN where f passes through all rows, so that there are
            no residuals to tell it from.
        freedom: Degrees of freedom of the variance.
        trace: ν₁, the equivalent number of parameters.
        trace_of_squares: ν₂.
        sampled: From how many of the rows these were found.
        rows: The number of rows.
    """

    variance: Floats
    freedom: float
    trace: float
    trace_of_squares: float
    sampled: int
    rows: int

    @property
    def is_estimate(self) -> bool:
        """True where the traces were estimated from some of the rows."""
        return self.sampled < self.rows


def squared_norms(rows: Resident, fit: LinearFit, q: Floats) -> Floats:
    """Return Σ l_i(x)² at each query, (m,): Var f(x) / σ². NaN where no row carries weight.

    1 / Σ l_i² is how many plain averaged rows would be as sure.

    Cost: that of listing the rows in reach; for the Gaussian, that of two predictions.
    """
    norms = np.empty(len(q))
    listing = np.arange(len(q))
    if not isinstance(fit, Knn) and fit.kernel is Kernel.GAUSSIAN:
        norms, _, _, listing = _by_gaussian(rows, fit, q)
    for part, listed, _ in equivalent_kernels(rows, fit, q[listing]):
        sums = _sums(listed.weights * listed.weights, listed.offsets)
        norms[listing[part]] = np.where(np.diff(listed.offsets) == 0, np.nan, sums)
    return norms


def variance_under(rows: Resident, fit: LinearFit, q: Floats, noise: Floats) -> Floats:
    """Return Σ l_i(x)² σ_i² at each query, (m, t), for the noise σ_i² of each row, (n, t).

    See `local_variance` for the noise. NaN where no row carries weight.
    """
    variance = np.empty((len(q), noise.shape[1]))
    for part, listed, _ in equivalent_kernels(rows, fit, q):
        squares = listed.weights * listed.weights
        for c in range(noise.shape[1]):
            variance[part, c] = _sums(squares * noise[listed.rows, c], listed.offsets)
        variance[part][np.diff(listed.offsets) == 0] = np.nan
    return variance


def residual_variance(
    rows: Resident, fit: LinearFit, at: Rows | None, blocks: Blocks
) -> ResidualVariance:
    """Return what the residuals say of the noise.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What was fitted.
        at: The rows to look at, drawn at random; None means all.
        blocks: For the predictions at the rows.

    Cost: a prediction and its weights for each row looked at; n³ for all of few rows.
    """
    n = len(rows.x)
    places = np.arange(n, dtype=np.int64) if at is None else at
    hat = np.zeros((n, n)) if at is None and n <= EXACT_ROWS else None

    def look(part: slice) -> tuple[Floats, Floats, Floats]:
        return _look(rows, fit, places[part], hat)

    looks = blocks(look, len(places), BLOCK_ROWS)
    diagonal, norms, residual = (np.concatenate(arrays) for arrays in zip(*looks, strict=True))
    trace, trace_of_squares = n * float(diagonal.mean()), n * float(norms.mean())
    first = n - 2.0 * trace + trace_of_squares
    if first <= n * np.finfo(np.float64).eps:
        return ResidualVariance(
            np.full(residual.shape[1], np.nan), 0.0, trace, trace_of_squares, len(places), n
        )
    freedom = first
    if hat is not None:
        rest = np.eye(n) - hat
        freedom = first * first / float(np.square(rest @ rest.T).sum())
    return ResidualVariance(
        variance=n * np.square(residual).mean(axis=0) / first,
        freedom=freedom,
        trace=trace,
        trace_of_squares=trace_of_squares,
        sampled=len(places),
        rows=n,
    )


def local_variance(errors: Resident, q: Floats, k: int) -> Floats:
    """Return the variance of the noise at each query, (m, t).

    It is the mean of the squared leave-one-out residuals of the k nearest rows where they are
    known: σ²(x) = Σ e_i² / k.

    Args:
        errors: Those rows, in the metric of the fit, with their leave-one-out residuals as targets.
        q: Queries, (m, d), in the metric of the fit.
        k: The number of rows, at most as many as there are.
    """
    found = errors.nearest(q, k)
    return ordered_sum(np.square(errors.y[found.rows])) / k


def _look(
    rows: Resident, fit: LinearFit, at: Rows, hat: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return L_ii, Σ_j L_ij² and the residuals of some rows, and fill their rows of L."""
    q = np.ascontiguousarray(rows.x[at])
    diagonal, norms, mean = np.empty(len(q)), np.empty(len(q)), np.empty((len(q), rows.y.shape[1]))
    listing = np.arange(len(q))
    if hat is None and not isinstance(fit, Knn) and fit.kernel is Kernel.GAUSSIAN:
        norms, diagonal, mean, listing = _by_gaussian(rows, fit, q)
    for part, listed, estimate in equivalent_kernels(rows, fit, q[listing]):
        row = np.repeat(at[listing[part]], np.diff(listed.offsets))
        own = np.where(listed.rows == row, listed.weights, 0.0)
        diagonal[listing[part]] = _sums(own, listed.offsets)
        norms[listing[part]] = _sums(listed.weights * listed.weights, listed.offsets)
        mean[listing[part]] = estimate
        if hat is not None:
            hat[row, listed.rows] = listed.weights
    return diagonal, norms, rows.y[at] - mean


def _by_gaussian(
    rows: Resident, fit: NadarayaWatson | LocalPolynomial, q: Floats
) -> tuple[Floats, Floats, Floats, Rows]:
    """Return Σ l_i², the weight of a row at the query, the estimates, and which must be listed.

    Those are the queries that `predict` solves about the mean of their rows.
    """
    degree = 0 if isinstance(fit, NadarayaWatson) else fit.degree
    ridge = 0.0 if isinstance(fit, NadarayaWatson) else fit.ridge
    reach = reach_of(rows, fit, q)
    moments = reach.moments(rows, q, degree)
    system = solve(moments, q.shape[1], degree, ridge)
    mean = np.empty((len(q), rows.y.shape[1]))
    fill_values(moments.gram, moments.rhs, moments.count, system.v, mean)
    weight = moments.gram[:, 0, 0]
    u = np.concatenate([np.ones((len(q), 1)), system.v], axis=1)
    mean_phi = moments.gram[:, 0] / weight[:, None]
    mean_phi[:, 1:] *= -1.0
    u[:, 0] = ordered_sum(u * mean_phi)
    center = u[:, 0].copy()
    # φ of z = (x_i - x) / h, where the narrower kernel's moments have z √2.
    u *= monomials(np.full(q.shape[1], np.sqrt(0.5)), degree)
    narrower = replace(reach, bandwidth=np.sqrt(0.5) * reach.bandwidth)
    terms = u[:, :, None] * narrower.moments(rows, q, degree).gram * u[:, None, :]
    norms = ordered_sum(terms.reshape(len(q), -1)) / (weight * weight)
    return norms, center / weight, mean, np.flatnonzero(system.off_center > OFF_CENTER)


def equivalent_kernels(
    rows: Resident, fit: LinearFit, q: Floats
) -> Iterator[tuple[slice, Neighbors, Floats]]:
    """Yield the equivalent kernels and the means of consecutive queries, a few at a time."""
    for part in parts(_counts(rows, fit, q), MOST_ENTRIES):
        prediction = _predict(rows, fit, q[part], neighbor_limit=sys.maxsize, diagnostics=False)
        if prediction.neighbors is None:
            raise TypeError("neighbours were asked for")
        yield part, prediction.neighbors, prediction.mean


def _counts(rows: Resident, fit: LinearFit, q: Floats) -> Rows:
    """Return about how many rows each query has in reach, (m,)."""
    if fit.n_neighbors is not None and (isinstance(fit, Knn) or fit.kernel.is_compact):
        return np.full(len(q), fit.n_neighbors)
    if not isinstance(fit, Knn) and not fit.kernel.is_compact:
        return np.full(len(q), len(rows.x))
    found = _predict(rows, fit, q, neighbor_limit=None, diagnostics=True).diagnostics
    if found is None:
        raise TypeError("diagnostics were asked for")
    return found.support


def _predict(
    rows: Resident, fit: LinearFit, q: Floats, *, neighbor_limit: int | None, diagnostics: bool
) -> Prediction:
    match fit:
        case Knn():
            method = neighbors.predict(
                rows, fit, q, neighbor_limit=neighbor_limit, diagnostics=diagnostics
            )
        case NadarayaWatson():
            method = nadaraya_watson.predict(
                rows, fit, q, neighbor_limit=neighbor_limit, diagnostics=diagnostics
            )
        case LocalPolynomial():
            method = local_polynomial.predict(
                rows, fit, q, neighbor_limit=neighbor_limit, diagnostics=diagnostics
            )
    return method


def _sums(values: Floats, offsets: Rows) -> Floats:
    """Return the sum of each query's entries, added from first to last, (m,)."""
    queries = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    sums = np.bincount(queries, weights=values, minlength=len(offsets) - 1)
    return sums.astype(np.float64, copy=False)
