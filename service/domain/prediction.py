"""What a prediction is, and what may be said about single queries in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows


class Status(StrEnum):
    """A numerical outcome that the reader of an answer should know about."""

    NO_SUPPORT = "no_support"
    DEGENERATE = "degenerate"
    EXTRAPOLATED = "extrapolated"
    NOT_CONVERGED = "not_converged"
    UNDETERMINED = "undetermined"
    UNBOUNDED = "unbounded"
    MISSING_CELLS = "missing_cells"


IntervalKind: TypeAlias = Literal["confidence", "prediction", "conformal", "jackknife_plus"]
"""An interval for the mean of y at a query; for a new y, as far as the noise is normal; for a new
y, whatever its distribution; the same, from predictions without each row."""

NoiseKind: TypeAlias = Literal["constant", "local"]
"""Noise of one variance everywhere, or of one that changes from place to place."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted beside the mean; nothing else is computed.

    Attributes:
        neighbor_limit: The rows behind each estimate, at most so many in all; None: not wanted.
        diagnostics: How each estimate came about.
        std: Standard deviations of the estimates and of new observations.
        interval: The kind of interval, if one is wanted.
        level: How often the interval is meant to hold.
        noise: What standard deviations, and intervals from them, suppose.
        slope: The slopes of the local polynomials.
        gradient: The gradient of the fitted surface.
        quantiles: Levels of the quantiles of y at the queries.
    """

    neighbor_limit: int | None = None
    diagnostics: bool = False
    std: bool = False
    interval: IntervalKind | None = None
    level: float = 0.9
    noise: NoiseKind = "constant"
    slope: bool = False
    gradient: bool = False
    quantiles: tuple[float, ...] = ()

    @property
    def has_extras(self) -> bool:
        """True where more is wanted than neighbours and diagnostics."""
        return bool(self.std or self.interval or self.slope or self.gradient or self.quantiles)


MEAN_ALONE = Wanted()


class PerQuery:
    """Marks a dataclass whose arrays, and those of the same kind in it, have an entry a query."""


@dataclass(frozen=True, eq=False)
class Issue:
    """An outcome for some queries, with advice.

    Attributes:
        status: What happened.
        queries: The indices of the queries concerned, ascending.
        advice: What it means and what to do, as one or two sentences.
    """

    status: Status
    queries: Rows
    advice: str


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The rows that carry weight in each prediction: query i has rows[offsets[i]:offsets[i+1]].

    Attributes:
        offsets: (m + 1,), ascending from 0.
        rows: Row indices into the dataset, nearest first, ties by index.
        distances: Distance of each to its query, in the fit's metric.
        weights: Signed weights l_i: the prediction is Σ l_i y_i.
    """

    offsets: Rows
    rows: Rows
    distances: Floats
    weights: Floats

    @property
    def leverage(self) -> Floats:
        """Σ l_i² of each query, (m,): the variance of the prediction for noise of variance 1."""
        queries = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return np.bincount(
            queries, weights=self.weights * self.weights, minlength=len(self.offsets) - 1
        ).astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class Diagnostics(PerQuery):
    """How each prediction came about; one entry a query.

    Attributes:
        support: The number of rows that carry weight.
        effective_rows: (Σw)² / Σw², how many equal weights would be worth as much.
        bandwidth: The bandwidth used, or NaN where the method has none.
        degree: The degree of the polynomial used; -1 where there was no support.
    """

    support: Rows
    effective_rows: Floats
    bandwidth: Floats
    degree: Rows


@dataclass(frozen=True, eq=False)
class Deviations(PerQuery):
    """How sure the estimates are.

    Attributes:
        estimate: Standard deviation of the estimate (the latent surface of kriging), (m, t).
        observation: Of a new observation at the query about the estimate, (m, t).
    """

    estimate: Floats
    observation: Floats


@dataclass(frozen=True, eq=False)
class Intervals(PerQuery):
    """An interval about each estimate, and how far each query is from the data.

    Attributes:
        kind: What it is meant to hold.
        level: How often.
        lower: (m, t); -∞ where nothing bounds it, NaN where there is no estimate.
        upper: (m, t).
        distance: From each query to its nearest row, in the metric of the fit, (m,).
        rank: The share of the rows that lie nearer to their nearest other row, (m,).
    """

    kind: IntervalKind
    level: float
    lower: Floats
    upper: Floats
    distance: Floats
    rank: Floats


