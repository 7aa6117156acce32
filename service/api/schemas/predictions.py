"""Predictions, in and out."""

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import (
    AnswerModel,
    Column,
    Estimates,
    Indices,
    Items,
    Numbers,
    RequestModel,
)
from service.api.schemas.datasets import InlineDataset
from service.api.schemas.fits import FitField, ResolvedFit, fit_from_domain, fit_to_domain
from service.domain.errors import InvalidInput
from service.domain.prediction import Diagnostics, Issue, Neighbors, SolveReport, Status
from service.engine.commands import Answer, PredictCommand
from service.engine.limits import Limits


class PredictionRequest(RequestModel):
    """Query points, the rows to look at, and how."""

    dataset_id: str | None = Field(
        None, description="An uploaded dataset. Send this or `dataset`.", examples=["motorcycle"]
    )
    dataset: InlineDataset | None = Field(
        None, description="Rows for this request alone. Send this or `dataset_id`."
    )
    queries: Numbers = Field(
        description="Where to predict: m lists of d numbers, or a flat list of m numbers for one "
        "feature. Finite, in the units and the order of the dataset's features."
    )
    fit: FitField | None = Field(None, description="How to predict. Default: `auto`.")
    include: list[Literal["neighbors", "diagnostics"]] = Field(
        default_factory=list,
        description="`neighbors`: the rows behind each estimate, with distances and the signed "
        "weights that reproduce it. `diagnostics`: rows in support, bandwidth and degree of each "
        "estimate, and how it was computed.",
        examples=[["neighbors"]],
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that the prediction may take. Default and cap are in /limits.",
        examples=[10],
    )

    @model_validator(mode="after")
    def _one_dataset(self) -> "PredictionRequest":
        if (self.dataset_id is None) == (self.dataset is None):
            found = "neither dataset_id nor dataset" if self.dataset is None else "both"
            raise PydanticCustomError(
                "not_one_dataset",
                "The request has {found}; send dataset_id for an uploaded dataset, or dataset "
                "with x and y",
                {"found": found},
            )
        return self

    def to_domain(self, limits: Limits) -> PredictCommand:
        """Return what the engine is asked for."""
        if self.timeout_s is not None and self.timeout_s > limits.max_timeout_s:
            raise InvalidInput.at(
                "/timeout_s",
                f"timeout_s is {self.timeout_s:g}, and the limit is {limits.max_timeout_s:g} "
                "seconds (max_timeout_s in /limits); ask for less, or for fewer queries.",
            )
        inline = self.dataset
        return PredictCommand(
            queries=self.queries,
            dataset_id=self.dataset_id,
            dataset=None if inline is None else inline.to_domain(limits, parent="/dataset"),
            fit=fit_to_domain(self.fit),
            include=frozenset(self.include),
            timeout_s=self.timeout_s,
        )


class IssueItem(AnswerModel):
    """What should be known about some of the estimates."""

    status: Status
    queries: Indices = Field(description="Positions in `queries`, from 0, ascending.")
    advice: str

    @classmethod
    def from_domain(cls, issue: Issue) -> "IssueItem":
        """Return the issue as it is written."""
        return cls(status=issue.status, queries=issue.queries, advice=issue.advice)


class NeighborList(AnswerModel):
    """The rows behind one estimate, nearest first."""

    rows: list[int] = Field(description="Positions in the dataset, from 0, in upload order.")
    distances: list[float] = Field(description="In the fit's metric.")
    weights: list[float] = Field(description="Signed; the estimate is the sum of weight times y.")


def neighbor_lists(found: Neighbors) -> Items[NeighborList]:
    """Return one list a query, each made when it is written."""

    def stretch(start: int, stop: int) -> list[Any]:
        offsets = found.offsets[start : stop + 1].tolist()
        return [
            {
                "rows": found.rows[low:high],
                "distances": found.distances[low:high],
                "weights": found.weights[low:high],
            }
            for low, high in pairwise(offsets)
        ]

    m = len(found.offsets) - 1
    return Items(m, 3 * (len(found.rows) + m), stretch)


class PlanItem(AnswerModel):
    """How the service went about it."""

    backend: str
    search: str = Field(description="How rows are found: `tree` or `scan`.")
    solver: str | None = Field(
        description="How the system of kriging over all rows is solved; null for other fits."
    )
    precision: str
    block_size: int = Field(description="The most queries computed between two looks at the clock.")
    reasons: list[str] = Field(description="Why, a sentence each.")


class DiagnosticsItem(AnswerModel):
    """How each estimate came about; one number a query."""

    plan: PlanItem
    support: Indices = Field(description="Rows that carry weight.")
    effective_rows: Column = Field(
        description="How many rows of equal weight would be worth as much."
    )
    bandwidth: Column = Field(description="The bandwidth used; null where the method has none.")
    degree: Indices = Field(
        description="Degree of the polynomial used; -1 where no row carries weight."
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
        )


class SolverItem(AnswerModel):
    """How the linear system of a kriging fit over all rows was solved."""

    method: str = Field(description="`cholesky`, `low_rank` or `conjugate_gradient`.")
    iterations: int
    relative_residual: float = Field(
        description="Of the true residual, computed anew from the solution; for `low_rank` it may "
        "be a proven bound of it from above."
    )
    jitter: float = Field(description="Added to alpha to make the system solvable; 0 as a rule.")

    @classmethod
    def from_domain(cls, solve: SolveReport) -> "SolverItem":
        """Return the report as it is written."""
        return cls(
            method=solve.method,
            iterations=solve.iterations,
            relative_residual=solve.relative_residual,
            jitter=solve.jitter,
        )


class PredictionResponse(AnswerModel):
    """Estimates at the queries, in their order."""

    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: int
    fit: ResolvedFit = Field(description="The fit that was used, with every choice made.")
    mean: Estimates = Field(
        description="One estimate a query, or one list of t a query for t > 1 targets, in the "
        "unit of y. null where no row carries weight."
    )
    target_names: list[str]
    issues: list[IssueItem] = Field(description="What should be known about single estimates.")
    solver: SolverItem | None = Field(None, description="Only for kriging over all rows.")
    neighbors: Items[NeighborList] | None = Field(
        None, description="One a query; only where asked for."
    )
    diagnostics: DiagnosticsItem | None = Field(None, description="Only where asked for.")

    @classmethod
    def from_domain(cls, answer: Answer) -> "PredictionResponse":
        """Return the answer as it is written."""
        dataset, prediction = answer.dataset, answer.prediction
        optional: dict[str, Any] = {}
        if prediction.solve is not None:
            optional["solver"] = SolverItem.from_domain(prediction.solve)
        if prediction.neighbors is not None:
            optional["neighbors"] = neighbor_lists(prediction.neighbors)
        if prediction.diagnostics is not None:
            optional["diagnostics"] = DiagnosticsItem.from_domain(answer, prediction.diagnostics)
        mean = prediction.mean
        return cls(
            dataset_id=dataset.id or None,
            dataset_version=dataset.version,
            fit=fit_from_domain(answer.fit),
            mean=mean.ravel() if dataset.n_targets == 1 else mean,
            target_names=list(dataset.target_names),
            issues=[IssueItem.from_domain(issue) for issue in prediction.issues],
            **optional,
        )
