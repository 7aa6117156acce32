"""Predictions as an Arrow IPC stream.

It is the JSON answer in another form: what has one entry a query is a column of the same name, and
all the rest is JSON in the metadata of the schema. A number that is not finite is null in both.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.api.arrow_streams import METADATA_KEY
from service.api.writing import json_pieces
from service.domain.arrays import Floats
from service.domain.prediction import Diagnostics, Neighbors, Prediction

PIECE_BYTES: Final = 2**22

END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"  # a message of length 0


def arrow_pieces(document: dict[str, Any], prediction: Prediction) -> Iterator[memoryview]:
    """Yield the stream with an answer.

    Args:
        document: The answer as JSON has it.
        prediction: The same estimates.
    """
    rest = dict(document)
    columns = {"mean": _estimates(rest.pop("mean"))}
    if prediction.neighbors is not None:
        del rest["neighbors"]
        columns["neighbors"] = _neighbors(prediction.neighbors)
    if prediction.diagnostics is not None:
        rest["diagnostics"] = {"plan": rest["diagnostics"]["plan"]}
        columns["diagnostics"] = _diagnostics(prediction.diagnostics)
    text = b"".join(json_pieces(rest))
    batch = pa.record_batch(columns, metadata={METADATA_KEY: text})
    yield _message(batch.schema)
    rows = max(1, PIECE_BYTES * len(prediction.mean) // batch.nbytes)
    for start in range(0, batch.num_rows, rows):
        yield _message(batch.slice(start, rows))
    yield memoryview(END_OF_STREAM)


def _message(part: Any) -> memoryview:
    # Arrow's own pool would keep the memory for answers to come.
    return memoryview(part.serialize(memory_pool=pa.system_memory_pool()))


def _estimates(mean: Floats) -> pa.Array:
    if mean.ndim == 1:
        return _numbers(mean)
    return pa.FixedSizeListArray.from_arrays(_numbers(mean.ravel()), mean.shape[1])


def _neighbors(found: Neighbors) -> pa.Array:
    lists = {
        name: pa.LargeListArray.from_arrays(_numbers(found.offsets), _numbers(values))
        for name, values in {
            "rows": found.rows,
            "distances": found.distances,
            "weights": found.weights,
        }.items()
    }
    return pa.StructArray.from_arrays(list(lists.values()), list(lists))


def _diagnostics(found: Diagnostics) -> pa.Array:
    numbers: dict[str, NDArray[Any]] = {
        "support": found.support,
        "effective_rows": found.effective_rows,
        "bandwidth": found.bandwidth,
        "degree": found.degree,
    }
    arrays = [_numbers(values) for values in numbers.values()]
    return pa.StructArray.from_arrays(arrays, list(numbers))


def _numbers(values: NDArray[Any]) -> pa.Array:
    """Return the numbers as they lie in memory, with null where JSON has it.

    `pa.array` would do, but imports pandas where it is installed, within a request.
    """
    values = np.ascontiguousarray(values)
    present = np.isfinite(values)
    missing = len(values) - int(np.count_nonzero(present))
    bitmap = pa.py_buffer(np.packbits(present, bitorder="little")) if missing else None
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype),
        len(values),
        [bitmap, pa.py_buffer(values)],
        null_count=missing,
    )
