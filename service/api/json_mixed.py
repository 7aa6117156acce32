"""A JSON list of rows, some of whose cells are texts, as numbers and the texts of each column.

The compiled walk cuts the list into stretches of whole rows. Each goes to orjson, which judges
grammar, UTF-8 and escapes, and what it makes of a stretch is put into arrays before the next one is
read: so neither the objects of all cells nor a long hold of the GIL add up.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
from numba import njit

from service.api import json_arrays, json_faults
from service.api.decimal_numbers import Bytes
from service.api.faults import shown
from service.api.label_columns import MOST_TEXTS
from service.domain.arrays import Floats
from service.domain.categories import MixedRows
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

STRETCH_BYTES: Final = 2**18
"""orjson reads them in about a millisecond."""


class _Column:
    """The cells of a column, stretch by stretch."""

    def __init__(self) -> None:
        self.numbers: list[Floats] = []
        self.codes: list[list[int]] = []
        self.places: dict[str, int] = {}

    def labels(self) -> Labels | None:
        """Return which text stands where; None where there is none."""
        if not self.places:
            return None
        return Labels(tuple(self.places), np.concatenate([np.array(c) for c in self.codes]))


def read_mixed(buffer: Bytes, pointer: str, position: int) -> tuple[MixedRows, int]:
    """Return the list of rows, or of cells of one feature, that opens at `position`, and its end.

    Raises:
        MalformedBody: It is not JSON.
        InvalidInput: Rows differ in length, a cell is no number, text or null, or too many texts
            of a column are different.
    """
    columns: list[_Column] = []
    is_flat, first, start = False, 0, position + 1
    while True:
        stop = next_cut(buffer, start, STRETCH_BYTES)
        rows = _stretch(buffer, pointer, start, stop)
        if not columns:
            is_flat = not isinstance(rows[0], list)
            columns = [_Column() for _ in range(1 if is_flat else len(rows[0]))]
        if is_flat:
            _add(columns[0], rows, pointer, first, None)
        else:
            _check_rows(rows, len(columns), pointer, first)
            for j, column in enumerate(columns):
                _add(column, [row[j] for row in rows], pointer, first, j)
        first, start = first + len(rows), stop + 1
        if buffer[stop] == json_arrays.CLOSE_LIST:
            break
    numbers = np.column_stack([np.concatenate(column.numbers) for column in columns])
    found = ((j, column.labels()) for j, column in enumerate(columns))
    texts = {j: labels for j, labels in found if labels is not None}
    return MixedRows(numbers, texts, is_flat), stop + 1


def _stretch(buffer: Bytes, pointer: str, start: int, stop: int) -> list[Any]:
    """Return the elements between two commas or brackets, at least one."""
    if stop >= buffer.size:
        raise json_faults.malformed(buffer, buffer.size, f"it ends within {pointer}")
    try:
        rows: list[Any] = orjson.loads(b"[" + buffer[start:stop].tobytes() + b"]")
    except orjson.JSONDecodeError as error:
        raise json_faults.malformed(buffer, start + max(error.pos - 1, 0), error.msg) from None
    if not rows:
        raise json_faults.malformed(buffer, stop, f"in {pointer}, a row should stand")
    return rows


def _check_rows(rows: list[Any], width: int, pointer: str, first: int) -> None:
    for i, row in enumerate(rows):
        if not isinstance(row, list):
            raise InvalidInput.at(
                f"{pointer}/{first + i}",
                f"Row {first + i} of {json_faults.name_at(pointer)} is {shown(row)}, not a list of "
                "numbers and texts; drop the row or replace the value.",
            )
        if len(row) != width:
            raise InvalidInput.at(
                f"{pointer}/{first + i}",
                f"Row {first + i} has {len(row):,} cells, but row 0 has {width:,}; rows must be "
                "equally long.",
            )


def _add(column: _Column, cells: Sequence[Any], pointer: str, first: int, j: int | None) -> None:
    """Add cells to a column, the j-th; None for the only one."""
    kinds = set(map(type, cells))
    if kinds <= {int, float}:
        column.numbers.append(np.array(cells, dtype=np.float64))
        column.codes.append([-1] * len(cells))
        return
    if not kinds <= {int, float, str, type(None)}:
        i = next(i for i, cell in enumerate(cells) if isinstance(cell, bool | list | dict))
        place = f"{first + i}" if j is None else f"{first + i}/{j}"
        where = f"Element {first + i}" if j is None else f"Row {first + i}, column {j}"
        raise InvalidInput.at(
            f"{pointer}/{place}",
            f"{where} of {json_faults.name_at(pointer)} is {shown(cells[i])}, neither a number nor "
            "a text; drop it or replace the value.",
        )
    places = column.places
    column.codes.append(
        [places.setdefault(cell, len(places)) if isinstance(cell, str) else -1 for cell in cells]
    )
    numbers = [np.nan if cell is None or isinstance(cell, str) else cell for cell in cells]
    column.numbers.append(np.array(numbers, dtype=np.float64))
    if len(places) > MOST_TEXTS:
        raise InvalidInput.at(
            pointer,
            f"Column {j or 0} of {json_faults.name_at(pointer)} has more than {MOST_TEXTS:,} "
            "different texts; send numbers in their place, or leave the column out.",
        )


@njit(nogil=True, cache=True)
def next_cut(buffer: Bytes, position: int, least: int) -> int:
    """Return where the list ends in which `position` lies, or a comma in it, `least` bytes on."""
    start, depth = position, 0
    while position < buffer.size:
        byte = buffer[position]
        if byte == json_arrays.QUOTE:
            position = json_arrays.string_end(buffer, position)
            continue
        if byte == json_arrays.OPEN_LIST or byte == json_arrays.OPEN_OBJECT:
            depth += 1
        elif byte == json_arrays.CLOSE_LIST or byte == json_arrays.CLOSE_OBJECT:
            if depth == 0:
                return position
            depth -= 1
        elif byte == json_arrays.COMMA and depth == 0 and position - start >= least:
            return position
        position += 1
    return position
