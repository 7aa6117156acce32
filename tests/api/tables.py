"""The same rows as files of every format."""

import gzip
import io
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
NDJSON = "application/x-ndjson"
NPZ = "application/x-npz"
CSV = "text/csv"
JSON = "application/json"


def as_json(table: Any) -> bytes:
    """Return rows whose last column is the target, as JSON."""
    columns = [table.column(name).to_numpy() for name in table.column_names]
    document = {
        "x": np.column_stack(columns[:-1]),
        "y": np.ascontiguousarray(columns[-1]),
        "feature_names": table.column_names[:-1],
        "target_names": table.column_names[-1:],
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def as_csv(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    arrow_csv.write_csv(table, sink)
    return bytes(sink.getvalue())


def as_ndjson(table: Any) -> bytes:
    columns = [table.column(name).to_pylist() for name in table.column_names]
    rows = (dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True))
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def as_parquet(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def as_arrow(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def as_arrow_file(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def as_npz(table: Any, *, compressed: bool = False) -> bytes:
    sink = io.BytesIO()
    columns = [table.column(name).to_numpy() for name in table.column_names]
    (np.savez_compressed if compressed else np.savez)(
        sink,
        x=np.column_stack(columns[:-1]),
        y=columns[-1],
        feature_names=np.array(table.column_names[:-1]),
        target_names=np.array(table.column_names[-1:]),
    )
    return sink.getvalue()


def as_npz_columns(table: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{name: table.column(name).to_numpy() for name in table.column_names})
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    """Return the data in one Zstandard frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


FILES = {
    "JSON": (JSON, as_json),
    "CSV": (CSV, as_csv),
    "NDJSON": (NDJSON, as_ndjson),
    "Parquet": (PARQUET, as_parquet),
    "Arrow stream": (ARROW, as_arrow),
    "Arrow file": (ARROW_FILE, as_arrow_file),
    "npz": (NPZ, as_npz),
    "npz of columns": (NPZ, as_npz_columns),
}
"""Media type, and the writer of a table whose last column is the target."""

CODINGS = {"gzip": lambda data: gzip.compress(data, 1), "zstd": zstd}
