"""The paths under /v2.

The version of a model may stand in the path; those paths are not in the OpenAPI document, which
would have each operation twice.
"""

from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.documentation import QUESTION_ERRORS, json_body, success
from service.api.health import not_ready
from service.api.inference.answers import write_inference
from service.api.inference.documentation import of_model, refused
from service.api.inference.examples import (
    CONFIGURATION_ANSWER,
    INFERENCE_ANSWER,
    INFERENCES,
    MODEL_ANSWER,
    MODEL_READY_ANSWER,
    MODELS_ANSWER,
    SERVER_ANSWER,
    SERVER_LIVE_ANSWER,
    SERVER_READY_ANSWER,
)
from service.api.inference.models import (
    PLATFORM,
    check_version,
    configuration,
    dataset_of,
    listed,
    metadata,
)
from service.api.inference.queries import HEADER_LENGTH
from service.api.inference.questions import read_question
from service.api.media import read_body
from service.api.questions import unless_disconnected
from service.api.schemas.inference import (
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
from service.api.state import asked, check_no_query, engine_of
from service.api.timing import ServerTiming
from service.api.writing import write_answer
from service.domain.dataset import Dataset
from service.domain.errors import (
    DatasetNotFound,
    InvalidInput,
    NotAcceptable,
    NotReady,
    WorkerLost,
)
from service.engine.engine import Engine

router = APIRouter(tags=["inference"])

EXTENSIONS: Final = ["binary_tensor_data", "classification", "model_configuration", "parameters"]


@router.get(
    "/v2",
    operation_id="get_server_metadata",
    summary="What is the server?",
    response_class=Response,
    responses={
        **success(200, ServerMetadata, "The server.", example=SERVER_ANSWER),
        **refused(NotAcceptable, InvalidInput),
    },
)
async def get_server_metadata(request: Request) -> Response:
    """Return the name and version of the server, and the extensions of the protocol it serves."""
    engine = asked(request)
    server = ServerMetadata(name=PLATFORM, version=__version__, extensions=EXTENSIONS)
    return await write_answer(engine, server.document())


@router.get(
    "/v2/health/live",
    operation_id="get_server_liveness",
    summary="Is the server alive?",
    response_class=Response,
    responses={
        **success(200, ServerLiveness, "It is.", example=SERVER_LIVE_ANSWER),
        **refused(NotAcceptable, InvalidInput),
    },
)
async def get_server_liveness(request: Request) -> Response:
    """Answer at once, whatever is being computed."""
    engine = asked(request)
    return await write_answer(engine, ServerLiveness(live=True).document())


@router.get(
    "/v2/health/ready",
    operation_id="get_server_readiness",
    summary="Is the server ready?",
    response_class=Response,
    responses={
        **success(200, ServerReadiness, "It is.", example=SERVER_READY_ANSWER),
        **refused(NotReady, NotAcceptable, InvalidInput),
    },
)
async def get_server_readiness(request: Request) -> Response:
    """Answer 200 once every model can be asked without waiting, and 503 before and at the end."""
    engine = asked(request)
    _check_ready(engine)
    return await write_answer(engine, ServerReadiness(ready=True).document())


@router.post(
    "/v2/repository/index",
    operation_id="list_models",
    summary="List the models",
    response_class=Response,
    responses={
        **success(200, ModelList, "All datasets.", example=MODELS_ANSWER),
        **refused(NotAcceptable, InvalidInput),
    },
)
async def list_models(request: Request) -> Response:
    """Return all datasets as models, in the order of their upload. The body is not looked at."""
    engine = asked(request)
    return await write_answer(engine, listed(engine).model_dump())


@router.get(
    "/v2/models/{model}",
    operation_id="get_model_metadata",
    summary="Describe a model",
    response_class=Response,
    responses={
        **success(200, ModelMetadata, "The model.", example=MODEL_ANSWER),
        **refused(DatasetNotFound, NotAcceptable, InvalidInput),
    },
    openapi_extra=of_model(),
)
@router.get("/v2/models/{model}/versions/{version}", include_in_schema=False)
async def get_model_metadata(request: Request) -> Response:
    """Return the inputs and outputs of a dataset, which is a model together with a fit.

    `/versions/{version}` may follow the model's name, here and below; the version must be the
    present one.
    """
    engine = asked(request)
    model, dataset = _model(request, engine)
    return await write_answer(engine, metadata(model, dataset).document())


@router.get(
    "/v2/models/{model}/ready",
    operation_id="get_model_readiness",
    summary="Is a model ready?",
    response_class=Response,
    responses={
        **success(200, ModelReadiness, "It is.", example=MODEL_READY_ANSWER),
        **refused(DatasetNotFound, NotReady, NotAcceptable, InvalidInput),
    },
    openapi_extra=of_model(),
)
@router.get("/v2/models/{model}/versions/{version}/ready", include_in_schema=False)
async def get_model_readiness(request: Request) -> Response:
    """Answer 200 where the dataset is there and can be asked without waiting."""
    engine = asked(request)
    model, _ = _model(request, engine)
    _check_ready(engine)
    return await write_answer(engine, ModelReadiness(name=model, ready=True).document())


@router.get(
    "/v2/models/{model}/config",
    operation_id="get_model_config",
    summary="Describe a model to Triton's clients",
    response_class=Response,
    responses={
        **success(200, ModelConfiguration, "The model.", example=CONFIGURATION_ANSWER),
        **refused(DatasetNotFound, NotAcceptable, InvalidInput),
    },
    openapi_extra=of_model(),
)
@router.get("/v2/models/{model}/versions/{version}/config", include_in_schema=False)
async def get_model_config(request: Request) -> Response:
    """Return what the metadata say in the form of Triton's model configurations."""
    engine = asked(request)
    model, dataset = _model(request, engine)
    return await write_answer(engine, configuration(model, dataset).document())


@router.post(
    "/v2/models/{model}/infer",
    operation_id="infer_model",
    summary="Predict with a model",
    response_class=Response,
    responses={
        **success(
            200,
            InferenceResponse,
            "The estimates. Where outputs were asked for as bytes the answer is "
            f"`application/octet-stream`: this JSON, of the length in the header {HEADER_LENGTH}, "
            "and after it the bytes.",
            example=INFERENCE_ANSWER,
        ),
        **refused(*(error for error in QUESTION_ERRORS if error is not NotAcceptable), WorkerLost),
    },
    openapi_extra=of_model(**json_body(InferenceRequest, INFERENCES)),
)
@router.post("/v2/models/{model}/versions/{version}/infer", include_in_schema=False)
async def infer_model(request: Request) -> Response:
    """Answer as `/predict` does, to the bit, in the form of the Open Inference Protocol.

    The queries are one tensor `x`, or one for each feature. The fit is in the parameters, as JSON
    in the text `fit` or field by field; without any the service chooses. Tensors may be bytes
    after the JSON, both ways; Content-Type and Accept are not looked at.
    """
    check_no_query(request)
    engine = engine_of(request)
    model, dataset = _model(request, engine)
    timing = ServerTiming()
    question = await read_body(
        request,
        engine,
        partial(
            read_question,
            header_length=request.headers.get(HEADER_LENGTH),
            model=model,
            dataset=dataset,
            limits=engine.limits,
        ),
    )
    timing.lap("read")
    answer = engine.predict_now(question.command)
    if answer is None:
        answer = await unless_disconnected(request, engine.predict(question.command))
    check_version(answer.dataset, request.path_params.get("version"))  # rows may have come since
    timing.part("queue", answer.queue_s)
    timing.part("compute", answer.compute_s)
    response = await write_inference(engine, answer, question, model)
    timing.lap("write")
    response.headers["Server-Timing"] = timing.header
    return response


def _model(request: Request, engine: Engine) -> tuple[str, Dataset]:
    """Return the name in the path, and the dataset that it means. Raises as `dataset_of` does."""
    model = request.path_params["model"]
    return model, dataset_of(engine, model, request.path_params.get("version"))


def _check_ready(engine: Engine) -> None:
    if not engine.is_ready:
        raise not_ready()
