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

Over 300 lines: the fits are read side by side, with what is checked of them.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, final

import numpy as np

from service.backends.base import monomial_count
from service.domain.arrays import Floats, Rows
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel

Metric: TypeAlias = (
    Literal["euclidean", "standardized"] | tuple[float, ...] | tuple[tuple[float, ...], ...]
)
"""How distances are measured: in data units, each feature over its standard deviation, each feature
over a scale of the client's, or ‖A(x_i - x)‖ with a matrix A (d, d), row by row."""


BandwidthAt: TypeAlias = Literal["query", "row"]
"""Whether n_neighbors gives each query a bandwidth, or each row; see `row_bandwidths`."""


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
        bandwidth_at: Whose the bandwidths from n_neighbors are.
    """

    kernel: Kernel = Kernel.GAUSSIAN
    bandwidth: float | None = None
    n_neighbors: int | None = None
    metric: Metric = "euclidean"
    robust: int = 0
    bandwidth_at: BandwidthAt = "query"


@final
@dataclass(frozen=True)
class LocalPolynomial:
    """The kernel-weighted least-squares polynomial. Either bandwidth or n_neighbors is given.

    Attributes:
        ridge: ρ ≥ 0; the penalty on the slopes, never on the intercept, is ρ times the mean of
            the local variances of the monomials beside the constant.
        robust: How often the rows are weighed by their residuals; see `robust`.
        bandwidth_at: Whose the bandwidths from n_neighbors are.
    """

    degree: int = 1
    kernel: Kernel = Kernel.TRICUBE
    bandwidth: float | None = None
    n_neighbors: int | None = None
    ridge: float = 0.0
    metric: Metric = "euclidean"
    robust: int = 0
    bandwidth_at: BandwidthAt = "query"


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
        InvalidInput: The fit needs all cells and some are missing, asks for more neighbours than
            there are rows, for more coefficients
            than `MAX_MONOMIALS`, has a metric for another number of features, or a constant mean
            over all rows.
    """
    n = dataset.n_rows
    if dataset.has_gaps and tuned is not None and needs_all_cells(tuned):
        tuned = None  # found for an earlier version, which had none
    if isinstance(fit, Learned):
        fit = replace(fit.fit, metric="standardized" if tuned is None else tuned.metric)
    elif isinstance(fit, Auto):
        fit = tuned or LocalPolynomial(
            degree=1,
            kernel=Kernel.TRICUBE,
            n_neighbors=default_n_neighbors(n, dataset.n_features),
            metric="standardized",
        )
    if dataset.has_gaps and needs_all_cells(fit):
        is_method = isinstance(fit, Kriging | Linear)
        raise InvalidInput.at(
            "/fit/method" if is_method else "/fit/metric/matrix",
            "The dataset has rows with missing cells, whose distances skip what is missing, and "
            + ("this method" if is_method else "a matrix, which mixes features,")
            + " needs all of them: send "
            + ("knn, nadaraya_watson or local_polynomial" if is_method else "a scale a feature")
            + ", or a dataset without these rows or cells.",
        )
    _check_neighbors(fit, n)
    d = dataset.n_sloped
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
    d = dataset.n_features
    if isinstance(fit.metric, tuple) and len(fit.metric) != d:
        name, parts = "scale", "numbers"
        if isinstance(fit.metric[0], tuple):
            name, parts = "matrix", "rows"
        raise InvalidInput.at(
            f"/fit/metric/{name}",
            f"The {name} has {len(fit.metric)} {parts}, but the dataset has {d} features; send "
            "one for each.",
        )
    if dataset.encoding is not None and is_matrix(fit.metric):
        raise InvalidInput.at(
            "/fit/metric/matrix",
            "The dataset has categorical features, whose levels a matrix cannot mix with numbers: "
            "send a scale, one number a feature.",
        )
    return fit


