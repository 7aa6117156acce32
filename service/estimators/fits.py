"""What a client can ask for: the specification of each fit.

Notation, used in every file of this package:

| On paper | Code         | Shape  | Meaning                                         |
|----------|--------------|--------|-------------------------------------------------|
| x_i      | x            | (n, d) | rows                                            |
| y_i      | y            | (n, t) | targets                                         |
| x        | q            | (m, d) | queries                                         |
| h        | bandwidth    | (m,)   | reach of the kernel, one a query                |
| k        | n_neighbors  |        | number of rows in reach                         |
| u_i      | u            |        | ‖x_i - x‖ / h                                   |
| w_i      | w            |        | K(u_i)                                          |
| φ        | monomials    | (p,)   | 1, z, zzᵀ, as far as the degree asks            |
| l_i      | weights      |        | equivalent kernel: the prediction is Σ l_i y_i  |
| K        |              | (n, n) | covariances of the rows                         |
| α        | alpha        |        | noise variance on the diagonal of K             |
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, final

import numpy as np

from service.backends.base import monomial_count
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel

Metric: TypeAlias = (
    Literal["euclidean", "standardized"] | tuple[float, ...] | tuple[tuple[float, ...], ...]
)
"""How distances are measured: in data units, each feature over its standard deviation, each feature
over a scale of the client's, or ‖A(x_i - x)‖ with a matrix A (d, d), row by row."""


@final
@dataclass(frozen=True)
class Knn:
    """The mean of the k nearest rows, plain or weighted by inverse distance."""

    n_neighbors: int = 5
    weights: Literal["uniform", "distance"] = "uniform"
    metric: Metric = "euclidean"


@final
@dataclass(frozen=True)
class NadarayaWatson:
    """The kernel-weighted mean. Either bandwidth or n_neighbors is given.

    Attributes:
        robust: How often the rows are weighed by their residuals; see `robust`.
    """

    kernel: Kernel = Kernel.GAUSSIAN
    bandwidth: float | None = None
    n_neighbors: int | None = None
    metric: Metric = "euclidean"
    robust: int = 0


@final
@dataclass(frozen=True)
class LocalPolynomial:
    """The kernel-weighted least-squares polynomial. Either bandwidth or n_neighbors is given.

    Attributes:
        ridge: ρ ≥ 0; the penalty on the slopes, never on the intercept, is ρ times the mean of
            the local variances of the monomials beside the constant.
        robust: How often the rows are weighed by their residuals; see `robust`.
    """

    degree: int = 1
    kernel: Kernel = Kernel.TRICUBE
    bandwidth: float | None = None
    n_neighbors: int | None = None
    ridge: float = 0.0
    metric: Metric = "euclidean"
    robust: int = 0


@final
@dataclass(frozen=True)
class Kriging:
    """Kriging over all rows or the k nearest of each query.

    Attributes:
        mean: Of the surface far from the rows: "zero" gives simple kriging, k(x)ᵀ (K + αI)⁻¹ y;
            "constant", over the k nearest rows only, estimates it (ordinary kriging).
    """

    kernel: Covariance = Covariance.GAUSSIAN
    length_scale: float = 1.0
    alpha: float = 1.0
    n_neighbors: int | None = None
    metric: Metric = "euclidean"
    mean: Literal["zero", "constant"] = "zero"


@final
@dataclass(frozen=True)
class Linear:
    """Linear regression over all rows.

    Attributes:
        solver: How it is solved.
        rate: Of gradient descent, for features and targets in units of their deviations; None
            takes the largest that is safe.
        momentum: Of gradient descent, 0 ≤ μ < 1; None accelerates.
        tolerance: Gradient descent ends when no entry of the gradient is larger than this times
            the largest at the start.
        max_steps: Of gradient descent.
        metric: Of the distances to the rows; the plane is the same in any.
    """

    solver: Literal["least_squares", "gradient_descent"] = "least_squares"
    rate: float | None = None
    momentum: float | None = None
    tolerance: float = 1e-12
    max_steps: int = 10_000
    metric: Metric = "euclidean"

    @property
    def n_neighbors(self) -> None:
        """None: all rows."""
        return None


@final
@dataclass(frozen=True)
class Auto:
    """Let the service choose; see `resolved`."""


@final
@dataclass(frozen=True)
class Learned:
    """A fit in the metric that the search for the best fit has found; see `resolved`."""

    fit: "Fit"


Smoother: TypeAlias = NadarayaWatson | LocalPolynomial
Fit: TypeAlias = Knn | Smoother | Kriging | Linear
AnyFit: TypeAlias = Fit | Auto | Learned


MAX_MONOMIALS = 1001
"""Degree 1 in 1,000 features, degree 2 in 43, degree 3 in 16: their sums take 8 MB a query, a solve
0.3 s."""

MAX_KRIGING_NEIGHBORS = 2000
"""A system of 2,000 rows takes 32 MB and half a second, for each query."""


