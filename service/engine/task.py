"""One prediction as a unit of work, the same wherever it runs.

Over 300 lines: what is prepared, solved and computed for each method, in the order of a task.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from service.backends.base import Backend, Resident, Search
from service.domain.arrays import Floats, column_extremes
from service.domain.categories import Encoding
from service.domain.dataset import LARGEST_VALUE, Dataset
from service.domain.errors import InvalidInput
from service.domain.prediction import (
    Issue,
    Prediction,
    Slopes,
    Status,
    Wanted,
    issues_where,
)
from service.domain.runs import concatenated
from service.engine.calibration import Calibration, Solution
from service.engine.extras import extend_with
from service.engine.plan import Plan
from service.engine.prepared import Prepared
from service.engine.workers.base import Task
from service.estimators import (
    kriging,
    linear,
    local_polynomial,
    nadaraya_watson,
    neighbors,
    robust,
)
from service.estimators.blocks import Blocks
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    Metric,
    NadarayaWatson,
    as_polynomial,
    has_row_bandwidths,
    is_robust,
    rows_listed,
)
from service.estimators.kriging_system import Solver
from service.estimators.linear import LinearModel
from service.estimators.metric import MetricMap, check_apart, metric_map
from service.estimators.reach import LEAST_BANDWIDTH, check_entries
from service.estimators.row_bandwidths import Spreading, spread_of

LARGEST_BANDWIDTH = 1e20
"""In ranges of the data. There, all weights are equal to rounding; beyond, z⁴ would underflow."""

MANY_TARGETS = (
    "include has neighbors, and in a robust fit of several targets the rows have other weights for "
    "each of them, where an answer has one list a query: send a dataset of one target, or robust 0."
)

OUTSIDE = (
    "These queries lie outside the range of the data in at least one feature: the answers are "
    "extrapolations and can be far off."
)


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """A dataset version in the metric of a fit, resident on a backend.

    Attributes:
        resident: The rows, ready for reductions.
        mapped: How points come into the metric.
        low: Smallest value of each feature, in data units, (d,).
        high: Largest value of each feature, in data units, (d,).
        extent: The widest range of a feature, in the metric.
    """

    resident: Resident
    mapped: MetricMap
    low: Floats
    high: Floats
    extent: float

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the dataset's own arrays."""
        return self.resident.nbytes + (0 if self.mapped.is_identity else self.resident.x.nbytes)


class RowsPart(NamedTuple):
    """The prepared rows that fits share, as a part of a dataset."""

    backend: str
    metric: Metric
    search: Search


class SolutionPart(NamedTuple):
    """What is solved for once a fit, as a part of a dataset.

    It is the system of kriging, the plane of linear regression, or the row weights of a robust fit.
    """

    backend: str
    fit: Fit
    search: Search
    solver: Solver | None


class SpreadPart(NamedTuple):
    """How far the rows reach, each to its k-th nearest other row, as a part of a dataset."""

    backend: str
    metric: Metric
    search: Search
    n_neighbors: int


def run_task(task: Task, backend: Backend, cache: Prepared, blocks: Blocks) -> Prediction:
    """Return the prediction that the task asks for.

    Args:
        task: What to predict.
        backend: Where the reductions run.
        cache: Keeps the rows and coefficients of earlier tasks.
        blocks: Cuts the work, and ends it when its time is over.

    Raises:
        DeadlineExceeded: The time of the task is over.
        InvalidInput: The fit cannot be made on these rows.
    """
    blocks.check()
    rows = prepared_rows(
        task.dataset, task.fit.metric, task.plan.search, backend, cache, blocks.check
    )
    q = _in_metric(task.q, rows.mapped)
    fit = _bounded_bandwidth(task.fit, rows)
    calibrations = _calibrations(task, fit, rows.resident, cache, backend, blocks)
    if task.wanted.neighbor_limit is not None and len(calibrations) > 1:
        raise InvalidInput.at("/include", MANY_TARGETS)
    predictors = [
        _within_limit(task, _predictor(task, fit, each.fitted, each.solution, blocks))
        for each in calibrations
    ]
    if task.wanted.has_extras:
        predictors = [
            _extended(predict, task.wanted, each, rows.mapped, blocks)
            for predict, each in zip(predictors, calibrations, strict=True)
        ]

    def predict(part: slice) -> Prediction:
        return robust.of_targets([each(q[part]) for each in predictors])

    plan = task.plan
    parts = blocks(predict, len(q), plan.block_size, plan.first_block)
    prediction = _by_feature(concatenated(parts), task.dataset.encoding)
    issues = prediction.issues
    outside = (task.q < rows.low) | (task.q > rows.high)
    if outside.any():
        queries = np.any(outside, axis=1)
        for issue in issues:
            # Nothing was extrapolated where there is no answer, and once is enough to say so.
            if issue.status in (Status.NO_SUPPORT, Status.EXTRAPOLATED):
                queries[issue.queries] = False
        issues += issues_where(queries, Status.EXTRAPOLATED, OUTSIDE)
    if not issues:
        return prediction
    # In an order that does not depend on the blocks, nor on the queries that came with them.
    return replace(prediction, issues=tuple(sorted(issues, key=issue_rank)))


