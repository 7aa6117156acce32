"""POST /tune, and /jobs: what searches have reached."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from service.api.documentation import (
    BODY_ERRORS,
    documented,
    header_parameter,
    json_body,
    no_content,
    success,
)
from service.api.examples import BEGUN_ANSWER, JOB_ANSWER, JOBS_ANSWER, TUNINGS
from service.api.media import parse_model
from service.api.questions import read_question, unless_disconnected
from service.api.schemas.tuning import JobPage, TuningJobItem, TuningRequest, TuningResponse
from service.api.state import asked, check_no_query, engine_of
from service.api.writing import write_answer
from service.domain.errors import (
    DatasetNotFound,
    InvalidInput,
    JobNotFound,
    NotAcceptable,
    NotReady,
)
from service.engine.commands import TuneCommand
from service.engine.jobs import TuningJob
from service.engine.limits import Limits

router = APIRouter(tags=["tuning"])

ARRAY_POINTERS = frozenset({"/dataset/x", "/dataset/y", "/dataset/weights", "/groups"})

JobId = Annotated[str, Path(description="The id of the job, from POST /tune or GET /jobs.")]

PREFER = header_parameter(
    "Prefer",
    "`respond-async`: do not wait for the end of the search; the answer is 202 at once.",
    enum=["respond-async"],
)


@router.post(
    "/tune",
    operation_id="tune",
    summary="Find the best fit",
    response_class=Response,
    responses={
        **success(200, TuningResponse, "The search has ended.", example=JOB_ANSWER),
        **success(
            202,
            TuningJobItem,
            "The search has begun; `Location` is the address of its job.",
            example=BEGUN_ANSWER,
            headers=("Location",),
        ),
        **documented(*BODY_ERRORS, DatasetNotFound, NotAcceptable, NotReady),
    },
    openapi_extra={**json_body(TuningRequest, TUNINGS), "parameters": [PREFER]},
)
async def tune(request: Request) -> Response:
    """Compare fits by leave-one-out, and return the best with all scores.

    Each row is predicted by the others, for many methods, bandwidths, ridges and metrics, until the
    search has settled or `budget_s` is over. The best fit can be sent to `/predict` as it is, and
    is what `auto` means for this version of the dataset from then on.

    With the header `Prefer: respond-async` the answer is 202 at once, and `GET /jobs/{id}` shows
    how far the search is. Without it, a client that goes away ends the search.
    """
    engine, command = await read_question(request, _command)
    job = engine.tune(command)
    if _wants_async(request):
        path = f"{request.scope.get('root_path', '')}/jobs/{job.id}"
        document = TuningJobItem.from_domain(job).document()
        headers = {"Location": path, "Preference-Applied": "respond-async"}
        return await write_answer(engine, document, status=202, headers=headers)
    try:
        await unless_disconnected(request, _ended(job))
    except BaseException:
        job.cancel()
        raise
    return await write_answer(engine, TuningResponse.from_domain(job).document())


@router.get(
    "/jobs",
    operation_id="list_jobs",
    summary="List the searches",
    response_class=Response,
    responses={
        **success(200, JobPage, "The jobs.", example=JOBS_ANSWER),
        **documented(InvalidInput, NotAcceptable),
    },
)
async def list_jobs(request: Request) -> Response:
    """Return the searches under way and the latest that have ended, the latest first."""
    engine = asked(request)
    return await write_answer(engine, JobPage.from_domain(engine.jobs.latest_first()).document())


@router.get(
    "/jobs/{job_id}",
    operation_id="get_job",
    summary="Look at a search",
    response_class=Response,
    responses={
        **success(200, TuningResponse, "The job.", example=JOB_ANSWER),
        **documented(JobNotFound, InvalidInput, NotAcceptable),
    },
)
async def get_job(job_id: JobId, request: Request) -> Response:
    """Return how far a search is, the best fit so far, and the scores of all candidates."""
    engine = asked(request)
    job = engine.jobs.get(job_id)
    return await write_answer(engine, TuningResponse.from_domain(job).document())


@router.delete(
    "/jobs/{job_id}",
    operation_id="cancel_job",
    summary="Cancel a search",
    status_code=204,
    response_class=Response,
    responses={**no_content("It ends soon."), **documented(JobNotFound, InvalidInput)},
)
async def cancel_job(job_id: JobId, request: Request) -> Response:
    """End a search. What it has found so far stays; one that has ended already is not changed."""
    check_no_query(request)
    engine_of(request).jobs.get(job_id).cancel()
    return Response(status_code=204)


async def _ended(job: TuningJob) -> None:
    # Not the future itself, which would be cancelled with the request.
    await asyncio.wait([asyncio.wrap_future(job.over)])


def _wants_async(request: Request) -> bool:
    """Return whether the client prefers not to wait (RFC 7240, section 4.1)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(
        preference.partition(";")[0].strip().lower() == "respond-async"
        for preference in preferences
    )


def _command(body: bytearray, limits: Limits) -> TuneCommand:
    return parse_model(body, TuningRequest, ARRAY_POINTERS).to_domain(limits)
