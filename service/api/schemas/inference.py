"""The Open Inference Protocol, version 2: what is asked and answered under /v2."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, RootModel, WithJsonSchema

from service.api.inference.tensors import Datatype
from service.api.schemas.base import AnswerModel, RequestModel

JSON_TEXT: Final = '{"method": "knn", "n_neighbors": 5}'

ELEMENT_TYPES: Final = ("number", "string", "boolean", "array", "null")
ELEMENTS: Final = {
    "anyOf": [
        {"type": "array", "items": {"anyOf": [{"type": name} for name in ELEMENT_TYPES]}},
        {"type": "null"},
    ]
}
"""The schema of the elements of a tensor: a list, perhaps nested; null where they are bytes."""

TensorData = Annotated[Any, WithJsonSchema(ELEMENTS)]
Shape = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2)]

CONTENT_TYPE: Final = "How MLServer's codecs call the content; taken, and not looked at."


class InputParameters(RequestModel):
    """What is said of an input."""

    binary_data_size: int | None = Field(
        None,
        ge=0,
        description="Bytes of the tensor, which follow the JSON in the order of the inputs; in "
        "place of `data`.",
    )
    content_type: str | None = Field(None, description=CONTENT_TYPE)


class InferenceInput(RequestModel):
    """A tensor of queries."""

    name: str = Field(
        description="`x` for all features, or the name of one feature; then there is a tensor for "
        "each.",
        examples=["x"],
    )
    shape: Shape = Field(
        description="`[m, d]` for m queries of d features. Of one feature `[m]` or `[m, 1]`.",
        examples=[[3, 1]],
    )
    datatype: Datatype = Field(
        description="Numbers of any type are computed with as FP64. BYTES are texts: the levels of "
        "a category.",
        examples=["FP64"],
    )
    parameters: InputParameters | None = Field(
        None, description="Where its bytes are.", examples=[{"content_type": "np"}]
    )
    data: TensorData = Field(
        None,
        description="The elements in row-major order, flat or nested as the shape is. null where a "
        "cell is missing.",
        examples=[[15.0, 25.0, 35.0]],
    )


class OutputParameters(RequestModel):
    """How an output is wanted."""

    binary_data: bool | None = Field(
        None, description="As bytes after the JSON. Default: `binary_data_output` of the request."
    )
    classification: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Of `probabilities`: in their place so many classes for each query, the "
        "likeliest first, as texts `probability:position:class`; from 1 to the number of classes.",
    )
    content_type: str | None = Field(None, description=CONTENT_TYPE)


class InferenceOutput(RequestModel):
    """An output that is wanted."""

    name: str = Field(
        description="One of the outputs that the model's metadata lists.", examples=["y"]
    )
    parameters: OutputParameters | None = Field(
        None, description="In which form.", examples=[{"binary_data": False}]
    )


def _open(schema: dict[str, Any]) -> None:
    """Leave out what Swagger UI would make a property called additionalProp1 of."""
    schema.pop("additionalProperties", None)


class InferenceParameters(RequestModel):
    """How to predict.

    Beside the fields below, a field of a fit may stand here by itself, such as `method` and
    `n_neighbors`, and so may `level`, `interval_kind` and `noise`; see `/predict`.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra=_open)

    fit: str | None = Field(
        None,
        description="The fit as JSON, in a text. Default: its fields, where they stand by "
        "themselves; else `auto`.",
        examples=[JSON_TEXT],
    )
    timeout: Annotated[int, Field(gt=0)] | None = Field(
        None,
        description="Microseconds that the prediction may take. Default and cap are in /limits, in "
        "seconds.",
        examples=[10_000_000],
    )
    binary_data_output: bool = Field(
        False, description="Whether outputs come as bytes after the JSON."
    )
    content_type: str | None = Field(None, description=CONTENT_TYPE)


class InferenceRequest(RequestModel):
    """Queries, and which estimates are wanted at them."""

    id: str | None = Field(None, description="Comes back in the answer.", examples=["42"])
    model_name: str | None = Field(
        None,
        description="As in the address; KServe's client says it twice.",
        examples=["motorcycle"],
    )
    parameters: InferenceParameters | None = Field(
        None, description="How to predict.", examples=[{"method": "knn", "n_neighbors": 5}]
    )
    inputs: list[InferenceInput] = Field(
        min_length=1, description="The queries: one tensor `x`, or one for each feature."
    )
    outputs: list[InferenceOutput] | None = Field(
        None,
        description="What is wanted. Default: `y`; of classes, `label` and `probabilities`. The "
        "others are computed only where they are asked for.",
    )


