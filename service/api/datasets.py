"""/datasets: upload, list, describe, append, delete."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from service.api.bodies import BODY_HEADERS, rows_body, upload_body
from service.api.documentation import (
    BODY_ERRORS,
    documented,
    header_parameter,
    no_content,
    success,
)
from service.api.examples import (
    APPEND_ANSWER,
    APPENDED_ROWS,
    DATASET_ANSWER,
    PAGE_ANSWER,
    UPLOAD_ANSWER,
    UPLOADS,
)
from service.api.media import Format, content_type, read_parts
from service.api.schemas.datasets import (
    DatasetDescription,
    DatasetPage,
    DatasetUpload,
    PageQuery,
    RowsUpload,
    UploadQuery,
)
from service.api.schemas.files import TextQuery
from service.api.state import (
    answer_format,
    asked,
    check_no_query,
    engine_of,
    summaries_of,
    uploads_of,
)
from service.api.uploads import rows_reader, upload_reader
from service.api.writing import write_answer
from service.domain.dataset import Dataset
from service.domain.errors import (
    DatasetNotFound,
    InvalidInput,
    NotAcceptable,
    StoreFull,
)

router = APIRouter(tags=["datasets"])

ROW_FORMATS: Final = (
    Format.JSON,
    Format.CSV,
    Format.PARQUET,
    Format.ARROW,
    Format.ARROW_FILE,
    Format.NDJSON,
    Format.NPZ,
    Format.FORM,
    Format.BYTES,
)

DatasetId = Annotated[
    str,
    Path(
        description="The id from the upload; `motorcycle` is there from the start.",
        openapi_examples={"sample": {"value": "motorcycle"}},
    ),
]

IF_NONE_MATCH: Final = header_parameter(
    "If-None-Match",
    "The ETag of a version that the client has, in quotes: while it is the newest, the answer is "
    "304, without a body.",
)


@router.post(
    "/datasets",
    operation_id="create_dataset",
    summary="Upload a dataset",
    status_code=201,
    response_class=Response,
    responses={
        **success(
            201,
            DatasetDescription,
            "It is new.",
            example=UPLOAD_ANSWER,
            headers=("Location", "ETag"),
        ),
        **success(
            200,
            DatasetDescription,
            "The same content is there already, under this id.",
            example=DATASET_ANSWER,
            headers=("Location", "ETag"),
        ),
        **documented(*BODY_ERRORS, NotAcceptable, StoreFull),
    },
    openapi_extra={
        **upload_body(DatasetUpload, UPLOADS),
        "parameters": BODY_HEADERS,
    },
)
async def create_dataset(request: Request, query: Annotated[UploadQuery, Query()]) -> Response:
    """Keep rows for later predictions.

    Send JSON, an Arrow stream, a CSV file (`text/csv`), or a form with a CSV file. The first line
    of a CSV file names its columns; the last column is the target, unless `target` names others.
    Cells stand between commas, semicolons or tabs. A column of texts is a category. A target of
    texts is classes, of which predictions give the probabilities. Rows whose target is missing are
    left out and counted. The same content uploaded twice is one dataset.
    """
    answer_format(request, Format.JSON)
    kind = content_type(request, *ROW_FORMATS)
    engine = engine_of(request)
    watched = uploads_of(request).begin(request)
    try:
        reader = upload_reader(kind, query, engine.limits)
        dataset, source = await read_parts(request, engine, reader, watched)
        stored, is_new = await engine.upload(dataset)
    except BaseException as error:
        watched.failed(error)
        raise
    watched.done(stored.id, stored.n_rows)
    summary = await summaries_of(request).of(stored, engine)
    description = DatasetDescription.described(stored, summary, source)
    path = f"{request.scope.get('root_path', '')}/datasets/{stored.id}"
    return await write_answer(
        engine,
        description.document(),
        status=201 if is_new else 200,
        headers={"Location": path, "ETag": etag(stored)},
    )


@router.get(
    "/datasets",
    operation_id="list_datasets",
    summary="List the datasets",
    response_class=Response,
    responses={
        **success(200, DatasetPage, "A page.", example=PAGE_ANSWER, headers=("Link",)),
        **documented(InvalidInput, NotAcceptable),
    },
)
async def list_datasets(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Return datasets in the order of their upload, a page at a time.

    While there are more, `next` in the answer is what to send as `after`; the header `Link` has
    the whole address.
    """
    answer_format(request, Format.JSON)
    engine = engine_of(request)
    page, cursor = engine.list(after=query.after, limit=query.limit)
    headers = {}
    if cursor is not None:
        address = request.url.include_query_params(limit=query.limit, after=cursor)
        headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
    return await write_answer(
        engine, DatasetPage.from_domain(page, cursor).document(), headers=headers
    )


