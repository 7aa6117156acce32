"""What a prediction is asked for with."""

from typing import Annotated, Final, Literal

from pydantic import Field

from service.api.schemas.base import Cells
from service.api.schemas.dataset_choice import DatasetChoice, checked_timeout
from service.api.schemas.fits import FitField, fit_to_domain
from service.domain.errors import InvalidInput
from service.domain.prediction import MEAN_ALONE, IntervalKind, NoiseKind, Wanted
from service.engine.commands import PredictCommand
from service.engine.limits import Limits

DEFAULT_LEVEL: Final = 0.9
DEFAULT_QUANTILES: Final = (0.1, 0.5, 0.9)

CONFORMAL: Final = ("conformal", "jackknife_plus")
"""Intervals that no supposition about the noise enters."""

OF_INCLUDED: Final = {
    "level": ("interval",),
    "interval_kind": ("interval",),
    "noise": ("std", "interval"),
    "quantiles": ("quantiles",),
}
"""Fields that say something of what is included, and of which."""


class PredictionRequest(DatasetChoice):
    """Query points, the rows to look at, and how."""

    queries: Cells = Field(
        description="Where to predict: m lists of d numbers, or a flat list of m numbers for one "
        "feature. Finite, in the units and the order of the dataset's features; levels of its "
        "categories as they were sent. null where a cell "
        "is missing: the query is then answered by the features that it has, and has an issue "
        "`missing_cells`; without any, its estimate is null."
    )
    fit: FitField | None = Field(None, description="How to predict. Default: `auto`.")
    include: list[
        Literal["std", "interval", "slope", "gradient", "quantiles", "neighbors", "diagnostics"]
    ] = Field(
        default_factory=list,
        description="`std`: standard deviations of each estimate and of a new observation there. "
        "`interval`: see `level` and `interval_kind`. `slope`: of the local model, with standard "
        "errors. `gradient`: of the fitted surface. `quantiles`: of y. `neighbors`: the rows "
        "behind each estimate, with distances and the signed weights that reproduce it. "
        "`diagnostics`: rows in support, bandwidth and degree of each estimate, and how it was "
        "computed. Nothing is computed that is not asked for.",
        examples=[["std", "interval"]],
    )
    level: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="How often the interval is meant to hold; with `interval`. Default: 0.9.",
        examples=[0.9],
    )
    interval_kind: IntervalKind | None = Field(
        None,
        description="`confidence`: holds the mean of y, as far as the fit has no bias. "
        "`prediction`: holds a new y, as far as the noise is normal and everywhere the same. "
        "`conformal`, the default: holds a new y whatever its distribution, from leave-one-out "
        "residuals and their local scale. `jackknife_plus`: the same, about the predictions of the "
        "fits without each row, which guards small samples and costs far more. With `interval`.",
        examples=["conformal"],
    )
    noise: NoiseKind | None = Field(
        None,
        description="What `std`, and the intervals `confidence` and `prediction`, suppose. "
        "`constant`, the default: one variance everywhere, from the residuals and the degrees of "
        "freedom of the fit. `local`: one that changes from place to place, the mean of the "
        "squared leave-one-out residuals of the nearest rows.",
        examples=["constant"],
    )
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="The levels, with `quantiles` in `include`. Default: 0.1, 0.5, 0.9.",
        examples=[[0.1, 0.5, 0.9]],
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that the prediction may take. Default and cap are in /limits.",
        examples=[10],
    )

    def _wanted(self, limits: Limits) -> Wanted:
        """Return what is wanted beside the mean.

        Raises:
            InvalidInput: A field speaks of what is not included.
        """
        include = frozenset(self.include)
        for field, owners in OF_INCLUDED.items():
            value = getattr(self, field)
            if value is not None and not include & set(owners):
                raise InvalidInput.at(
                    f"/{field}",
                    f"{field} is {value!r}, but include does not have '{owners[0]}', to which it "
                    f"belongs: add it, or leave {field} out.",
                )
        if not include:
            return MEAN_ALONE
        kind: IntervalKind = self.interval_kind or "conformal"
        if self.noise is not None and kind in CONFORMAL and "std" not in include:
            raise InvalidInput.at(
                "/noise",
                f"noise is {self.noise!r}, which conformal intervals make no use of: leave it out, "
                "or send interval_kind 'confidence' or 'prediction'.",
            )
        return Wanted(
            neighbor_limit=limits.max_neighbor_entries if "neighbors" in include else None,
            diagnostics="diagnostics" in include,
            std="std" in include,
            interval=kind if "interval" in include else None,
            level=self.level or DEFAULT_LEVEL,
            noise=self.noise or "constant",
            slope="slope" in include,
            gradient="gradient" in include,
            quantiles=tuple(self.quantiles or DEFAULT_QUANTILES) if "quantiles" in include else (),
        )

    def to_domain(self, limits: Limits) -> PredictCommand:
        """Return what the engine is asked for."""
        return PredictCommand(
            queries=self.queries,
            dataset_id=self.dataset_id,
            dataset=self.own_rows(limits),
            fit=fit_to_domain(self.fit),
            wanted=self._wanted(limits),
            timeout_s=checked_timeout(self.timeout_s, limits, "ask for fewer queries"),
        )