@dataclass(frozen=True, eq=False)
class Slopes(PerQuery):
    """The slopes of the local polynomials, in data units.

    Attributes:
        slope: (m, t, d); NaN where no row carries weight, and where the rows do not tell it.
        standard_error: (m, t, d); NaN likewise.
    """

    slope: Floats
    standard_error: Floats


@dataclass(frozen=True, eq=False)
class Quantiles(PerQuery):
    """Quantiles of y at each query.

    Attributes:
        levels: Between 0 and 1.
        values: (m, levels, t); NaN where no row carries weight.
    """

    levels: tuple[float, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Noise:
    """What the residuals say of the noise.

    Attributes:
        scale: Standard deviation of the noise, of each target, (t,).
        signal_scale: That of the surface, for kriging, (t,).
        trace: The equivalent number of parameters; None for kriging.
        freedom: Degrees of freedom of the scale; None for kriging, where it is taken as known.
        rows: How many rows told it.
    """

    scale: Floats
    signal_scale: Floats | None
    trace: float | None
    freedom: float | None
    rows: int


@dataclass(frozen=True)
class SolveReport:
    """How the linear system behind a kriging fit was solved.

    Attributes:
        method: "cholesky", "low_rank" or "conjugate_gradient"; "gradient_descent" of a linear fit.
        iterations: Steps of the iteration; 0 for a direct solve.
        relative_residual: ‖(K + αI)a - y‖ / ‖y‖, computed anew from the solution; with "low_rank"
            it may be a proven upper bound of it. Of gradient descent, the largest entry of the
            gradient over that at the start.
        jitter: What was added to alpha to make the system solvable; 0 as a rule.
        loss_history: Of gradient descent, for each target the loss at each step.
    """

    method: str
    iterations: int
    relative_residual: float
    jitter: float = 0.0
    loss_history: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction(PerQuery):
    """Estimates for m queries and all that was asked about them.

    Attributes:
        mean: (m, t); NaN exactly where a query has no supporting row.
        issues: What should be known about single queries.
        neighbors: Where asked for.
        diagnostics: Where asked for.
        solve: For kriging with all rows.
        deviations: Where asked for.
        noise: Where standard deviations, or intervals from them, were asked for.
        intervals: Where asked for.
        slopes: Where asked for.
        gradient: Of the surface in data units, (m, t, d), where asked for.
        quantiles: Where asked for.
    """

    mean: Floats
    issues: tuple[Issue, ...] = ()
    neighbors: Neighbors | None = None
    diagnostics: Diagnostics | None = None
    solve: SolveReport | None = field(default=None)
    deviations: Deviations | None = None
    noise: Noise | None = None
    intervals: Intervals | None = None
    slopes: Slopes | None = None
    gradient: Floats | None = None
    quantiles: Quantiles | None = None


def issues_where(concerned: NDArray[np.bool_], status: Status, advice: str) -> tuple[Issue, ...]:
    """Return the issue for the queries where `concerned` is true, or nothing."""
    queries = np.flatnonzero(concerned).astype(np.int64)
    return (Issue(status, queries, advice),) if queries.size else ()


def statuses_by_query(issues: Sequence[Issue], m: int) -> tuple[tuple[str, ...], Rows]:
    """Return the different lists of statuses of m queries, and which of them each query has, (m,).

    A list is a text with a space between two statuses, empty where all is well.

    Cost: O(m log m), for sorting.
    """
    statuses = list(dict.fromkeys(issue.status for issue in issues))
    flags = np.zeros(m, dtype=np.int64)
    for issue in issues:
        flags[issue.queries] |= 1 << statuses.index(issue.status)
    found, places = np.unique(flags, return_inverse=True)
    texts = (
        " ".join(status for bit, status in enumerate(statuses) if flag >> bit & 1)
        for flag in found.tolist()
    )
    return tuple(texts), places.reshape(-1).astype(np.int64, copy=False)
