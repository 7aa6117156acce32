"""Queries of which cells are missing: each is answered by the features that it has.

The fit is made to the dataset without the other features, and without the rows that have none of
the query's, in distances that count as many features as before: with D coordinates, of which the
query has D',

    d² = D / D' · Σ_j (x_ij - q_j)²     over the coordinates j of the query

So errors and intervals are those of predictions without these features. The queries that miss the
same cells are a task of their own, and those that miss none are computed as if they were alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.prediction import (
    Neighbors,
    PerQuery,
    Prediction,
    Status,
    issues_where,
)
from service.domain.runs import concatenated, reordered
from service.engine.plan import Plan
from service.engine.task import issue_rank
from service.engine.workers.base import Task
from service.estimators.fits import (
    Fit,
    Linear,
    Metric,
    has_row_bandwidths,
    is_matrix,
    metric_scale,
)
from service.estimators.metric import matrix_metric, scale_metric
from service.estimators.reach import check_entries

P = TypeVar("P", bound=PerQuery)

SKIPPED: Final = (
    "Cells of these queries are missing, so they were predicted from the features that they have, "
    "by the same fit to these features of the rows, with d² times all features over those present: "
    "send the missing cells for an answer that rests on them too."
)
EMPTY: Final = (
    "All cells of these queries are missing, so that no row is nearer than another: send at least "
    "one of their cells."
)
LONELY: Final = (
    "Cells of these queries are missing, and fewer than two rows have a cell that they have: send "
    "more of their cells."
)
LEAST_ROWS: Final = 2


class Part(NamedTuple):
    """The queries that miss the same cells.

    Attributes:
        queries: Which of the task's, ascending.
        task: What is asked at them; of the dataset's features, those that they have.
        features: Which features these are, (d,).
        rows: Which rows of the dataset the task's are, ascending.
    """

    queries: Rows
    task: Task
    features: NDArray[np.bool_]
    rows: Rows


def has_missing(q: Floats) -> bool:
    """Return whether a cell of the queries (m, d) is missing."""
    return bool(np.isnan(np.min(q)))


def check_no_gaps(dataset: Dataset, what: str, pointer: str) -> None:
    """Refuse what needs every cell of the rows.

    Raises:
        InvalidInput: Some are missing.
    """
    if dataset.has_gaps:
        raise InvalidInput.at(
            pointer,
            f"The dataset has rows with missing cells, and {what} of distances that skip cells "
            "are not known: leave it out, or send a dataset without these rows or cells.",
        )


def check_no_missing(q: Floats, name: str) -> None:
    """Refuse points of which cells are missing.

    Raises:
        InvalidInput: One is.
    """
    missing = np.argwhere(np.isnan(q))
    if missing.size:
        i, j = (int(place) for place in missing[0])
        raise InvalidInput.at(
            f"/{name}/{i}/{j}",
            f"The value in row {i}, column {j} is missing, and a path needs all of its "
            "coordinates: fill in a number.",
        )


def parts_of(task: Task, plan: Callable[[Fit, Dataset, int], Plan]) -> list[Part]:
    """Return the parts of a task whose queries miss cells, those that miss none first.

    Queries that fewer than two rows have a cell in common with are in no part; where they are
    alone, another one stands in for them.

    Args:
        task: With NaN for the missing cells.
        plan: Plans a fit to a dataset at so many queries.
    """
    dataset, has = task.dataset, ~np.isnan(task.q)
    patterns, kinds = np.unique(has, axis=0, return_inverse=True)
    every = np.arange(dataset.n_rows)
    parts = []
    for kind in np.argsort(-patterns.sum(axis=1), kind="stable"):
        seen, queries = patterns[kind], np.flatnonzero(kinds.reshape(-1) == kind)
        features, q = _features(dataset, seen), np.ascontiguousarray(task.q[queries][:, seen])
        if seen.all():
            parts.append(Part(queries, replace(task, q=q), features, every))
            continue
        rows = _rows_with(dataset, seen)
        beside = 2 if has_row_bandwidths(task.fit) else 0  # rows that are no neighbours of a row
        if len(rows) >= LEAST_ROWS + beside:
            narrow = _narrowed(dataset, seen, rows)
            fit = fit_without_columns(task.fit, dataset, seen)
            if fit.n_neighbors is not None and not isinstance(fit, Linear):
                fit = replace(fit, n_neighbors=min(fit.n_neighbors, len(rows) - beside))
            narrower = Task(narrow, fit, q, plan(fit, narrow, len(q)), task.wanted)
            parts.append(Part(queries, narrower, features, rows))
    if not parts:
        stand_in = np.fmin.reduce(dataset.x, axis=0)[None].copy()
        everywhere = np.ones(dataset.n_features, dtype=np.bool_)
        nobody = np.empty(0, dtype=np.int64)
        parts.append(Part(nobody, replace(task, q=stand_in), everywhere, every))
    return parts


def joined(task: Task, parts: Sequence[Part], found: Sequence[Prediction]) -> Prediction:
    """Return the prediction of a task from those of its parts.

    What is no entry a query, such as the noise, is that of the first part.

    Raises:
        InvalidInput: More neighbours are listed than may be.
    """
    told = [_of_all(one, part) for one, part in zip(found, parts, strict=True)]
    is_missing = np.isnan(task.q)
    is_open = np.ones(len(task.q), dtype=np.bool_)
    for part in parts:
        is_open[part.queries] = False
    blank = _blank(told[0], int(is_open.sum()))
    if not parts[0].queries.size:
        told = []
    places = np.concatenate([*(part.queries for part in parts), np.flatnonzero(is_open)])
    prediction = reordered(concatenated([*told, blank]), places)
    if prediction.neighbors is not None and task.wanted.neighbor_limit is not None:
        check_entries(len(prediction.neighbors.rows), task.wanted.neighbor_limit)
    is_empty: NDArray[np.bool_] = np.asarray(is_missing.all(axis=1))
    is_partial: NDArray[np.bool_] = np.asarray(is_missing.any(axis=1)) & ~is_open
    issues = (
        *prediction.issues,
        *issues_where(is_empty, Status.MISSING_CELLS, EMPTY),
        *issues_where(is_open & ~is_empty, Status.MISSING_CELLS, LONELY),
        *issues_where(is_partial, Status.MISSING_CELLS, SKIPPED),
    )
    return replace(prediction, issues=tuple(sorted(issues, key=issue_rank)))


def _rows_with(dataset: Dataset, seen: NDArray[np.bool_]) -> Rows:
    """Return the rows that have a cell in these columns, and count."""
    has_any = ~np.isnan(dataset.x[:, seen]).all(axis=1)
    if dataset.row_weights is not None:
        has_any &= dataset.row_weights > 0
    return np.flatnonzero(has_any)


def _narrowed(dataset: Dataset, seen: NDArray[np.bool_], rows: Rows) -> Dataset:
    """Return the dataset with some columns of x, (D,), and some rows; it is kept nowhere."""
    features = _features(dataset, seen)
    encoding = dataset.encoding
    if encoding is not None:
        kept = (c for c, is_kept in zip(encoding.categories, features, strict=True) if is_kept)
        encoding = replace(encoding, categories=tuple(kept))
    return replace(
        dataset,
        x=np.ascontiguousarray(dataset.x[rows][:, seen]),
        y=dataset.y[rows],
        row_weights=None if dataset.row_weights is None else dataset.row_weights[rows],
        indexed_rows=len(rows),
        feature_names=tuple(np.array(dataset.feature_names, dtype=object)[features].tolist()),
        id="",
        digest=f"{dataset.digest}/{np.flatnonzero(seen).tolist()}",
        encoding=encoding,
    )


def fit_without_columns(fit: Fit, dataset: Dataset, seen: NDArray[np.bool_]) -> Fit:
    """Return the fit with a metric for some columns of x, whose distances count as many as all.

    That of a matrix A is one of as many columns, R of the QR factors of those of A: the distances
    are the same, and the rows vary in every direction.
    """
    wider = float(np.sqrt(len(seen) / np.count_nonzero(seen)))
    metric: Metric
    if is_matrix(fit.metric):
        narrow = np.array(fit.metric, dtype=np.float64)[:, seen]
        metric = matrix_metric(np.linalg.qr(wider * narrow).R)
    else:
        encoding = dataset.encoding
        scale = metric_scale(fit.metric, dataset.x, None if encoding is None else encoding.features)
        per_column = np.ones(len(seen)) if scale is None else scale
        first = slice(None) if encoding is None else encoding.starts
        kept = per_column[first][_features(dataset, seen)]
        metric = scale_metric(kept / wider)
    return replace(fit, metric=metric)


def _features(dataset: Dataset, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which features the columns of x are of, (d,)."""
    return seen if dataset.encoding is None else seen[dataset.encoding.starts]


