"""What the address of a prediction says whose body is a file of queries."""

from typing import Any

import orjson
from pydantic import Field

from service.api.schemas.files import TextQuery
from service.domain.errors import InvalidInput


class PredictQuery(TextQuery):
    """The fields of a prediction, for bodies that have no place for them: files of queries."""

    with_queries: bool = Field(
        False,
        description="Whether the answer begins with the queries' own columns, those of a file that "
        "are no features too; in CSV, NDJSON, Arrow and Parquet.",
    )
    dataset_id: str | None = Field(
        None, description="Files: the uploaded dataset.", examples=["motorcycle"]
    )
    fit: str | None = Field(
        None,
        description="Files: how to predict, as JSON, or the name of a method. Default: `auto`.",
        examples=['{"method": "knn", "n_neighbors": 5}'],
    )
    include: list[str] = Field(
        default_factory=list,
        description="Files: as in the JSON; once for each.",
        examples=[["std", "interval"]],
    )
    level: float | None = Field(
        None, gt=0, lt=1, description="Files: as in the JSON.", examples=[0.9]
    )
    interval_kind: str | None = Field(
        None, description="Files: as in the JSON.", examples=["conformal"]
    )
    noise: str | None = Field(None, description="Files: as in the JSON.", examples=["constant"])
    quantiles: list[float] = Field(
        default_factory=list,
        description="Files: levels between 0 and 1, as in the JSON; once for each.",
        examples=[[0.1, 0.9]],
    )
    timeout_s: float | None = Field(
        None, gt=0, description="Files: seconds, as in the JSON.", examples=[10]
    )

    @property
    def fields(self) -> dict[str, Any]:
        """The members of the JSON that the parameters mean.

        Raises:
            InvalidInput: The fit is not JSON.
        """
        own = {"with_queries", *TextQuery.model_fields}
        found = {name: getattr(self, name) for name in self.model_fields_set - own}
        if self.fit is not None:
            found["fit"] = {"method": self.fit}
            if self.fit.lstrip().startswith("{"):
                try:
                    found["fit"] = orjson.loads(self.fit)
                except orjson.JSONDecodeError as error:
                    raise InvalidInput.at(
                        "fit", f"fit is not JSON: {error}; send an object, or a method's name."
                    ) from None
        return found
