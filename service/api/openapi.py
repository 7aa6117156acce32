"""The OpenAPI document of the whole service."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import CoreSchema

from service.api.documentation import REFERENCE, Responses
from service.api.schemas.datasets import (
    DatasetDescription,
    DatasetPage,
    DatasetUpload,
    RowsUpload,
)
from service.api.schemas.files import UploadProgress
from service.api.schemas.inference import (
    InferenceRefusal,
    InferenceRequest,
    InferenceResponse,
    ModelConfiguration,
    ModelList,
    ModelMetadata,
    ModelReadiness,
    ServerLiveness,
    ServerMetadata,
    ServerReadiness,
)
from service.api.schemas.optimization import MinimizationRequest, MinimizationResponse
from service.api.schemas.prediction_requests import PredictionRequest
from service.api.schemas.predictions import PredictionResponse
from service.api.schemas.relevance import RelevanceResponse
from service.api.schemas.scoring import ScoreRequest, ScoreResponse
from service.api.schemas.service import LimitsAnswer, Liveness, ProblemDetails, Readiness
from service.api.schemas.tuning import JobPage, TuningJobItem, TuningRequest, TuningResponse

TITLE: Final = "nearfit"
SUMMARY: Final = "Predictions without training: local fits around each query point."
DESCRIPTION: Final = """\
Upload rows, post query points, get estimates. Nothing is trained: each estimate is a small fit
around its query, made when it is asked for.

Start with **POST /predict** below: the dataset `motorcycle` is there from the start, so every
example answers at once, and the menu of its body has one for each method. Then choose a file of
yours in **POST /datasets**, as `multipart/form-data`.

To see a fit move under the pointer, open [the explorer](explore); to read what the methods do,
[the guide](guide/).

Errors are problem documents (RFC 9457) that name the value at fault and what to do. Numbers are
float64; JSON never carries NaN or Infinity: what cannot be told is `null`.
"""
LICENSE: Final = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
GUIDE: Final = {"description": "The guide", "url": "guide/"}

# A path is appended to this as it is, and it is relative to the address of the document: so it
# holds wherever the service is, behind a proxy that adds a prefix too.
SERVERS: Final = [{"url": ".", "description": "The service that this document comes from."}]

# In the order in which they are used.
TAGS: Final = [
    {"name": "datasets", "description": "Rows that predictions look at. Begin here with your own."},
    {"name": "predictions", "description": "Estimates at query points, by any method."},
    {"name": "pictures", "description": "Rows and a fit, drawn for a document."},
    {"name": "tuning", "description": "Searches for the best fit, and how far they are."},
    {"name": "scores", "description": "How good a fit is, and which features matter."},
    {"name": "optimization", "description": "Where a fitted surface is low or high."},
    {
        "name": "inference",
        "description": "The Open Inference Protocol, version 2, for the clients of KServe, Triton "
        "and MLServer: a dataset with its fit is a model.",
    },
    {"name": "service", "description": "Is it alive, is it ready, what does it take."},
]
MODELS: Final[tuple[type[BaseModel], ...]] = (
    DatasetUpload,
    RowsUpload,
    DatasetDescription,
    DatasetPage,
    PredictionRequest,
    PredictionResponse,
    MinimizationRequest,
    MinimizationResponse,
    ScoreRequest,
    ScoreResponse,
    RelevanceResponse,
    TuningRequest,
    TuningResponse,
    TuningJobItem,
    JobPage,
    ServerMetadata,
    ServerLiveness,
    ServerReadiness,
    ModelList,
    ModelMetadata,
    ModelReadiness,
    ModelConfiguration,
    InferenceRequest,
    InferenceResponse,
    InferenceRefusal,
    Liveness,
    Readiness,
    UploadProgress,
    LimitsAnswer,
    ProblemDetails,
)


class _Schemas(GenerateJsonSchema):
    """Schemas whose fields have no titles: pydantic's would be their names in capitals."""

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:
        return False


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the document of the routes of this application, with every schema they refer to."""
    document = get_openapi(
        title=TITLE,
        version=app.version,
        summary=SUMMARY,
        description=DESCRIPTION,
        license_info=LICENSE,
        servers=SERVERS,
        routes=app.routes,
        tags=TAGS,
    )
    document["externalDocs"] = GUIDE  # FastAPI would refuse an address that is relative
    # One form of each model for both directions: an answer's fit can be sent back as it is.
    _, schemas = models_json_schema(
        [(model, "validation") for model in MODELS],
        ref_template=REFERENCE,
        schema_generator=_Schemas,
    )
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted(schemas["$defs"].items()))
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                _put_right(operation, route.responses, route.openapi_extra or {})
    return document


def _put_right(operation: dict[str, Any], responses: Responses, extra: Mapping[str, Any]) -> None:
    """Undo what FastAPI does to an operation: it drops every null, those of examples too.

    And of parameters it says what they are twice, and that they may be null where they may be
    missing, which an address cannot say.
    """
    ordered = sorted((str(status), response) for status, response in responses.items())
    operation["responses"] = dict(ordered)
    if "requestBody" in extra:
        operation["requestBody"] = extra["requestBody"]
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        for repeated in ("title", "description"):
            schema.pop(repeated, None)
        branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
        if len(branches) == 1:
            del schema["anyOf"]
            schema.update(branches[0])


def cached_openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return what to put in the place of `app.openapi`."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app)
        return app.openapi_schema

    return openapi
