"""What all requests and answers share: strictness, and fields that hold arrays.

Arrays never pass through pydantic number by number: in a request they are float64 arrays before
pydantic sees them, in an answer they stay arrays until they are written. The schema that readers
see says what they are in JSON.
"""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from service.domain.arrays import Floats
from service.domain.categories import MixedRows, Points
from service.domain.labels import Labels

Item = TypeVar("Item")


class RequestModel(BaseModel):
    """A part of a request: no unknown field, no value of another type, no NaN."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


class AnswerModel(BaseModel):
    """A part of an answer. Fields that were not set are left out when it is written."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def document(self) -> dict[str, Any]:
        """Return what is written as JSON; its arrays are still arrays."""
        return self.model_dump(exclude_unset=True)


class _ArrayAs:
    """Marks a field that holds an array, or classes, and is a list of `json_type` in JSON."""

    def __init__(self, json_type: Any, *kinds: type) -> None:
        self._json_type = json_type
        self._kinds = (np.ndarray, *kinds)

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=handler.generate_schema(self._json_type),
            python_schema=core_schema.no_info_plain_validator_function(self._checked),
        )

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, self._kinds):
            raise PydanticCustomError("array_of_numbers", "It must be a list of numbers")
        return value


def _whole(value: Any) -> Any:
    """Take 5.0 for 5, as JSON does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = BeforeValidator(_whole)

# The numbers of answers. The bounds of those that are not whole are for readers: an answer is not
# refused for them.
Tally = Annotated[int, Field(ge=0)]
Version = Annotated[
    int, Field(ge=1, description="Of the dataset: 1 for the upload, one more for each append.")
]
Amount = Annotated[float, Field(json_schema_extra={"minimum": 0})]
Share = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 1})]

Places = Annotated[Points, _ArrayAs(list[float | str] | list[list[float | str]], MixedRows)]
Cells = Annotated[
    Points, _ArrayAs(list[float | str | None] | list[list[float | str | None]], MixedRows)
]
Targets = Annotated[
    Floats | Labels,
    _ArrayAs(list[float | None] | list[str | None] | list[list[float | None]], Labels),
]
Grouping = Annotated[Floats | Labels, _ArrayAs(list[str] | list[int], Labels)]
Estimates = Annotated[Floats, _ArrayAs(list[float | None] | list[list[float | None]])]
Column = Annotated[Floats, _ArrayAs(list[float | None])]
Weights = Annotated[Floats, _ArrayAs(list[float])]
Vectors = Annotated[Floats, _ArrayAs(list[list[float | None]] | list[list[list[float | None]]])]
Indices = Annotated[NDArray[np.int64], _ArrayAs(list[int])]


@final
class Items(Generic[Item]):
    """A long list in an answer, of which a stretch is made only when it is written.

    Args:
        length: The number of items.
        numbers: About how many numbers all items hold together.
        stretch: Makes the items from a start to a stop.
    """

    def __init__(
        self, length: int, numbers: int, stretch: Callable[[int, int], list[Item]]
    ) -> None:
        self.length = length
        self.numbers = numbers
        self.stretch = stretch

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (item,) = source.__args__
        return core_schema.json_or_python_schema(
            json_schema=handler.generate_schema(list[item]),  # type: ignore[valid-type]
            python_schema=core_schema.is_instance_schema(cls),
        )
