"""Messages as they travel: Arrow where there are rows, JSON where there are none."""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from service.client.media import ARROW, JSON
from service.client.steps import Body

NULL: Final = object()
"""In the place of a value: null, which to the service is not the same as no field."""

METADATA_KEY: Final = b"nearfit"


def json_text(fields: Mapping[str, Any]) -> bytes:
    """Return the JSON of the fields that are not None; NumPy's numbers are numbers.

    A field that shall be null is `NULL`.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value has no form in JSON.
    """
    present = {
        name: None if value is NULL else value
        for name, value in fields.items()
        if value is not None
    }
    return json.dumps(present, default=_plain, allow_nan=False).encode()


def json_body(fields: Mapping[str, Any]) -> Body:
    """Return a JSON body of the fields that are not None."""
    return Body(json_text(fields), JSON)


def arrow_body(columns: pa.Table, fields: Mapping[str, Any]) -> Body:
    """Return an Arrow stream of the columns, with the fields that are not None beside them."""
    table = columns.replace_schema_metadata({METADATA_KEY: json_text(fields)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Body(memoryview(sink.getvalue()), ARROW)


def read_arrow(content: bytes) -> tuple[pa.Table, dict[str, Any]]:
    """Return the columns of an answer, and all else that it says."""
    table = pa.ipc.open_stream(content).read_all()
    return table.replace_schema_metadata(None), json.loads(table.schema.metadata[METADATA_KEY])


def read_parquet(content: bytes) -> tuple[pa.Table, dict[str, Any]]:
    """Return the columns of an answer in Parquet, and all else that it says.

    Read by this thread alone. Those of `pyarrow.parquet.read_table` may drop the last hold on
    `content` after the program has come to its end, where Python lets no thread go on: the
    process then aborts (apache/arrow#34314).
    """
    from pyarrow.parquet import ParquetFile  # takes a while, which only files need

    file = ParquetFile(pa.BufferReader(content), pre_buffer=False)
    table = file.read(use_threads=False)
    document: dict[str, Any] = json.loads(table.schema.metadata[METADATA_KEY])
    return table.replace_schema_metadata(None), document


def read_json(content: bytes) -> dict[str, Any]:
    """Return the JSON document of an answer."""
    document: dict[str, Any] = json.loads(content)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{value!r} is {type(value).__name__}, which JSON does not have.")
