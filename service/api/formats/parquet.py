"""Parquet files to columns, within bounds."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from service.api.columns import TRIMMED_AFTER, Columns, is_text
from service.api.faults import reason_of, shown
from service.api.formats.coding import MOST_GROWTH, most_bytes
from service.api.tables import EVERYTHING, Wish
from service.domain.arrays import Floats
from service.domain.errors import BodyTooLarge, InvalidInput, MalformedBody
from service.engine.limits import Limits
from service.storage.store import return_freed_memory

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BATCH_ROWS: Final = 2**20
INDEX: Final = "__index_level_"
"""How pandas begins the name of a column that is its index, and no data."""

NOT_PARQUET: Final = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, OverflowError)


class ParquetColumns(Columns):
    """The columns of a Parquet file, each of them read when it is asked for.

    Attributes:
        metadata: Of its schema.
    """

    def __init__(self, file: "pq.ParquetFile", names: tuple[str, ...]) -> None:
        """Read nothing yet.

        Args:
            file: An open one.
            names: Of the columns to read.
        """
        schema = file.schema_arrow
        kinds = pa.schema([schema.field(name) for name in names])
        super().__init__(names, "", [f"/{name}" for name in names], kinds.empty_table())
        self.metadata: dict[bytes, bytes] = schema.metadata or {}
        self._file = file
        self._table: pa.Table | None = None

    @property
    def table(self) -> pa.Table:
        """The columns as they are, all of which are kept from then on.

        Raises:
            MalformedBody: One cannot be read; the detail names it and the row group.
        """
        if self._table is None:
            self._table = pa.table({name: self._column(name) for name in self.names})
        return self._table

    @property
    def n_rows(self) -> int:
        """How long they are, as the file says."""
        return int(self._file.metadata.num_rows)

    def _column(self, name: str) -> pa.ChunkedArray:
        return pa.chunked_array(list(self._blocks(name)), self._columns.schema.field(name).type)

    def _copy(self, arrays: Sequence[tuple[str, Floats]]) -> None:
        """Copy columns of numbers into arrays, one after the other.

        So that beside the arrays no more than one is there, a million rows of it at a time.
        """
        copied = 0
        for name, values in arrays:
            start = 0
            for block in self._blocks(name):
                stop = start + len(block)
                values[start:stop] = block.to_numpy(zero_copy_only=False)
                start = stop
            copied += start
            if copied >= TRIMMED_AFTER:
                copied = 0
                return_freed_memory()  # else it stays with the C library until the end

    def _blocks(self, name: str) -> Iterator[pa.Array]:
        """Yield a column, in blocks of rows: as many in all as the file says."""
        if self._table is not None:
            yield from self._table.column(name).chunks
            return
        rows = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=[name], use_threads=False):
                block = batch.column(name)
                block.validate(full=is_text(block.type))
                rows += len(block)
                if rows > self.n_rows:
                    break
                yield block
        except NOT_PARQUET as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk
            raise MalformedBody(
                f"{_place_of_fault(self._file, name)}: {reason_of(error)}. Write it anew."
            ) from None
        if rows != self.n_rows:
            raise MalformedBody(
                f"The Parquet file says that it has {self.n_rows:,} rows, and its column "
                f"{shown(name)} has {'more' if rows > self.n_rows else f'{rows:,}'}. Write it anew."
            )


def read_parquet(source: pa.NativeFile, limits: Limits, wish: Wish = EVERYTHING) -> ParquetColumns:
    """Return the columns of a Parquet file that are wanted, to be read from it.

    Raises:
        MalformedBody: It is no such file.
        InvalidInput: There are too many columns, or one is neither of numbers nor of texts.
        BodyTooLarge: It would become too long.
    """
    import pyarrow.parquet as pq  # 60 ms, and only for those who send such a file

    length = source.size()
    try:
        file = pq.ParquetFile(source, memory_map=False, pre_buffer=False)
        schema = file.schema_arrow
        rows = file.metadata.num_rows
    except NOT_PARQUET as error:
        raise MalformedBody(
            f"The body is not a Parquet file, or cut short: {reason_of(error)}. Its last "
            f"{min(8, length)} bytes, from byte {max(0, length - 8):,}, should lead to its "
            "footer; write it anew."
        ) from None
    names = [name for name in schema.names if not name.startswith(INDEX)]
    read = _checked(schema, names, limits, wish)
    _check_size(rows * len(read) * 8, length, limits)
    if rows < 0:
        raise MalformedBody(f"The Parquet file says that it has {rows:,} rows. Write it anew.")
    if not rows:
        raise InvalidInput.at("", "The file has no rows; send at least one.")
    return ParquetColumns(file, read)


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


def _check_size(becomes: int, length: int, limits: Limits) -> None:
    most = most_bytes(length, limits)
    if becomes > most:
        raise BodyTooLarge(
            f"The file of {length:,} bytes becomes {becomes:,} or more, and the limit is "
            f"{most:,} ({MOST_GROWTH} times its length, and max_body_bytes in /limits); send the "
            "rows in parts."
        )


def _place_of_fault(file: "pq.ParquetFile", name: str) -> str:
    """Return where a column cannot be read: the first row group in which it alone cannot."""
    row = 0
    # The facts of a chunk, such as its first byte, are not looked at: of one that is encrypted,
    # they end the process (parquet-cpp throws where its binding to Python foresees no exception).
    for group in range(file.metadata.num_row_groups):
        stop = row + file.metadata.row_group(group).num_rows
        try:
            file.read_row_group(group, columns=[name], use_threads=False).validate(full=True)
        except NOT_PARQUET:
            return (
                f"The Parquet file cannot be read in column {shown(name)} of row group {group}, "
                f"rows {row:,} to {stop - 1:,}"
            )
        row = stop
    return f"The Parquet file cannot be read in column {shown(name)}"
