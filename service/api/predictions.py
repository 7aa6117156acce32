"""POST /predict."""

from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.arrow_answers import arrow_pieces
from service.api.arrow_streams import read_arrow
from service.api.documentation import QUESTION_ERRORS, documented, prediction_body, success
from service.api.examples import PREDICTION_ANSWER, PREDICTIONS
from service.api.media import (
    ContentType,
    Format,
    content_type,
    parse_model,
    read_body,
    validated,
)
from service.api.questions import unless_disconnected
from service.api.schemas.prediction_requests import PredictionRequest
from service.api.schemas.predictions import PredictionResponse
from service.api.state import answer_format, check_no_query, engine_of
from service.api.timing import ServerTiming
from service.api.writing import PIECE_NUMBERS, size, write_answer, write_pieces
from service.domain.errors import (
    WorkerLost,
)
from service.engine.commands import Answer, PredictCommand
from service.engine.engine import Engine

router = APIRouter(tags=["predictions"])

ARRAY_POINTERS: Final = frozenset({"/queries", "/dataset/x", "/dataset/y", "/dataset/weights"})


@router.post(
    "/predict",
    operation_id="create_prediction",
    summary="Predict at query points",
    response_class=Response,
    responses={
        **success(
            200,
            PredictionResponse,
            "The estimates.",
            example=PREDICTION_ANSWER,
            arrow="A row for each query, with its `mean`, or `probabilities` and `label`, and with "
            "what `include` adds for each query. All else is the JSON, in the metadata of the "
            "schema, under the key `nearfit`.",
        ),
        **documented(*QUESTION_ERRORS, WorkerLost),
    },
    openapi_extra=prediction_body(PredictionRequest, PREDICTIONS),
)
async def create_prediction(request: Request) -> Response:
    """Fit around each query point, and return the estimates.

    Nothing was trained before: each estimate is a small fit to the rows around its query. Send
    the id of an uploaded dataset, or the rows themselves as `dataset`. Without `fit` the service
    chooses, and the answer names what it chose. A query without any supporting row has the
    estimate `null` and an issue. Body and answer may each be an Arrow stream.
    """
    wanted = answer_format(request, Format.JSON, Format.ARROW)
    check_no_query(request)
    kind = content_type(request, Format.JSON, Format.ARROW)
    engine = engine_of(request)
    timing = ServerTiming()
    command = await read_body(request, engine, partial(read_command, kind=kind, engine=engine))
    timing.lap("read")
    answer = engine.predict_now(command)
    if answer is None:
        answer = await unless_disconnected(request, engine.predict(command))
    timing.part("queue", answer.queue_s)
    timing.part("compute", answer.compute_s)
    response = await write_prediction(engine, answer, wanted)
    timing.lap("write")
    response.headers["Server-Timing"] = timing.header
    return response


def read_command(body: bytearray, kind: ContentType, engine: Engine) -> PredictCommand:
    """Return what the body asks for."""
    if kind.format is Format.JSON:
        return parse_model(body, PredictionRequest, ARRAY_POINTERS).to_domain(engine.limits)
    stream = read_arrow(body, engine.limits)
    if stream.widths:
        stream.only_matrices("queries")
        queries = stream.array("queries")
        fields = stream.fields(ARRAY_POINTERS, queries=queries)
        return validated(fields, PredictionRequest).to_domain(engine.limits)
    columns = stream.columns()
    fields = stream.fields(ARRAY_POINTERS, queries=columns.points(columns.names))
    command = validated(fields, PredictionRequest).to_domain(engine.limits)
    dataset = command.dataset or engine.describe(command.dataset_id or "")
    columns.only(dataset.feature_names)
    if columns.names == dataset.feature_names:
        return command
    return replace(command, queries=columns.points(dataset.feature_names))


async def write_prediction(engine: Engine, answer: Answer, answer_format: Format) -> Response:
    """Return the answer in the format."""
    document = PredictionResponse.from_domain(answer).document()
    if answer_format is Format.JSON:
        return await write_answer(engine, document)
    pieces = arrow_pieces(document, answer.prediction)
    if size(document) <= PIECE_NUMBERS:
        return Response(b"".join(pieces), media_type=Format.ARROW)
    return await write_pieces(engine, pieces, Format.ARROW)
