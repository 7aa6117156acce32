"""How sure a linear smoother is of its answers.

Nearest neighbours, Nadaraya-Watson and local polynomials are linear in the targets, with weights
l_i(x) that do not look at them (the equivalent kernel):

    f(x) = Σ l_i(x) y_i,     Var f(x) = Σ l_i(x)² σ_i²     or σ² Σ l_i(x)² where all σ_i are σ

What noise there is, the residuals at the rows say. With the hat matrix L, L_ij = l_j(x_i):

    ν₁ = tr L,   ν₂ = tr LᵀL,   δ₁ = tr (I - L)ᵀ(I - L) = n - 2ν₁ + ν₂,   δ₂ = tr [(I - L)(I - L)ᵀ]²
    σ² = Σ (y_i - f(x_i))² / δ₁     with δ₁² / δ₂ degrees of freedom

Rows with weights p_i have the noise σ_i² = σ² / p_i; √p_i y_i has σ² then, and the hat matrix
√p_i L_ij / √p_j, which takes the place of L: σ² = Σ p_i (y_i - f(x_i))² / δ₁. Rows of weight 0 are
in none of the sums, nor in n.

For the Gaussian, which gives every row weight, no row is listed: with u = (1 - vᵀφ̄, v) in the words
of `local_polynomial`, l_i = w_i uᵀφ_i / Σw, and w_i² / p_i is the weight w_i of the bandwidth
h / √2, so

    Σ l_i² / p_i = uᵀ (Σ w_i² / p_i φ_i φ_iᵀ) u / (Σw)²     from the moments of that bandwidth

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
from service.estimators.row_weights import counted, weights_at

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
    """Return Σ l_i(x)² / p_i at each query, (m,): Var f(x) / σ². NaN where no row carries weight.

    Its reciprocal is how many plain averaged rows would be as sure.

    Cost: that of listing the rows in reach; for the Gaussian, that of two predictions.
    """
    norms = np.empty(len(q))
    listing = np.arange(len(q))
    if _has_narrower(fit) and not isinstance(fit, Knn):
        norms, _, _, listing = _by_gaussian(rows, fit, q)
    for part, listed, _ in equivalent_kernels(rows, fit, q[listing]):
        sums = _sums(_squares(rows, listed), listed.offsets)
        norms[listing[part]] = np.where(np.diff(listed.offsets) == 0, np.nan, sums)
    return norms


def variance_under(rows: Resident, fit: LinearFit, q: Floats, noise: Floats) -> Floats:
    """Return Σ l_i(x)² σ_i² / p_i at each query, (m, t).

    The noise σ_i², (n, t), is what it would be at each row with a weight of 1, see
    `local_variance`. NaN where no row carries weight.
    """
    variance = np.empty((len(q), noise.shape[1]))
    for part, listed, _ in equivalent_kernels(rows, fit, q):
        squares = _squares(rows, listed)
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
        at: The rows to look at, drawn at random of those that count; None means all of these.
        blocks: For the predictions at the rows.

    Cost: a prediction and its weights for each row looked at; n³ for all of few rows.
    """
    every = counted(rows)
    n, places = len(every), every if at is None else at
    hat = np.zeros((len(rows.x),) * 2) if at is None and n <= EXACT_ROWS else None

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
        root = np.sqrt(weights_at(rows, every))
        rest = np.eye(n) - root[:, None] * hat[np.ix_(every, every)] / root
        freedom = first * first / float(np.square(rest @ rest.T).sum())
    return ResidualVariance(
        variance=n * (weights_at(rows, places) @ np.square(residual) / len(places)) / first,
        freedom=freedom,
        trace=trace,
        trace_of_squares=trace_of_squares,
        sampled=len(places),
        rows=n,
    )


def local_variance(errors: Resident, q: Floats, k: int) -> Floats:
    """Return the variance of the noise of a row of weight 1 at each query, (m, t).

    It is the mean of the squared leave-one-out residuals of the k nearest rows where they are
    known: σ²(x) = Σ e_i² / k.

    Args:
        errors: Those rows, in the metric of the fit, with their leave-one-out residuals, times √p_i
            where they have weights, as targets.
        q: Queries, (m, d), in the metric of the fit.
        k: The number of rows, at most as many as there are.
    """
    found = errors.nearest(q, k)
    return ordered_sum(np.square(errors.y[found.rows])) / k


def _look(
    rows: Resident, fit: LinearFit, at: Rows, hat: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return L_ii, p_i Σ_j L_ij² / p_j and the residuals of some rows, and fill their rows of L."""
    q = np.ascontiguousarray(rows.x[at])
    diagonal, norms, mean = np.empty(len(q)), np.empty(len(q)), np.empty((len(q), rows.y.shape[1]))
    listing = np.arange(len(q))
    if hat is None and _has_narrower(fit) and not isinstance(fit, Knn):
        norms, diagonal, mean, listing = _by_gaussian(rows, fit, q)
        diagonal = diagonal * weights_at(rows, at)
    for part, listed, estimate in equivalent_kernels(rows, fit, q[listing]):
        row = np.repeat(at[listing[part]], np.diff(listed.offsets))
        own = np.where(listed.rows == row, listed.weights, 0.0)
        diagonal[listing[part]] = _sums(own, listed.offsets)
        norms[listing[part]] = _sums(_squares(rows, listed), listed.offsets)
        mean[listing[part]] = estimate
        if hat is not None:
            hat[row, listed.rows] = listed.weights
    return diagonal, weights_at(rows, at) * norms, rows.y[at] - mean


def _squares(rows: Resident, listed: Neighbors) -> Floats:
    """Return l_i² / p_i of each entry; rows with p_i = 0 are not listed."""
    return np.asarray(listed.weights * listed.weights / weights_at(rows, listed.rows))


def _has_narrower(fit: LinearFit) -> bool:
    """Say whether the squares of the weights are those of a narrower kernel."""
    return not isinstance(fit, Knn) and (fit.kernel, fit.bandwidth_at) == (Kernel.GAUSSIAN, "query")


def _by_gaussian(
    rows: Resident, fit: NadarayaWatson | LocalPolynomial, q: Floats
) -> tuple[Floats, Floats, Floats, Rows]:
    """Return Σ l_i² / p_i, the weight of a row of weight 1 there, the means, and which to list.

    Those are the queries that `predict` solves about the mean of their rows.
    """
    degree = 0 if isinstance(fit, NadarayaWatson) else fit.degree
    ridge = 0.0 if isinstance(fit, NadarayaWatson) else fit.ridge
    reach = reach_of(rows, fit, q)
    moments = reach.moments(rows, q, degree)
    system = solve(moments, rows.n_sloped, degree, ridge)
    mean = np.empty((len(q), rows.y.shape[1]))
    fill_values(moments.gram, moments.rhs, moments.count, system.v, mean)
    weight = moments.gram[:, 0, 0]
    u = np.concatenate([np.ones((len(q), 1)), system.v], axis=1)
    mean_phi = moments.gram[:, 0] / weight[:, None]
    mean_phi[:, 1:] *= -1.0
    u[:, 0] = ordered_sum(u * mean_phi)
    center = u[:, 0].copy()
    # φ of z = (x_i - x) / h, where the narrower kernel's moments have z √2.
    u *= monomials(np.full(rows.n_sloped, np.sqrt(0.5)), degree)
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
    has_neighbors = isinstance(fit, Knn) or (fit.kernel.is_compact and fit.bandwidth_at == "query")
    if fit.n_neighbors is not None and has_neighbors:
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
