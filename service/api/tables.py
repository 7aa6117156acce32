"""CSV to columns of numbers and texts, as it comes, or to one sentence about a faulty cell.

A file is read in blocks of whole lines, each by pyarrow, which holds no GIL; what was read is kept
as columns, so that the text itself is never there as a whole. pyarrow knows that something is
wrong, not where; then the block is read once more in smaller ones, and the first that it cannot
take is read line by line.

Over 300 lines: a file is read from its mark to its last line in one place.
"""

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from service.api.columns import Columns, chosen_columns
from service.api.faults import shown
from service.api.formats.dialects import (
    DECIMAL_COMMA,
    DELIMITERS,
    NOT_SENT,
    NOTHING_GIVEN,
    NUMBER,
    SAMPLE_BYTES,
    Decoder,
    Dialect,
    Given,
    dialect_of,
)
from service.api.table_faults import Expected, count_lines, first_fault
from service.domain.errors import InvalidInput, MalformedBody
from service.engine.limits import Limits

LONGEST_HEADER_BYTES: Final = 2**20
BLOCK_BYTES: Final = 2**20
LONGEST_QUOTE_BYTES: Final = 2**26
"""In a block without an end of a line outside of quotes, a quote is not closed."""


@dataclass(frozen=True)
class Wish:
    """What is wanted of a table.

    Attributes:
        columns: The features to read, in this order; none for all that nothing else names.
        targets: The columns that are targets; none for the last one. Of several, each is of
            numbers.
        weights: The column of weights.
        texts: Columns that are of texts, even if these look like numbers.
        numbers: Columns that are of numbers.
        default_names: Of the columns, where a file has no line of names and as many columns.
        has_target: Whether there is a target; not among queries.
    """

    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    weights: str | None = None
    texts: Collection[str] = ()
    numbers: Collection[str] = ()
    default_names: tuple[str, ...] = ()
    has_target: bool = True

    @property
    def arrow_targets(self) -> tuple[str, ...] | None:
        """The targets as `read_arrow` takes them."""
        return self.targets if self.has_target else None

    def read(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns to read, in the order of the file.

        Args:
            names: Of all columns.

        Raises:
            InvalidInput: A column of `columns` is not there.
        """
        last = () if self.targets or not self.has_target else tuple(names[-1:])
        others = {*self.targets, *last, *(() if self.weights is None else (self.weights,))}
        return chosen_columns(names, self.columns, others)


EVERYTHING: Final = Wish()


class Table(Columns):
    """The columns of one CSV file.

    Attributes:
        dialect: How it is written.
        encoding: Of its text.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        places: Sequence[str],
        dialect: Dialect,
        encoding: str,
        columns: pa.Table,
    ) -> None:
        super().__init__(names, "cell=1,1", places, columns)
        self.dialect = dialect
        self.encoding = encoding


