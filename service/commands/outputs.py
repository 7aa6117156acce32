"""Predictions written to a file, or to stdout, in the format of the file's suffix."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

import pyarrow as pa

from service.commands.failures import ExitCode, Failure
from service.commands.inputs import STANDARD
from service.commands.output import ESCAPED, ESCAPES


def write(table: pa.Table, name: str, format_name: str | None) -> None:
    """Write a table to a file, or to stdout, in a format: the one named, else its suffix's.

    Raises:
        Failure: The file cannot be written.
    """
    writer = WRITERS[output_format(name, format_name)]
    try:
        is_standard = name == STANDARD
        with nullcontext(sys.stdout.buffer) if is_standard else Path(name).open("wb") as file:
            writer(table, file)
            file.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise Failure(
            ExitCode.USAGE, f"{name} cannot be written ({error.strerror or error}); name another."
        ) from None


def output_format(name: str, format_name: str | None) -> str:
    """Return the format of an output: the one named, else its suffix's; of stdout, tsv.

    Raises:
        Failure: There is none of this name.
    """
    found = format_name or ("tsv" if name == STANDARD else Path(name).suffix.removeprefix("."))
    if found.lower() not in WRITERS:
        what = f"--output-format is {found!r}" if format_name else f"{name} has no known suffix"
        raise Failure(ExitCode.USAGE, f"{what}; written are {', '.join(WRITERS)}.")
    return found.lower()


def records(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    """Yield the rows, None where there is no value."""
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    from pyarrow import csv

    csv.write_csv(table, file, csv.WriteOptions(quoting_style="needed"))


def _write_tsv(table: pa.Table, file: BinaryIO) -> None:
    """Write plain lines, without the quotes of CSV: what would break a line is escaped."""
    from pyarrow import compute

    columns = [_plain_texts(compute, column) for column in table.columns]
    lines = compute.binary_join_element_wise(
        *columns,
        pa.scalar("\t", pa.large_string()),
        null_handling="replace",
        null_replacement="",
    )
    header = "\t".join(name.translate(ESCAPES) for name in table.column_names)
    file.writelines(f"{line}\n".encode() for line in [header, *lines.to_pylist()])


def _plain_texts(compute: ModuleType, column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = column.cast(pa.large_string())
    if texts.type != column.type and not pa.types.is_string(column.type):
        return texts  # of numbers, which have nothing to escape
    for mark, escape in ESCAPED.items():
        texts = compute.replace_substring(texts, mark, escape)
    return texts


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    from pyarrow import parquet

    parquet.write_table(table, file)


def _write_arrow_file(table: pa.Table, file: BinaryIO) -> None:
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_arrow_stream(table: pa.Table, file: BinaryIO) -> None:
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def _write_json_lines(table: pa.Table, file: BinaryIO) -> None:
    for record in records(table):
        file.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _write_json(table: pa.Table, file: BinaryIO) -> None:
    file.write(json.dumps(list(records(table)), ensure_ascii=False, allow_nan=False).encode())
    file.write(b"\n")


def _write_npz(table: pa.Table, file: BinaryIO) -> None:
    import numpy as np

    arrays = {name: _array(table.column(name)) for name in table.column_names}
    np.savez(file, **arrays)


def _array(column: pa.ChunkedArray) -> Any:
    """Return a column as NumPy has it: NaN for a missing number, an empty text for a missing one.

    Never an array of objects, which npz would have to pickle.
    """
    import numpy as np

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(["" if text is None else text for text in column.to_pylist()], dtype=str)
    return column.to_numpy()


WRITERS: Final[Mapping[str, Callable[[pa.Table, BinaryIO], None]]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "parquet": _write_parquet,
    "arrow": _write_arrow_file,
    "feather": _write_arrow_file,
    "arrows": _write_arrow_stream,
    "ndjson": _write_json_lines,
    "jsonl": _write_json_lines,
    "json": _write_json,
    "npz": _write_npz,
}
"""By the suffix of the file, without its point."""
