"""The rows of a dataset in every format in which they may be uploaded."""

import zipfile
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.api.arrow_streams import METADATA_KEY
from service.api.formats.numbers import number_column
from service.api.formats.writers import WRITERS, Outflow
from service.api.media import Format
from service.api.schemas.base import Items
from service.api.schemas.extras import of_targets
from service.domain.arrays import Floats
from service.domain.categories import Encoding
from service.domain.dataset import Dataset
from service.domain.errors import NotAcceptable

BATCH_NUMBERS: Final = 2**18
"""Of which a batch of rows has about as many."""

DAY_ONE: Final = (1980, 1, 1, 0, 0, 0)  # the same rows are the same bytes


def row_pieces(dataset: Dataset, kind: Format, rows: range) -> Iterator[bytes]:
    """Yield a file of these rows, which can be uploaded as it is.

    Raises:
        NotAcceptable: The format has no place for these rows.
    """
    if kind is Format.NPZ:
        return _npz_pieces(dataset, rows)
    first = row_batch(dataset, range(rows.start, rows.start))
    schema = first.schema.with_metadata({METADATA_KEY: orjson.dumps(_said(dataset))})
    return WRITERS[kind](schema, _batches(dataset, rows, schema))


def row_document(dataset: Dataset, rows: range) -> dict[str, Any]:
    """Return these rows as an upload in JSON has them; long arrays are still arrays."""
    x = dataset.x[rows.start : rows.stop]
    y: Any = of_targets(dataset.y[rows.start : rows.stop])
    if dataset.classes is not None:
        y = _stretches(dataset, rows, dataset.target_columns)
    points: Any = x[:, 0] if dataset.n_features == 1 else x
    if dataset.encoding is not None:
        points = _stretches(dataset, rows, dataset.feature_names, flat=dataset.n_features == 1)
    weights = {}
    if dataset.row_weights is not None:
        weights = {"weights": dataset.row_weights[rows.start : rows.stop]}
    return {
        "x": points,
        "y": y,
        "feature_names": list(dataset.feature_names),
        "target_names": list(dataset.target_columns),
        **weights,
        **_said(dataset),
    }


def row_batch(dataset: Dataset, rows: range) -> pa.RecordBatch:
    """Return rows as columns by name: features, targets and perhaps weights."""
    columns = feature_columns(
        dataset.x[rows.start : rows.stop], dataset.feature_names, dataset.encoding
    )
    y = dataset.y[rows.start : rows.stop]
    if dataset.classes is None:
        columns |= {name: number_column(y[:, j]) for j, name in enumerate(dataset.target_names)}
    else:
        names = pa.array(list(dataset.classes))
        columns[dataset.class_column] = names.take(pa.array(y.argmax(axis=1)))
    if dataset.row_weights is not None:
        weights = dataset.row_weights[rows.start : rows.stop]
        columns[dataset.weight_column] = number_column(weights)
    return pa.record_batch(columns)


def feature_columns(
    x: Floats, names: tuple[str, ...], encoding: Encoding | None
) -> dict[str, pa.Array]:
    """Return rows (n, D) in the coordinates of a dataset as they were sent, a column a feature."""
    if encoding is None:
        return {name: number_column(x[:, j]) for j, name in enumerate(names)}
    columns: dict[str, pa.Array] = {}
    for j, (name, category) in enumerate(zip(names, encoding.categories, strict=True)):
        if category is None:
            columns[name] = number_column(x[:, encoding.starts[j]])
        else:
            kind = pa.string() if category.has_texts else pa.float64()
            levels = pa.array(list(category.levels), kind)
            columns[name] = levels.take(pa.array(encoding.levels_of(x, j)))
    return columns


def _batches(dataset: Dataset, rows: range, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    step = max(1, BATCH_NUMBERS // len(schema))
    for start in range(rows.start, rows.stop, step):
        batch = row_batch(dataset, range(start, min(start + step, rows.stop)))
        yield batch.replace_schema_metadata(schema.metadata)


def _stretches(
    dataset: Dataset, rows: range, names: tuple[str, ...], *, flat: bool = True
) -> Items[Any]:
    """Return cells, of which some are texts, in lists that are made when they are written."""

    def stretch(start: int, stop: int) -> list[Any]:
        batch = row_batch(dataset, range(rows.start + start, rows.start + stop))
        columns = [batch.column(name).to_pylist() for name in names]
        return columns[0] if flat else [list(row) for row in zip(*columns, strict=True)]

    return Items(len(rows), len(rows) * len(names), stretch)


def _said(dataset: Dataset) -> dict[str, Any]:
    """Return what is said of a dataset beside its columns, as far as it is not plain from them."""
    said: dict[str, Any] = {}
    if dataset.name is not None:
        said["name"] = dataset.name
    if dataset.classes is not None:
        said["task"] = "classification"
    if dataset.encoding is not None:
        found = zip(dataset.feature_names, dataset.encoding.categories, strict=True)
        said["categories"] = {
            name: list(category.levels) if category.is_ordered else "unordered"
            for name, category in found
            if category is not None
        }
    return said


def _npz_pieces(dataset: Dataset, rows: range) -> Iterator[bytes]:
    if dataset.encoding is not None:
        raise NotAcceptable(
            "The dataset has categories, for which x of an npz file, a matrix of numbers, has no "
            "place; accept text/csv or application/vnd.apache.parquet."
        )
    part = slice(rows.start, rows.stop)
    y: NDArray[Any] = of_targets(dataset.y[part])
    if dataset.classes is not None:
        if isinstance(dataset.classes[0], int):
            raise NotAcceptable(
                "The classes are numbers, and an npz file cannot say that they are; accept "
                "application/vnd.apache.parquet."
            )
        y = np.array(dataset.classes)[dataset.y[part].argmax(axis=1)]
    arrays = {
        "x": dataset.x[part],
        "y": y,
        "feature_names": np.array(dataset.feature_names),
        "target_names": np.array(dataset.target_columns),
    }
    if dataset.row_weights is not None:
        arrays["weights"] = dataset.row_weights[part]
    return _written_npz(arrays)


def _written_npz(arrays: dict[str, NDArray[Any]]) -> Iterator[bytes]:
    outflow = Outflow()
    with zipfile.ZipFile(outflow, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", DAY_ONE)
            with archive.open(entry, "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(values))
                step = max(1, BATCH_NUMBERS * len(values) // max(values.size, 1))
                for start in range(0, len(values), step):
                    file.write(np.ascontiguousarray(values[start : start + step]).tobytes())
                    yield outflow.taken()
    yield outflow.taken()
