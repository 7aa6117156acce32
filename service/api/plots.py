"""GET /datasets/{id}/plot.svg and plot.png: still pictures of rows and a fit."""

import hashlib
import time
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from service import __version__
from service.api.datasets import DatasetId, matches_etag
from service.api.documentation import Responses, documented
from service.api.pictures import picture_of
from service.api.questions import unless_disconnected
from service.api.schemas.dataset_choice import checked_timeout
from service.api.schemas.plots import PlotQuery, as_parameters
from service.api.schemas.prediction_requests import DEFAULT_LEVEL
from service.api.state import engine_of, studio_of
from service.api.timing import ServerTiming
from service.domain.dataset import Dataset
from service.domain.errors import (
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    NotReady,
    Overloaded,
    WorkerLost,
)
from service.domain.prediction import MEAN_ALONE, Wanted
from service.engine.commands import PredictCommand
from service.estimators.fits import Fit
from service.plots.picture import PictureFormat
from service.plots.slices import slice_through

router = APIRouter(tags=["pictures"])

LEAST_DRAWING_S: Final = 0.1
"""Left for drawing, however long the prediction took."""

TAG_MEANS: Final = "Stands for the rows, the fit and all choices."

# Nothing in a picture is fetched or run, whatever is written in it.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def _answers(media_type: PictureFormat) -> Responses:
    schema = {"type": "string", "format": "binary", "description": "The picture."}
    return {
        200: {
            "description": "The picture.",
            "content": {media_type.value: {"schema": schema}},
            "headers": {"ETag": {"description": TAG_MEANS, "schema": {"type": "string"}}},
        },
        304: {"description": "It is still the picture that If-None-Match names."},
        **documented(
            DatasetNotFound, InvalidInput, Overloaded, NotReady, DeadlineExceeded, WorkerLost
        ),
    }


@router.get(
    "/datasets/{dataset_id}/plot.svg",
    operation_id="get_plot_svg",
    summary="Draw rows and a fit, as SVG",
    response_class=Response,
    responses=_answers(PictureFormat.SVG),
)
async def get_plot_svg(
    dataset_id: DatasetId, request: Request, query: Annotated[PlotQuery, Query()]
) -> Response:
    """Return a still picture for a document: a curve over one feature, or a map over two.

    One feature: the rows, the estimate and its band. Two: contours of the estimate, and the rows.
    More: the same along those that `feature` names, the others held at their medians. Predictions
    are those of `/predict`. Of more than 2,000 rows as many are drawn, and the picture says so. The
    picture has a title and a description in words.

    The ETag stands for the rows, the fit and all choices; `If-None-Match` with it gets 304 until
    one of them changes.
    """
    return await _plot(dataset_id, request, query, PictureFormat.SVG)


@router.get(
    "/datasets/{dataset_id}/plot.png",
    operation_id="get_plot_png",
    summary="Draw rows and a fit, as PNG",
    response_class=Response,
    responses=_answers(PictureFormat.PNG),
)
async def get_plot_png(
    dataset_id: DatasetId, request: Request, query: Annotated[PlotQuery, Query()]
) -> Response:
    """Return the picture of `plot.svg` as pixels, for programs that read no SVG."""
    return await _plot(dataset_id, request, query, PictureFormat.PNG)


async def _plot(
    dataset_id: str, request: Request, query: PlotQuery, written_as: PictureFormat
) -> Response:
    engine, timing = engine_of(request), ServerTiming()
    started = time.monotonic()
    dataset = engine.describe(dataset_id)
    asked = query.fit()
    features, target = query.features(dataset), query.target_of(dataset)
    kind = query.interval_of(dataset, len(features))
    title = query.title_of(dataset)
    try:
        timeout_s = checked_timeout(query.timeout_s, engine.limits, "ask for a simpler fit")
        fit = engine.resolve(asked, dataset)
    except InvalidInput as refused:
        raise as_parameters(refused) from None
    tag = etag(dataset, fit, query, written_as)
    if matches_etag(",".join(request.headers.getlist("if-none-match")), tag):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-cache"})
    shape = await engine.run_aside(lambda: slice_through(dataset, features))
    timing.lap("read")
    command = PredictCommand(
        queries=shape.queries,
        dataset=dataset,  # this version, whatever is appended meanwhile
        fit=asked,
        wanted=MEAN_ALONE
        if kind is None
        else Wanted(interval=kind, level=query.level or DEFAULT_LEVEL),
        timeout_s=timeout_s,
    )
    try:
        answer = await unless_disconnected(request, engine.predict(command))
    except InvalidInput as refused:
        raise as_parameters(refused) from None
    timing.part("queue", answer.queue_s)
    timing.part("compute", answer.compute_s)
    picture = await engine.run_aside(
        lambda: picture_of(
            answer,
            shape,
            target,
            width=query.width,
            height=query.height,
            theme=query.theme,
            title=title,
        )
    )
    left_s = started + (timeout_s or engine.limits.default_timeout_s) - time.monotonic()
    body = await unless_disconnected(
        request, studio_of(request).drawn(picture, written_as, max(left_s, LEAST_DRAWING_S))
    )
    timing.lap("draw")
    headers = {
        "ETag": etag(dataset, answer.fit, query, written_as),
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Server-Timing": timing.header,
    }
    return Response(body, media_type=written_as.value, headers=headers)


def etag(dataset: Dataset, fit: Fit, query: PlotQuery, written_as: PictureFormat) -> str:
    """Return the entity tag of a picture: of all that decides its bytes."""
    parts: tuple[Any, ...] = (
        dataset.digest,
        dataset.id,
        dataset.name,
        fit,
        query.model_dump_json(),
        written_as,
        __version__,
        _drawing_version(),
    )
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()}"'


@cache
def _drawing_version() -> str:
    return version("matplotlib")
