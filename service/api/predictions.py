"""POST /predict."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.arrow_answers import arrow_pieces
from service.api.bodies import prediction_body
from service.api.documentation import QUESTION_ERRORS, documented, success
from service.api.examples import PREDICTION_ANSWER, PREDICTIONS
from service.api.flat_answers import flat_pieces
from service.api.formats.kinds import FILES
from service.api.media import Format, content_type, read_body
from service.api.queries import Question, asked_in_address, read_question
from service.api.questions import unless_disconnected
from service.api.schemas.prediction_requests import PredictionRequest
from service.api.schemas.predictions import PredictionResponse
from service.api.state import answer_format, engine_of
from service.api.timing import ServerTiming
from service.api.writing import PIECE_NUMBERS, size, write_answer, write_pieces
from service.domain.errors import InvalidInput, WorkerLost
from service.engine.commands import Answer
from service.engine.engine import Engine

router = APIRouter(tags=["predictions"])

ANSWERS: Final = (Format.JSON, Format.ARROW, Format.CSV, Format.NDJSON, Format.PARQUET)


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
            files=(Format.CSV, Format.NDJSON, Format.PARQUET),
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
    wanted = answer_format(request, *ANSWERS)
    asked = asked_in_address(request)
    kind = content_type(request, Format.JSON, Format.ARROW, *FILES)
    engine = engine_of(request)
    timing = ServerTiming()
    question = await read_body(
        request, engine, partial(read_question, kind=kind, asked=asked, engine=engine)
    )
    command = question.command
    timing.lap("read")
    answer = engine.predict_now(command)
    if answer is None:
        answer = await unless_disconnected(request, engine.predict(command))
    timing.part("queue", answer.queue_s)
    timing.part("compute", answer.compute_s)
    response = await write_prediction(
        engine, question, answer, wanted, with_queries=asked.with_queries
    )
    timing.lap("write")
    response.headers["Server-Timing"] = timing.header
    return response


async def write_prediction(
    engine: Engine, question: Question, answer: Answer, wanted: Format, *, with_queries: bool
) -> Response:
    """Return the answer in the format."""
    document = PredictionResponse.from_domain(answer).document()
    if wanted is Format.JSON:
        if with_queries:
            raise InvalidInput.at(
                "with_queries",
                "with_queries is for answers in CSV, NDJSON, Arrow and Parquet; accept one of "
                "them, or leave it out.",
            )
        return await write_answer(engine, document)

    def pieces() -> Iterator[bytes | memoryview]:
        own = question.own_columns(answer, engine) if with_queries else {}
        if wanted is Format.ARROW:
            return arrow_pieces(document, answer.prediction, own)
        return flat_pieces(document, answer, own, wanted)

    if size(document) <= PIECE_NUMBERS:
        return Response(b"".join(pieces()), media_type=wanted)
    return await write_pieces(engine, await engine.run_aside(pieces), wanted)