def _by_feature(prediction: Prediction, encoding: Encoding | None) -> Prediction:
    """Return derivatives by the features as they are sent: NaN by categories, which have none."""
    if encoding is None:
        return prediction
    slopes, gradient = prediction.slopes, prediction.gradient
    return replace(
        prediction,
        slopes=None
        if slopes is None
        else Slopes(
            encoding.of_features(slopes.slope), encoding.of_features(slopes.standard_error)
        ),
        gradient=None if gradient is None else encoding.of_features(gradient),
    )


def calibrations_of(
    task: Task, backend: Backend, cache: Prepared, blocks: Blocks
) -> tuple[Calibration, ...]:
    """Return what the rows say of the errors of the task's fit; arguments as for `run_task`.

    Of a robust fit one for each target, of any other one for all.
    """
    rows = prepared_rows(
        task.dataset, task.fit.metric, task.plan.search, backend, cache, blocks.check
    )
    fit = _bounded_bandwidth(task.fit, rows)
    return _calibrations(task, fit, rows.resident, cache, backend, blocks)


def _calibrations(
    task: Task, fit: Fit, resident: Resident, cache: Prepared, backend: Backend, blocks: Blocks
) -> tuple[Calibration, ...]:
    """Return the rows with what is solved for once a fit; of a robust fit for each target."""
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and has_row_bandwidths(fit):
        k = fit.n_neighbors or 0
        part = SpreadPart(backend.name, fit.metric, task.plan.search, k)
        spread = cache.get(task.dataset, part, lambda: spread_of(resident, k, blocks), blocks.check)
        rows: Resident = Spreading(resident, spread)
    else:
        rows = resident
    solution = _solution(task, fit, rows, cache, backend, blocks)
    targets = rows.y.shape[1] if is_robust(fit) else 1
    return tuple(
        Calibration(task.dataset, fit, rows, solution, task.plan, backend, cache, blocks, target)
        for target in range(targets)
    )


def issue_rank(issue: Issue) -> tuple[int, str]:
    """Return what issues are sorted by."""
    return list(Status).index(issue.status), issue.advice


def prepared_rows(
    dataset: Dataset,
    metric: Metric,
    search: Search,
    backend: Backend,
    cache: Prepared,
    check: Callable[[], None],
) -> PreparedRows:
    """Return the rows of the dataset in the metric, from the cache or made now."""
    part = RowsPart(backend.name, metric, search)
    return cache.get(dataset, part, lambda: _prepare_rows(dataset, part, backend, cache), check)


def _in_metric(points: Floats, mapped: MetricMap) -> Floats:
    """Return the points in the metric.

    Raises:
        InvalidInput: They become so large that their squares are no 64-bit numbers.
    """
    if mapped.is_identity:
        return points
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        inside = mapped.of(points)
    largest = np.fmax.reduce(np.abs(inside), axis=0, initial=0.0)
    if not (largest <= LARGEST_VALUE).all():
        j = int(np.argmax(~(largest <= LARGEST_VALUE)))
        what = f"Feature {j} of the mapped points"
        remedy = "a matrix of smaller numbers"
        if mapped.scale is not None:
            what = f"Feature {j} over its scale, {mapped.scale[j]:g},"
            remedy = "a larger scale"
        raise InvalidInput.at(
            "/fit/metric",
            f"{what} reaches {largest[j]:g}, and at most {LARGEST_VALUE:g} can be computed with: "
            f"send {remedy}.",
        )
    return inside


def _bounded_bandwidth(fit: Fit, rows: PreparedRows) -> Fit:
    """Return the fit with its bandwidth cut to `LARGEST_BANDWIDTH` ranges of the data."""
    if (
        isinstance(fit, NadarayaWatson | LocalPolynomial)
        and fit.bandwidth is not None
        and rows.extent > 0
    ):
        largest = max(LARGEST_BANDWIDTH * rows.extent, LEAST_BANDWIDTH)
        if fit.bandwidth > largest:
            return replace(fit, bandwidth=largest)
    return fit


