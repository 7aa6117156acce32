"""The rows of a request in any of the formats that carry rows."""

from typing import Final

from service.api.arrow_streams import read_arrow
from service.api.media import ContentType, Format, parse_model, validated
from service.api.multipart import read_form
from service.api.schemas.datasets import DatasetUpload, RowsUpload, UploadQuery, checked_dataset
from service.api.tables import read_table
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.limits import Limits

ARRAY_POINTERS: Final = frozenset({"/x", "/y"})


def read_upload(
    body: bytearray, kind: ContentType, query: UploadQuery, limits: Limits
) -> tuple[Dataset, str | None]:
    """Return the dataset in the body, and the delimiter where it is CSV."""
    if kind.format is Format.JSON:
        for parameter in query.model_fields_set:
            raise InvalidInput.at(
                parameter,
                f"The query parameter {parameter} is for CSV; in JSON the body has the names.",
            )
        upload = parse_model(body, DatasetUpload, ARRAY_POINTERS)
        return upload.to_domain(limits, name=upload.name), None
    if kind.format is Format.ARROW:
        return _read_arrow_upload(body, query, limits), None
    text, name, targets = memoryview(body), query.name, tuple(query.target)
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        text, name, targets = form.file, name or form.name, targets or form.targets
    table = read_table(text, limits)
    features, targets = table.split(targets)
    dataset = checked_dataset(
        table.values(features),
        table.values(targets),
        limits,
        feature_names=features,
        target_names=targets,
        name=name,
    )
    return dataset, table.delimiter


def read_rows(
    body: bytearray, kind: ContentType, dataset: Dataset, limits: Limits
) -> tuple[Floats, Floats, str | None]:
    """Return the rows in the body in the order of the dataset's columns, and the delimiter."""
    if kind.format is Format.JSON:
        rows = parse_model(body, RowsUpload, ARRAY_POINTERS)
        return rows.x, rows.y, None
    if kind.format is Format.ARROW:
        return *_read_arrow_rows(body, dataset, limits), None
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        if form.name is not None or form.targets:
            raise InvalidInput.at(
                "name" if form.name is not None else "target",
                "The dataset has its name and targets; send the file alone.",
            )
        text = form.file
    else:
        text = memoryview(body)
    table = read_table(text, limits)
    table.only(dataset.feature_names + dataset.target_names)
    x, y = table.values(dataset.feature_names), table.values(dataset.target_names)
    return x, y, table.delimiter


def _read_arrow_upload(body: bytearray, query: UploadQuery, limits: Limits) -> Dataset:
    stream = read_arrow(body, limits)
    if stream.widths:
        if query.target:
            raise InvalidInput.at(
                "target", "The column y is the target; leave the query parameter out."
            )
        stream.only_matrices("x", "y")
        fields = stream.fields(ARRAY_POINTERS, x=stream.array("x"), y=stream.array("y"))
    else:
        table = stream.columns()
        features, targets = table.split(tuple(query.target))
        fields = stream.fields(
            ARRAY_POINTERS,
            x=table.values(features),
            y=table.values(targets),
            feature_names=list(features),
            target_names=list(targets),
        )
    upload = validated(fields, DatasetUpload)
    if query.name is not None and upload.name is not None:
        raise InvalidInput.at("name", "The metadata has a name too; send one of them.")
    return upload.to_domain(limits, name=query.name or upload.name)


def _read_arrow_rows(body: bytearray, dataset: Dataset, limits: Limits) -> tuple[Floats, Floats]:
    stream = read_arrow(body, limits)
    if stream.widths:
        stream.only_matrices("x", "y")
        x, y = stream.array("x"), stream.array("y")
    else:
        table = stream.columns()
        table.only(dataset.feature_names + dataset.target_names)
        x, y = table.values(dataset.feature_names), table.values(dataset.target_names)
    rows = validated(stream.fields(ARRAY_POINTERS, x=x, y=y), RowsUpload)
    return rows.x, rows.y
