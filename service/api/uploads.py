"""The rows of a request in any of the formats that carry rows."""

from typing import Any, Final, get_args

from service.api.arrow_streams import ArrowBody, read_arrow
from service.api.category_parameters import declared_categories
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
from service.domain.categories import Points
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
from service.engine.limits import Limits

ARRAY_POINTERS: Final = frozenset({"/x", "/y", "/weights"})


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
    task, weights = query.task, query.weights
    categorical, ordered = tuple(query.categorical), tuple(query.ordered)
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        text, name, targets = form.file, name or form.name, targets or form.targets
        task, weights = task or _task_of(form.task), weights or form.weights
        categorical, ordered = categorical or form.categorical, ordered or form.ordered
    texts = {*categorical, *(spec.partition(":")[0] for spec in ordered)}
    numbers = () if weights is None else (weights,)
    table = read_table(text, limits, targets, texts=texts, numbers=numbers)
    features, targets = table.split(targets, weights)
    dataset = checked_dataset(
        table.points(features),
        table.targets(targets),
        limits,
        feature_names=features,
        target_names=targets,
        name=name,
        task=task,
        categories=declared_categories(categorical, ordered, features, table.has_texts),
        row_weights=table.weights(weights),
        weight_column=weights or "",
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
) -> tuple[Points, Floats | Labels, Floats | None, str | None]:
    """Return the rows in the body in the order of the dataset's columns, their weights if any.

    And the delimiter where it is CSV.
    """
    if kind.format is Format.JSON:
        rows = parse_model(body, RowsUpload, ARRAY_POINTERS)
        return rows.x, rows.y, rows.weights, None
    if kind.format is Format.ARROW:
        return *_read_arrow_rows(body, dataset, limits), None
    if kind.format is Format.FORM:
        form = read_form(body, kind.boundary)
        fields = {
            "name": form.name,
            "target": form.targets,
            "task": form.task,
            "weights": form.weights,
            "categorical": form.categorical,
            "ordered": form.ordered,
        }
        for field, value in fields.items():
            if value:
                raise InvalidInput.at(
                    field, "The dataset has its name, columns and task; send the file alone."
                )
        text = form.file
    else:
        text = memoryview(body)
    texts = _text_features(dataset)
    numbers = {*dataset.columns} - texts - {*dataset.target_columns}
    table = read_table(text, limits, dataset.target_columns, texts=texts, numbers=numbers)
    table.only(dataset.columns)
    x, y = table.points(dataset.feature_names), table.targets(dataset.target_columns)
    return x, y, table.weights(dataset.weight_column or None), table.delimiter


def _read_arrow_upload(body: bytearray, query: UploadQuery, limits: Limits) -> Dataset:
    stream = read_arrow(body, limits, tuple(query.target))
    if stream.widths:
        if query.target:
            raise InvalidInput.at(
                "target", "The column y is the target; leave the query parameter out."
            )
        if query.weights is not None:
            raise InvalidInput.at(
                "weights", "The column weights has them; leave the query parameter out."
            )
        fields = stream.fields(ARRAY_POINTERS, **_matrices(stream))
    else:
        table = stream.columns()
        features, targets = table.split(tuple(query.target), query.weights)
        row_weights = table.weights(query.weights)
        fields = stream.fields(
            ARRAY_POINTERS,
            **({} if row_weights is None else {"weights": row_weights}),
            x=table.points(features),
            y=table.targets(targets),
            feature_names=list(features),
            target_names=list(targets),
        )
        declared = declared_categories(query.categorical, query.ordered, features, table.has_texts)
        if declared and "categories" in fields:
            raise InvalidInput.at(
                "/categories",
                "The metadata has categories too; leave out categorical and ordered, or them.",
            )
        if declared:
            fields["categories"] = declared
    upload = validated(fields, DatasetUpload)
    for field in ("name", "task"):
        if getattr(query, field) is not None and getattr(upload, field) is not None:
            raise InvalidInput.at(field, f"The metadata has a {field} too; send one of them.")
    if query.task is not None:
        upload = upload.model_copy(update={"task": query.task})
    column = query.weights or "weights"
    return upload.to_domain(limits, name=query.name or upload.name, weight_column=column)


def _text_features(dataset: Dataset) -> set[str]:
    """Return the names of the features whose levels are texts."""
    if dataset.encoding is None:
        return set()
    found = zip(dataset.feature_names, dataset.encoding.categories, strict=True)
    return {name for name, category in found if category is not None and category.has_texts}


def _matrices(stream: ArrowBody) -> dict[str, Any]:
    """Return the columns x, y and perhaps weights of a stream of matrices."""
    names = ("x", "y", "weights") if "weights" in stream.names else ("x", "y")
    stream.only_matrices(*names)
    arrays: dict[str, Any] = {"x": stream.array("x"), "y": stream.targets("y")}
    return arrays | {name: stream.array(name) for name in names[2:]}


def _read_arrow_rows(
    body: bytearray, dataset: Dataset, limits: Limits
) -> tuple[Points, Floats | Labels, Floats | None]:
    stream = read_arrow(body, limits, dataset.target_columns)
    if stream.widths:
        arrays = _matrices(stream)
    else:
        table = stream.columns()
        table.only(dataset.columns)
        row_weights = table.weights(dataset.weight_column or None)
        arrays = {
            "x": table.points(dataset.feature_names),
            "y": table.targets(dataset.target_columns),
            **({} if row_weights is None else {"weights": row_weights}),
        }
    rows = validated(stream.fields(ARRAY_POINTERS, **arrays), RowsUpload)
    return rows.x, rows.y, rows.weights