def _within_limit(
    task: Task, predict: Callable[[Floats], Prediction]
) -> Callable[[Floats], Prediction]:
    """Return `predict`, refusing as soon as the blocks list more neighbours than the limit.

    Raises:
        InvalidInput: That is known ahead.
    """
    limit = task.wanted.neighbor_limit
    if limit is None:
        return predict
    check_entries(rows_listed(task.fit, len(task.q), task.dataset.n_rows) or 0, limit)
    listed = 0

    def counted(q: Floats) -> Prediction:
        nonlocal listed
        prediction = predict(q)
        if prediction.neighbors is not None:
            listed += len(prediction.neighbors.rows)
        check_entries(listed, limit)
        return prediction

    return counted


def solution_part(fit: Fit, plan: Plan, backend: Backend) -> SolutionPart:
    """Return the part that holds what is solved for once a fit."""
    return SolutionPart(backend.name, fit, plan.search, plan.solver)


def _prepare_rows(
    dataset: Dataset, part: RowsPart, backend: Backend, cache: Prepared
) -> PreparedRows:
    mapped = metric_map(part.metric, dataset.x, dataset.features)
    x = _in_metric(dataset.x, mapped)
    low, high = column_extremes(dataset.x)
    width = high - low
    if not mapped.is_identity:
        lowest, highest = column_extremes(x)
        check_apart(width, highest - lowest)
        width = highest - lowest
    indexed_rows: int | None = dataset.indexed_rows
    base = cache.earlier(dataset, part)
    if part.metric == "standardized":
        indexed_rows = base = None  # appended rows change the scale of all
    resident = backend.load(
        x,
        dataset.y,
        part.search,
        indexed_rows=indexed_rows,
        base=base.resident if isinstance(base, PreparedRows) else None,
        n_sloped=dataset.n_sloped,
        row_weights=dataset.row_weights,
    )
    return PreparedRows(resident, mapped, low, high, float(np.max(width)))


def _solution(
    task: Task, fit: Fit, rows: Resident, cache: Prepared, backend: Backend, blocks: Blocks
) -> Solution:
    """Return what is solved for once a fit, from the cache or made now."""
    part = solution_part(fit, task.plan, backend)
    match fit:
        case Kriging():
            return cache.get(
                task.dataset,
                part,
                lambda: kriging.prepare(rows, fit, task.plan.solver, blocks),
                blocks.check,
            )
        case Linear():
            return cache.get(
                task.dataset, part, lambda: linear.prepare(rows, fit, blocks), blocks.check
            )
        case NadarayaWatson() | LocalPolynomial() if fit.robust:
            return cache.get(
                task.dataset,
                part,
                lambda: robust.robustness_weights(rows, as_polynomial(fit), fit.robust, blocks),
                blocks.check,
            )
        case _:
            return None


def _predictor(
    task: Task, fit: Fit, rows: Resident, solution: Solution, blocks: Blocks
) -> Callable[[Floats], Prediction]:
    """Return the function that predicts for a block of queries, with all preparation done."""
    limit, diagnostics = task.wanted.neighbor_limit, task.wanted.diagnostics
    match fit:
        case Linear():
            if not isinstance(solution, LinearModel):
                raise TypeError("linear regression has a plane")
            return lambda q: linear.predict(
                rows, fit, solution, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case Knn():
            return lambda q: neighbors.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case NadarayaWatson():
            return lambda q: nadaraya_watson.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case LocalPolynomial():
            return lambda q: local_polynomial.predict(
                rows, fit, q, neighbor_limit=limit, diagnostics=diagnostics
            )
        case Kriging():
            if not isinstance(solution, kriging.Coefficients):
                raise TypeError("kriging has a solution")
            return lambda q: kriging.predict(
                rows,
                fit,
                solution,
                q,
                neighbor_limit=limit,
                diagnostics=diagnostics,
                blocks=blocks.inside(),
            )


def _extended(
    predict: Callable[[Floats], Prediction],
    wanted: Wanted,
    calibration: Calibration,
    mapped: MetricMap,
    blocks: Blocks,
) -> Callable[[Floats], Prediction]:
    """Return `predict`, adding what is wanted beyond neighbours and diagnostics."""
    extend = extend_with(wanted, calibration, mapped, blocks.inside())
    return lambda q: extend(q, predict(q))