class OutputData(AnswerModel):
    """A tensor of estimates."""

    name: str = Field(description="As asked for.")
    datatype: Datatype = Field(description="FP64 of numbers, BYTES of texts.")
    shape: list[int] = Field(description="`[m]`, or `[m, columns]`, for m queries.")
    parameters: dict[str, int] | None = Field(
        None,
        description="`binary_data_size`: bytes of the tensor, which follow the JSON in the order "
        "of the outputs.",
        examples=[{"binary_data_size": 24}],
    )
    data: TensorData = Field(
        None,
        description="The elements in row-major order, in a flat list. null where there is no "
        "estimate, or nothing bounds it; NaN and infinite as bytes.",
    )


class AnswerParameters(AnswerModel):
    """How the estimates came about."""

    fit: str = Field(description="The fit that was used, with every choice made, as JSON.")
    chosen_by: str | None = Field(
        None, description="What chose the fit where none was sent: `rule` or `search`."
    )
    advice: str | None = Field(
        None,
        description="What should be known about some of the estimates. The output `status` says "
        "about which.",
    )


class InferenceResponse(AnswerModel):
    """Estimates at the queries, in their order."""

    model_name: str = Field(description="As in the address.")
    model_version: str = Field(description="The version of the dataset that was looked at.")
    id: str | None = Field(None, description="As sent.")
    parameters: AnswerParameters = Field(description="The fit, and what should be known of it.")
    outputs: list[OutputData] = Field(description="In the order asked for.")


class TensorMetadata(AnswerModel):
    """An input or output of a model."""

    name: str = Field(description="Of the tensor.")
    datatype: Datatype = Field(description="FP64 of numbers, BYTES of texts.")
    shape: list[int] = Field(description="-1 stands for the number of queries.")


class ModelMetadata(AnswerModel):
    """What a model takes and gives."""

    name: str = Field(description="As in the address.")
    versions: list[str] = Field(description="The present version of the dataset; no other is kept.")
    platform: str = Field(description="What computes.")
    inputs: list[TensorMetadata] = Field(description="All of them are needed.")
    outputs: list[TensorMetadata] = Field(description="What may be asked for.")


class ConfiguredInput(AnswerModel):
    """An input or output as Triton's configurations describe it."""

    name: str = Field(description="Of the tensor.")
    data_type: str = Field(description="TYPE_FP64 of numbers, TYPE_STRING of texts.")
    dims: list[int] = Field(description="-1 stands for the number of queries.")


class ModelConfiguration(AnswerModel):
    """A model as Triton's configurations describe it."""

    name: str = Field(description="As in the address.")
    platform: str = Field(description="What computes.")
    backend: str = Field(description="The same.")
    max_batch_size: int = Field(
        ge=0, description="0: shapes are whole, and requests are batched by the service itself."
    )
    input: list[ConfiguredInput] = Field(description="All of them are needed.")
    output: list[ConfiguredInput] = Field(description="What may be asked for.")


class ModelReadiness(AnswerModel):
    """Whether a model can be asked."""

    name: str = Field(description="As in the address.")
    ready: bool = Field(description="true.")


class ModelState(AnswerModel):
    """A model in the list of all."""

    name: str = Field(description="The id of the dataset.")
    version: str = Field(description="Its present version.")
    state: str = Field(description="READY, or UNAVAILABLE while the service starts.")
    reason: str = Field(description="Why it is not ready; empty where it is.")


class ModelList(RootModel[list[ModelState]]):
    """All datasets, in the order of their upload."""


class ServerMetadata(AnswerModel):
    """What the server is."""

    name: str = Field(description="nearfit.")
    version: str = Field(description="Of the service.")
    extensions: list[str] = Field(description="Of the protocol, that are served.")


class ServerLiveness(AnswerModel):
    """The process answers."""

    live: bool = Field(description="true.")


class ServerReadiness(AnswerModel):
    """Predictions can be computed without waiting."""

    ready: bool = Field(description="true.")


class InferenceRefusal(AnswerModel):
    """Why a request failed, in the protocol's form."""

    error: str = Field(description="What went wrong this time, and what to do.")
