"""Pieces of the OpenAPI document, declared beside each endpoint.

Bodies are read by hand, not by FastAPI, so the document is told of them here. All schemas are
references; `openapi.py` puts what they refer to into the document.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from service.api.errors import PROBLEM_MEDIA_TYPE, STATUS_CODES, problem_title
from service.api.media import JSON, Format
from service.api.problem_examples import problem_example
from service.api.schemas.service import ProblemDetails
from service.domain.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    MalformedBody,
    NearfitError,
    NotAcceptable,
    NotReady,
    Overloaded,
    UnsupportedMediaType,
)

Responses: TypeAlias = dict[int | str, dict[str, Any]]

REFERENCE: Final = "#/components/schemas/{model}"

HEADERS: Final[Mapping[str, str]] = {
    "Location": "The address of the dataset or job.",
    "ETag": "The digest of the content, in quotes.",
    "Link": 'The address of the next page, with rel="next".',
    "Retry-After": "Seconds after which to try again.",
}

FILE_DESCRIPTIONS: Final[Mapping[Format, str]] = {
    Format.CSV: "A CSV file: a line of names, then a line a row.",
    Format.NDJSON: "NDJSON: an object a line, whose members are the cells of a row, by name.",
    Format.PARQUET: "A Parquet file with a column each, by name.",
    Format.ARROW: "An Arrow IPC stream with a column each, by name.",
    Format.ARROW_FILE: "An Arrow IPC file (.arrow, .feather), as the stream.",
    Format.NPZ: "NumPy's npz, without pickles: the matrices x and y, with their names in "
    "feature_names and target_names; or an array a column, by name.",
    Format.BYTES: "Any of these files, told by its first bytes; gzip and zstd too.",
}

BODY_ERRORS: Final = (
    MalformedBody,
    BodyTooLarge,
    BodyTooSlow,
    UnsupportedMediaType,
    InvalidInput,
    Overloaded,
)
"""What a request with a body can end with."""

QUESTION_ERRORS: Final = (
    *BODY_ERRORS,
    DatasetNotFound,
    NotAcceptable,
    NotReady,
    DeadlineExceeded,
)
"""What a question to the engine can end with, whose body names a dataset or brings rows."""


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return the reference to the schema of the model."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def success(
    status: int,
    model: type[BaseModel],
    description: str,
    *,
    example: Any = None,
    arrow: str = "",
    files: tuple[Format, ...] = (),
    headers: tuple[str, ...] = (),
) -> Responses:
    """Document the answer of a request that succeeds.

    Args:
        status: The HTTP status code.
        model: The schema of the JSON.
        description: What the answer means.
        example: Of the JSON.
        arrow: What is in which column, where the answer may be an Arrow stream.
        files: Formats of further files with the same, a column each.
        headers: Those that matter.
    """
    content: dict[str, Any] = {"schema": reference(model)}
    if example is not None:
        content["example"] = example
    response: dict[str, Any] = {"description": description, "content": {JSON: content}}
    if arrow:
        response["content"][Format.ARROW.value] = arrow_content(arrow)
    for kind in files:
        response["content"][kind.value] = file_content(kind)
    if headers:
        response["headers"] = _header_documents(headers)
    return {status: response}


def header_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Document a request header that the endpoint reads by hand.

    Args:
        name: Of the header.
        description: What it does.
        schema: What values it has, beside being a text.
    """
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string", **schema},
    }


def no_content(description: str) -> Responses:
    """Document an answer without a body."""
    return {204: {"description": description}}


def documented(*errors: type[NearfitError]) -> Responses:
    """Document the errors that an operation can end with, one response a status."""
    responses: Responses = {}
    has_body = MalformedBody in errors
    for error in errors:
        status = int(STATUS_CODES[error])
        condition = error.__name__
        sentence = (error.__doc__ or problem_title(condition)).partition("\n")[0]
        response = responses.setdefault(
            status,
            {
                "description": "",
                "content": {
                    PROBLEM_MEDIA_TYPE: {"schema": reference(ProblemDetails), "examples": {}}
                },
            },
        )
        response["description"] = f"{response['description']} {sentence}".strip()
        response["content"][PROBLEM_MEDIA_TYPE]["examples"][condition] = {
            "summary": problem_title(condition),
            "value": problem_example(error, has_body=has_body),
        }
        if status == 503:
            response["headers"] = _header_documents(("Retry-After",))
    return responses


def json_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that is JSON."""
    content = {Format.JSON.value: {"schema": reference(model), "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


def file_content(kind: Format, description: str = "") -> dict[str, Any]:
    """Document a file of rows."""
    text = f"{FILE_DESCRIPTIONS[kind]} {description}".strip()
    is_binary = kind not in (Format.CSV, Format.NDJSON)
    schema = {"type": "string", "description": text} | ({"format": "binary"} if is_binary else {})
    return {"schema": schema}


def arrow_content(description: str) -> dict[str, Any]:
    """Document an Arrow IPC stream."""
    text = f"An Arrow IPC stream. {description}"
    return {"schema": {"type": "string", "format": "binary", "description": text}}


def _header_documents(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}
