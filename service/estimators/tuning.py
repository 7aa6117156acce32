"""The search for the fit with the least leave-one-out error, within a time.

1. Every method on a coarse logarithmic grid, in the standardized metric, judged by few rows.
2. The best of each method, judged by all that judge: the first answer to rely on.
3. The metric that the slopes of the best local line suggest, a scale a feature or a full matrix,
   see `metric`; then that of the slopes in it.
4. The metric of local kriging, round by round, see `kriging_metric`: a scale a feature, for each
   covariance, then the full matrix.
5. In the best metric, the number of neighbours, the noise and the ridge of each method, by golden
   section. A plane has none of them, and is the same in every metric.

What does not lower the error is dropped: the best is the best of all that were judged. Rounds of
step 4 start with few rows, while the metric is far off, and end with many.

Over 300 lines: the steps of one search, in their order.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks
from service.estimators.fit_grid import KRIGING_NEIGHBORS, LENGTH_SCALES, grid
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    Metric,
    needs_all_cells,
)
from service.estimators.golden_section import golden_section
from service.estimators.judging import (
    MANY_ROWS,
    Judge,
    Score,
    best_of,
    best_of_each_method,
    error_of,
)
from service.estimators.kriging_metric import KrigingMetric, descend
from service.estimators.metric import (
    average_outer_product,
    by_feature,
    matrix_metric,
    metric_map,
    relevant_matrix,
    relevant_scale,
    scale_metric,
)

__all__ = ["Score", "best_of", "search"]

FIRST_ROUNDS, KIND_ROUNDS, LAST_ROUNDS = (400, 400, 400, 800, 800), (800, 800), (2000, 4000)
FULL_ROUNDS = (1000, 1000, 2000, 2000, 4000)
"""Rows of the rounds of a descent."""

SLOPES_SHARE = 0.1
"""Of the time left, for the metric of the slopes."""

FULL_FEATURES = 32
ROWS_AN_ENTRY = 20
"""A full matrix has d² entries, and is tried up to so many features, on so many rows for each."""

MOST_KRIGING_NEIGHBORS = 100
"""A prediction costs their cube."""

MOST_NEIGHBORS = 500

Parameter: TypeAlias = Literal["n_neighbors", "alpha", "ridge"]


def search(
    x: Floats,
    y: Floats,
    load: Callable[[Floats], Resident],
    blocks: Blocks,
    *,
    methods: frozenset[type[Fit]] | None = None,
    groups: Rows | None = None,
    of_classes: bool = False,
    row_weights: Floats | None = None,
    seconds: float,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
    features: Rows | None = None,
) -> Iterator[Score]:
    """Yield scores as they are found; the best so far is `best_of` those yielded.

    Args:
        x: Rows, (n, d), n ≥ 3, in data units.
        y: Targets, (n, t).
        load: Makes the rows resident in a metric, with their targets.
        blocks: Runs pieces of the work.
        methods: Those to try; None for all. The metric is learned by local lines and by kriging:
            without both it stays the standardized one.
        groups: The group of each row, (n,), from 0, if a row's whole group is left out with it, as
            where rows of one place or time are alike; two groups at least.
        of_classes: Whether the targets are the indicators of classes, and scores say how well those
            are told; what is minimised stays the error.
        row_weights: What each row counts, (n,), as `load` has it; None where all count 1.
        seconds: After them, no candidate is begun.
        seed: Of the choice of rows: the same choice where time does not cut the search.
        clock: Tells the time in seconds.
        features: The feature of each column of x, (D,), where some are categories: all columns of a
            feature have the same scale, and there is no full matrix.

    Raises:
        DeadlineExceeded: The time of the blocks is over.
    """
    judge = Judge(
        x,
        y,
        load,
        blocks,
        groups=groups,
        of_classes=of_classes,
        row_weights=row_weights,
        seconds=seconds,
        seed=seed,
        clock=clock,
        features=features,
    )
    yield from _try_grid(judge, methods)
    yield from _follow_slopes(judge)
    yield from _learn_metric(judge, np.random.default_rng(seed))
    yield from _refine(judge)


def _try_grid(judge: Judge, methods: frozenset[type[Fit]] | None) -> Iterator[Score]:
    """Yield the scores of the grid by few rows, then those of the best of each method by all."""
    few: list[Score] = []
    has_gaps = np.isnan(np.min(judge.x))
    columns = judge.x.shape[1]
    d = columns if judge.features is None else int(judge.features.max()) + 1
    sloped = judge.resident("standardized").n_sloped
    for fit in grid(judge.most_neighbors, d, sloped=sloped, columns=columns):
        if methods is not None and type(fit) not in methods:
            continue
        if has_gaps and needs_all_cells(fit):
            continue
        if few and judge.is_over():
            break
        few.append(judge.score(fit, "grid", judge.few))
        yield few[-1]
    if len(judge.few) < len(judge.judges):
        for score in best_of_each_method(few):
            if not judge.is_over():
                yield judge.score(score.fit, "grid")


def _follow_slopes(judge: Judge) -> Iterator[Score]:
    """Judge the metrics of the average outer product of the best line's slopes, twice."""
    if np.isnan(np.min(judge.x)):
        return  # slopes of rows with missing cells are not known
    line, unit = judge.best(LocalPolynomial), by_feature(_deviations(judge), judge.features)
    until = judge.share_of_rest(SLOPES_SHARE)
    for _ in range(2):
        if line is None or judge.is_over(until):
            return
        outer = average_outer_product(
            judge.resident(line.fit.metric),
            line.fit,
            np.sort(judge.learners[:MANY_ROWS]),
            metric_map(line.fit.metric, judge.x, judge.features),
            judge.deviation,
            judge.blocks,
            judge.features,
        )
        metric = scale_metric(relevant_scale(outer, unit))
        score = judge.score(replace(line.fit, metric=metric), "slopes")
        yield score
        if _has_rows_for_matrix(judge):
            full = matrix_metric(relevant_matrix(outer, unit))
            by_matrix = judge.score(replace(line.fit, metric=full), "slopes")
            yield by_matrix
            if by_matrix.error < score.error:
                score, metric = by_matrix, full
        for known in best_of_each_method(judge.scores):
            if isinstance(known.fit, Kriging):
                for length_scale in LENGTH_SCALES:
                    fit = replace(known.fit, metric=metric, length_scale=length_scale)
                    yield judge.score(fit, "slopes")
            elif not isinstance(known.fit, LocalPolynomial | Linear):
                yield judge.score(replace(known.fit, metric=metric), "slopes")
        line = score if score.error < line.error else None


