"""Parquet files to columns, within bounds."""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from service.api.columns import Columns, is_text
from service.api.faults import shown
from service.api.formats.coding import MOST_GROWTH, most_bytes
from service.api.tables import EVERYTHING, Wish
from service.domain.errors import BodyTooLarge, InvalidInput, MalformedBody
from service.engine.limits import Limits

BATCH_ROWS: Final = 2**20
INDEX: Final = "__index_level_"
"""How pandas begins the name of a column that is its index, and no data."""

NOT_PARQUET: Final = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, OverflowError)


class ParquetColumns(Columns):
    """The columns of a Parquet file.

    Attributes:
        metadata: Of its schema.
    """

    def __init__(self, columns: pa.Table, metadata: dict[bytes, bytes]) -> None:
        names = tuple(columns.column_names)
        super().__init__(names, "", [f"/{name}" for name in names], columns)
        self.metadata = metadata


def read_parquet(
    body: bytearray | memoryview, limits: Limits, wish: Wish = EVERYTHING
) -> ParquetColumns:
    """Return the columns of a Parquet file that are wanted; a body that can be is emptied.

    So that beside the columns, their copy in rows need not have the body in memory too.

    Raises:
        MalformedBody: It is no such file; the detail names the row group, the column and the byte
            where what cannot be read begins.
        InvalidInput: There are too many columns, or one is neither of numbers nor of texts.
        BodyTooLarge: It would become too long.
    """
    import pyarrow.parquet as pq  # 60 ms, and only for those who send such a file

    source = pa.BufferReader(pa.py_buffer(body))
    try:
        file = pq.ParquetFile(source, memory_map=False, pre_buffer=False)
        schema = file.schema_arrow
    except NOT_PARQUET as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise MalformedBody(
            f"The body is not a Parquet file, or cut short: {reason}. Its last "
            f"{min(8, len(body))} bytes, from byte {max(0, len(body) - 8):,}, should lead to its "
            "footer; write it anew."
        ) from None
    names = [name for name in schema.names if not name.startswith(INDEX)]
    read = _checked(schema, names, limits, wish)
    _check_size(file.metadata.num_rows * len(read) * 8, body, limits)
    try:
        table = pa.table({name: _column(file, name) for name in read})
    except NOT_PARQUET as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise MalformedBody(f"{_place_of_fault(file, read)}: {reason}. Write it anew.") from None
    if not table.num_rows:
        raise InvalidInput.at("", "The file has no rows; send at least one.")
    if isinstance(body, bytearray):
        file.close()
        del file, source
        body.clear()
    return ParquetColumns(table, schema.metadata or {})


def _column(file: Any, name: str) -> pa.ChunkedArray:
    """Return a column, in blocks of rows.

    One column after the other, and in long blocks, since short ones that come and go leave half as
    much again behind in the C library.
    """
    chunks = []
    for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
        batch.validate(full=is_text(batch.schema.field(0).type))
        chunks.append(batch.column(0))
    return pa.chunked_array(chunks, file.schema_arrow.field(name).type)


def _checked(schema: pa.Schema, names: list[str], limits: Limits, wish: Wish) -> tuple[str, ...]:
    """Return the columns to read, each of numbers or texts."""
    most = limits.max_features + limits.max_targets
    if not names:
        raise InvalidInput.at("", "The file has no columns; send at least one.")
    first: set[str] = set()
    for name in names:
        if name in first:
            raise InvalidInput.at(f"/{name}", f"The name {shown(name)} stands twice.")
        first.add(name)
    read = wish.read(names)
    if len(read) > most:
        raise InvalidInput.at(
            "",
            f"The file has {len(read):,} columns, and the limit is {most:,} (max_features and "
            "max_targets in /limits, together); choose some with columns.",
        )
    for name in read:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or is_text(kind)):
            raise InvalidInput.at(
                f"/{name}",
                f"The column {shown(name)} has the type {shown(str(kind))}; send numbers or "
                "texts, or name in columns those to read.",
            )
    return read


def _check_size(becomes: int, body: bytearray | memoryview, limits: Limits) -> None:
    most = most_bytes(len(body), limits)
    if becomes > most:
        raise BodyTooLarge(
            f"The file of {len(body):,} bytes becomes {becomes:,} or more, and the limit is "
            f"{most:,} ({MOST_GROWTH} times its length, and max_body_bytes in /limits); send the "
            "rows in parts."
        )


def _place_of_fault(file: Any, read: tuple[str, ...]) -> str:
    """Return the first row group and column that cannot be read, and where it begins."""
    row = 0
    for group, column, name in _chunks(file, read):
        facts = file.metadata.row_group(group)
        row = sum(file.metadata.row_group(g).num_rows for g in range(group))
        try:
            file.read_row_group(group, columns=[name])
        except NOT_PARQUET:
            start = facts.column(column).dictionary_page_offset
            start = facts.column(column).data_page_offset if start is None else start
            return (
                f"The Parquet file cannot be read in column {shown(name)} of row group {group}, "
                f"rows {row:,} to {row + facts.num_rows - 1:,}, which begins at byte {start:,}"
            )
    return "The Parquet file cannot be read"


def _chunks(file: Any, read: tuple[str, ...]) -> Iterator[tuple[int, int, str]]:
    names = file.schema.names
    for group in range(file.metadata.num_row_groups):
        for name in read:
            yield group, names.index(name), name
