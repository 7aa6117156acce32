"""What a prediction is answered with."""

from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import Field

from service.api.schemas.base import (
    Amount,
    AnswerModel,
    Column,
    Estimates,
    Indices,
    Items,
    Tally,
    Vectors,
    Version,
)
from service.api.schemas.classes import Label, class_fields, issues_of_no_class
from service.api.schemas.extras import (
    IntervalItem,
    NoiseItem,
    QuantilesItem,
    extras_of,
    of_targets,
)
from service.api.schemas.fits import ResolvedFit, fit_from_domain
from service.domain.labels import Class
from service.domain.prediction import (
    Diagnostics,
    Issue,
    Neighbors,
    SolveReport,
    Status,
)
from service.engine.commands import Answer, ChosenBy


class IssueItem(AnswerModel):
    """What should be known about some of the estimates."""

    status: Status = Field(
        description="`no_support`: no row carries weight, so the estimate is null. `degenerate`: "
        "the rows in reach do not determine the fit, and a remedy was taken. `extrapolated`: the "
        "query lies outside the data. `not_converged`: a system was solved to less than 1e-8. "
        "`undetermined`: the rows tell nothing of a slope or of the noise. `unbounded`: too few "
        "rows for the level of an interval. `missing_cells`: the query misses features."
    )
    queries: Indices = Field(description="Positions in `queries`, from 0, ascending.")
    advice: str = Field(description="What it means for them, and what to do.")

    @classmethod
    def from_domain(cls, issue: Issue) -> "IssueItem":
        """Return the issue as it is written."""
        return cls(status=issue.status, queries=issue.queries, advice=issue.advice)


class NeighborList(AnswerModel):
    """The rows behind one estimate, nearest first."""

    rows: list[int] = Field(description="Positions in the dataset, from 0, in upload order.")
    distances: list[float] = Field(description="In the fit's metric.")
    weights: list[float] = Field(description="Signed; the estimate is the sum of weight times y.")
    leverage: Amount = Field(
        description="The sum of the squared weights: the variance of the estimate where the noise "
        "has the variance 1."
    )


def neighbor_lists(found: Neighbors) -> Items[NeighborList]:
    """Return one list a query, each made when it is written."""
    leverage = found.leverage

    def stretch(start: int, stop: int) -> list[Any]:
        offsets = found.offsets[start : stop + 1].tolist()
        return [
            {
                "rows": found.rows[low:high],
                "distances": found.distances[low:high],
                "weights": found.weights[low:high],
                "leverage": float(leverage[query]),
            }
            for query, (low, high) in enumerate(pairwise(offsets), start)
        ]

    m = len(found.offsets) - 1
    return Items(m, 3 * (len(found.rows) + m), stretch)


class PlanItem(AnswerModel):
    """How the service went about it."""

    backend: str = Field(description="Which engine computed it: `native` or `keops`.")
    search: str = Field(description="How rows are found: `tree` or `scan`.")
    solver: str | None = Field(
        description="How the system of kriging over all rows is solved; null for other fits."
    )
    precision: str = Field(description="Of the numbers computed with, such as `float64`.")
    block_size: Tally = Field(
        description="The most queries computed between two looks at the clock."
    )
    reasons: list[str] = Field(description="Why, a sentence each.")


class DiagnosticsItem(AnswerModel):
    """How each estimate came about; one number a query."""

    plan: PlanItem = Field(description="How the service went about it, and why.")
    support: Indices = Field(description="Rows that carry weight.")
    effective_rows: Column = Field(
        description="How many rows of equal weight would be worth as much; null of kriging and of "
        "gradient descent."
    )
    bandwidth: Column = Field(description="The bandwidth used; null where the method has none.")
    degree: Indices = Field(
        description="Degree of the polynomial used; -1 where no row carries weight."
    )
    ridge: Column = Field(
        description="The ridge on the slopes of that polynomial; 0 where it has none."
    )

    @classmethod
    def from_domain(cls, answer: Answer, found: Diagnostics) -> "DiagnosticsItem":
        """Return the diagnostics as they are written."""
        plan = answer.plan
        return cls(
            plan=PlanItem(
                backend=plan.backend,
                search=plan.search,
                solver=plan.solver,
                precision=plan.precision,
                block_size=plan.block_size,
                reasons=list(plan.reasons),
            ),
            support=found.support,
            effective_rows=found.effective_rows,
            bandwidth=found.bandwidth,
            degree=found.degree,
            ridge=np.where(found.degree > 0, getattr(answer.fit, "ridge", 0.0), 0.0),
        )