def _learn_metric(judge: Judge, rng: np.random.Generator) -> Iterator[Score]:
    """Descend the loss of local kriging: scales for each covariance, then a full matrix."""
    best = judge.best(Kriging)
    if best is None or not isinstance(best.fit, Kriging):
        return
    fit, unit = best.fit, _deviations(judge)
    matrix = metric_map(fit.metric, judge.x, judge.features).of(np.diag(unit)).T / fit.length_scale
    first = KrigingMetric(fit.kernel, matrix, fit.alpha)
    found = [(best.error, first)]
    yield from _descend(judge, rng, found, fit.kernel, FIRST_ROUNDS, 0.15)
    for kind in Covariance:
        if kind is not fit.kernel:
            yield from _descend(judge, rng, found, kind, KIND_ROUNDS, 0.08)
    kind = min(found, key=_first)[1].kind
    yield from _descend(judge, rng, found, kind, LAST_ROUNDS, 0.3)
    if _has_rows_for_matrix(judge):
        kind = min(found, key=_first)[1].kind
        yield from _descend(judge, rng, found, kind, FULL_ROUNDS, 0.7, full=True)


def _descend(
    judge: Judge,
    rng: np.random.Generator,
    found: list[tuple[float, KrigingMetric]],
    kind: Covariance,
    sizes: tuple[int, ...],
    share: float,
    *,
    full: bool = False,
) -> Iterator[Score]:
    """Yield the score of rounds of these sizes, and add their errors and metrics to `found`.

    They take at most this share of the time left.

    The first one starts at the best metric so far, the others at the one before.
    """
    k = min(KRIGING_NEIGHBORS, judge.most_neighbors)
    unit = _deviations(judge)
    standard = judge.x / unit
    state = replace(min(found, key=_first)[1], kind=kind)
    until, seconds_a_row = judge.share_of_rest(share), 0.0
    for size in sizes:
        rows = min(size, len(judge.learners))
        if judge.is_over(until, seconds_a_row * rows):
            return
        start_s = judge.elapsed_s
        at = np.sort(rng.choice(judge.learners, rows, replace=False))
        state = descend(
            standard,
            judge.y,
            state,
            at,
            k,
            full=full,
            groups=judge.groups,
            load=judge.load,
            blocks=judge.blocks,
            features=judge.features,
        )
        metric: Metric
        if state.is_diagonal:
            metric = scale_metric(by_feature(unit / np.diag(state.matrix), judge.features))
        else:
            metric = matrix_metric(state.matrix / unit)
        fit = Kriging(kind, 1.0, state.alpha, k, metric, "constant")
        score = judge.score(fit, "metric")
        yield score
        found.append((score.error, state))
        seconds_a_row = (judge.elapsed_s - start_s) / rows