def _of_all(prediction: Prediction, part: Part) -> Prediction:
    """Return a part's prediction by the rows and the features of the dataset.

    What is said of the features that it does not know is NaN.
    """
    neighbors, slopes, gradient = prediction.neighbors, prediction.slopes, prediction.gradient
    if neighbors is not None:
        neighbors = replace(neighbors, rows=part.rows[neighbors.rows])

    def wide(values: Floats) -> Floats:
        found = np.full((*values.shape[:-1], len(part.features)), np.nan)
        found[..., part.features] = values
        return found

    if slopes is not None:
        slopes = replace(
            slopes, slope=wide(slopes.slope), standard_error=wide(slopes.standard_error)
        )
    if gradient is not None:
        gradient = wide(gradient)
    return replace(prediction, neighbors=neighbors, slopes=slopes, gradient=gradient)


def _blank(prediction: Prediction, m: int) -> Prediction:
    """Return what is predicted in the same words of m queries of which nothing is known."""
    neighbors = None
    if prediction.neighbors is not None:
        nothing, none = np.empty(0, dtype=np.int64), np.empty(0)
        neighbors = Neighbors(np.zeros(m + 1, dtype=np.int64), nothing, none, none)
    return replace(_unknown(prediction, m), issues=(), neighbors=neighbors)


def _unknown(part: P, m: int) -> P:
    """Return the same with m entries, none of which says anything."""
    entries = dict(vars(part))
    for name, value in entries.items():
        if isinstance(value, np.ndarray):
            unknown = np.nan if value.dtype == np.float64 else -1 if name == "degree" else 0
            entries[name] = np.full((m, *value.shape[1:]), unknown, dtype=value.dtype)
        elif isinstance(value, PerQuery):
            entries[name] = _unknown(value, m)
    return type(part)(**entries)