class SolverItem(AnswerModel):
    """How the system of all rows was solved: that of kriging, or of linear regression."""

    method: str = Field(
        description="`cholesky`, `low_rank` or `conjugate_gradient` of kriging; `gradient_descent` "
        "of linear regression."
    )
    iterations: Tally = Field(description="Steps of the solver; 0 where it has none.")
    relative_residual: Amount = Field(
        description="Of the true residual, computed anew from the solution; for `low_rank` it may "
        "be a proven bound of it from above. For `gradient_descent`, the largest entry of the "
        "gradient over that at the start."
    )
    jitter: Amount = Field(description="Added to alpha to make the system solvable; 0 as a rule.")
    loss_history: list[Column] | None = Field(
        None,
        description="Only of `gradient_descent`: for each target, the mean squared residual at "
        "each step, the first that of the mean.",
    )

    @classmethod
    def from_domain(cls, solve: SolveReport) -> "SolverItem":
        """Return the report as it is written."""
        losses = [np.array(history) for history in solve.loss_history]
        return cls(
            method=solve.method,
            iterations=solve.iterations,
            relative_residual=solve.relative_residual,
            jitter=solve.jitter,
            **({"loss_history": losses} if losses else {}),
        )


class PredictionResponse(AnswerModel):
    """Estimates at the queries, in their order."""

    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: Version
    fit: ResolvedFit = Field(description="The fit that was used, with every choice made.")
    chosen_by: ChosenBy | None = Field(
        None,
        description="Only where no fit was sent, or `auto`: `rule`, until the search for the best "
        "fit that an upload begins has compared all methods; then `search`.",
    )
    mean: Estimates | None = Field(
        None,
        description="One estimate a query, or one list of t a query for t > 1 targets, in the "
        "unit of y. null where no row carries weight. Not where the target is classes.",
    )
    probabilities: Estimates | None = Field(
        None,
        description="Only where the target is classes: one list a query, of the probability of "
        "each class, from the weights that a mean would have. Where a local line goes below 0, it "
        "is cut there and all are divided by their sum. null where no row carries weight.",
    )
    label: Items[Label] | None = Field(
        None, description="With `probabilities`: the likeliest class at each query."
    )
    classes: list[Class] | None = Field(
        None, description="With `probabilities`: the classes in their order."
    )
    target_names: list[str] = Field(description="In the order of the values of an estimate.")
    issues: list[IssueItem] = Field(description="What should be known about single estimates.")
    solver: SolverItem | None = Field(
        None,
        description="Only for kriging over all rows, and linear regression by gradient descent.",
    )
    neighbors: Items[NeighborList] | None = Field(
        None, description="One a query; only where asked for."
    )
    diagnostics: DiagnosticsItem | None = Field(None, description="Only where asked for.")
    std: Estimates | None = Field(
        None,
        description="Standard deviation of each estimate: what noise alone makes of it. For "
        "kriging, of the latent surface. null where it cannot be told.",
    )
    std_observation: Estimates | None = Field(
        None, description="Of a new observation about the estimate; with `std`."
    )
    noise: NoiseItem | None = Field(
        None, description="With `std`, `slope`, and intervals that rest on them."
    )
    interval: IntervalItem | None = Field(None, description="Only where asked for.")
    slope: Vectors | None = Field(
        None,
        description="Slope of the local model at each query, in data units: an estimate of the "
        "slope of the truth. One list of d numbers a query, or t such lists for t > 1 targets; "
        "null where the rows in reach do not vary in the feature, or only as others do.",
    )
    slope_std: Vectors | None = Field(None, description="Its standard errors; with `slope`.")
    gradient: Vectors | None = Field(
        None,
        description="The exact gradient of the fitted surface at each query, in data units; as "
        "`slope`. Only where asked for.",
    )
    quantiles: QuantilesItem | None = Field(None, description="Only where asked for.")

    @classmethod
    def from_domain(cls, answer: Answer) -> "PredictionResponse":
        """Return the answer as it is written."""
        dataset, prediction = answer.dataset, answer.prediction
        optional: dict[str, Any] = {}
        if answer.chosen_by is not None:
            optional["chosen_by"] = answer.chosen_by
        if prediction.solve is not None:
            optional["solver"] = SolverItem.from_domain(prediction.solve)
        if prediction.neighbors is not None:
            optional["neighbors"] = neighbor_lists(prediction.neighbors)
        if prediction.diagnostics is not None:
            optional["diagnostics"] = DiagnosticsItem.from_domain(answer, prediction.diagnostics)
        optional.update(extras_of(prediction))
        if dataset.classes is None:
            optional["mean"] = of_targets(prediction.mean)
        else:
            optional.update(class_fields(dataset.classes, prediction))
        return cls(
            dataset_id=dataset.id or None,
            dataset_version=dataset.version,
            fit=fit_from_domain(answer.fit),
            target_names=list(dataset.target_columns),
            issues=[IssueItem.from_domain(issue) for issue in issues_of(answer)],
            **optional,
        )


def issues_of(answer: Answer) -> tuple[Issue, ...]:
    """Return what should be known about single estimates."""
    if answer.dataset.classes is None:
        return answer.prediction.issues
    return answer.prediction.issues + issues_of_no_class(answer.prediction)