@router.get(
    "/datasets/{dataset_id}",
    operation_id="get_dataset",
    summary="Describe a dataset",
    response_class=Response,
    responses={
        **success(
            200, DatasetDescription, "The dataset.", example=DATASET_ANSWER, headers=("ETag",)
        ),
        304: {"description": "It is still the version that If-None-Match names."},
        **documented(DatasetNotFound, NotAcceptable, InvalidInput),
    },
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def get_dataset(dataset_id: DatasetId, request: Request) -> Response:
    """Return what the dataset is and what its columns hold.

    The ETag is the digest of the content; `If-None-Match` with it gets 304 until rows are
    appended.
    """
    engine = asked(request)
    dataset = engine.describe(dataset_id)
    headers = {"ETag": etag(dataset)}
    if matches_etag(",".join(request.headers.getlist("if-none-match")), etag(dataset)):
        return Response(status_code=304, headers=headers)
    summary = await summaries_of(request).of(dataset, engine)
    description = DatasetDescription.described(dataset, summary)
    return await write_answer(engine, description.document(), headers=headers)


@router.post(
    "/datasets/{dataset_id}/rows",
    operation_id="append_rows",
    summary="Append rows",
    response_class=Response,
    responses={
        **success(
            200,
            DatasetDescription,
            "The new version.",
            example=APPEND_ANSWER,
            headers=("ETag",),
        ),
        **documented(*BODY_ERRORS, DatasetNotFound, NotAcceptable, StoreFull),
    },
    openapi_extra={
        **rows_body(RowsUpload, APPENDED_ROWS),
        "parameters": BODY_HEADERS,
    },
)
async def append_rows(
    dataset_id: DatasetId, request: Request, query: Annotated[TextQuery, Query()]
) -> Response:
    """Add rows after those there are; the next prediction looks at them.

    In a CSV file or an Arrow table the columns have the names of the dataset's features and
    targets, and of its weights if it has some, in any order.
    """
    answer_format(request, Format.JSON)
    engine = engine_of(request)
    kind = content_type(request, *ROW_FORMATS)
    dataset = engine.describe(dataset_id)
    watched = uploads_of(request).begin(request)
    try:
        reader = rows_reader(kind, query, dataset, engine.limits)
        x, y, row_weights, source = await read_parts(request, engine, reader, watched)
        appended = await engine.append(dataset_id, x, y, row_weights)
    except BaseException as error:
        watched.failed(error)
        raise
    watched.done(dataset_id, len(x))
    summary = await summaries_of(request).of(appended, engine)
    description = DatasetDescription.described(appended, summary, source)
    return await write_answer(engine, description.document(), headers={"ETag": etag(appended)})


@router.delete(
    "/datasets/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a dataset",
    status_code=204,
    response_class=Response,
    responses={**no_content("It is gone."), **documented(DatasetNotFound, InvalidInput)},
)
async def delete_dataset(dataset_id: DatasetId, request: Request) -> Response:
    """Remove a dataset and all its versions; the memory returns to the system."""
    check_no_query(request)
    engine_of(request).delete(dataset_id)
    return Response(status_code=204)


def etag(dataset: Dataset) -> str:
    """Return the entity tag of this version."""
    return f'"{dataset.digest}"'


def matches_etag(if_none_match: str, tag: str) -> bool:
    """Return whether the header If-None-Match names this tag (RFC 9110, weak comparison)."""
    tags = (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    return any(part in ("*", tag) for part in tags)
