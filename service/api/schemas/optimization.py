"""Gradient descent on a fitted surface, in and out."""

import math
from typing import Annotated, Any

from pydantic import Field

from service.api.schemas.base import (
    AnswerModel,
    Column,
    Estimates,
    Items,
    Places,
    RequestModel,
    Tally,
    Version,
    Whole,
)
from service.api.schemas.dataset_choice import DatasetChoice, checked_timeout
from service.api.schemas.fits import FitField, ResolvedFit, fit_from_domain, fit_to_domain
from service.domain.arrays import Floats
from service.engine.commands import MinimizeCommand, Minimum
from service.engine.limits import Limits
from service.estimators.descent import ADVICE, Decay, Descent, Path, Stop

MOST_STEPS = 100_000

DecayName = Annotated[Decay, Field(strict=False)]
Bound = Annotated[float, Field(ge=-1e150, le=1e150)]


class Bounds(RequestModel):
    """Where the paths stay."""

    low: list[Bound | None] | None = Field(
        None,
        description="One number a feature; null for none, as for a category.",
        examples=[[0.0]],
    )
    high: list[Bound | None] | None = Field(
        None,
        description="One number a feature; null for none, as for a category.",
        examples=[[60.0]],
    )


class MinimizationRequest(DatasetChoice):
    """A surface, where to start on it, and how to go down."""

    starts: Places = Field(
        description="Where to begin: s lists of d numbers, or a flat list of s numbers for one "
        "feature, in the units of the dataset's features, with levels of its categories."
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

    def to_domain(self, limits: Limits) -> MinimizeCommand:
        """Return what the engine is asked for."""
        bounds = self.bounds or Bounds()
        return MinimizeCommand(
            starts=self.starts,
            descent=Descent(
                rate=self.rate,
                decay=self.decay,
                decay_rate=self.decay_rate,
                momentum=self.momentum,
                tolerance=self.tolerance,
                max_steps=self.max_steps,
                low=_sides(bounds.low, -math.inf),
                high=_sides(bounds.high, math.inf),
                ascent=self.ascent,
                line_search=self.line_search,
            ),
            dataset_id=self.dataset_id,
            dataset=self.own_rows(limits),
            fit=fit_to_domain(self.fit),
            target=self.target,
            timeout_s=checked_timeout(self.timeout_s, limits, "ask for fewer steps"),
        )


def _sides(bounds: list[float | None] | None, none: float) -> tuple[float, ...] | None:
    if bounds is None:
        return None
    return tuple(none if bound is None else bound for bound in bounds)


class PathItem(AnswerModel):
    """Where one start led."""

    points: Places = Field(
        description="The start and the point after each step, d numbers each; plain numbers for "
        "one feature. A category stays at the level of the start."
    )
    values: Column = Field(
        description="Of the surface at the points; null for a start where it has none."
    )
    gradients: Estimates = Field(
        description="Of the surface at the points, in the form of `points`; null by categories."
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
    dataset_version: Version
    fit: ResolvedFit = Field(description="The surface, with every choice made.")
    target: str = Field(description="The name of the target that was followed.")
    best: Tally | None = Field(
        description="The path that ends lowest (highest with `ascent`), from 0; null if none has "
        "a value."
    )
    paths: Items[PathItem] = Field(description="One a start.")

    @classmethod
    def from_domain(cls, found: Minimum) -> "MinimizationResponse":
        """Return the paths as they are written."""
        dataset, paths = found.dataset, found.paths
        flat, encoding = dataset.n_features == 1, dataset.encoding

        def places(path: Path) -> tuple[Any, Floats]:
            if encoding is None:
                return path.points, path.gradients
            return encoding.decoded(path.points), encoding.of_features(path.gradients)

        def item(path: Path, *, left_data: bool) -> dict[str, Any]:
            points, gradients = places(path)
            if flat:
                points = [cell for (cell,) in points] if encoding else points.ravel()
            return {
                "points": points,
                "values": path.values,
                "gradients": gradients.ravel() if flat else gradients,
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
