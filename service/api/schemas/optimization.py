"""Gradient descent on a fitted surface, in and out."""

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import (
    AnswerModel,
    Column,
    Estimates,
    Items,
    Numbers,
    RequestModel,
    Whole,
)
from service.api.schemas.datasets import InlineDataset
from service.api.schemas.fits import FitField, ResolvedFit, fit_from_domain, fit_to_domain
from service.domain.errors import InvalidInput
from service.engine.commands import MinimizeCommand, Minimum
from service.engine.limits import Limits
from service.estimators.descent import ADVICE, Decay, Descent, Path, Stop

MOST_STEPS = 100_000

DecayName = Annotated[Decay, Field(strict=False)]
Bound = Annotated[float, Field(ge=-1e150, le=1e150)]


class Bounds(RequestModel):
    """Where the paths stay."""

    low: list[Bound] | None = Field(None, description="One number a feature.", examples=[[0.0]])
    high: list[Bound] | None = Field(None, description="One number a feature.", examples=[[60.0]])


class MinimizationRequest(RequestModel):
    """A surface, where to start on it, and how to go down."""

    dataset_id: str | None = Field(
        None, description="An uploaded dataset. Send this or `dataset`.", examples=["motorcycle"]
    )
    dataset: InlineDataset | None = Field(
        None, description="Rows for this request alone. Send this or `dataset_id`."
    )
    starts: Numbers = Field(
        description="Where to begin: s lists of d numbers, or a flat list of s numbers for one "
        "feature, in the units of the dataset's features."
    )
    fit: FitField | None = Field(
        None,
        description="The surface. Default: `auto`. A plain mean of neighbours and the uniform "
        "kernel have no slope to follow, and are refused.",
    )
    target: str | None = Field(
        None, description="The name of the target to minimise; needed where there are several."
    )
    ascent: bool = Field(False, description="Go up, to a maximum.")
    rate: float = Field(
        0.1, gt=0, le=1e150, description="The first step is so many times the gradient."
    )
    decay: DecayName = Field(
        Decay.CONSTANT,
        description="How the rate falls with the step k = 0, 1, …: `constant`; `exponential` "
        "rate exp(-g k); `inverse` rate / (1 + g k); `step` halved every 1 / g steps; g is "
        "`decay_rate`.",
    )
    decay_rate: float = Field(0.0, ge=0, le=1e6, description="g, see `decay`.")
    momentum: float = Field(
        0.0, ge=0, lt=1, description="The share of the last step that is taken again."
    )
    tolerance: float = Field(
        1e-8,
        ge=0,
        lt=1,
        description="A path has converged when a step changes the value by at most this share of "
        "it; 0 goes on to `max_steps`.",
    )
    max_steps: Annotated[int, Field(ge=1, le=MOST_STEPS), Whole] = Field(
        200, description="The most steps from each start."
    )
    bounds: Bounds | None = Field(None, description="Where the paths stay. Default: anywhere.")
    line_search: bool = Field(
        False, description="Halve the rate until a step goes down as far as its slope promises."
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that it may take; then the paths end where they are. Default and cap "
        "are in /limits.",
        examples=[10],
    )

    @model_validator(mode="after")
    def _one_dataset(self) -> "MinimizationRequest":
        if (self.dataset_id is None) == (self.dataset is None):
            found = "neither dataset_id nor dataset" if self.dataset is None else "both"
            raise PydanticCustomError(
                "not_one_dataset",
                "The request has {found}; send dataset_id for an uploaded dataset, or dataset "
                "with x and y",
                {"found": found},
            )
        return self

    def to_domain(self, limits: Limits) -> MinimizeCommand:
        """Return what the engine is asked for."""
        if self.timeout_s is not None and self.timeout_s > limits.max_timeout_s:
            raise InvalidInput.at(
                "/timeout_s",
                f"timeout_s is {self.timeout_s:g}, and the limit is {limits.max_timeout_s:g} "
                "seconds (max_timeout_s in /limits); ask for less, or for fewer steps.",
            )
        inline, bounds = self.dataset, self.bounds or Bounds()
        return MinimizeCommand(
            starts=self.starts,
            descent=Descent(
                rate=self.rate,
                decay=self.decay,
                decay_rate=self.decay_rate,
                momentum=self.momentum,
                tolerance=self.tolerance,
                max_steps=self.max_steps,
                low=None if bounds.low is None else tuple(bounds.low),
                high=None if bounds.high is None else tuple(bounds.high),
                ascent=self.ascent,
                line_search=self.line_search,
            ),
            dataset_id=self.dataset_id,
            dataset=None if inline is None else inline.to_domain(limits, parent="/dataset"),
            fit=fit_to_domain(self.fit),
            target=self.target,
            timeout_s=self.timeout_s,
        )


class PathItem(AnswerModel):
    """Where one start led."""

    points: Numbers = Field(
        description="The start and the point after each step, d numbers each; plain numbers for "
        "one feature."
    )
    values: Column = Field(
        description="Of the surface at the points; null for a start where it has none."
    )
    gradients: Estimates = Field(
        description="Of the surface at the points, in the form of `points`."
    )
    step_sizes: Column = Field(
        description="The rate of each step, by which the gradient was multiplied; one less than "
        "points."
    )
    stop: Stop = Field(description="Why the path ended.")
    advice: str = Field(description="What that means, and what to do.")
    left_data: bool = Field(
        description="Some point lies outside the range of the data in at least one feature."
    )


class MinimizationResponse(AnswerModel):
    """The path from each start, in their order."""

    dataset_id: str | None = Field(description="null for an inline dataset.")
    dataset_version: int
    fit: ResolvedFit = Field(description="The surface, with every choice made.")
    target: str
    best: int | None = Field(
        description="The path that ends lowest (highest with `ascent`), from 0; null if none has "
        "a value."
    )
    paths: Items[PathItem] = Field(description="One a start.")

    @classmethod
    def from_domain(cls, found: Minimum) -> "MinimizationResponse":
        """Return the paths as they are written."""
        dataset, paths = found.dataset, found.paths
        flat = dataset.n_features == 1

        def item(path: Path, *, left_data: bool) -> dict[str, Any]:
            return {
                "points": path.points.ravel() if flat else path.points,
                "values": path.values,
                "gradients": path.gradients.ravel() if flat else path.gradients,
                "step_sizes": path.step_sizes,
                "stop": path.stop,
                "advice": ADVICE[path.stop],
                "left_data": left_data,
            }

        def stretch(start: int, stop: int) -> list[Any]:
            part = slice(start, stop)
            return [
                item(path, left_data=left)
                for path, left in zip(paths[part], found.left_data[part], strict=True)
            ]

        numbers = sum(path.points.size + path.gradients.size for path in paths)
        return cls(
            dataset_id=dataset.id or None,
            dataset_version=dataset.version,
            fit=fit_from_domain(found.fit),
            target=found.target,
            best=found.best,
            paths=Items(len(paths), numbers + 2 * len(paths), stretch),
        )
