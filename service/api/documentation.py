"""Pieces of the OpenAPI document, declared beside each endpoint.

Bodies are read by hand, not by FastAPI, so the document is told of them here. All schemas are
references; `openapi.py` puts what they refer to into the document.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from service.api.errors import PROBLEM_MEDIA_TYPE, STATUS_CODES, problem_title, problem_type
from service.api.media import JSON, Format
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
    headers: tuple[str, ...] = (),
) -> Responses:
    """Document the answer of a request that succeeds.

    Args:
        status: The HTTP status code.
        model: The schema of the JSON.
        description: What the answer means.
        example: Of the JSON.
        arrow: What is in which column, where the answer may be an Arrow stream.
        headers: Those that matter.
    """
    content: dict[str, Any] = {"schema": reference(model)}
    if example is not None:
        content["example"] = example
    response: dict[str, Any] = {"description": description, "content": {JSON: content}}
    if arrow:
        response["content"][Format.ARROW.value] = _arrow_content(arrow)
    if headers:
        response["headers"] = _header_documents(headers)
    return {status: response}


def no_content(description: str) -> Responses:
    """Document an answer without a body."""
    return {204: {"description": description}}


def documented(*errors: type[NearfitError]) -> Responses:
    """Document the errors that an operation can end with, one response a status."""
    responses: Responses = {}
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
            "value": {
                "type": problem_type(condition),
                "title": problem_title(condition),
                "status": status,
                "detail": sentence,
                "instance": "/…",
                "request_id": "0f5b4a5d9d0b4c6f8e0e3b1a2c3d4e5f",
            }
        }
        if status == 503:
            response["headers"] = _header_documents(("Retry-After",))
    return responses


def json_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that is JSON."""
    content = {Format.JSON.value: {"schema": reference(model), "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


def prediction_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that is JSON or an Arrow stream; the examples are of the JSON."""
    content = {
        Format.JSON.value: {"schema": reference(model), "examples": examples},
        Format.ARROW.value: _arrow_content(
            "The queries as one column `queries` of type fixed_size_list, or as one column a "
            "feature, by name. All else is the JSON, in the metadata of the schema, under the key "
            "`nearfit`."
        ),
    }
    return {"requestBody": {"required": True, "content": content}}


def upload_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that is JSON, an Arrow stream, a CSV file or a form with one.

    Args:
        model: The schema of the JSON.
        examples: By media type.
    """
    fields = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "A CSV file; its first line names the columns.",
        },
        # Swagger UI fills in the defaults, and would fill in "string" without them.
        "name": {"type": "string", "default": "", "description": "A label for people."},
        "target": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "The column to predict, or several. Default: the last column.",
        },
        "task": {
            "type": "string",
            "enum": ["", "regression", "classification"],
            "default": "",
            "description": "Whether the target is numbers or classes. Default: by what it is.",
        },
        "categorical": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Features that are categories without an order, beside those of texts.",
        },
        "ordered": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Features whose levels have an order, as `size:small|medium|large`.",
        },
    }
    arrow = (
        "The rows as columns `x` and `y`, of which `x`, or both, are of type fixed_size_list; then "
        "the names are JSON in the metadata of the schema, under the key `nearfit`. Or one column "
        "a feature and target, by name."
    )
    return _file_body(model, fields, arrow, examples)


def rows_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that has rows for a known dataset; `examples` is by media type."""
    fields = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "A CSV file with the columns of the dataset, in any order.",
        }
    }
    arrow = (
        "The rows as columns `x` and `y`, of which `x`, or both, are of type fixed_size_list. Or "
        "the columns of the dataset by their names, in any order."
    )
    return _file_body(model, fields, arrow, examples)


def _file_body(
    model: type[BaseModel], fields: dict[str, Any], arrow: str, examples: Mapping[str, Any]
) -> dict[str, Any]:
    schemas: dict[Format, Any] = {
        Format.JSON: reference(model),
        Format.ARROW: _arrow_content(arrow)["schema"],
        Format.CSV: {"type": "string", "description": "Names of columns, then numbers."},
        Format.FORM: {"type": "object", "properties": fields, "required": ["file"]},
    }
    content: dict[str, dict[str, Any]] = {
        media_type.value: {"schema": schema}
        | ({"examples": examples[media_type]} if media_type in examples else {})
        for media_type, schema in schemas.items()
    }
    if "target" in fields:
        # One part of the form for each, where Swagger UI would join them with commas.
        content[Format.FORM]["encoding"] = {"target": {"style": "form", "explode": True}}
    return {"requestBody": {"required": True, "content": content}}


def _arrow_content(description: str) -> dict[str, Any]:
    text = f"An Arrow IPC stream. {description}"
    return {"schema": {"type": "string", "format": "binary", "description": text}}


def _header_documents(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}
