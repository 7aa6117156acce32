"""Where a CSV file is at fault: the line, the column, the cell, and what to do."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Final

import pyarrow as pa

from service.api.faults import shown
from service.domain.errors import InvalidInput, MalformedBody

DELIMITERS: Final = ",;\t"
BLOCK_BYTES: Final = 2**18
NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?")
MISSING: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "."})
NOT_SENT: Final = ("", "NA")  # besides these, NaN is the number of that name
INFINITE: Final = frozenset({"inf", "infinity"})


def first_fault(
    text: memoryview,
    names: tuple[str, ...],
    delimiter: str,
    header_line: int,
    is_readable: Callable[[memoryview], bool],
    *,
    texts: frozenset[int],
) -> InvalidInput | MalformedBody:
    """Return the error for the first line that cannot be read.

    Args:
        text: What follows the line of names.
        names: The columns.
        delimiter: The character between cells.
        header_line: The number of the line of names.
        is_readable: Whether a block of lines can be read, decided fast.
        texts: The columns in which any text may stand.
    """
    lines_before = header_line
    for block in _blocks(text):
        if not is_readable(block):
            fault = _fault_in(block, names, delimiter, lines_before, texts)
            if fault is not None:
                return fault
        # The next block begins after a line feed, or after a carriage return alone.
        content = block.tobytes()
        lines_before += content.count(b"\n") or content.count(b"\r")
    return MalformedBody("The file is not CSV with lines of numbers: a quote may not be closed.")


def _blocks(text: memoryview) -> Iterator[memoryview]:
    """Yield the text in blocks that end with a line."""
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
    block: memoryview,
    names: tuple[str, ...],
    delimiter: str,
    lines_before: int,
    texts: frozenset[int],
) -> InvalidInput | MalformedBody | None:
    """Return the error for the first line of the block that is at fault, if there is one."""
    lines = io.TextIOWrapper(pa.BufferReader(pa.py_buffer(block)), encoding="utf-8", newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for cells in reader:
            line = lines_before + reader.line_num
            if cells and len(cells) != len(names):
                return InvalidInput.at(
                    f"cell={line},1",
                    f"Line {line} has {len(cells)} cells, but the first line has {len(names)} "
                    f"names{_unlike(delimiter, cells)}; every line needs one cell a column.",
                )
            for detail, j in _cell_faults(cells, names):
                if j in texts:
                    continue
                return InvalidInput.at(f"cell={line},{j + 1}", f"Line {line}, {detail}")
    except UnicodeDecodeError:
        line = lines_before + reader.line_num
        return MalformedBody(f"The file is not UTF-8 near line {line}; save it as UTF-8.")
    except csv.Error as error:
        return MalformedBody(f"Line {lines_before + reader.line_num} is not CSV: {error}.")
    return None


def _unlike(delimiter: str, cells: list[str]) -> str:
    others = [sign for sign in DELIMITERS if sign != delimiter and any(sign in c for c in cells)]
    names = {",": "comma", ";": "semicolon", "\t": "tab"}
    return f" separated by a {names[delimiter]}" if others else ""


def _cell_faults(cells: list[str], names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Yield what is wrong with the cells of a line, and in which column."""
    for j, cell in enumerate(cells):
        text = cell.strip(" \t")
        column = f"column {shown(names[j])}"
        if cell in NOT_SENT or text.lower() == "nan":
            continue
        if text.lower() in MISSING:
            what = "is empty" if not text else f"has {shown(text)} for a missing value"
            yield f"{column} {what}; leave the cell empty, or fill in a number.", j
        elif text.lower().lstrip("+-") in INFINITE:
            yield f"{column} is {shown(text)}; it must be a finite number.", j
        elif DECIMAL_COMMA.fullmatch(text):
            yield f"{column} is {shown(text)}; write decimals with a point.", j
        elif not NUMBER.fullmatch(text):
            yield f"{column} is {shown(text)}, a text; leave the column out, or encode it.", j
        elif not isfinite(float(text)):
            yield f"{column} is {shown(text)}, too large for a double; change its unit.", j
