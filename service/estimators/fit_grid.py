"""The first candidates of a search: every method on a coarse logarithmic grid.

Nothing here comes from a dataset: numbers of neighbours go from the few that a mean needs to where
it is no longer local, those of polynomials from three rows a coefficient on, as a plane through all
rows needs them; length scales span the standardized metric, in which two rows are √(2d) apart on
average, where features do not depend on each other.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from service.backends.base import monomial_count
from service.domain.kernels import Covariance, Kernel
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson

KNN_NEIGHBORS = (3, 8, 20, 50)
MEAN_NEIGHBORS = (5, 15, 50)
ROWS_A_COEFFICIENT = {1: (3, 6, 15, 40), 2: (3, 10)}
RIDGES = (1e-3, 3e-2, 0.3)

MOST_MONOMIALS = {1: 1001, 2: 28}
"""A line in 1,000 features, a quadratic in 6: beyond, no neighbourhood holds the rows for it."""

COVARIANCES = (Covariance.MATERN52, Covariance.LAPLACIAN)
LENGTH_SCALES = (1.0, 3.0, 10.0)
ALPHAS = (1e-4, 1e-2, 0.3)
KRIGING_NEIGHBORS = 30


def grid(
    most: int, d: int, *, sloped: int | None = None, columns: int | None = None
) -> Iterator[Fit]:
    """Yield the candidates with at most so many neighbours in d features, cheap ones first.

    Args:
        most: Neighbours at most.
        d: Features.
        sloped: In how many of them polynomials have slopes; None for all.
        columns: How many columns they take, of which a plane has a coefficient each; None for d.
    """
    yield from _means(most)
    if ROWS_A_COEFFICIENT[1][0] * monomial_count(d if columns is None else columns, 1) <= most:
        yield Linear(metric="standardized")
    yield from _polynomials(most, d if sloped is None else sloped)
    for kind, length_scale, alpha in product(COVARIANCES, LENGTH_SCALES, ALPHAS):
        yield Kriging(
            kind,
            length_scale * float(np.sqrt(d)),
            alpha,
            n_neighbors=min(most, KRIGING_NEIGHBORS),
            metric="standardized",
            mean="constant",
        )


def _means(most: int) -> Iterator[Fit]:
    for k in _up_to(most, KNN_NEIGHBORS):
        yield Knn(k, "uniform", "standardized")
        yield Knn(k, "distance", "standardized")
    for k in _up_to(most, MEAN_NEIGHBORS):
        yield NadarayaWatson(Kernel.TRICUBE, n_neighbors=k, metric="standardized")


def _polynomials(most: int, d: int) -> Iterator[Fit]:
    for degree, factors in ROWS_A_COEFFICIENT.items():
        p = monomial_count(d, degree)
        if p > MOST_MONOMIALS[degree]:
            continue
        for k, ridge in product(_up_to(most, tuple(f * p for f in factors)), RIDGES):
            yield LocalPolynomial(
                degree, Kernel.TRICUBE, n_neighbors=k, ridge=ridge, metric="standardized"
            )


def _up_to(most: int, counts: tuple[int, ...]) -> list[int]:
    """Return the counts cut to the most, each once, ascending."""
    return sorted({min(count, most) for count in counts})
