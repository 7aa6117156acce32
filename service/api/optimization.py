"""POST /minimize."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.documentation import QUESTION_ERRORS, documented, json_body, success
from service.api.examples import MINIMIZATIONS, MINIMUM_ANSWER
from service.api.media import parse_model
from service.api.questions import read_question, unless_disconnected
from service.api.schemas.optimization import MinimizationRequest, MinimizationResponse
from service.api.timing import ServerTiming
from service.api.writing import write_answer
from service.engine.commands import MinimizeCommand
from service.engine.limits import Limits

router = APIRouter(tags=["optimization"])

ARRAY_POINTERS = frozenset({"/starts", "/dataset/x", "/dataset/y", "/dataset/weights"})


@router.post(
    "/minimize",
    operation_id="minimize",
    summary="Descend on a fitted surface",
    response_class=Response,
    responses={
        **success(200, MinimizationResponse, "The paths.", example=MINIMUM_ANSWER),
        **documented(*QUESTION_ERRORS),
    },
    openapi_extra=json_body(MinimizationRequest, MINIMIZATIONS),
)
async def minimize(request: Request) -> Response:
    """Follow the gradient of the fitted surface down from each start, or up with `ascent`.

    The surface is what `/predict` would answer at each point, and its gradient is exact. The answer
    has the path from each start, why it ended, and whether it left the data, where the surface says
    little. When the time is over, the paths end where they are.
    """
    timing = ServerTiming()
    engine, command = await read_question(request, _command)
    timing.lap("read")
    found = await unless_disconnected(request, engine.minimize(command))
    timing.part("compute", found.compute_s)
    document = MinimizationResponse.from_domain(found).document()
    response = await write_answer(engine, document)
    timing.lap("write")
    response.headers["Server-Timing"] = timing.header
    return response


def _command(body: bytearray, limits: Limits) -> MinimizeCommand:
    return parse_model(body, MinimizationRequest, ARRAY_POINTERS).to_domain(limits)
