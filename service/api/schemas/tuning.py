"""Searches for the best fit, in and out."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import AnswerModel, RequestModel
from service.api.schemas.datasets import InlineDataset
from service.api.schemas.fits import ResolvedFit, fit_from_domain
from service.engine.commands import TuneCommand
from service.engine.jobs import JobState, TuningJob
from service.engine.limits import Limits
from service.estimators.judging import Score

DEFAULT_BUDGET_S = 10.0


class TuningRequest(RequestModel):
    """Rows to find the best fit for, and how long that may take."""

    dataset_id: str | None = Field(
        None, description="An uploaded dataset. Send this or `dataset`.", examples=["motorcycle"]
    )
    dataset: InlineDataset | None = Field(
        None, description="Rows for this request alone. Send this or `dataset_id`."
    )
    budget_s: float = Field(
        DEFAULT_BUDGET_S,
        ge=0.1,
        le=3600,
        description="Seconds, from 0.1 to 3600, after which no further candidate is begun. The "
        "search ends earlier where it has nothing left to try.",
        examples=[5],
    )

    @model_validator(mode="after")
    def _one_dataset(self) -> "TuningRequest":
        if (self.dataset_id is None) == (self.dataset is None):
            found = "neither dataset_id nor dataset" if self.dataset is None else "both"
            raise PydanticCustomError(
                "not_one_dataset",
                "The request has {found}; send dataset_id for an uploaded dataset, or dataset "
                "with x and y",
                {"found": found},
            )
        return self

    def to_domain(self, limits: Limits) -> TuneCommand:
        """Return what the engine is asked for."""
        inline = self.dataset
        return TuneCommand(
            budget_s=self.budget_s,
            dataset_id=self.dataset_id,
            dataset=None if inline is None else inline.to_domain(limits, parent="/dataset"),
        )


class ScoreItem(AnswerModel):
    """What one candidate is worth."""

    fit: ResolvedFit = Field(description="Ready to be sent to /predict.")
    error: float | None = Field(
        description="Leave-one-out error in standard deviations of y, over all targets: 1 is the "
        "error of the mean. null where some row had no prediction."
    )
    rmse: list[float | None] = Field(
        description="Root of the mean squared leave-one-out residual of each target, in its unit."
    )
    rows: int = Field(description="How many rows were left out, one at a time.")
    step: Literal["grid", "slopes", "metric", "refinement"] = Field(
        description="Where in the search it was found."
    )
    elapsed_s: float = Field(description="Seconds from the start of the search.")

    @classmethod
    def from_domain(cls, score: Score) -> "ScoreItem":
        """Return the score as it is written."""
        return cls(
            fit=fit_from_domain(score.fit),
            error=_finite(score.error),
            rmse=[_finite(value) for value in score.rmse],
            rows=score.rows,
            step=score.step,
            elapsed_s=round(score.elapsed_s, 3),
        )


class TuningJobItem(AnswerModel):
    """A search for the best fit: how far it is, and what it has found."""

    id: str
    kind: Literal["tuning"]
    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: int
    automatic: bool = Field(description="Begun at an upload, not by a request.")
    state: JobState
    progress: float = Field(description="The share of its time that has passed; 1 at its end.")
    budget_s: float
    elapsed_s: float
    detail: str = Field(description="Why it ended as it did, where that needs saying.")
    best: ScoreItem | None = Field(description="The best so far; null while there is none.")

    @classmethod
    def fields_of(cls, job: TuningJob) -> dict[str, Any]:
        """Return the fields as they are written."""
        best = job.best
        return {
            "id": job.id,
            "kind": "tuning",
            "dataset_id": job.dataset.id or None,
            "dataset_version": job.dataset.version,
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

    jobs: list[TuningJobItem]

    @classmethod
    def from_domain(cls, jobs: list[TuningJob]) -> "JobPage":
        """Return the jobs as they are written."""
        return cls(jobs=[TuningJobItem.from_domain(job) for job in jobs])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
