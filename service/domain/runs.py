"""Predictions of runs of queries: cut out of a longer one, and put together to one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from service.domain.arrays import Rows
from service.domain.prediction import Issue, Neighbors, PerQuery, Prediction, Status

P = TypeVar("P", bound=PerQuery)


def run_of(part: P, run: slice) -> P:
    """Return the entries of a run of queries; what is not an entry a query stays as it is."""
    entries: dict[str, Any] = dict(vars(part))
    for name, value in entries.items():
        if isinstance(value, np.ndarray):
            entries[name] = value[run]
        elif isinstance(value, PerQuery):
            entries[name] = run_of(value, run)
    return type(part)(**entries)


def _joined(parts: Sequence[P]) -> P:
    """Return the entries of consecutive blocks of queries as one; the rest is the first's."""
    entries: dict[str, Any] = dict(vars(parts[0]))
    for name, value in entries.items():
        if isinstance(value, np.ndarray):
            entries[name] = np.concatenate([getattr(part, name) for part in parts])
        elif isinstance(value, PerQuery):
            entries[name] = _joined([getattr(part, name) for part in parts])
    return type(parts[0])(**entries)


def concatenated(parts: Sequence[Prediction]) -> Prediction:
    """Return the predictions of consecutive blocks of queries as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.concatenate([[0], np.cumsum([len(part.mean) for part in parts])])
    return replace(
        _joined(parts),
        issues=_joined_issues(parts, starts),
        neighbors=_joined_neighbors([p.neighbors for p in parts if p.neighbors is not None]),
    )


def reordered(prediction: Prediction, places: Rows) -> Prediction:
    """Return the prediction in which query i of this one stands at places[i], (m,), all once."""
    order = np.argsort(places)
    issues = (replace(issue, queries=np.sort(places[issue.queries])) for issue in prediction.issues)
    return replace(
        _taken(prediction, order),
        issues=tuple(issues),
        neighbors=None
        if prediction.neighbors is None
        else _reordered_neighbors(prediction.neighbors, order),
    )


def _taken(part: P, order: Rows) -> P:
    """Return the entries of these queries; what is not an entry a query stays as it is."""
    entries: dict[str, Any] = dict(vars(part))
    for name, value in entries.items():
        if isinstance(value, np.ndarray):
            entries[name] = value[order]
        elif isinstance(value, PerQuery):
            entries[name] = _taken(value, order)
    return type(part)(**entries)


def _reordered_neighbors(found: Neighbors, order: Rows) -> Neighbors:
    counts = np.diff(found.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    entries = np.repeat(found.offsets[:-1][order], counts) + within
    return Neighbors(offsets, found.rows[entries], found.distances[entries], found.weights[entries])


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