def _refine(judge: Judge) -> Iterator[Score]:
    """Search along one parameter after the other, the best methods first."""
    d, left = judge.resident("standardized").n_sloped, judge.most_neighbors
    best = judge.best(Kriging)
    if best is not None:
        most = min(MOST_KRIGING_NEIGHBORS, left)
        yield from _along(judge, "n_neighbors", best.fit, min(10, most), most, evaluations=6)
    best = judge.best(Kriging)
    if best is not None and isinstance(best.fit, Kriging):
        alpha = best.fit.alpha
        yield from _along(judge, "alpha", best.fit, alpha / 10.0, alpha * 10.0, evaluations=6)
    best = min(judge.scores, key=error_of, default=None)
    most = min(MOST_NEIGHBORS, left)
    for known in best_of_each_method(judge.scores):
        if best is None or isinstance(known.fit, Kriging | Linear):
            continue
        fit = replace(known.fit, metric=best.fit.metric)
        low = 1 if isinstance(fit, Knn) else min(most, d + 2)
        yield from _along(judge, "n_neighbors", fit, low, most, evaluations=7)
        line = judge.best(type(fit))
        if line is not None and isinstance(line.fit, LocalPolynomial):
            yield from _along(judge, "ridge", line.fit, 1e-4, 1.0, evaluations=6)


def _along(
    judge: Judge, name: Parameter, fit: Fit, low: float, high: float, *, evaluations: int
) -> Iterator[Score]:
    """Yield the scores of a golden section along one parameter, on a logarithmic scale."""
    errors: dict[Fit, float] = {}
    points = golden_section(low, high, evaluations)
    value, seconds = next(points), 0.0
    while True:
        candidate = _with(fit, name, value)
        if candidate not in errors:
            if judge.is_over(needed_s=seconds):
                return
            start_s = judge.elapsed_s
            score = judge.score(candidate, "refinement")
            yield score
            errors[candidate], seconds = score.error, judge.elapsed_s - start_s
        try:
            value = points.send(errors[candidate])
        except StopIteration:
            return


def _with(fit: Fit, name: Parameter, value: float) -> Fit:
    if name == "n_neighbors" and not isinstance(fit, Linear):
        return replace(fit, n_neighbors=int(np.rint(value)))
    if name == "alpha" and isinstance(fit, Kriging):
        return replace(fit, alpha=value)
    if name == "ridge" and isinstance(fit, LocalPolynomial):
        return replace(fit, ridge=value)
    raise TypeError(f"{fit} has no {name}")


def _deviations(judge: Judge) -> Floats:
    """Return what the standardized metric divides the columns by, (D,)."""
    scale = metric_map("standardized", judge.x, judge.features).scale
    if scale is None:
        raise TypeError("the standardized metric has a scale a feature")
    return scale


def _has_rows_for_matrix(judge: Judge) -> bool:
    n, d = judge.x.shape
    return bool(judge.features is None and 1 < d <= FULL_FEATURES and n >= ROWS_AN_ENTRY * d * d)


def _first(pair: tuple[float, KrigingMetric]) -> float:
    return pair[0]