def resolved(fit: AnyFit, dataset: Dataset, tuned: Fit | None = None) -> Fit:
    """Return the fit with every choice made, checked against the dataset.

    `Auto` becomes the tuned fit, and `Learned` takes its metric. Without one, `Auto` is local
    linear regression with the tricube kernel, in the standardized metric, on `default_n_neighbors`
    rows, and the metric is the standardized one.

    Raises:
        InvalidInput: The fit asks for more neighbours than there are rows, for more coefficients
            than `MAX_MONOMIALS`, has a metric for another number of features, or a constant mean
            over all rows.
    """
    n = dataset.n_rows
    if isinstance(fit, Learned):
        fit = replace(fit.fit, metric="standardized" if tuned is None else tuned.metric)
    elif isinstance(fit, Auto):
        fit = tuned or LocalPolynomial(
            degree=1,
            kernel=Kernel.TRICUBE,
            n_neighbors=default_n_neighbors(n, dataset.n_features),
            metric="standardized",
        )
    if fit.n_neighbors is not None and fit.n_neighbors > n:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, but the dataset has {n} rows; "
            f"send a number from 1 to {n}.",
        )
    if isinstance(fit, Kriging) and (fit.n_neighbors or 0) > MAX_KRIGING_NEIGHBORS:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, and kriging solves a system of that size for each "
            f"query: send at most {MAX_KRIGING_NEIGHBORS}, or none, for one system of all rows.",
        )
    d = dataset.n_features
    if isinstance(fit, LocalPolynomial) and monomial_count(d, fit.degree) > MAX_MONOMIALS:
        raise InvalidInput.at(
            "/fit/degree",
            f"A polynomial of degree {fit.degree} in {d} features has "
            f"{monomial_count(d, fit.degree)} coefficients, more than the {MAX_MONOMIALS} that a "
            "fit may have: send a lower degree, or a dataset with fewer features.",
        )
    if isinstance(fit, Kriging) and fit.mean == "constant" and fit.n_neighbors is None:
        raise InvalidInput.at(
            "/fit/mean",
            "The mean is 'constant', which is estimated from the nearest rows, but n_neighbors is "
            "null: send n_neighbors, or the mean 'zero'.",
        )
    if isinstance(fit.metric, tuple) and len(fit.metric) != d:
        name, parts = "scale", "numbers"
        if isinstance(fit.metric[0], tuple):
            name, parts = "matrix", "rows"
        raise InvalidInput.at(
            f"/fit/metric/{name}",
            f"The {name} has {len(fit.metric)} {parts}, but the dataset has {d} features; send "
            "one for each.",
        )
    return fit


def as_polynomial(fit: Smoother) -> LocalPolynomial:
    """Return the fit as a local polynomial: Nadaraya-Watson is that of degree 0."""
    if isinstance(fit, LocalPolynomial):
        return fit
    return LocalPolynomial(
        0, fit.kernel, fit.bandwidth, fit.n_neighbors, metric=fit.metric, robust=fit.robust
    )


def check_not_robust(fit: Fit) -> None:
    """Refuse fits that weigh rows by their residuals, where weights may not look at the targets.

    Raises:
        InvalidInput: The fit is robust.
    """
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.robust:
        raise InvalidInput.at(
            "/fit/robust",
            f"robust is {fit.robust}, and a robust fit is not linear in the targets, so that it "
            "has a mean and diagnostics, but no weights of single rows, no errors, no gradient and "
            "no leave-one-out: send robust 0, or ask for the mean alone.",
        )


def rows_listed(fit: Fit, m: int, n: int) -> int | None:
    """Return how many neighbours m queries on n rows list in all, where that is known ahead."""
    match fit:
        case Knn():
            return m * fit.n_neighbors
        case Kriging():
            return m * (fit.n_neighbors or n)
        case Linear():
            return m * n
        case NadarayaWatson() | LocalPolynomial():
            return None if fit.kernel.is_compact else m * n


def default_n_neighbors(n: int, d: int) -> int:
    """Return how many neighbours are taken where nobody chose.

        k = clip(½ n^(4 / (4 + d)), 5 (d + 1), 500), and at most n

    The bandwidth that balances bias and variance of a local linear fit goes as h ~ n^(-1/(4+d))
    (Fan & Gijbels 1996, section 3.2), so the rows in reach go as n hᵈ ~ n^(4/(4+d)); five rows a
    coefficient keep small fits determined.
    """
    balanced = int(np.rint(0.5 * n ** (4 / (4 + d))))
    return min(n, max(5 * (d + 1), min(balanced, 500)))


def metric_scale(metric: Metric, x: Floats) -> Floats | None:
    """Return what each feature is divided by, (d,), or None for data units.

    A feature that is constant has no deviation to divide by and keeps its unit.
    """
    if metric == "euclidean":
        return None
    if metric == "standardized":
        deviation = np.std(x, axis=0, ddof=1)
        # A constant column of large numbers has a deviation of rounding errors.
        constant = deviation <= 1e-14 * np.max(np.abs(x), axis=0)
        return np.where(constant, 1.0, deviation)
    return np.asarray(metric, dtype=np.float64)


def without_metric(fit: Fit) -> Fit:
    """Return the same fit in data units, for rows that are scaled already."""
    return replace(fit, metric="euclidean")
