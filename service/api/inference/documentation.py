"""Pieces of the OpenAPI document that only the operations under /v2 need."""

from typing import Any, Final

from service.api.documentation import Responses, documented, reference
from service.api.media import JSON
from service.api.schemas.inference import InferenceRefusal
from service.domain.errors import NearfitError

MODEL: Final[dict[str, Any]] = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The id of a dataset, or its name where no other has it.",
    "schema": {"type": "string"},
    "examples": {"sample": {"value": "motorcycle"}},
}


def refused(*errors: type[NearfitError]) -> Responses:
    """Document the errors that an operation of the protocol can end with, in its form."""
    responses = documented(*errors)
    for response in responses.values():
        (problem,) = response["content"].values()
        examples = {
            name: {"value": {"error": example["value"]["detail"]}}
            for name, example in problem["examples"].items()
        }
        response["content"] = {JSON: {"schema": reference(InferenceRefusal), "examples": examples}}
    return responses


def of_model(**extra: Any) -> dict[str, Any]:
    """Document an operation about one model."""
    return {"parameters": [MODEL], **extra}