def _check_neighbors(fit: Fit, n: int) -> None:
    """Refuse more neighbours than n rows have, or a fit may have.

    Raises:
        InvalidInput: There are more.
    """
    if fit.n_neighbors is not None and fit.n_neighbors > n:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, but the dataset has {n} rows; "
            f"send a number from 1 to {n}.",
        )
    if has_row_bandwidths(fit) and (fit.n_neighbors or 0) > n - 2:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, and bandwidth_at 'row' takes the distance of each "
            f"row to its {fit.n_neighbors}-th nearest other row, also where a row is left out, so "
            f"that {n} rows allow {max(n - 2, 0)} at most: send fewer, or bandwidth_at 'query'.",
        )
    if isinstance(fit, Kriging) and (fit.n_neighbors or 0) > MAX_KRIGING_NEIGHBORS:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, and kriging solves a system of that size for each "
            f"query: send at most {MAX_KRIGING_NEIGHBORS}, or none, for one system of all rows.",
        )


NEED_ALL_CELLS: frozenset[type[Fit]] = frozenset({Kriging, Linear})
"""Methods that `needs_all_cells` is true of, in any metric."""


def needs_all_cells(fit: Fit) -> bool:
    """Return whether the fit cannot be made to rows of which cells are missing.

    Distances that skip cells are those of no Euclidean space, so that covariances of them need not
    make a positive definite matrix; a plane has a slope for every feature of every row.
    """
    return type(fit) in NEED_ALL_CELLS or is_matrix(fit.metric)


def is_matrix(metric: Metric) -> bool:
    """Return whether the metric is a full matrix."""
    return isinstance(metric, tuple) and isinstance(metric[0], tuple)


def as_polynomial(fit: Smoother) -> LocalPolynomial:
    """Return the fit as a local polynomial: Nadaraya-Watson is that of degree 0."""
    if isinstance(fit, LocalPolynomial):
        return fit
    return LocalPolynomial(
        0,
        fit.kernel,
        fit.bandwidth,
        fit.n_neighbors,
        metric=fit.metric,
        robust=fit.robust,
        bandwidth_at=fit.bandwidth_at,
    )


def is_robust(fit: AnyFit) -> bool:
    """Return whether the rows are weighed by their residuals; see `robust`."""
    return isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.robust > 0


def has_row_bandwidths(fit: AnyFit) -> bool:
    """Return whether each row has a bandwidth of its own; see `row_bandwidths`."""
    return isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.bandwidth_at == "row"


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


def metric_scale(metric: Metric, x: Floats, features: Rows | None = None) -> Floats | None:
    """Return what each column of x is divided by, (D,), or None for data units.

    A feature that is constant has no deviation to divide by and keeps its unit. The deviation of
    one of several columns is the root of their variances' sum: standardized, two rows at random
    then differ by 2 in mean squared distance, whatever the feature.

    Args:
        metric: No matrix.
        x: Rows, (n, D).
        features: The feature of each column, (D,), where some have several; a scale is one for all
            columns of a feature.
    """
    if metric == "euclidean":
        return None
    if metric == "standardized":
        deviation = deviations(x)
        # A constant column of large numbers has a deviation of rounding errors.
        constant = deviation <= 1e-14 * np.fmax.reduce(np.abs(x), axis=0)
        if features is None:
            return np.where(constant, 1.0, deviation)
        deviation[constant] = 0.0
        together = np.sqrt(np.bincount(features, weights=deviation * deviation))
        return np.where(together > 0.0, together, 1.0)[features]
    scale = np.asarray(metric, dtype=np.float64)
    return scale if features is None else scale[features]


def deviations(x: Floats) -> Floats:
    """Return the standard deviation of each column of x (n, d), (d,), over the cells it has."""
    missing = np.isnan(x)
    if not missing.any():
        return np.asarray(np.std(x, axis=0, ddof=1))
    count = np.maximum(np.count_nonzero(~missing, axis=0), 2)  # one cell does not deviate
    centered = np.where(missing, 0.0, x - np.nansum(x, axis=0) / np.count_nonzero(~missing, axis=0))
    return np.asarray(np.sqrt(np.sum(centered * centered, axis=0) / (count - 1)))


def without_metric(fit: Fit) -> Fit:
    """Return the same fit in data units, for rows that are scaled already."""
    return replace(fit, metric="euclidean")
