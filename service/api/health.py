"""Is the process alive, can it compute, and what does it take?"""

from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.documentation import documented, success
from service.api.errors import error_response
from service.api.examples import LIMITS_ANSWER, LIVE_ANSWER, READY_ANSWER
from service.api.schemas.service import LimitsAnswer, Liveness, Readiness
from service.api.state import asked
from service.api.writing import write_answer
from service.domain.errors import InvalidInput, NotAcceptable, NotReady

router = APIRouter(tags=["service"])

RETRY_AFTER_S = 2


@router.get(
    "/livez",
    operation_id="get_liveness",
    summary="Is the process alive?",
    response_class=Response,
    responses={
        **success(200, Liveness, "It is.", example=LIVE_ANSWER),
        **documented(NotAcceptable, InvalidInput),
    },
)
async def get_liveness(request: Request) -> Response:
    """Answer at once, whatever is being computed."""
    engine = asked(request)
    return await write_answer(engine, Liveness(status="alive").document())


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Can it compute?",
    response_class=Response,
    responses={
        **success(200, Readiness, "Every worker can compute.", example=READY_ANSWER),
        **documented(NotReady, NotAcceptable, InvalidInput),
    },
)
async def get_readiness(request: Request) -> Response:
    """Answer 200 once every worker can compute without waiting, and 503 before and at the end."""
    engine = asked(request)
    if engine.is_ready:
        ready = Readiness(status="ready", workers=dict(engine.readiness))
        return await write_answer(engine, ready.document(), status=HTTPStatus.OK)
    return error_response(request.scope, not_ready(), workers=dict(engine.readiness))


def not_ready() -> NotReady:
    """Return the error of a service that is not ready."""
    return NotReady("The service is starting or stopping.", retry_after_s=RETRY_AFTER_S)


@router.get(
    "/limits",
    operation_id="get_limits",
    summary="What does it take?",
    response_class=Response,
    responses={
        **success(200, LimitsAnswer, "The limits.", example=LIMITS_ANSWER),
        **documented(NotAcceptable, InvalidInput),
    },
)
async def get_limits(request: Request) -> Response:
    """Return the bounds on requests and memory, so that clients can check before they send."""
    engine = asked(request)
    limits = LimitsAnswer.from_domain(engine.limits, engine.memory_used_bytes)
    return await write_answer(engine, limits.document())
