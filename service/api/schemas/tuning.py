"""Searches for the best fit, in and out."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from service.api.schemas.base import Amount, AnswerModel, Grouping, Share, Tally, Version, Whole
from service.api.schemas.dataset_choice import DatasetChoice
from service.api.schemas.fits import FitField, ResolvedFit, fit_from_domain, fit_to_domain
from service.domain.errors import InvalidInput
from service.domain.labels import group_codes
from service.engine.commands import TuneCommand
from service.engine.jobs import JobState, TuningJob
from service.engine.limits import Limits
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.judging import Score, Step
from service.estimators.selection import AnySelector

DEFAULT_BUDGET_S = 10.0

GROUPINGS: Final = ("groups", "group_by", "blocks")
"""What says which rows are left out together, one of them at most."""

METHODS: Final[Mapping[str, type[Fit]]] = {
    "knn": Knn,
    "nadaraya_watson": NadarayaWatson,
    "local_polynomial": LocalPolynomial,
    "kriging": Kriging,
    "linear": Linear,
}
MethodName: TypeAlias = Literal["knn", "nadaraya_watson", "local_polynomial", "kriging", "linear"]


class TuningRequest(DatasetChoice):
    """Rows to find the best fit for, and how long that may take."""

    budget_s: float = Field(
        DEFAULT_BUDGET_S,
        ge=0.1,
        le=3600,
        description="Seconds, from 0.1 to 3600, after which no further candidate is begun. The "
        "search ends earlier where it has nothing left to try.",
        examples=[5],
    )
    selector: AnySelector = Field(
        "search",
        description="`search` compares all methods by leave-one-out. The others choose the reach "
        "of `fit`, its bandwidth or its n_neighbors: `cv_ls` by the squared leave-one-out errors, "
        "`gcv` by generalised cross-validation, `aicc` by the corrected information criterion, "
        "`dpill` by a plug-in formula for a local line with the gaussian kernel in one feature.",
    )
    fit: FitField | None = Field(
        None,
        description="The nadaraya_watson, local_polynomial or local_linear fit whose reach a "
        "selector chooses: the one of bandwidth and n_neighbors that it has, whatever its value. "
        "Not for `search`.",
        examples=[{"method": "local_linear", "kernel": "gaussian", "bandwidth": 1.0}],
    )
    groups: Grouping | None = Field(
        None,
        description="A label for each row, all strings or all whole numbers, two different ones at "
        "least: rows of one label are left out together, as those of one place, time or patient "
        "should be. For `search` and `cv_ls`.",
        examples=[["north", "north", "south"]],
    )
    group_by: str | None = Field(
        None,
        description="The name of a feature, in place of `groups`: rows with the same value of it "
        "are left out together. It stays a feature.",
        examples=["year"],
    )
    blocks: Annotated[int, Field(ge=2), Whole] | None = Field(
        None,
        description="In place of `groups`, for rows that follow each other in time or space: the "
        "rows are cut, in their order, into so many blocks, each left out as a whole.",
        examples=[10],
    )
    methods: list[MethodName] | None = Field(
        None,
        description="The methods that `search` compares; without it, all of them. The metric is "
        "learned by local_polynomial and kriging: without both it stays the standardized one.",
        min_length=1,
        examples=[["knn", "local_polynomial"]],
    )

    def to_domain(self, limits: Limits) -> TuneCommand:
        """Return what the engine is asked for.

        Raises:
            InvalidInput: A field does not go with the selector.
        """
        self._check_selector()
        return TuneCommand(
            budget_s=self.budget_s,
            dataset_id=self.dataset_id,
            dataset=self.own_rows(limits),
            selector=self.selector,
            fit=None if self.fit is None else fit_to_domain(self.fit),
            groups=None if self.groups is None else group_codes(self.groups, "/groups"),
            group_by=self.group_by,
            blocks=self.blocks,
            methods=None if self.methods is None else frozenset(METHODS[m] for m in self.methods),
        )

    def _check_selector(self) -> None:
        grouping = [name for name in GROUPINGS if getattr(self, name) is not None]
        if len(grouping) > 1:
            raise InvalidInput.at(
                f"/{grouping[1]}",
                f"The request has {grouping[0]} and {grouping[1]}, and each says which rows are "
                "left out together: send one of them.",
            )
        if self.selector == "search":
            if self.fit is not None:
                raise InvalidInput.at(
                    "/fit",
                    "The request has a fit, but the selector 'search' chooses one: leave fit out, "
                    "or send the selector cv_ls, gcv, aicc or dpill to choose its reach.",
                )
            return
        if self.fit is None:
            raise InvalidInput.at(
                "/fit",
                f"The selector '{self.selector}' chooses the reach of a fit, and there is none: "
                'send one, such as {"method": "local_linear", "bandwidth": 1}.',
            )
        if self.methods is not None:
            raise InvalidInput.at(
                "/methods",
                f"methods are what 'search' compares, but the selector is '{self.selector}': leave "
                "methods out.",
            )
        if grouping and self.selector != "cv_ls":
            raise InvalidInput.at(
                f"/{grouping[0]}",
                f"The selector '{self.selector}' leaves no row out, and knows no groups: leave "
                f"{grouping[0]} out, or send the selector cv_ls.",
            )


class ScoreItem(AnswerModel):
    """What one candidate is worth."""

    fit: ResolvedFit = Field(description="Ready to be sent to /predict.")
    error: Amount | None = Field(
        description="Leave-one-out error in standard deviations of y, over all targets, or for "
        "classes the log-loss over that of their frequencies: 1 is the error of the mean. null "
        "where some row had no prediction."
    )
    rmse: list[Amount | None] = Field(
        description="Root of the mean squared leave-one-out residual of each target, in its unit."
    )
    rows: Tally = Field(description="How many rows were left out, one at a time.")
    step: Step = Field(description="Where in the search it was found.")
    elapsed_s: Amount = Field(description="Seconds from the start of the search.")
    criterion: float | None = Field(
        None,
        description="What the selector minimises, where it is not the error: cv_ls and gcv in the "
        "squared unit of y, aicc without a unit. null where some row had no prediction.",
    )
    accuracy: Share | None = Field(
        None,
        description="Only where the target is classes: the share of rows whose likeliest class is "
        "the true one.",
    )
    log_loss: Amount | None = Field(
        None, description="With `accuracy`: the mean of -log of the true class's probability."
    )

    @classmethod
    def from_domain(cls, score: Score) -> "ScoreItem":
        """Return the score as it is written."""
        fields: dict[str, Any] = {}
        if score.classified is not None:
            fields.update(vars(score.classified))
        if score.criterion is not None:
            fields["criterion"] = _finite(score.criterion)
        return cls(
            fit=fit_from_domain(score.fit),
            error=_finite(score.error),
            rmse=[_finite(value) for value in score.rmse],
            rows=score.rows,
            step=score.step,
            elapsed_s=round(score.elapsed_s, 3),
            **fields,
        )


class TuningJobItem(AnswerModel):
    """A search for the best fit: how far it is, and what it has found."""

    id: str = Field(description="How requests refer to it.")
    kind: Literal["tuning"]
    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: Version
    automatic: bool = Field(description="Begun at an upload, not by a request.")
    state: JobState = Field(description="`waiting` and `running` change; the others are its end.")
    progress: Share = Field(description="The share of its time that has passed; 1 at its end.")
    budget_s: Amount = Field(description="Seconds that it may take.")
    elapsed_s: Amount = Field(description="Seconds that it has taken so far.")
    detail: str = Field(description="Why it ended as it did, where that needs saying.")
    best: ScoreItem | None = Field(description="The best so far; null while there is none.")

    @classmethod
    def fields_of(cls, job: TuningJob) -> dict[str, Any]:
        """Return the fields as they are written."""
        best = job.best
        return {
            "id": job.id,
            "kind": "tuning",
            "dataset_id": job.dataset_id or None,
            "dataset_version": job.dataset_version,
            "automatic": job.is_automatic,
            "state": job.state,
            "progress": round(job.progress, 3),
            "budget_s": job.seconds,
            "elapsed_s": round(job.elapsed_s, 3),
            "detail": job.detail,
            "best": None if best is None else ScoreItem.from_domain(best),
        }

    @classmethod
    def from_domain(cls, job: TuningJob) -> "TuningJobItem":
        """Return the job as it is written."""
        return cls(**cls.fields_of(job))


class TuningResponse(TuningJobItem):
    """A search with the scores of all candidates."""

    scores: list[ScoreItem] = Field(description="All candidates so far, in the search's order.")

    @classmethod
    def from_domain(cls, job: TuningJob) -> "TuningResponse":
        """Return the search as it is written."""
        scores = [ScoreItem.from_domain(score) for score in job.scores]
        return cls(**cls.fields_of(job), scores=scores)


class JobPage(AnswerModel):
    """The jobs under way and the latest that have ended, the latest first."""

    jobs: list[TuningJobItem] = Field(description="The latest first.")

    @classmethod
    def from_domain(cls, jobs: list[TuningJob]) -> "JobPage":
        """Return the jobs as they are written."""
        return cls(jobs=[TuningJobItem.from_domain(job) for job in jobs])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
