"""Columns as files, a batch of rows at a time, so that none is ever there as a whole."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.csv as arrow_csv

from service.api.formats.kinds import Format

Batches = Iterable[pa.RecordBatch]


def csv_pieces(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield a CSV file: names, then cells between commas, empty where one is missing."""
    yield csv_line(schema.names)
    options = arrow_csv.WriteOptions(include_header=False)
    for batch in batches:
        sink = pa.BufferOutputStream()
        arrow_csv.write_csv(batch, sink, options)
        yield sink.getvalue().to_pybytes()


def csv_line(cells: Iterable[str]) -> bytes:
    """Return a line of texts."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode("utf-8", "replace")


def ndjson_pieces(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield an object a line."""
    for batch in batches:
        for start in range(0, batch.num_rows, NDJSON_ROWS):
            rows = batch.slice(start, NDJSON_ROWS).to_pylist()
            yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


NDJSON_ROWS: Final = 1_000
"""Rows written at once, each of them as Python objects."""


def arrow_pieces(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield an Arrow IPC stream."""
    yield from _written(batches, lambda sink: pa.ipc.new_stream(sink, schema))


def arrow_file_pieces(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield an Arrow IPC file."""
    yield from _written(batches, lambda sink: pa.ipc.new_file(sink, schema))


def parquet_pieces(schema: pa.Schema, batches: Batches) -> Iterator[bytes]:
    """Yield a Parquet file with a row group a batch."""
    import pyarrow.parquet as pq  # 60 ms, and only for those who ask for such a file

    yield from _written(batches, lambda sink: pq.ParquetWriter(sink, schema))


WRITERS: Final[dict[Format, Callable[[pa.Schema, Batches], Iterator[bytes]]]] = {
    Format.CSV: csv_pieces,
    Format.NDJSON: ndjson_pieces,
    Format.ARROW: arrow_pieces,
    Format.ARROW_FILE: arrow_file_pieces,
    Format.PARQUET: parquet_pieces,
}


class Outflow(io.RawIOBase):
    """A file to write into, whose bytes are taken out as they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._written = 0

    def writable(self) -> bool:
        """Return that it can be written into."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        view = memoryview(data)
        self._bytes += view
        self._written += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written in all."""
        return self._written

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        found, self._bytes = bytes(self._bytes), bytearray()
        return found


def _written(batches: Batches, opened: Callable[[Any], Any]) -> Iterator[bytes]:
    outflow = Outflow()
    with pa.PythonFile(outflow, mode="w") as sink:
        writer = opened(sink)
        for batch in batches:
            writer.write_batch(batch)
            yield outflow.taken()
        writer.close()
        sink.flush()
        yield outflow.taken()
