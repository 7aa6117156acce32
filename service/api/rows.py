"""GET /datasets/{id}/rows and GET /uploads/{id}: what came in, and what is coming in."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from service.api.datasets import IF_NONE_MATCH, DatasetId, etag, matches_etag
from service.api.documentation import documented, success
from service.api.examples import PROGRESS_ANSWER, ROWS_ANSWER
from service.api.exports import row_document, row_pieces
from service.api.media import Format
from service.api.schemas.datasets import DatasetUpload
from service.api.schemas.files import RowsQuery, UploadProgress
from service.api.state import answer_format, asked, engine_of, uploads_of
from service.api.writing import write_answer, write_pieces
from service.domain.errors import DatasetNotFound, InvalidInput, NotAcceptable, UploadNotFound

router = APIRouter(tags=["datasets"])

EXPORTS: Final = (
    Format.JSON,
    Format.CSV,
    Format.NDJSON,
    Format.PARQUET,
    Format.ARROW,
    Format.ARROW_FILE,
    Format.NPZ,
)

SUFFIXES: Final = {
    Format.CSV: ".csv",
    Format.NDJSON: ".ndjson",
    Format.PARQUET: ".parquet",
    Format.ARROW: ".arrows",
    Format.ARROW_FILE: ".arrow",
    Format.NPZ: ".npz",
}

UploadId = Annotated[
    str,
    Path(
        description="As the client chose it, in the header `Upload-Id`.",
        openapi_examples={"upload": {"value": "upload-1"}},
    ),
]


@router.get(
    "/datasets/{dataset_id}/rows",
    operation_id="export_rows",
    summary="Get the rows back",
    response_class=Response,
    responses={
        **success(
            200,
            DatasetUpload,
            "The rows, as an upload has them: what comes out can be sent to POST /datasets.",
            example=ROWS_ANSWER,
            files=tuple(kind for kind in EXPORTS if kind is not Format.JSON),
            headers=("ETag", "Link"),
        ),
        304: {"description": "It is still the version that If-None-Match names."},
        **documented(DatasetNotFound, NotAcceptable, InvalidInput),
    },
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def export_rows(
    dataset_id: DatasetId, request: Request, query: Annotated[RowsQuery, Query()]
) -> Response:
    """Return the rows in the format that `Accept` names, a page of them or all.

    With `limit`, the header `Link` has the addresses of the next page and of the one before. All
    rows of JSON, and of files that can say what their columns are (Parquet, Arrow), are the same
    dataset when they are uploaded; of CSV and others where the parameters of the upload say what
    the target and the categories are.
    """
    kind = answer_format(request, *EXPORTS)
    engine = engine_of(request)
    dataset = engine.describe(dataset_id)
    if query.offset and query.offset >= dataset.n_rows:
        raise InvalidInput.at(
            "offset",
            f"offset is {query.offset:,}, and the dataset has {dataset.n_rows:,} rows; send less.",
        )
    stop = dataset.n_rows if query.limit is None else query.offset + query.limit
    rows = range(query.offset, min(stop, dataset.n_rows))
    headers = {"ETag": etag(dataset), "Vary": "Accept"}
    if matches_etag(",".join(request.headers.getlist("if-none-match")), etag(dataset)):
        return Response(status_code=304, headers=headers)
    links = page_links(request, rows, dataset.n_rows, query.limit)
    if links:
        headers["Link"] = links
    if kind is Format.JSON:
        return await write_answer(engine, row_document(dataset, rows), headers=headers)
    pieces = row_pieces(dataset, kind, rows)
    headers["Content-Disposition"] = f'attachment; filename="{dataset.id}{SUFFIXES[kind]}"'
    return await write_pieces(engine, pieces, kind, headers=headers)


def page_links(request: Request, rows: range, total: int, limit: int | None) -> str:
    """Return the header Link of a page of rows (RFC 8288); "" where there is one page only."""
    if limit is None:
        return ""
    found = []
    if rows.stop < total:
        found.append(("next", rows.stop))
    if rows.start > 0:
        found.append(("prev", max(0, rows.start - limit)))
    addresses = (
        (relation, request.url.include_query_params(offset=offset, limit=limit))
        for relation, offset in found
    )
    return ", ".join(f'<{url.path}?{url.query}>; rel="{relation}"' for relation, url in addresses)


@router.get(
    "/uploads/{upload_id}",
    operation_id="get_upload",
    summary="See how far an upload has come",
    response_class=Response,
    responses={
        **success(200, UploadProgress, "How far it has come.", example=PROGRESS_ANSWER),
        **documented(UploadNotFound, NotAcceptable, InvalidInput),
    },
)
async def get_upload(upload_id: UploadId, request: Request) -> Response:
    """Return the bytes and rows of an upload that have been read so far.

    The client chooses the id, and sends it with the upload in the header `Upload-Id`; so it can ask
    here while the body is still on its way.
    """
    engine = asked(request)
    progress = uploads_of(request).get(upload_id).progress()
    return await write_answer(engine, progress.document())
