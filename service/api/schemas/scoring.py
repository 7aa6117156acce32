"""How good a fit is, in and out."""

import math
from typing import Literal

from pydantic import Field

from service.api.schemas.base import Amount, AnswerModel, Share, Tally, Version
from service.api.schemas.dataset_choice import DatasetChoice, checked_timeout
from service.api.schemas.datasets import RowsUpload
from service.api.schemas.fits import FitField, ResolvedFit, fit_from_domain, fit_to_domain
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.prediction import IntervalKind
from service.engine.commands import ScoreCard, ScoreCommand
from service.engine.limits import Limits

DEFAULT_LEVEL = 0.9


class ScoreRequest(DatasetChoice):
    """A fit, the rows that it looks at, and those that it is judged by."""

    fit: FitField | None = Field(None, description="What to judge. Default: `auto`.")
    rows: RowsUpload | None = Field(
        None,
        description="Rows that the dataset does not have, to judge by. Without them each row of "
        "the dataset, or of a sample, is predicted by all the others.",
    )
    interval_kind: IntervalKind | None = Field(
        "conformal",
        description="Which intervals to judge, see `/predict`; null for none. Without `rows` only "
        "`conformal`: those of one half of the rows judged are held against the other half.",
    )
    level: float = Field(
        DEFAULT_LEVEL, gt=0, lt=1, description="How often the intervals are meant to hold."
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that it may take. Default and cap are in /limits.",
        examples=[10],
    )

    def to_domain(self, limits: Limits) -> ScoreCommand:
        """Return what the engine is asked for."""
        if self.rows is None and self.interval_kind not in ("conformal", None):
            raise InvalidInput.at(
                "/interval_kind",
                f"interval_kind is '{self.interval_kind}', and without rows only 'conformal' "
                "intervals are judged: send rows, or 'conformal', or null.",
            )
        return ScoreCommand(
            dataset_id=self.dataset_id,
            dataset=self.own_rows(limits),
            fit=fit_to_domain(self.fit),
            rows=None if self.rows is None else (self.rows.x, self.rows.y),
            row_weights=None if self.rows is None else self.rows.weights,
            interval=self.interval_kind,
            level=self.level,
            timeout_s=checked_timeout(self.timeout_s, limits, "send fewer rows"),
        )


class TargetScore(AnswerModel):
    """How well one target is predicted, in its unit."""

    name: str = Field(description="Of the target, or the class.")
    rmse: Amount | None = Field(
        description="Root of the mean squared error, in the unit of the target."
    )
    mae: Amount | None = Field(description="Mean of the errors' sizes, in the unit of the target.")
    r2: float | None = Field(
        description="1 for no error, 0 for the errors of the mean; null where all are equal.",
        json_schema_extra={"maximum": 1},
    )
    coverage: Share | None = Field(description="The share of the values within their intervals.")
    mean_width: Amount | None = Field(
        description="Of the intervals, in the unit of the target; null where one has no bound, for "
        "too few rows."
    )
    gcv: Amount | None = Field(
        description="Generalised cross-validation: the mean square of y - f(x) with all rows in "
        "the fit, over (1 - trace / n) squared; in the squared unit of the target."
    )
    aicc: float | None = Field(
        description="Akaike's criterion, corrected for a small sample; it has no unit, and the "
        "least is best."
    )


class ScoreResponse(AnswerModel):
    """How good a fit is."""

    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: Version
    fit: ResolvedFit = Field(description="What was judged, with every choice made.")
    by: Literal["leave_one_out", "rows"] = Field(description="What it was judged by.")
    rows: Tally = Field(description="How many rows it was judged by.")
    sampled: bool = Field(description="They are a sample of the dataset's rows.")
    without_prediction: Tally = Field(
        description="How many of them have no prediction; they are in none of the figures."
    )
    interval_kind: IntervalKind | None = Field(
        description="Which intervals were judged; null for none."
    )
    level: Share = Field(description="How often the intervals are meant to hold.")
    trace: Amount | None = Field(
        description="Of the hat matrix: the equivalent number of parameters. null with `rows`, "
        "and for a robust fit of several targets, where each has its own."
    )
    targets: list[TargetScore] = Field(
        description="One a target; one a class where the target is classes, for its indicator."
    )
    accuracy: Share | None = Field(
        None,
        description="Only where the target is classes: the share of rows whose likeliest class is "
        "the true one.",
    )
    log_loss: Amount | None = Field(
        None,
        description="With `accuracy`: the mean of -log of the probability of the true class, in "
        "nats; a probability of 0 counts as 2.2e-16.",
    )

    @classmethod
    def from_domain(cls, card: ScoreCard) -> "ScoreResponse":
        """Return the score as it is written."""
        dataset, errors, held, smoothing = card.dataset, card.errors, card.held, card.smoothing
        return cls(
            dataset_id=dataset.id or None,
            dataset_version=dataset.version,
            fit=fit_from_domain(card.fit),
            by="rows" if smoothing is None else "leave_one_out",
            rows=card.rows,
            sampled=card.is_sampled,
            without_prediction=errors.missing,
            interval_kind=card.interval,
            level=card.level,
            trace=None
            if smoothing is None or smoothing.trace is None
            else _finite(smoothing.trace),
            targets=[
                TargetScore(
                    name=name,
                    rmse=_finite(errors.rmse[c]),
                    mae=_finite(errors.mae[c]),
                    r2=_finite(errors.r2[c]),
                    coverage=None if held is None else _finite(held.coverage[c]),
                    mean_width=None if held is None else _finite(held.mean_width[c]),
                    gcv=None if smoothing is None else _finite(smoothing.gcv[c]),
                    aicc=None if smoothing is None else _finite(smoothing.aicc[c]),
                )
                for c, name in enumerate(dataset.target_names)
            ],
            **({} if card.classified is None else vars(card.classified)),
        )


def _finite(value: float | Floats) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
