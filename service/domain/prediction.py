"""What a prediction is, and what may be said about single queries in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows


class Status(StrEnum):
    """A numerical outcome that the reader of an answer should know about."""

    NO_SUPPORT = "no_support"
    DEGENERATE = "degenerate"
    EXTRAPOLATED = "extrapolated"
    NOT_CONVERGED = "not_converged"


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


@dataclass(frozen=True, eq=False)
class Diagnostics:
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


@dataclass(frozen=True)
class SolveReport:
    """How the linear system behind a kriging fit was solved.

    Attributes:
        method: "cholesky", "low_rank" or "conjugate_gradient".
        iterations: Steps of the iteration; 0 for a direct solve.
        relative_residual: ‖(K + αI)a - y‖ / ‖y‖, computed anew from the solution; with "low_rank"
            it may be a proven upper bound of it.
        jitter: What was added to alpha to make the system solvable; 0 as a rule.
    """

    method: str
    iterations: int
    relative_residual: float
    jitter: float = 0.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """Estimates for m queries and all that was asked about them.

    Attributes:
        mean: (m, t); NaN exactly where a query has no supporting row.
        issues: What should be known about single queries.
        neighbors: Where asked for.
        diagnostics: Where asked for.
        solve: For kriging with all rows.
    """

    mean: Floats
    issues: tuple[Issue, ...] = ()
    neighbors: Neighbors | None = None
    diagnostics: Diagnostics | None = None
    solve: SolveReport | None = field(default=None)


def issues_where(concerned: NDArray[np.bool_], status: Status, advice: str) -> tuple[Issue, ...]:
    """Return the issue for the queries where `concerned` is true, or nothing."""
    queries = np.flatnonzero(concerned).astype(np.int64)
    return (Issue(status, queries, advice),) if queries.size else ()


def concatenated(parts: Sequence[Prediction]) -> Prediction:
    """Return the predictions of consecutive blocks of queries as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.concatenate([[0], np.cumsum([len(part.mean) for part in parts])])
    return Prediction(
        mean=np.concatenate([part.mean for part in parts]),
        issues=_joined_issues(parts, starts),
        neighbors=_joined_neighbors([p.neighbors for p in parts if p.neighbors is not None]),
        diagnostics=_joined_diagnostics(
            [p.diagnostics for p in parts if p.diagnostics is not None]
        ),
        solve=parts[0].solve,
    )


def _joined_issues(parts: Sequence[Prediction], starts: Rows) -> tuple[Issue, ...]:
    queries: dict[tuple[Status, str], list[Rows]] = {}
    for part, start in zip(parts, starts, strict=False):
        for issue in part.issues:
            queries.setdefault((issue.status, issue.advice), []).append(issue.queries + start)
    return tuple(
        Issue(status, np.concatenate(found), advice) for (status, advice), found in queries.items()
    )


def _joined_neighbors(parts: Sequence[Neighbors]) -> Neighbors | None:
    if not parts:
        return None
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    return Neighbors(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        rows=np.concatenate([part.rows for part in parts]),
        distances=np.concatenate([part.distances for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
    )


def _joined_diagnostics(parts: Sequence[Diagnostics]) -> Diagnostics | None:
    if not parts:
        return None
    return Diagnostics(
        support=np.concatenate([part.support for part in parts]),
        effective_rows=np.concatenate([part.effective_rows for part in parts]),
        bandwidth=np.concatenate([part.bandwidth for part in parts]),
        degree=np.concatenate([part.degree for part in parts]),
    )
