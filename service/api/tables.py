"""CSV to columns of numbers, the target perhaps of texts, or to one sentence about a faulty cell.

The fast path is pyarrow, which holds no GIL. It knows that something is wrong, not where; then it
reads the text once more in blocks, and the first block that it cannot take is read line by line.
"""

import csv
import re
from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from service.api.columns import Columns
from service.api.faults import shown
from service.api.table_faults import (
    DECIMAL_COMMA,
    DELIMITERS,
    NOT_SENT,
    NUMBER,
    first_fault,
)
from service.domain.errors import InvalidInput, MalformedBody
from service.engine.limits import Limits

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
LONGEST_HEADER_BYTES: Final = 2**20


class Table(Columns):
    """The columns of one CSV file.

    Attributes:
        delimiter: The character between cells.
    """

    def __init__(self, names: tuple[str, ...], delimiter: str, columns: pa.Table) -> None:
        places = [f"cell=1,{j + 1}" for j in range(len(names))]
        super().__init__(names, places[0], places, columns)
        self.delimiter = delimiter


def read_table(
    text: memoryview,
    limits: Limits,
    targets: tuple[str, ...] = (),
    *,
    texts: Collection[str] = (),
    numbers: Collection[str] = (),
) -> Table:
    """Return the table in a CSV file: a line of names, then lines of numbers and texts.

    Cells may be missing. A column is of texts if it has some, none of which is a number.

    Args:
        text: UTF-8, with or without a byte order mark. The delimiter is a comma, or the semicolon
            or tab that the first line has in its place.
        limits: How many columns are read at most.
        targets: The columns that are targets; none for the last one. Of several, each is of
            numbers.
        texts: Columns that are of texts, even if these look like numbers.
        numbers: Columns that are of numbers.

    Raises:
        MalformedBody: It is not text in UTF-8, or empty.
        InvalidInput: Names or cells are not as they should be; the fault names line and column.
    """
    start = text[:3].tobytes()
    if start[:2] in UTF_16_MARKS:
        raise MalformedBody("The file is UTF-16; save it as UTF-8 ('CSV UTF-8' in Excel).")
    if start == BYTE_ORDER_MARK:
        text = text[3:]
    header, rest, line = _first_line(text)
    delimiter = _delimiter(header)
    names = _column_names(header, delimiter, line, limits.max_features + limits.max_targets)
    chosen = frozenset(name for name in names if name in (targets or names[-1:]))
    columns = _arrow_columns(rest, names, delimiter, frozenset(texts))
    if columns is None:
        fixed = {*texts, *numbers, *(chosen if len(chosen) > 1 else ())}
        open_ = frozenset(names) - fixed
        columns = _columns_with_texts(rest, names, delimiter, line, open_, frozenset(texts))
    if columns.num_rows == 0:
        raise InvalidInput.at(
            f"cell={line + 1},1",
            "The file has one line only, the names of the columns; lines of numbers must follow.",
        )
    return Table(names, delimiter, columns)


def _first_line(text: memoryview) -> tuple[str, memoryview, int]:
    """Return the first line that is not blank, what follows it, and its number."""
    start = text[:LONGEST_HEADER_BYTES].tobytes()
    found = re.match(rb"(?:[ \t]*(?:\r\n|\r|\n))*([^\r\n]*)(\r\n|\r|\n|\Z)", start)
    assert found is not None  # the pattern fits every text
    if not found[1].strip():
        raise MalformedBody("The file is empty; send a line of names and lines of numbers.")
    if found.end() == LONGEST_HEADER_BYTES < len(text):
        raise MalformedBody(
            f"The first line is longer than {LONGEST_HEADER_BYTES:,} bytes; is this a CSV file?"
        )
    try:
        header = found[1].decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("The first line is not UTF-8; save the file as UTF-8.") from None
    before = start[: found.start(1)]
    line = 1 + len(before.splitlines())
    return header, text[found.end() :], line


def _delimiter(header: str) -> str:
    """Return the delimiter: the first of comma, semicolon and tab outside of quotes."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return next((sign for sign in DELIMITERS if sign in unquoted), ",")


def _column_names(header: str, delimiter: str, line: int, most: int) -> tuple[str, ...]:
    try:
        (cells,) = csv.reader([header], delimiter=delimiter, strict=True)
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
    if all(NUMBER.fullmatch(name) for name in names):
        raise InvalidInput.at(
            f"cell={line},1",
            f"Line {line} holds numbers ({shown(header)}); the first line must name the columns.",
        )
    if len(names) == 1:
        raise InvalidInput.at(
            f"cell={line},1",
            f"Only one column, {shown(names[0])}, was found; a feature and a target are needed. "
            "Between cells there must be a comma, a semicolon or a tab.",
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


def _columns_with_texts(
    text: memoryview,
    names: tuple[str, ...],
    delimiter: str,
    header_line: int,
    open_: frozenset[str],
    texts: frozenset[str],
) -> pa.Table:
    """Return the columns, those as texts that cannot be read as numbers.

    Args:
        text: The lines.
        names: Of the columns.
        delimiter: The character between cells.
        header_line: The number of the line of names.
        open_: The columns that may be either.
        texts: Those that are texts.

    Raises:
        MalformedBody, InvalidInput: They cannot be read as texts either; the fault names line and
            column.
    """
    texts |= open_
    columns = _arrow_columns(text, names, delimiter, texts)
    if columns is not None:
        texts -= {name for name in open_ if not _are_texts(columns.column(name))}
        columns = _arrow_columns(text, names, delimiter, texts)
    if columns is not None:
        return columns
    raise first_fault(
        text,
        names,
        delimiter,
        header_line,
        lambda block: _arrow_columns(block, names, delimiter, texts) is not None,
        texts=frozenset(names.index(name) for name in texts),
    )


def _are_texts(column: pa.ChunkedArray) -> bool:
    """Return whether cells are texts and none is a number: among numbers, a text is a fault."""
    different = pc.utf8_trim_whitespace(column.unique())
    # Numbers, well written or not, finite or not.
    meant = f"^({NUMBER.pattern}|{DECIMAL_COMMA.pattern}|[+-]?[iI]nf(inity)?)$"
    if pc.any(pc.match_substring_regex(different, meant)).as_py():
        return False
    nothing = pc.is_in(different, pa.array(NOT_SENT, pa.large_string()))
    return not pc.all(nothing).as_py()


def _arrow_columns(
    text: memoryview,
    names: tuple[str, ...],
    delimiter: str,
    texts: frozenset[str] = frozenset(),
) -> pa.Table | None:
    """Return the columns, or None where a cell is not a finite number, nor missing.

    Args:
        text: The lines.
        names: Of the columns.
        delimiter: The character between cells.
        texts: The columns of texts; an empty one is missing.
    """
    if not text.nbytes:
        return pa.table({name: pa.array([], pa.float64()) for name in names})
    kinds = {name: pa.large_string() if name in texts else pa.float64() for name in names}
    try:
        columns = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(text)),
            read_options=arrow_csv.ReadOptions(column_names=list(names)),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(
                column_types=kinds,
                null_values=list(NOT_SENT),
                strings_can_be_null=False,
            ),
            # Arrow's own pool would keep what a large file took, for files to come.
            memory_pool=pa.system_memory_pool(),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # blank lines only
            return pa.table({name: pa.array([], pa.float64()) for name in names})
        return None
    for name, column in zip(names, columns.columns, strict=True):
        chunks = (chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks)
        if name not in texts and any(np.isinf(numbers).any() for numbers in chunks):
            return None
    return columns
