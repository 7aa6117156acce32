"""POST /score, and how much each feature of a dataset matters."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.datasets import DatasetId
from service.api.documentation import QUESTION_ERRORS, documented, json_body, success
from service.api.examples import RELEVANCE_ANSWER, SCORE_ANSWER, SCORES
from service.api.media import parse_model
from service.api.questions import read_question, unless_disconnected
from service.api.schemas.relevance import RelevanceResponse
from service.api.schemas.scoring import ScoreRequest, ScoreResponse
from service.api.state import asked
from service.api.writing import write_answer
from service.domain.errors import (
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    NotAcceptable,
    NotReady,
    Overloaded,
    WorkerLost,
)
from service.engine.commands import ScoreCommand
from service.engine.limits import Limits

router = APIRouter(tags=["scores"])

ARRAY_POINTERS = frozenset(
    {"/rows/x", "/rows/y", "/rows/weights", "/dataset/x", "/dataset/y", "/dataset/weights"}
)


@router.post(
    "/score",
    operation_id="create_score",
    summary="Judge a fit",
    response_class=Response,
    responses={
        **success(200, ScoreResponse, "The score.", example=SCORE_ANSWER),
        **documented(*QUESTION_ERRORS, WorkerLost),
    },
    openapi_extra=json_body(ScoreRequest, SCORES),
)
async def create_score(request: Request) -> Response:
    """Compare predictions with targets that they have not seen.

    By rows sent along, or by the dataset itself: each row is then predicted by all the others,
    exactly as if it had never been uploaded. Above 5,000 rows a sample of them is.
    """
    engine, command = await read_question(request, _command)
    card = await unless_disconnected(request, engine.score(command))
    return await write_answer(engine, ScoreResponse.from_domain(card).document())


@router.get(
    "/datasets/{dataset_id}/relevance",
    operation_id="get_relevance",
    summary="Ask how much each feature matters",
    response_class=Response,
    responses={
        **success(200, RelevanceResponse, "The relevance.", example=RELEVANCE_ANSWER),
        **documented(
            DatasetNotFound, NotAcceptable, InvalidInput, Overloaded, NotReady, DeadlineExceeded
        ),
    },
)
async def get_relevance(dataset_id: DatasetId, request: Request) -> Response:
    """Return the share of each feature in what typical steps do to the targets.

    By the metric of the best fit, once tuning has learned one for this version of the dataset;
    until then by the slopes of a local line, computed now.
    """
    engine = asked(request)
    found = await unless_disconnected(request, engine.relevance(dataset_id))
    return await write_answer(engine, RelevanceResponse.from_domain(found).document())


def _command(body: bytearray, limits: Limits) -> ScoreCommand:
    return parse_model(body, ScoreRequest, ARRAY_POINTERS).to_domain(limits)
