"""The rows of a request in any of the formats that carry rows.

Over 300 lines: every format, for a new dataset and for rows beside those of one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from service.api.arrow_streams import (
    METADATA_KEY,
    ArrowBody,
    fields_of,
    read_arrow,
    read_arrow_file,
)
from service.api.category_parameters import declared_categories
from service.api.columns import Columns
from service.api.faults import closest, query_faults, refusal, shown
from service.api.formats.coding import coding_of_file, format_of_file, inflated
from service.api.formats.ndjson import LinesReader
from service.api.formats.npz import read_npz
from service.api.formats.npz_columns import NpzBody
from service.api.formats.parquet import ParquetColumns, read_parquet
from service.api.media import BodyReader, ContentType, Format, parse_model, validated
from service.api.multipart import Form, read_form
from service.api.schemas.datasets import DatasetUpload, RowsUpload, UploadQuery
from service.api.schemas.files import Source, TextQuery
from service.api.spool import Spooled
from service.api.tables import Table, TableReader, Wish
from service.domain.arrays import Floats
from service.domain.categories import MixedRows, Points
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput, MalformedBody
from service.domain.labels import Labels
from service.engine.limits import Limits

ARRAY_POINTERS: Final = frozenset({"/x", "/y", "/weights"})
HEAD_BYTES: Final = 2**12
PART_BYTES: Final = 2**22

Result = TypeVar("Result")
Read = TypeVar("Read")
Query = TypeVar("Query", bound=BaseModel)

Upload: TypeAlias = tuple[Dataset, Source | None]
Rows: TypeAlias = tuple[Points, Floats | Labels, Floats | None, Source | None]
Bytes: TypeAlias = bytearray | memoryview


class Whole(Generic[Result]):
    """Reads a body that can only be looked at as a whole."""

    rows = 0

    def __init__(self, parse: Callable[[Bytes], Result]) -> None:
        self._parse = parse
        self._body = bytearray()

    def feed(self, data: bytearray | bytes) -> None:
        """Keep the next part."""
        if not self._body and isinstance(data, bytearray):
            self._body = data
        else:
            self._body += data

    def finish(self) -> Result:
        """Return what the body holds."""
        return self.whole(self._body)

    def whole(self, body: Bytes) -> Result:
        """Return what a body holds that is there as a whole already."""
        return self._parse(body)


class _Columns(Protocol):
    """Reads columns part by part."""

    @property
    def rows(self) -> int: ...

    def feed(self, data: bytes | bytearray | memoryview) -> None: ...

    def finish(self) -> Columns: ...


class ByParts(Generic[Result]):
    """Reads columns part by part, and at the end makes something of them."""

    def __init__(self, reader: _Columns, make: Callable[[Columns], Result]) -> None:
        self._reader = reader
        self._make = make

    @property
    def rows(self) -> int:
        """How many rows were read so far."""
        return self._reader.rows

    def feed(self, data: bytearray | bytes) -> None:
        """Read the next part."""
        self._reader.feed(data)

    def finish(self) -> Result:
        """Return what was made of the columns."""
        return self._make(self._reader.finish())


@dataclass(frozen=True)
class Formats(Generic[Result]):
    """How rows are read in each format, and made into what is wanted.

    Attributes:
        limits: What the service takes.
        wish: Which columns of a file are read, and as what.
        text: What is said of a CSV file.
        of_json: Reads the JSON.
        of_arrow: Makes it of an Arrow body, whose columns may be matrices.
        of_columns: Makes it of columns by name, the metadata of their schema, and how they came.
    """

    limits: Limits
    wish: Wish
    text: TextQuery
    of_json: Callable[[bytearray], Result]
    of_arrow: Callable[[ArrowBody | NpzBody, Source | None], Result]
    of_columns: Callable[[Columns, bytes, Source | None], Result]

    def reader(self, kind: Format, charset: str | None = None) -> BodyReader[Result]:
        """Return what reads a body of this format.

        Args:
            kind: Of the body.
            charset: Of a text, as its label says.
        """
        if kind is Format.CSV:
            table = TableReader(self.limits, self.wish, self.text.given(charset))
            return ByParts(table, self._of_table)
        if kind is Format.NDJSON:
            lines = LinesReader(self.limits, self.wish)
            return ByParts(lines, lambda found: self.of_columns(found, b"{}", _source("ndjson")))
        if kind is Format.PARQUET:
            return Spooled(self._of_parquet)
        if kind is Format.BYTES:
            return Whole(lambda body: self.file(body, ""))
        parsers: dict[Format, Callable[[Bytes], Result]] = {
            Format.JSON: lambda body: self.of_json(_mutable(body)),
            Format.ARROW: self._of_arrow,
            Format.ARROW_FILE: self._of_arrow_file,
            Format.NPZ: self._of_npz,
        }
        return Whole(parsers[kind])

    def file(self, data: Bytes, name: str, charset: str | None = None) -> Result:
        """Return what a file holds whose format and compression its first bytes or name tell."""
        coding = coding_of_file(name, bytes(data[:8]))
        if coding is None:
            kind = format_of_file(name, bytes(data[:HEAD_BYTES]))
            reader = self.reader(kind, charset)
            if isinstance(reader, Whole | Spooled):
                whole: Whole[Result] | Spooled[Result] = reader
                return whole.whole(data)
            for start in range(0, len(data), PART_BYTES):
                reader.feed(bytes(data[start : start + PART_BYTES]))
            return reader.finish()
        pieces = inflated(data, coding, self.limits)
        first = next(pieces, b"")
        if not first:
            raise MalformedBody("The file is empty; send the data in it.")
        reader = self.reader(format_of_file(name, first[:HEAD_BYTES]), charset)
        reader.feed(first)
        for piece in pieces:
            reader.feed(piece)
        return reader.finish()

    def form(self, form: Form) -> Result:
        """Return what the file in a form holds."""
        return self.file(form.file, form.file_name, form.charset)

    def _of_table(self, table: Columns) -> Result:
        assert isinstance(table, Table)
        dialect = table.dialect
        source = Source(
            format="csv",
            delimiter=dialect.delimiter,
            decimal=dialect.decimal,
            header=dialect.has_header,
            encoding=table.encoding,
            quote=dialect.quote if dialect.is_quoted else None,
        )
        return self.of_columns(table, b"{}", source)

    def _of_arrow(self, body: Bytes) -> Result:
        found = read_arrow(body, self.limits, self.wish.arrow_targets, self._arrow_columns)
        return self._of_stream(found, None)  # a message, as JSON is, about which nothing was told

    def _of_arrow_file(self, body: Bytes) -> Result:
        found = read_arrow_file(body, self.limits, self.wish.arrow_targets, self._arrow_columns)
        return self._of_stream(found, _source("arrow file"))

    @property
    def _arrow_columns(self) -> tuple[str, ...]:
        """Return the columns to look at; none for all."""
        weights = () if self.wish.weights is None else (self.wish.weights,)
        return (*self.wish.columns, *weights) if self.wish.columns else ()

    def _of_stream(self, found: ArrowBody | NpzBody, source: Source | None) -> Result:
        if found.widths:
            return self.of_arrow(found, source)
        return self.of_columns(found.columns(), found.metadata, source)

    def _of_npz(self, body: Bytes) -> Result:
        return self._of_stream(NpzBody(read_npz(body, self.limits)), _source("npz"))

    def _of_parquet(self, source: pa.NativeFile) -> Result:
        found = read_parquet(source, self.limits, self.wish)
        return self.of_columns(found, found.metadata.get(METADATA_KEY, b"{}"), _source("parquet"))


def upload_reader(kind: ContentType, query: UploadQuery, limits: Limits) -> BodyReader[Upload]:
    """Return what reads the body as a dataset, and says how it was read."""
    if kind.format is Format.FORM:

        def of_form(body: Bytes) -> Upload:
            form = read_form(_mutable(body), kind.boundary)
            return _uploads(_with_fields(query, form), limits).form(form)

        return Whole(of_form)
    return _uploads(query, limits).reader(kind.format, kind.charset)


def _uploads(query: UploadQuery, limits: Limits) -> Formats[Upload]:
    texts = {*query.categorical, *(spec.partition(":")[0] for spec in query.ordered)}
    wish = Wish(
        tuple(query.columns),
        tuple(query.target),
        query.weights,
        texts=texts,
        numbers=() if query.weights is None else (query.weights,),
    )

    def of_json(body: bytearray) -> Upload:
        for parameter in query.model_fields_set - {"columns", "target"}:
            raise InvalidInput.at(
                parameter,
                f"The query parameter {parameter} is for files; in JSON the body has it.",
            )
        upload = parse_model(body, DatasetUpload, ARRAY_POINTERS)
        return _with_columns(upload, query).to_domain(limits, name=upload.name), None

    def of_arrow(found: ArrowBody | NpzBody, source: Source | None) -> Upload:
        for parameter in ("target", "weights"):
            if getattr(query, parameter):
                column = "y" if parameter == "target" else "weights"
                raise InvalidInput.at(
                    parameter,
                    f"The column {column} has what {parameter} names; leave the query parameter "
                    "out.",
                )
        fields = found.fields(ARRAY_POINTERS, **_matrices(found))
        return _dataset(fields, query, limits, is_matrix=True), source

    def of_columns(table: Columns, metadata: bytes, source: Source | None) -> Upload:
        features, targets = table.split(tuple(query.target), query.weights, tuple(query.columns))
        declared = declared_categories(query.categorical, query.ordered, features, table.has_texts)
        points, values, weights = table.rows(features, targets, query.weights)
        fields = fields_of(
            metadata,
            ARRAY_POINTERS,
            **({} if weights is None else {"weights": weights}),
            x=points,
            y=values,
            feature_names=list(features),
            target_names=list(targets),
        )
        if declared and "categories" in fields:
            raise InvalidInput.at(
                "/categories",
                "The metadata has categories too; leave out categorical and ordered, or them.",
            )
        if declared:
            fields["categories"] = declared
        return _dataset(fields, query, limits), source

    return Formats(limits, wish, query, of_json, of_arrow, of_columns)


def _dataset(
    fields: dict[str, Any], query: UploadQuery, limits: Limits, *, is_matrix: bool = False
) -> Dataset:
    """Return the dataset of these members of an upload, and of what the parameters say of it."""
    upload = validated(fields, DatasetUpload)
    if is_matrix:
        upload = _with_columns(upload, query)
    for field in ("name", "task"):
        if getattr(query, field) is not None and getattr(upload, field) is not None:
            raise InvalidInput.at(field, f"The metadata has a {field} too; send one of them.")
    if query.task is not None:
        upload = upload.model_copy(update={"task": query.task})
    column = query.weights or "weights"
    name = upload.name if query.name is None else query.name
    return upload.to_domain(limits, name=name, weight_column=column)


def _with_columns(upload: DatasetUpload, query: UploadQuery) -> DatasetUpload:
    """Return the upload with those of its features and targets alone that are asked for."""
    if query.columns and upload.feature_names != query.columns:
        names = upload.feature_names or _default_names("x", upload.x)
        chosen = _places(query.columns, names, "columns", skipped=upload.target_names or ["y"])
        kept = [names[j] for j in chosen]
        categories = {
            key: order
            for key, order in (upload.categories or {}).items()
            if key in kept or key not in names
        }
        update: dict[str, Any] = {"x": _columns_of(upload.x, chosen), "feature_names": kept}
        if upload.categories is not None:
            update["categories"] = categories
        upload = upload.model_copy(update=update)
    if query.target and upload.target_names != query.target:
        names = upload.target_names or _default_names("y", upload.y)
        chosen = _places(query.target, names, "target")
        y = upload.y if isinstance(upload.y, Labels) else _columns_of(upload.y, chosen)
        upload = upload.model_copy(update={"y": y, "target_names": [names[j] for j in chosen]})
    return upload


def _default_names(letter: str, values: Points | Labels) -> list[str]:
    width = 1 if isinstance(values, Labels) or values.ndim < 2 else values.shape[1]
    if letter == "y" and width == 1:
        return ["y"]
    return [f"{letter}{j + 1}" for j in range(width)]


def _places(
    wanted: list[str], names: list[str], parameter: str, skipped: list[str] | None = None
) -> list[int]:
    for name in wanted:
        if name not in names and name not in (skipped or []):
            raise InvalidInput.at(
                parameter,
                f"There is no column {shown(name)}{closest(name, names) or '.'} The columns are "
                f"{', '.join(shown(known) for known in names[:20])}.",
            )
        if wanted.count(name) > 1:
            raise InvalidInput.at(
                parameter, f"The column {shown(name)} is named twice; name it once."
            )
    return [names.index(name) for name in wanted if name in names]


def _columns_of(values: Any, chosen: list[int]) -> Any:
    """Return these columns of an array, or of rows with texts."""
    if isinstance(values, MixedRows):
        texts = {new: values.texts[old] for new, old in enumerate(chosen) if old in values.texts}
        numbers = values.numbers[:, chosen]
        return replace(values, numbers=numbers, texts=texts) if texts else numbers
    if values.ndim < 2:
        return values
    return np.ascontiguousarray(values[:, chosen])


def rows_reader(
    kind: ContentType, query: TextQuery, dataset: Dataset, limits: Limits
) -> BodyReader[Rows]:
    """Return what reads the body as rows in the order of the dataset's columns.

    And their weights if any, and how they were read.
    """
    if kind.format is Format.FORM:

        def of_form(body: Bytes) -> Rows:
            form = read_form(_mutable(body), kind.boundary)
            for field in form.fields:
                if field not in TextQuery.model_fields:
                    raise InvalidInput.at(
                        field, "The dataset has its name, columns and task; send the file alone."
                    )
            return _appended(_with_fields(query, form), dataset, limits).form(form)

        return Whole(of_form)
    return _appended(query, dataset, limits).reader(kind.format, kind.charset)


def _appended(query: TextQuery, dataset: Dataset, limits: Limits) -> Formats[Rows]:
    weights = dataset.weight_column or None
    texts = text_features(dataset)
    wish = Wish(
        targets=dataset.target_columns,
        weights=weights,
        texts=texts,
        numbers={*dataset.columns} - texts - {*dataset.target_columns},
        default_names=dataset.columns,
    )

    def of_json(body: bytearray) -> Rows:
        for parameter in query.model_fields_set:
            raise InvalidInput.at(parameter, f"The query parameter {parameter} is for CSV.")
        rows = parse_model(body, RowsUpload, ARRAY_POINTERS)
        return rows.x, rows.y, rows.weights, None

    def of_arrow(found: ArrowBody | NpzBody, source: Source | None) -> Rows:
        fields = found.fields(ARRAY_POINTERS, **_matrices(found))
        if isinstance(found, NpzBody):
            found.check_names(fields, dataset.feature_names, dataset.target_columns)
        rows = validated(fields, RowsUpload)
        return rows.x, rows.y, rows.weights, source

    def of_columns(table: Columns, metadata: bytes, source: Source | None) -> Rows:
        table.only(dataset.columns)
        points, values, found = table.rows(dataset.feature_names, dataset.target_columns, weights)
        if not isinstance(table, ParquetColumns):  # which programs pass on with all it says
            arrays = {"x": points, "y": values}
            validated(fields_of(metadata, ARRAY_POINTERS, **arrays), RowsUpload)
        return points, values, found, source

    return Formats(limits, wish, query, of_json, of_arrow, of_columns)


def _with_fields(query: Query, form: Form) -> Query:
    """Return the query with the fields of a form, where the address says nothing of them.

    Raises:
        InvalidInput: A field has not what it may have.
    """
    said: dict[str, Any] = {name: getattr(query, name) for name in query.model_fields_set}
    model = type(query)
    for name, texts in form.fields.items():
        is_list = model.model_fields[name].default_factory is list
        said.setdefault(name, texts if is_list else texts[-1])
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise refusal(query_faults(error.errors(include_url=False))) from None


def text_features(dataset: Dataset) -> set[str]:
    """Return the names of the features whose levels are texts."""
    if dataset.encoding is None:
        return set()
    found = zip(dataset.feature_names, dataset.encoding.categories, strict=True)
    return {name for name, category in found if category is not None and category.has_texts}


def _matrices(found: ArrowBody | NpzBody) -> dict[str, Any]:
    """Return the columns x, y and perhaps weights of a body of matrices."""
    names = ("x", "y", "weights") if "weights" in found.names else ("x", "y")
    found.only_matrices(*names)
    arrays: dict[str, Any] = {"x": found.array("x"), "y": found.targets("y")}
    return arrays | {name: found.array(name) for name in names[2:]}


def _mutable(body: Bytes) -> bytearray:
    return body if isinstance(body, bytearray) else bytearray(body)


def _source(name: Any) -> Source:
    return Source(format=name)
