"""Lines of JSON to columns: an object a line, whose members are the cells of a row."""

from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json

from service.api.columns import Columns
from service.api.faults import shown
from service.api.table_faults import count_lines
from service.api.tables import EVERYTHING, Wish
from service.domain.errors import InvalidInput, MalformedBody
from service.engine.limits import Limits

BLOCK_BYTES: Final = 2**20
LONGEST_LINE_BYTES: Final = 2**24
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class LinesReader:
    """Reads lines of JSON as they come; a member that is null or left out is a missing cell.

    The members of the first line are the columns. A column is of texts if the first of its cells
    that is not missing is one.

    Attributes:
        rows: How many were read so far.
    """

    def __init__(self, limits: Limits, wish: Wish = EVERYTHING) -> None:
        self.rows = 0
        self._limits = limits
        self._wish = wish
        self._pending = bytearray()
        self._lines = 0
        self._names: tuple[str, ...] = ()
        self._read: tuple[str, ...] = ()
        self._texts: dict[str, bool] = {}
        self._blocks: list[pa.Table] = []

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read the next part of the file.

        Raises:
            MalformedBody: A line is not JSON.
            InvalidInput: It has not the members that it should have.
        """
        self._pending += data
        if len(self._pending) < BLOCK_BYTES:
            return
        stop = self._pending.rfind(b"\n") + 1
        if stop:
            block = self._pending[:stop]
            del self._pending[:stop]
            self._read_block(block)
        elif len(self._pending) > LONGEST_LINE_BYTES:
            raise MalformedBody(
                f"Line {self._lines + 1:,} is longer than {LONGEST_LINE_BYTES:,} bytes; send an "
                "object a line."
            )

    def finish(self) -> Columns:
        """Return the columns, once the file has ended. Raises as `feed` does."""
        self._read_block(self._pending)
        if not self._names:
            raise MalformedBody("The file is empty; send an object a line.")
        columns = pa.concat_tables(self._blocks)
        self._blocks = []
        return Columns(self._read, "line=1", [f"line=1,{name}" for name in self._read], columns)

    def _read_block(self, block: bytearray) -> None:
        if not self._lines and block.startswith(BYTE_ORDER_MARK):
            del block[: len(BYTE_ORDER_MARK)]
        if block.strip():
            if not self._names:
                self._begin(block)
            if len(self._texts) < len(self._read):
                self._tell_texts(block)
            columns = self._columns(block)
            self.rows += columns.num_rows
            self._blocks.append(columns)
        self._lines += count_lines(block)

    def _begin(self, block: bytearray) -> None:
        before = len(block) - len(block.lstrip())
        line = 1 + block.count(b"\n", 0, before)
        first = self._object(bytes(block.split(maxsplit=0)[0].partition(b"\n")[0]), line)
        most = self._limits.max_features + self._limits.max_targets
        if len(first) > most:
            raise InvalidInput.at(
                f"line={line}",
                f"Line {line} has {len(first):,} members, and the limit is {most:,} (max_features "
                "and max_targets in /limits, together); send fewer.",
            )
        if not first:
            raise InvalidInput.at(f"line={line}", f"Line {line} has no members; name the cells.")
        self._names = tuple(first)
        self._read = self._wish.read(self._names)

    def _tell_texts(self, block: bytearray) -> None:
        """Look which columns are of texts, by the first cell of each that is not missing."""
        self._texts |= {name: False for name in self._read if name in self._wish.numbers}
        for number, line in enumerate(block.splitlines(), self._lines + 1):
            if len(self._texts) == len(self._read):
                break
            if not line.strip():
                continue
            for name, value in self._object(bytes(line), number).items():
                if value is not None and name in self._read:
                    self._texts.setdefault(name, isinstance(value, str))
        for name in self._texts:
            self._become(name)

    def _become(self, name: str) -> None:
        """Give the blocks so far, in which nothing was there, the type that the column has."""
        kind = pa.large_string() if self._texts[name] else pa.float64()
        for j, block in enumerate(self._blocks):
            column = block.column(name)
            if column.type != kind and column.null_count == len(column):
                nothing = pa.nulls(len(column), kind)
                place = block.column_names.index(name)
                self._blocks[j] = block.set_column(place, name, nothing)

    def _columns(self, block: bytearray) -> pa.Table:
        kinds = [
            (name, pa.large_string() if self._texts.get(name) else pa.float64())
            for name in self._read
        ]
        schema = pa.schema(kinds)
        is_part = len(self._read) < len(self._names)
        try:
            found = arrow_json.read_json(
                pa.BufferReader(pa.py_buffer(block)),
                read_options=arrow_json.ReadOptions(block_size=max(2**20, len(block) + 1)),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=schema,
                    unexpected_field_behavior="ignore" if is_part else "error",
                ),
            )
            columns = found.select(self._read)
        except (pa.ArrowException, KeyError):
            raise self._fault(block) from None
        for name in self._read:  # Arrow reads NaN and Infinity, which are not JSON
            column = columns.column(name)
            if not self._texts.get(name) and pc.any(pc.invert(pc.is_finite(column))).as_py():
                raise self._fault(block)
        return columns

    def _fault(self, block: bytearray) -> InvalidInput | MalformedBody:
        """Return the error for the first line that is at fault."""
        for number, line in enumerate(block.splitlines(), self._lines + 1):
            if not line.strip():
                continue
            try:
                members = self._object(bytes(line), number)
            except (InvalidInput, MalformedBody) as error:
                return error
            for name, value in members.items():
                fault = self._cell_fault(name, value)
                if fault:
                    return InvalidInput.at(f"line={number},{name}", f"Line {number}, {fault}")
        return MalformedBody(
            f"Somewhere after line {self._lines:,} stands what is not JSON; send an object a line."
        )

    def _cell_fault(self, name: str, value: Any) -> str:
        """Return what is wrong with a cell; "" where all is well."""
        if name not in self._names:
            return f"there is no column {shown(name)} in the first line; leave it out."
        if name not in self._read or value is None:
            return ""
        if self._texts.get(name):
            if isinstance(value, str):
                return ""
            return f"column {shown(name)} is {shown(value)}, where texts stand above; send a text."
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"column {shown(name)} is {shown(value)}; send a number, or null."
        return ""

    @staticmethod
    def _object(line: bytes, number: int) -> dict[str, Any]:
        """Return the members of a line."""
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise MalformedBody(
                f"Line {number}, column {error.colno}: not JSON, {error.msg}."
            ) from None
        if not isinstance(found, dict):
            raise InvalidInput.at(
                f"line={number}",
                f"Line {number} is {shown(found)}; send an object a line, whose members are cells.",
            )
        return found
