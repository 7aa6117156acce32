"""The OpenAPI document of the whole service."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.documentation import REFERENCE
from service.api.schemas.datasets import (
    DatasetDescription,
    DatasetPage,
    DatasetUpload,
    RowsUpload,
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
example answers at once. Then upload your own with **POST /datasets**.

Errors are problem documents (RFC 9457) that name the value at fault and what to do.
"""
TAGS: Final = [
    {"name": "datasets", "description": "Rows that predictions look at."},
    {"name": "predictions", "description": "Estimates at query points."},
    {"name": "optimization", "description": "Where fitted surfaces are low or high."},
    {"name": "scores", "description": "How good fits are, and which features matter."},
    {"name": "tuning", "description": "Searches for the best fit."},
    {"name": "service", "description": "Health and limits."},
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
    Liveness,
    Readiness,
    LimitsAnswer,
    ProblemDetails,
)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the document of the routes of this application, with every schema they refer to."""
    document = get_openapi(
        title=TITLE,
        version=app.version,
        summary=SUMMARY,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
    )
    # One form of each model for both directions: an answer's fit can be sent back as it is.
    _, schemas = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=REFERENCE
    )
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted(schemas["$defs"].items()))
    return document


def cached_openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return what to put in the place of `app.openapi`."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app)
        return app.openapi_schema

    return openapi
