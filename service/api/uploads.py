"""The rows of a request in any of the formats that carry rows."""

from typing import Final, get_args

from service.api.arrow_streams import read_arrow
from service.api.faults import shown
from service.api.media import ContentType, Format, parse_model, validated
from service.api.multipart import read_form
from service.api.schemas.datasets import (
    DatasetUpload,
    RowsUpload,
    TaskName,
    UploadQuery,
    checked_dataset,
)
from service.api.tables import read_table
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
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
    task = query.task
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        text, name, targets = form.file, name or form.name, targets or form.targets
        task = task or _task_of(form.task)
    table = read_table(text, limits, targets)
    features, targets = table.split(targets)
    dataset = checked_dataset(
        table.values(features),
        table.targets(targets),
        limits,
        feature_names=features,
        target_names=targets,
        name=name,
        task=task,
    )
    return dataset, table.delimiter


def _task_of(text: str | None) -> TaskName | None:
    names: tuple[TaskName, ...] = get_args(TaskName)
    for name in names:
        if text == name:
            return name
    if text is not None:
        raise InvalidInput.at("task", f"task is {shown(text)}; it must be {' or '.join(names)}.")
    return None


def read_rows(
    body: bytearray, kind: ContentType, dataset: Dataset, limits: Limits
) -> tuple[Floats, Floats | Labels, str | None]:
    """Return the rows in the body in the order of the dataset's columns, and the delimiter."""
    if kind.format is Format.JSON:
        rows = parse_model(body, RowsUpload, ARRAY_POINTERS)
        return rows.x, rows.y, None
    if kind.format is Format.ARROW:
        return *_read_arrow_rows(body, dataset, limits), None
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        fields = {"name": form.name, "target": form.targets, "task": form.task}
        for field, value in fields.items():
            if value:
                raise InvalidInput.at(
                    field, "The dataset has its name, targets and task; send the file alone."
                )
        text = form.file
    else:
        text = memoryview(body)
    table = read_table(text, limits, dataset.target_columns)
    table.only(dataset.feature_names + dataset.target_columns)
    x, y = table.values(dataset.feature_names), table.targets(dataset.target_columns)
    return x, y, table.delimiter


def _read_arrow_upload(body: bytearray, query: UploadQuery, limits: Limits) -> Dataset:
    stream = read_arrow(body, limits, tuple(query.target))
    if stream.widths:
        if query.target:
            raise InvalidInput.at(
                "target", "The column y is the target; leave the query parameter out."
            )
        stream.only_matrices("x", "y")
        fields = stream.fields(ARRAY_POINTERS, x=stream.array("x"), y=stream.targets("y"))
    else:
        table = stream.columns()
        features, targets = table.split(tuple(query.target))
        fields = stream.fields(
            ARRAY_POINTERS,
            x=table.values(features),
            y=table.targets(targets),
            feature_names=list(features),
            target_names=list(targets),
        )
    upload = validated(fields, DatasetUpload)
    for field in ("name", "task"):
        if getattr(query, field) is not None and getattr(upload, field) is not None:
            raise InvalidInput.at(field, f"The metadata has a {field} too; send one of them.")
    if query.task is not None:
        upload = upload.model_copy(update={"task": query.task})
    return upload.to_domain(limits, name=query.name or upload.name)


def _read_arrow_rows(
    body: bytearray, dataset: Dataset, limits: Limits
) -> tuple[Floats, Floats | Labels]:
    stream = read_arrow(body, limits, dataset.target_columns)
    y: Floats | Labels
    if stream.widths:
        stream.only_matrices("x", "y")
        x, y = stream.array("x"), stream.targets("y")
    else:
        table = stream.columns()
        table.only(dataset.feature_names + dataset.target_columns)
        x, y = table.values(dataset.feature_names), table.targets(dataset.target_columns)
    rows = validated(stream.fields(ARRAY_POINTERS, x=x, y=y), RowsUpload)
    return rows.x, rows.y
