"""The queries of a prediction in any of the formats that carry rows."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from starlette.requests import Request

from service.api.arrow_streams import (
    METADATA_KEY,
    ArrowBody,
    fields_of,
    read_arrow,
    read_arrow_file,
)
from service.api.columns import Columns
from service.api.exports import feature_columns
from service.api.faults import query_faults, refusal
from service.api.formats.coding import format_of_file
from service.api.formats.ndjson import LinesReader
from service.api.formats.npz import read_npz
from service.api.formats.npz_columns import NpzBody
from service.api.formats.parquet import read_parquet
from service.api.media import ContentType, Format, parse_model, validated
from service.api.schemas.prediction_files import PredictQuery
from service.api.schemas.prediction_requests import PredictionRequest
from service.api.tables import Wish, read_table
from service.api.uploads import HEAD_BYTES, text_features
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.commands import Answer, PredictCommand
from service.engine.engine import Engine
from service.engine.limits import checked_queries

ARRAY_POINTERS: Final = frozenset({"/queries", "/dataset/x", "/dataset/y", "/dataset/weights"})
NOTHING_ASKED: Final = PredictQuery()


@dataclass(frozen=True)
class Question:
    """What a request asks for.

    Attributes:
        command: For the engine.
        columns: Those of the queries as they came, by name; None where they had no names.
    """

    command: PredictCommand
    columns: pa.Table | None = None

    def own_columns(self, answer: Answer, engine: Engine) -> dict[str, pa.Array]:
        """Return the queries' own columns."""
        if self.columns is not None:
            return {
                name: column.combine_chunks()
                for name, column in zip(
                    self.columns.column_names, self.columns.columns, strict=True
                )
            }
        dataset = answer.dataset
        points: Floats = checked_queries(self.command.queries, dataset, engine.limits)
        return feature_columns(points, dataset.feature_names, dataset.encoding)


def asked_in_address(request: Request) -> PredictQuery:
    """Return what the address says.

    Read by hand: as a dependency of FastAPI it would take longer than a small prediction.

    Raises:
        InvalidInput: A parameter is not known, or has not what it may have.
    """
    if not request.scope["query_string"]:
        return NOTHING_ASKED
    sent: dict[str, Any] = {}
    for name in request.query_params:
        field = PredictQuery.model_fields.get(name)
        texts = request.query_params.getlist(name)
        sent[name] = texts if field is not None and field.default_factory is list else texts[-1]
    try:
        return PredictQuery.model_validate(sent)
    except ValidationError as error:
        raise refusal(query_faults(error.errors(include_url=False))) from None


def read_question(
    body: bytearray, kind: ContentType, asked: PredictQuery, engine: Engine
) -> Question:
    """Return what the body, and what the address says of it, ask for."""
    form = kind.format
    if form is Format.BYTES:
        form = format_of_file("", bytes(body[:HEAD_BYTES]))
    if form in (Format.JSON, Format.ARROW):
        for name in asked.model_fields_set - {"with_queries"}:
            raise InvalidInput.at(
                name,
                f"The query parameter {name} is for files of queries; in JSON and Arrow streams "
                "the body has it. Leave it out of the address.",
            )
    if form is Format.JSON:
        request = parse_model(body, PredictionRequest, ARRAY_POINTERS)
        return Question(request.to_domain(engine.limits))
    if form is Format.ARROW:
        return _of_arrow(read_arrow(body, engine.limits), asked, engine)
    if form is Format.ARROW_FILE:
        return _of_arrow(read_arrow_file(body, engine.limits), asked, engine)
    if form is Format.NPZ:
        return _of_arrow(NpzBody(read_npz(body, engine.limits)), asked, engine)
    if form is Format.PARQUET:
        source = pa.BufferReader(pa.py_buffer(body))
        found = read_parquet(source, engine.limits, Wish(has_target=False))
        return _of_columns(found, found.metadata.get(METADATA_KEY, b"{}"), asked, engine)
    wish = _wish_of(asked, engine)
    if form is Format.NDJSON:
        lines = LinesReader(engine.limits, wish)
        lines.feed(body)
        return _of_columns(lines.finish(), b"{}", asked, engine)
    table = read_table(body, engine.limits, wish, asked.given(kind.charset))
    return _of_columns(table, b"{}", asked, engine)


def _wish_of(asked: PredictQuery, engine: Engine) -> Wish:
    """Return how the columns of a file are read: as those of the dataset."""
    if asked.dataset_id is None:
        raise InvalidInput.at(
            "dataset_id", "The query parameter dataset_id is missing; name an uploaded dataset."
        )
    dataset = engine.describe(asked.dataset_id)
    texts = text_features(dataset)
    return Wish(
        texts=texts,
        numbers={*dataset.feature_names} - texts,
        default_names=dataset.feature_names,
        has_target=False,
    )


def _of_arrow(found: ArrowBody | NpzBody, asked: PredictQuery, engine: Engine) -> Question:
    if not found.widths:
        return _of_columns(found.columns(), found.metadata, asked, engine)
    found.only_matrices("queries")
    fields = found.fields(ARRAY_POINTERS, **{**asked.fields, "queries": found.array("queries")})
    return Question(validated(fields, PredictionRequest).to_domain(engine.limits))


def _of_columns(columns: Columns, metadata: bytes, asked: PredictQuery, engine: Engine) -> Question:
    # Which features there are, and in which order, says the dataset that the rest names.
    nothing = np.zeros((1, 1))
    fields = fields_of(metadata, ARRAY_POINTERS, **{**asked.fields, "queries": nothing})
    command = validated(fields, PredictionRequest).to_domain(engine.limits)
    dataset: Dataset = command.dataset or engine.describe(command.dataset_id or "")
    own = None
    if asked.with_queries:
        columns.has_all(dataset.feature_names)
        own = columns.table
    else:
        columns.only(dataset.feature_names)
    queries = columns.rows(dataset.feature_names).points
    return Question(replace(command, queries=queries), own)
