"""Arrow IPC streams, as a client writes and reads them."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


def matrix(rows: Any) -> Any:
    """Return a column with a list of numbers a row."""
    values = np.array(rows, dtype=float)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def stream(
    columns: Any, fields: Any = None, batch_rows: int | None = None, **options: Any
) -> bytes:
    """Return the stream of these columns.

    Args:
        columns: By name, or a table.
        fields: JSON for the metadata, or its text.
        batch_rows: Rows of a record batch; None for one batch.
        options: Of `pyarrow.ipc.IpcWriteOptions`.
    """
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    if fields is not None:
        text = fields if isinstance(fields, str | bytes) else json.dumps(fields)
        table = table.replace_schema_metadata({"nearfit": text})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return bytes(sink.getvalue())


def read_answer(content: bytes) -> dict[str, Any]:
    """Return an answer in Arrow as JSON would have it."""
    table = pa.ipc.open_stream(content).read_all()
    document: dict[str, Any] = json.loads(table.schema.metadata[b"nearfit"])
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    for within in ("diagnostics", "interval", "quantiles"):
        items = columns.pop(within, None)
        if items is not None:
            for name in items[0]:
                document[within][name] = [item[name] for item in items]
    return document | columns
