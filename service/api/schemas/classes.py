"""What stands in an answer in place of means where the target is classes."""

from typing import Any, Final, TypeAlias

import numpy as np

from service.api.schemas.base import Items
from service.domain.arrays import Rows
from service.domain.labels import Class
from service.domain.prediction import Issue, Prediction, Status, issues_where
from service.estimators.classes import likeliest, probabilities

NO_CLASS: Final = (
    "No class has a weight above 0 at these queries, which are far from all rows: raise "
    "length_scale, or ask nearer to the data."
)

Label: TypeAlias = str | int | None
"""A class, or null where there is none."""


def class_fields(classes: tuple[Class, ...], prediction: Prediction) -> dict[str, Any]:
    """Return the fields of an answer that say how likely each class is."""
    shares = probabilities(prediction.mean)
    return {
        "probabilities": shares,
        "label": _labels(classes, likeliest(shares)),
        "classes": list(classes),
    }


def issues_of_no_class(prediction: Prediction) -> tuple[Issue, ...]:
    """Return the issue for the queries at which every class comes to 0 or less."""
    sums = prediction.mean
    return issues_where(np.max(sums, axis=1) <= 0.0, Status.NO_SUPPORT, NO_CLASS)


def _labels(classes: tuple[Class, ...], chosen: Rows) -> Items[Label]:
    names: list[Label] = [*classes, None]  # the place -1 is the last

    def stretch(start: int, stop: int) -> list[Label]:
        return [names[place] for place in chosen[start:stop].tolist()]

    return Items(len(chosen), len(chosen), stretch)
