"""POST /minimize."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.documentation import documented, json_body, success
from service.api.examples import MINIMIZATIONS, MINIMUM_ANSWER
from service.api.media import Format, content_type, parse_model, read_body
from service.api.predictions import unless_disconnected
from service.api.schemas.optimization import MinimizationRequest, MinimizationResponse
from service.api.state import answer_format, check_no_query, engine_of
from service.api.timing import ServerTiming
from service.api.writing import write_answer
from service.domain.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    MalformedBody,
    NotAcceptable,
    NotReady,
    Overloaded,
    UnsupportedMediaType,
)
from service.engine.commands import MinimizeCommand

router = APIRouter(tags=["optimization"])

ARRAY_POINTERS = frozenset({"/starts", "/dataset/x", "/dataset/y"})


@router.post(
    "/minimize",
    operation_id="minimize",
    summary="Descend on a fitted surface",
    response_class=Response,
    responses={
        **success(200, MinimizationResponse, "The paths.", example=MINIMUM_ANSWER),
        **documented(
            MalformedBody,
            DatasetNotFound,
            NotAcceptable,
            BodyTooLarge,
            BodyTooSlow,
            UnsupportedMediaType,
            InvalidInput,
            Overloaded,
            NotReady,
            DeadlineExceeded,
        ),
    },
    openapi_extra=json_body(MinimizationRequest, MINIMIZATIONS),
)
async def minimize(request: Request) -> Response:
    """Follow the gradient of the fitted surface down from each start, or up with `ascent`.

    The surface is what `/predict` would answer at each point, and its gradient is exact. The answer
    has the path from each start, why it ended, and whether it left the data, where the surface says
    little. When the time is over, the paths end where they are.
    """
    answer_format(request, Format.JSON)
    check_no_query(request)
    content_type(request, Format.JSON)
    engine = engine_of(request)
    timing = ServerTiming()

    def read(body: bytearray) -> MinimizeCommand:
        return parse_model(body, MinimizationRequest, ARRAY_POINTERS).to_domain(engine.limits)

    command = await read_body(request, engine, read)
    timing.lap("read")
    found = await unless_disconnected(request, engine.minimize(command))
    timing.part("compute", found.compute_s)
    document = MinimizationResponse.from_domain(found).document()
    response = await write_answer(engine, document)
    timing.lap("write")
    response.headers["Server-Timing"] = timing.header
    return response