class TableReader:
    """Reads a CSV file as it comes: a line of names, then lines of numbers and texts.

    Cells may be missing. A column is of texts if it has some, none of which is a number.

    Attributes:
        rows: How many were read so far.
    """

    def __init__(self, limits: Limits, wish: Wish = EVERYTHING, given: Given = NOTHING_GIVEN):
        self.rows = 0
        self._limits = limits
        self._wish = wish
        self._given = given
        self._decoder = Decoder(given.encoding)
        self._pending = bytearray()
        self._has_begun = False
        self._is_decoding = False
        self._lines = 0  # before the pending text
        self._names: tuple[str, ...] = ()
        self._read: tuple[str, ...] = ()
        self._dialect = dialect_of("", given)
        self._texts: frozenset[str] = frozenset()
        self._open: frozenset[str] = frozenset()
        self._found: frozenset[str] = frozenset()  # columns that were told to be of texts
        self._blocks: list[pa.Table] = []

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read the next part of the file.

        Raises:
            MalformedBody: It is not text, or empty.
            InvalidInput: Names or cells are not as they should be; the fault names line and column.
        """
        self._take(bytearray(data))
        if not self._has_begun and len(self._pending) >= max(SAMPLE_BYTES, LONGEST_HEADER_BYTES):
            self._begin(is_whole=False)
        while self._has_begun and len(self._pending) >= BLOCK_BYTES:
            stop = self._end_of_lines(BLOCK_BYTES)
            if not stop:
                return
            self._read_block(stop)

    def finish(self) -> Table:
        """Return the table, once the file has ended. Raises as `feed` does."""
        self._take(bytearray(), is_last=True)
        if not self._has_begun:
            self._begin(is_whole=True)
        if self._pending:
            self._read_block(len(self._pending))
        places = {name: f"cell=1,{j + 1}" for j, name in enumerate(self._names)}
        if not self.rows:
            raise InvalidInput.at(
                f"cell={self._lines + 1},1",
                "The file has one line only, the names of the columns; lines of numbers must "
                "follow.",
            )
        columns = pa.concat_tables(self._blocks)
        self._blocks = []
        return Table(
            self._read,
            [places[name] for name in self._read],
            self._dialect,
            self._decoder.encoding,
            columns,
        )

    def _take(self, data: bytearray, *, is_last: bool = False) -> None:
        if not self._is_decoding:
            self._pending += data
            if len(self._pending) < SAMPLE_BYTES and not is_last:
                return
            self._is_decoding = True
            data = self._pending
            self._pending = bytearray()
            del data[: self._decoder.begin(bytes(data[:SAMPLE_BYTES]))]
        decoded = self._decoder.decoded(data, is_last=is_last)
        if self._pending or not isinstance(decoded, bytearray):
            self._pending += decoded
        else:
            self._pending = decoded

    def _begin(self, *, is_whole: bool) -> None:
        """Read the line of names, and tell how the file is written."""
        self._has_begun = True
        stop = len(self._pending)
        if not is_whole:
            stop = max(self._pending.rfind(b"\n"), self._pending.rfind(b"\r")) + 1 or stop
        self._check_encoding(stop)
        start = bytes(self._pending[:LONGEST_HEADER_BYTES])
        found = re.match(rb"(?:[ \t]*(?:\r\n|\r|\n))*([^\r\n]*)(\r\n|\r|\n|\Z)", start)
        assert found is not None  # the pattern fits every text
        if not found[1].strip():
            raise MalformedBody("The file is empty; send a line of names and lines of numbers.")
        if found.end() == LONGEST_HEADER_BYTES < len(self._pending):
            raise MalformedBody(
                f"The first line is longer than {LONGEST_HEADER_BYTES:,} bytes; is this a CSV file?"
            )
        sample = start[found.start(1) : max(SAMPLE_BYTES, found.end())]
        if len(sample) < len(self._pending) - found.start(1):  # its last line may be cut
            sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b"\r")) + 1] or sample
        try:
            header = found[1].decode("utf-8")
            text = sample.decode("utf-8", "replace")
        except UnicodeDecodeError:
            raise MalformedBody("The first line is not UTF-8; save the file as UTF-8.") from None
        line = 1 + len(start[: found.start(1)].splitlines())
        most = self._limits.max_features + self._limits.max_targets
        self._dialect = dialect_of(text, self._given)
        self._names = column_names(header, self._dialect, line, most, self._wish.default_names)
        if self._dialect.has_header:
            del self._pending[: found.end()]
            self._lines = line
        self._read = self._wish.read(self._names)
        wish = self._wish
        targets = wish.targets or (self._names[-1:] if wish.has_target else ())
        fixed = {*wish.texts, *wish.numbers, *(targets if len(targets) > 1 else ())}
        self._texts = frozenset(wish.texts)
        self._open = frozenset(self._read) - fixed

    def _check_encoding(self, stop: int) -> int:
        """Make the first lines pending UTF-8, and the rest too where they tell another encoding.

        Args:
            stop: Where they end.

        Returns:
            Where they end now.
        """
        if self._decoder.is_decided:
            return stop
        before = self._decoder.encoding
        lines = self._decoder.checked(self._pending[:stop])
        if self._decoder.encoding == before:
            return stop
        self._pending = bytearray(lines) + self._decoder.decoded(self._pending[stop:])
        return len(lines)

    def _end_of_lines(self, most: int) -> int:
        """Return where the whole lines end in the pending text, outside of quotes; 0: nowhere."""
        pending = self._pending
        sign = b"\n" if pending.find(b"\n", 0, most) >= 0 else b"\r"
        stop = pending.rfind(sign, 0, len(pending) - (sign == b"\r")) + 1
        quote = self._dialect.quote
        if not stop or quote is None:
            return stop
        mark = quote.encode()
        if pending.find(mark, 0, stop) < 0:
            return stop
        is_open = pending.count(mark, 0, stop) % 2 == 1
        while is_open and stop:
            before = pending.rfind(sign, 0, stop - 1) + 1
            is_open ^= pending.count(mark, before, stop) % 2 == 1
            stop = before
        if not stop and len(pending) > LONGEST_QUOTE_BYTES:
            raise MalformedBody(
                f"A quote that opens after line {self._lines:,} is not closed within "
                f"{LONGEST_QUOTE_BYTES:,} bytes; close it, or say in quote that there are none."
            )
        return stop

    def _read_block(self, stop: int) -> None:
        """Read the first lines pending, up to `stop`."""
        stop = self._check_encoding(stop)
        block = self._pending[:stop]
        del self._pending[:stop]
        columns = self._columns(memoryview(block))
        for name in self._found:
            if has_numbers(columns.column(name)):
                raise self._fault(memoryview(block), self._texts, barred=self._found)
        self._found = self._texts - frozenset(self._wish.texts)
        self._open = frozenset(
            name for name in self._open if columns.column(name).null_count == columns.num_rows
        )
        self._lines += count_lines(block)
        self.rows += columns.num_rows
        self._blocks.append(columns)

    def _columns(self, block: memoryview) -> pa.Table:
        """Return the columns of a block, those as texts that cannot be read as numbers."""
        columns = self._arrow_columns(block, self._texts)
        if columns is not None:
            return columns
        texts = self._texts | self._open
        columns = self._arrow_columns(block, texts) if self._open else None
        if columns is not None:
            texts -= {name for name in self._open if not are_texts(columns.column(name))}
            columns = self._arrow_columns(block, texts)
        if columns is None:
            raise self._fault(block, texts)
        for name in texts - self._texts:
            self._become_texts(name)
        self._texts = texts
        return columns

    def _become_texts(self, name: str) -> None:
        """Make a column, of which nothing was there so far, one of texts."""
        for j, block in enumerate(self._blocks):
            nothing = pa.nulls(block.num_rows, pa.large_string())
            self._blocks[j] = block.set_column(block.column_names.index(name), name, nothing)

    def _fault(
        self, block: memoryview, texts: frozenset[str], barred: frozenset[str] = frozenset()
    ) -> InvalidInput | MalformedBody:
        places = {name: j for j, name in enumerate(self._names)}
        expected = Expected(
            self._names,
            self._dialect,
            read=frozenset(places[name] for name in self._read),
            texts=frozenset(places[name] for name in texts),
            barred=frozenset(places[name] for name in barred),
        )
        return first_fault(
            block,
            expected,
            self._lines,
            lambda part: not barred and self._arrow_columns(part, texts) is not None,
        )

    def _arrow_columns(self, text: memoryview, texts: frozenset[str]) -> pa.Table | None:
        """Return the columns, or None where a cell is not a finite number, nor missing.

        Args:
            text: Whole lines.
            texts: The columns of texts; an empty one is missing.
        """
        kinds = {name: pa.large_string() if name in texts else pa.float64() for name in self._read}
        if not text.nbytes:
            return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
        dialect = self._dialect
        may_span = dialect.quote is not None and dialect.quote.encode() in text.tobytes()
        try:
            columns = arrow_csv.read_csv(
                pa.BufferReader(pa.py_buffer(text)),
                read_options=arrow_csv.ReadOptions(column_names=list(self._names)),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote or False,
                    newlines_in_values=may_span,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=kinds,
                    null_values=list(NOT_SENT),
                    strings_can_be_null=False,
                    include_columns=list(self._read),
                    decimal_point=dialect.decimal,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):  # blank lines only
                return self._arrow_columns(memoryview(b""), texts)
            return None
        for name, column in zip(self._read, columns.columns, strict=True):
            chunks = (chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks)
            if name not in texts and any(np.isinf(numbers).any() for numbers in chunks):
                return None
        return columns


def read_table(
    text: bytes | bytearray | memoryview,
    limits: Limits,
    wish: Wish = EVERYTHING,
    given: Given = NOTHING_GIVEN,
) -> Table:
    """Return the table in a CSV file that is there as a whole; see `TableReader`."""
    reader = TableReader(limits, wish, given)
    reader.feed(text)
    return reader.finish()


def column_names(
    header: str, dialect: Dialect, line: int, most: int, default_names: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the names of the columns, from the first line of a file.

    Where it has none, they are those of rows in JSON: x1, x2, … and y for the last one.

    Args:
        header: The first line.
        dialect: How it is written.
        line: Its number.
        most: How many columns there may be.
        default_names: The names where the line has none, if they are as many.

    Raises:
        MalformedBody, InvalidInput: They are not as they should be.
    """
    try:
        cells = dialect.cells(header)
    except (csv.Error, ValueError) as error:
        raise MalformedBody(f"Line {line} is not CSV: {error}.") from None
    # Below, work and memory grow with the columns, so their number is bounded first.
    if len(cells) > most:
        raise InvalidInput.at(
            f"cell={line},1",
            f"The file has {len(cells):,} columns, and the limit is {most:,} (max_features and "
            "max_targets in /limits, together); send fewer columns.",
        )
    names = tuple(cell.strip() for cell in cells)
    if not dialect.has_header:
        if default_names:
            if len(default_names) != len(names):
                raise InvalidInput.at(
                    f"cell={line},1",
                    f"Line {line} has {len(names)} numbers and no names, and there are "
                    f"{len(default_names)} columns ({', '.join(default_names[:20])}); send as "
                    "many, or a first line with their names.",
                )
            return default_names
        names = (*(f"x{j + 1}" for j in range(len(names) - 1)), "y")
    if len(names) == 1 and not default_names:
        raise InvalidInput.at(
            f"cell={line},1",
            f"Only one column, {shown(names[0])}, was found; a feature and a target are needed. "
            f"Between cells there must be one of {' '.join(DELIMITERS).replace(chr(9), 'tab')}, or "
            "what delimiter says.",
        )
    first: dict[str, int] = {}
    for j, name in enumerate(names):
        if not name:
            raise InvalidInput.at(
                f"cell={line},{j + 1}",
                f"Column {j + 1} has no name; name it, or leave out the column (pandas writes its "
                "index that way unless index=False).",
            )
        if first.setdefault(name, j) != j:
            raise InvalidInput.at(
                f"cell={line},{j + 1}",
                f"The name {shown(name)} stands twice, in columns {first[name] + 1} and "
                f"{j + 1}; names must differ.",
            )
    return names


# Numbers, well written or not, finite or not.
MEANT_AS_NUMBERS: Final = f"^({NUMBER.pattern}|{DECIMAL_COMMA.pattern}|[+-]?[iI]nf(inity)?)$"


def has_numbers(column: pa.ChunkedArray) -> bool:
    """Return whether a text of a column is a number."""
    different = pc.utf8_trim_whitespace(column.unique())
    return bool(pc.any(pc.match_substring_regex(different, MEANT_AS_NUMBERS)).as_py())


def are_texts(column: pa.ChunkedArray) -> bool:
    """Return whether cells are texts and none is a number: among numbers, a text is a fault."""
    if has_numbers(column):
        return False
    different = pc.utf8_trim_whitespace(column.unique())
    nothing = pc.is_in(different, pa.array(NOT_SENT, pa.large_string()))
    return not pc.all(nothing).as_py()
