"""The rows that a request is about, and how long it may take."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import RequestModel
from service.api.schemas.datasets import InlineDataset
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.limits import Limits


class DatasetChoice(RequestModel):
    """A request about an uploaded dataset, or about rows that it brings along."""

    dataset_id: str | None = Field(
        None, description="An uploaded dataset. Send this or `dataset`.", examples=["motorcycle"]
    )
    dataset: InlineDataset | None = Field(
        None, description="Rows for this request alone. Send this or `dataset_id`."
    )

    @model_validator(mode="after")
    def _one_dataset(self) -> Self:
        if (self.dataset_id is None) == (self.dataset is None):
            found = "neither dataset_id nor dataset" if self.dataset is None else "both"
            raise PydanticCustomError(
                "not_one_dataset",
                "The request has {found}; send dataset_id for an uploaded dataset, or dataset "
                "with x and y",
                {"found": found},
            )
        return self

    def own_rows(self, limits: Limits) -> Dataset | None:
        """Return the rows that came with the request, checked; None if it names a dataset.

        Raises:
            InvalidInput: They are no dataset.
        """
        return None if self.dataset is None else self.dataset.to_domain(limits, parent="/dataset")


def checked_timeout(timeout_s: float | None, limits: Limits, otherwise: str) -> float | None:
    """Return the time that a request may take, in seconds, if it is within the limits.

    Args:
        timeout_s: As sent.
        limits: What the service takes.
        otherwise: What a client can do beside asking for less time, such as "send fewer rows".

    Raises:
        InvalidInput: It is above the limit.
    """
    if timeout_s is not None and timeout_s > limits.max_timeout_s:
        raise InvalidInput.at(
            "/timeout_s",
            f"timeout_s is {timeout_s:g}, and the limit is {limits.max_timeout_s:g} seconds "
            f"(max_timeout_s in /limits); ask for less, or {otherwise}.",
        )
    return timeout_s
