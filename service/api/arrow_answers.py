"""Predictions as an Arrow IPC stream.

It is the JSON answer in another form: what has one entry a query is a column of the same name, and
all the rest is JSON in the metadata of the schema. A number that is not finite is null in both.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
from numpy.typing import NDArray

from service.api.arrow_streams import METADATA_KEY
from service.api.formats.numbers import number_column
from service.api.writing import json_pieces
from service.domain.prediction import Neighbors, Prediction
from service.estimators.classes import likeliest

PIECE_BYTES: Final = 2**22

PER_QUERY: Final = (
    "mean",
    "probabilities",
    "std",
    "std_observation",
    "slope",
    "slope_std",
    "gradient",
)
PER_QUERY_WITHIN: Final = {
    "interval": ("lower", "upper", "distance", "distance_rank"),
    "quantiles": ("values",),
    "diagnostics": ("support", "effective_rows", "bandwidth", "degree", "ridge"),
}
"""Fields of the answer that have an entry a query, and fields with members that have."""

NO_QUERIES: Final[Mapping[str, pa.Array]] = {}

END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"  # a message of length 0


def arrow_pieces(
    document: dict[str, Any], prediction: Prediction, queries: Mapping[str, pa.Array] = NO_QUERIES
) -> Iterator[memoryview]:
    """Yield the stream with an answer.

    Args:
        document: The answer as JSON has it.
        prediction: The same estimates.
        queries: The queries' own columns, which come first where they are wanted.
    """
    rest = dict(document)
    columns: dict[str, pa.Array] = {
        name: _entries(rest.pop(name)) for name in PER_QUERY if name in rest
    }
    for name, members in PER_QUERY_WITHIN.items():
        if name in rest:
            whole = rest[name]
            rest[name] = {key: value for key, value in whole.items() if key not in members}
            found = [_entries(whole[member]) for member in members]
            columns[name] = pa.StructArray.from_arrays(found, list(members))
    if "label" in rest:
        del rest["label"]
        columns["label"] = label_column(document["probabilities"], document["classes"])
    if prediction.neighbors is not None:
        del rest["neighbors"]
        columns["neighbors"] = neighbor_column(prediction.neighbors)
    text = b"".join(json_pieces(rest))
    columns = beside(queries, columns)
    batch = pa.record_batch(columns, metadata={METADATA_KEY: text})
    yield _message(batch.schema)
    rows = max(1, PIECE_BYTES * len(prediction.mean) // batch.nbytes)
    for start in range(0, batch.num_rows, rows):
        yield _message(batch.slice(start, rows))
    yield memoryview(END_OF_STREAM)


def beside(queries: Mapping[str, pa.Array], columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Return the queries' columns and those of the answer, whose names give way with a _."""
    found = dict(queries)
    for name, column in columns.items():
        while name in found:
            name += "_"
        found[name] = column
    return found


def _message(part: Any) -> memoryview:
    return memoryview(part.serialize())


def _entries(values: NDArray[Any]) -> pa.Array:
    """Return values (m, …) as a column of numbers, of lists of numbers, or of lists of lists."""
    column = number_column(values.ravel())
    for length in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column


def label_column(shares: NDArray[Any], classes: list[Any]) -> pa.Array:
    """Return the likeliest class of each query, null where there is none."""
    chosen = likeliest(shares)
    return pa.array(classes).take(pa.array(chosen, mask=chosen < 0))


def neighbor_column(found: Neighbors) -> pa.Array:
    """Return the rows behind each estimate, as a struct of lists."""
    columns = {
        name: pa.LargeListArray.from_arrays(number_column(found.offsets), number_column(values))
        for name, values in {
            "rows": found.rows,
            "distances": found.distances,
            "weights": found.weights,
        }.items()
    }
    columns["leverage"] = number_column(found.leverage)
    return pa.StructArray.from_arrays(list(columns.values()), list(columns))
