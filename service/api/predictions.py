"""POST /predict."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.api.documentation import documented, json_body, success
from service.api.examples import PREDICTION_ANSWER, PREDICTIONS
from service.api.media import Format, content_type, parse_model, read_body
from service.api.schemas.predictions import PredictionRequest, PredictionResponse
from service.api.state import ACCEPTS_JSON, NO_QUERY, EngineDep
from service.api.timing import Stopwatch
from service.api.writing import write_answer
from service.domain.errors import (
    BodyTooLarge,
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    MalformedBody,
    NotAcceptable,
    NotReady,
    Overloaded,
    UnsupportedMediaType,
    WorkerLost,
)
from service.engine.engine import PredictCommand
from service.engine.limits import Limits

router = APIRouter(tags=["predictions"], dependencies=[ACCEPTS_JSON, NO_QUERY])

T = TypeVar("T")

ARRAY_POINTERS: Final = frozenset({"/queries", "/dataset/x", "/dataset/y"})

# Most predictions are over by then; only the others are worth a look at the connection.
WATCHED_AFTER_S: Final = 0.1


@router.post(
    "/predict",
    operation_id="create_prediction",
    summary="Predict at query points",
    response_class=Response,
    responses={
        **success(200, PredictionResponse, "The estimates.", example=PREDICTION_ANSWER),
        **documented(
            MalformedBody,
            DatasetNotFound,
            NotAcceptable,
            BodyTooLarge,
            UnsupportedMediaType,
            InvalidInput,
            Overloaded,
            WorkerLost,
            NotReady,
            DeadlineExceeded,
        ),
    },
    openapi_extra=json_body(PredictionRequest, PREDICTIONS),
)
async def create_prediction(request: Request, engine: EngineDep) -> Response:
    """Fit around each query point, and return the estimates.

    Nothing was trained before: each estimate is a small fit to the rows around its query. Send
    the id of an uploaded dataset, or the rows themselves as `dataset`. Without `fit` the service
    chooses, and the answer names what it chose. A query without any supporting row has the
    estimate `null` and an issue.
    """
    stopwatch = Stopwatch()
    content_type(request, Format.JSON)
    command = await read_body(request, engine, partial(read_command, limits=engine.limits))
    stopwatch.lap("read")
    answer = await unless_disconnected(request, engine.predict(command))
    stopwatch.lap("compute")
    response = write_answer(engine, PredictionResponse.from_domain(answer).document())
    stopwatch.lap("write")
    response.headers["Server-Timing"] = stopwatch.header
    return response


def read_command(body: bytearray, limits: Limits) -> PredictCommand:
    """Return what the body asks for."""
    return parse_model(body, PredictionRequest, ARRAY_POINTERS).to_domain(limits)


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; cancel it when the client goes away.

    Raises:
        ClientDisconnect: Nobody waits for the answer any more.
    """
    task = asyncio.ensure_future(work)
    watcher: asyncio.Future[None] | None = None
    try:
        await asyncio.wait({task}, timeout=WATCHED_AFTER_S)
        if not task.done():
            watcher = asyncio.ensure_future(_disconnected(request))
            await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect
        return await task
    finally:
        for pending in (task, watcher):
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.wait({pending})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
