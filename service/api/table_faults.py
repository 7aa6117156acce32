"""Where a CSV file is at fault: the line, the column, the cell, and what to do."""

import csv
import io
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np
import pyarrow as pa

from service.api.faults import shown
from service.api.formats.dialects import DECIMAL_COMMA, DELIMITERS, NOT_SENT, NUMBER, Dialect
from service.domain.errors import InvalidInput, MalformedBody

BLOCK_BYTES: Final = 2**18
MISSING: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "."})
INFINITE: Final = frozenset({"inf", "infinity"})


@dataclass(frozen=True)
class Expected:
    """What each line should have.

    Attributes:
        names: Of the columns.
        dialect: How the file is written.
        read: The columns that are looked at.
        texts: Those in which any text may stand.
        barred: Those of texts in which no number may stand.
    """

    names: tuple[str, ...]
    dialect: Dialect
    read: Collection[int]
    texts: Collection[int]
    barred: Collection[int] = ()


def first_fault(
    text: memoryview,
    expected: Expected,
    lines_before: int,
    is_readable: Callable[[memoryview], bool],
) -> InvalidInput | MalformedBody:
    """Return the error for the first line that cannot be read.

    Args:
        text: Whole lines.
        expected: What they should have.
        lines_before: How many lines of the file stand before them.
        is_readable: Whether a block of lines can be read, decided fast.
    """
    for block in _blocks(text, expected.dialect):
        if not is_readable(block):
            fault = _fault_in(block, expected, lines_before)
            if fault is not None:
                return fault
        lines_before += count_lines(block)
    return MalformedBody("The file is not CSV with lines of numbers: a quote may not be closed.")


def count_lines(content: bytes | bytearray | memoryview) -> int:
    """Return the number of lines, which end with a line feed, or with carriage returns alone."""
    signs = np.frombuffer(content, np.uint8)  # compares many at once, which `count` does not
    return int(np.count_nonzero(signs == ord("\n")) or np.count_nonzero(signs == ord("\r")))


def _blocks(text: memoryview, dialect: Dialect) -> Iterator[memoryview]:
    """Yield the text in blocks that end with a line; in one, where cells may hold line ends."""
    if dialect.quote is not None and dialect.quote.encode() in text.tobytes():
        yield text
        return
    line_end = b"\n" if b"\n" in text[:BLOCK_BYTES].tobytes() else b"\r"
    start = 0
    while start < len(text):
        stop = start + BLOCK_BYTES
        while stop < len(text):
            found = text[stop : stop + BLOCK_BYTES].tobytes().find(line_end)
            if found >= 0:
                stop += found + 1
                break
            stop += BLOCK_BYTES
        yield text[start:stop]
        start = stop


def _fault_in(
    block: memoryview, expected: Expected, lines_before: int
) -> InvalidInput | MalformedBody | None:
    """Return the error for the first line of the block that is at fault, if there is one."""
    lines = io.TextIOWrapper(pa.BufferReader(pa.py_buffer(block)), encoding="utf-8", newline="")
    names, dialect = expected.names, expected.dialect
    reader = dialect.reader(lines)
    has = "the first line has" if dialect.has_header else "there are"
    try:
        for cells in reader:
            line = lines_before + reader.line_num
            if cells and len(cells) != len(names):
                return InvalidInput.at(
                    f"cell={line},1",
                    f"Line {line} has {len(cells)} cells, but {has} {len(names)} "
                    f"names{_unlike(dialect.delimiter, cells)}; every line needs one cell a "
                    "column.",
                )
            for detail, j in _cell_faults(cells, expected):
                return InvalidInput.at(f"cell={line},{j + 1}", f"Line {line}, {detail}")
    except UnicodeDecodeError:
        line = lines_before + reader.line_num
        return MalformedBody(f"The file is not UTF-8 near line {line}; save it as UTF-8.")
    except csv.Error as error:
        return MalformedBody(f"Line {lines_before + reader.line_num} is not CSV: {error}.")
    return None


def _unlike(delimiter: str, cells: list[str]) -> str:
    others = [sign for sign in DELIMITERS if sign != delimiter and any(sign in c for c in cells)]
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
    return f" separated by a {names.get(delimiter, shown(delimiter))}" if others else ""


def _cell_faults(cells: list[str], expected: Expected) -> Iterator[tuple[str, int]]:
    """Yield what is wrong with the cells of a line, and in which column."""
    for j, cell in enumerate(cells):
        if j in expected.read:
            what = _cell_fault(cell, expected.dialect, j in expected.texts, j in expected.barred)
            if what:
                yield f"column {shown(expected.names[j])} {what}", j


def _cell_fault(cell: str, dialect: Dialect, may_be_text: bool, bars_numbers: bool) -> str:
    """Return what is wrong with a cell, and what to do; "" where all is well."""
    text = cell.strip(" \t")
    number = dialect.as_number(text)
    if may_be_text:
        is_barred = bars_numbers and NUMBER.fullmatch(number)
        return f"is {shown(text)}, a number, where texts stand above." if is_barred else ""
    if cell in NOT_SENT or text.lower() == "nan":
        return ""
    if text.lower() in MISSING:
        what = "is empty" if not text else f"has {shown(text)} for a missing value"
        return f"{what}; leave the cell empty, or fill in a number."
    if text.lower().lstrip("+-") in INFINITE:
        return f"is {shown(text)}; it must be a finite number."
    return _number_fault(text, number, dialect)


def _number_fault(text: str, number: str, dialect: Dialect) -> str:
    """Return what is wrong with what should be a number; "" where all is well."""
    if dialect.decimal == "," and "." in text and NUMBER.fullmatch(text):
        return f"is {shown(text)}; other decimals have a comma: write all alike."
    if dialect.decimal == "." and DECIMAL_COMMA.fullmatch(text):
        return f"is {shown(text)}; write decimals with a point."
    if not NUMBER.fullmatch(number):
        return f"is {shown(text)}, a text; leave the column out, or encode it."
    if not isfinite(float(number)):
        return f"is {shown(text)}, too large for a double; change its unit."
    return ""
