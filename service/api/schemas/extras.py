"""What an answer has beyond the mean, its neighbours and diagnostics."""

from typing import Any

from pydantic import Field

from service.api.schemas.base import Amount, AnswerModel, Column, Estimates, Share, Tally, Vectors
from service.domain.arrays import Floats
from service.domain.prediction import IntervalKind, Noise, Prediction


class NoiseItem(AnswerModel):
    """What the residuals say of the noise, on which standard deviations rest."""

    residual_scale: Column = Field(
        description="Standard deviation of the noise, one a target; null where the fit passes "
        "through its rows."
    )
    signal_scale: Column | None = Field(
        None, description="For kriging, standard deviation of the surface before any row was seen."
    )
    trace: Amount | None = Field(
        None, description="Of the hat matrix: the equivalent number of parameters. Not of kriging."
    )
    degrees_of_freedom: Amount | None = Field(
        None, description="Of the residual scale. Kriging takes its scales as known."
    )
    rows: Tally = Field(
        description="How many rows told it: all, or a sample, for which the trace is an estimate."
    )

    @classmethod
    def from_domain(cls, noise: Noise) -> "NoiseItem":
        """Return what is known as it is written."""
        optional: dict[str, Any] = {
            "signal_scale": noise.signal_scale,
            "trace": noise.trace,
            "degrees_of_freedom": noise.freedom,
        }
        known = {name: value for name, value in optional.items() if value is not None}
        return cls(residual_scale=noise.scale, rows=noise.rows, **known)


class IntervalItem(AnswerModel):
    """An interval about each estimate, and how far each query is from the data."""

    kind: IntervalKind = Field(description="As `interval_kind` of the request.")
    level: Share = Field(description="How often it is meant to hold.")
    lower: Estimates = Field(description="As `mean`; null where nothing bounds it from below.")
    upper: Estimates = Field(description="As `mean`; null where nothing bounds it from above.")
    distance: Column = Field(description="From each query to its nearest row, in the fit's metric.")
    distance_rank: Column = Field(
        description="The share of the rows that lie nearer to their nearest other row: at 1 the "
        "query is further from the data than any row is, and the level promises nothing there."
    )


class QuantilesItem(AnswerModel):
    """Quantiles of y at each query."""

    levels: list[Share] = Field(description="As asked for: 0.5 is the median.")
    values: Vectors = Field(
        description="One list a query, with one value a level, or with a list of t values a level "
        "for t > 1 targets; each is the y of a row. null where no row carries weight."
    )


def extras_of(found: Prediction) -> dict[str, Any]:
    """Return what there is beyond neighbours and diagnostics, as it is written."""
    fields: dict[str, Any] = {}
    if found.deviations is not None:
        fields["std"] = of_targets(found.deviations.estimate)
        fields["std_observation"] = of_targets(found.deviations.observation)
    if found.noise is not None:
        fields["noise"] = NoiseItem.from_domain(found.noise)
    if found.intervals is not None:
        interval = found.intervals
        fields["interval"] = IntervalItem(
            kind=interval.kind,
            level=interval.level,
            lower=of_targets(interval.lower),
            upper=of_targets(interval.upper),
            distance=interval.distance,
            distance_rank=interval.rank,
        )
    if found.slopes is not None:
        fields["slope"] = of_targets(found.slopes.slope)
        fields["slope_std"] = of_targets(found.slopes.standard_error)
    if found.gradient is not None:
        fields["gradient"] = of_targets(found.gradient)
    if found.quantiles is not None:
        values = found.quantiles.values
        fields["quantiles"] = QuantilesItem(
            levels=list(found.quantiles.levels),
            values=values[:, :, 0] if values.shape[2] == 1 else values,
        )
    return fields


def of_targets(values: Floats) -> Floats:
    """Return values (m, t, …) without the axis of the targets where there is only one."""
    return values[:, 0] if values.shape[1] == 1 else values
