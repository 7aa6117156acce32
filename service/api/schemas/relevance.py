"""How much each feature matters, out."""

from typing import Literal

from pydantic import Field

from service.api.schemas.base import AnswerModel, Share, Tally, Version
from service.api.schemas.fits import ResolvedFit, fit_from_domain
from service.engine.commands import Relevance


class FeatureRelevance(AnswerModel):
    """How much one feature matters."""

    name: str = Field(description="Of the feature.")
    share: Share = Field(
        description="From 0 to 1; those of all features add up to 1. Of a category by its scale "
        "in the metric, or by the change where its level is exchanged with that of another row."
    )


class RelevanceResponse(AnswerModel):
    """How much each feature matters: what a typical step in it alone does to the targets."""

    dataset_id: str = Field(description="As in the address.")
    dataset_version: Version
    by: Literal["learned_metric", "slopes"] = Field(
        description="`learned_metric`: the metric of the best fit that tuning has found. `slopes`: "
        "the slopes of a local line, while tuning has not learned a metric."
    )
    fit: ResolvedFit = Field(description="Whose metric or slopes they are.")
    rows: Tally = Field(description="At how many rows slopes were looked at; 0 for a metric.")
    features: list[FeatureRelevance] = Field(description="In the order of the dataset.")

    @classmethod
    def from_domain(cls, found: Relevance) -> "RelevanceResponse":
        """Return the relevance as it is written."""
        names = found.dataset.feature_names
        return cls(
            dataset_id=found.dataset.id,
            dataset_version=found.dataset.version,
            by="learned_metric" if found.is_learned else "slopes",
            fit=fit_from_domain(found.fit),
            rows=found.rows,
            features=[
                FeatureRelevance(name=name, share=share)
                for name, share in zip(names, found.share.tolist(), strict=True)
            ],
        )
