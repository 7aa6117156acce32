"""Bodies of rows in the OpenAPI document: every format, and the headers beside them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from service.api.documentation import (
    FILE_DESCRIPTIONS,
    arrow_content,
    file_content,
    header_parameter,
    reference,
)
from service.api.media import Format
from service.api.schemas.files import TextQuery
from service.api.schemas.prediction_files import PredictQuery

BODY_HEADERS: Final = [
    header_parameter(
        "Upload-Id",
        "A name of the client's choice for this upload; GET /uploads/{upload_id} then says how "
        "far it has come: 1 to 64 letters, digits or ._~-.",
        pattern="^[A-Za-z0-9._~-]{1,64}$",
    ),
    header_parameter(
        "Content-Encoding",
        "How the body is compressed; without it, it is not.",
        enum=["gzip", "zstd", "deflate"],
    ),
]


def prediction_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Document a body that is JSON or an Arrow stream; the examples are of the JSON."""
    content = {
        Format.JSON.value: {"schema": reference(model), "examples": examples},
        Format.ARROW.value: arrow_content(
            "The queries as one column `queries` of type fixed_size_list, or as one column a "
            "feature, by name. All else is the JSON, in the metadata of the schema, under the key "
            "`nearfit`."
        ),
    }
    content |= {
        kind.value: file_content(
            kind, "Of queries: a column a feature; all else is in the query parameters."
        )
        for kind in FILE_DESCRIPTIONS
        if kind is not Format.ARROW
    }
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": query_parameters(PredictQuery),
    }


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
            "description": "A file of rows: CSV, NDJSON, Parquet, Arrow, npz or JSON, told by its "
            "first bytes and its name; it may be compressed (.gz, .zst).",
        },
        # Swagger UI fills in the defaults, and would fill in "string" without them.
        "name": {"type": "string", "default": "", "description": "A label for people."},
        "target": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "The column to predict, or several. Default: the last column.",
        },
        "columns": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "The columns to use as features. Default: all but targets and weights.",
        },
        "weights": {
            "type": "string",
            "default": "",
            "description": "The column that says what each row counts. Default: none.",
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
        **_text_fields(),
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
            "description": "A file with the columns of the dataset, in any order: CSV, NDJSON, "
            "Parquet, Arrow, npz or JSON, which may be compressed (.gz, .zst).",
        },
        **_text_fields(),
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
        Format.ARROW: arrow_content(arrow)["schema"],
        **{
            kind: file_content(kind)["schema"]
            for kind in FILE_DESCRIPTIONS
            if kind is not Format.ARROW
        },
        Format.FORM: {"type": "object", "properties": fields, "required": ["file"]},
    }
    content: dict[str, dict[str, Any]] = {
        media_type.value: {"schema": schema}
        | ({"examples": examples[media_type]} if media_type in examples else {})
        for media_type, schema in schemas.items()
    }
    # One part of the form for each, where Swagger UI would join them with commas.
    lists = [name for name, schema in fields.items() if schema["type"] == "array"]
    if lists:
        content[Format.FORM]["encoding"] = {
            name: {"style": "form", "explode": True} for name in lists
        }
    return {"requestBody": {"required": True, "content": content}}


def _text_fields() -> dict[str, Any]:
    """Return the fields of a form that say how a CSV file is written."""
    return {
        name: {"type": "string", "default": "", "description": field.description}
        for name, field in TextQuery.model_fields.items()
    }


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Document query parameters that an endpoint reads by hand."""
    found = []
    for name, schema in model.model_json_schema()["properties"].items():
        description = schema.pop("description")
        parameter = {"name": name, "in": "query", "description": description, "schema": schema}
        found.append(parameter)
    return found
