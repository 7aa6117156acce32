"""The compiled walk over a JSON body: find the watched members, read arrays of numbers.

Two walks share the work. `next_member` steps through what is not an array of numbers; it knows
strings and depth, no more, because what it steps over is judged by a strict parser afterwards.
`read_array` is strict itself. Neither recurses, both release the GIL.

Numba does not see that a function of another module changed: after an edit of
`decimal_numbers.py` or `machine_words.py`, remove `service/api/__pycache__`.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from service.api.decimal_numbers import (
    DIGIT_NINE,
    DIGIT_ZERO,
    MINUS,
    NOT_GRAMMAR,
    NUMBER,
    Bits,
    Bytes,
    has_at,
    read_number,
)
from service.api.machine_words import Text, byte_at

# What `read_array` found; the first three are those of `read_number`.
NOT_A_NUMBER: Final = 3  # where a number should begin, something else does
NOT_A_ROW: Final = 4  # where a row should begin, something else does
RAGGED: Final = 5

COUNTED_AT_ONCE: Final = 128  # bytes; at most 255, for a count in one byte
NOTHING_LEFT: Final = -1  # instead of a member's index
MISSING: Final = np.uint64(0x7FF << 52 | 1)  # a NaN, which no token gives, and not UNDECIDED

QUOTE: Final = ord('"')
BACKSLASH: Final = ord("\\")
COMMA: Final = ord(",")
COLON: Final = ord(":")
OPEN_LIST: Final = ord("[")
CLOSE_LIST: Final = ord("]")
OPEN_OBJECT: Final = ord("{")
CLOSE_OBJECT: Final = ord("}")
SMALL_N: Final = ord("n")
SMALL_U: Final = ord("u")
SMALL_L: Final = ord("l")
SPACE: Final = ord(" ")
TAB: Final = ord("\t")
LINE_FEED: Final = ord("\n")
RETURN: Final = ord("\r")


@njit(nogil=True, cache=True, forceinline=True)
def _is_space(byte: int) -> bool:
    return byte == SPACE or byte == LINE_FEED or byte == RETURN or byte == TAB


@njit(nogil=True, cache=True, forceinline=True)
def skip_space(buffer: Bytes, position: int) -> int:
    """Return the next position that is not white space, or the end."""
    while position < buffer.size and _is_space(buffer[position]):
        position += 1
    return position


@njit(nogil=True, cache=True)
def starts_number(byte: int) -> bool:
    """Return whether a number may begin with this byte."""
    return DIGIT_ZERO <= byte <= DIGIT_NINE or byte == MINUS


@njit(nogil=True, cache=True)
def string_end(buffer: Bytes, position: int) -> int:
    """Return where the string ends whose opening quote is at `position`; past the end if cut."""
    position += 1
    while position < buffer.size and buffer[position] != QUOTE:
        position += 2 if buffer[position] == BACKSLASH else 1
    return position + 1


@njit(nogil=True, cache=True)
def count_numbers(buffer: Bytes, position: int) -> int:
    """Return at least as many as there are numbers in the array that opens at `position`.

    That is, how many commas stand before the next quote or closing brace, and one. Before it the
    array ends or has its first fault; so the count is too high by a few at most.
    """
    commas = 0
    while position < buffer.size:
        block = buffer[position : position + COUNTED_AT_ONCE]
        here = np.uint8(0)  # one byte a lane: the compiler makes vectors of this loop
        ended = np.uint8(0)
        for byte in block:
            here += np.uint8(byte == COMMA)
            ended |= np.uint8(byte == QUOTE) | np.uint8(byte == CLOSE_OBJECT)
        commas += int(here)
        if ended:
            break
        position += COUNTED_AT_ONCE
    return commas + 1


@njit(nogil=True, cache=True, forceinline=True)
def _after_space(text: Text, position: int) -> int:
    """Return the next position that is not white space, or the end."""
    while position < text.size and _is_space(byte_at(text.address, position)):
        position += 1
    return position


@njit(nogil=True, cache=True)
def _null_at(text: Text, position: int) -> bool:
    """Return whether the four letters `null` stand here."""
    return (
        has_at(text, position, SMALL_N)
        and has_at(text, position + 1, SMALL_U)
        and has_at(text, position + 2, SMALL_L)
        and has_at(text, position + 3, SMALL_L)
    )


@njit(nogil=True, cache=True)
def _read_row(text: Text, position: int, bits: Bits, filled: int, may_miss: bool) -> Any:
    """Read numbers up to the closing bracket; return outcome, position, and numbers filled."""
    position = _after_space(text, position)
    if has_at(text, position, CLOSE_LIST):
        return NUMBER, position + 1, filled
    while True:
        if position >= text.size or not starts_number(byte_at(text.address, position)):
            if not (may_miss and _null_at(text, position)):
                return NOT_A_NUMBER, position, filled
            outcome, stop, value = NUMBER, position + 4, MISSING
        else:
            outcome, stop, value = read_number(text, position)
        if outcome != NUMBER:
            return outcome, stop if outcome == NOT_GRAMMAR else position, filled
        if filled >= bits.size:  # only if the body changed since it was counted
            return NOT_GRAMMAR, position, filled
        bits[filled] = value
        filled += 1
        position = _after_space(text, stop)
        if has_at(text, position, CLOSE_LIST):
            return NUMBER, position + 1, filled
        if not has_at(text, position, COMMA):
            return NOT_GRAMMAR, position, filled
        position = _after_space(text, position + 1)


@njit(nogil=True, cache=True)
def read_array(buffer: Bytes, position: int, bits: Bits, may_miss: bool) -> Any:
    """Read the array that opens at `position`, flat or of rows, into `bits`.

    With `may_miss`, null may stand for a number, and becomes MISSING.

    Returns:
        The outcome; the position after the array, or that of the fault; the row, -1 where the
        array is flat; the column, or the length of a row that differs; and the length of rows,
        of the one flat row where it is flat.
    """
    text = Text(buffer.ctypes.data, buffer.size)
    filled = 0
    position = _after_space(text, position + 1)
    if not has_at(text, position, OPEN_LIST):
        outcome, position, filled = _read_row(text, position, bits, filled, may_miss)
        return outcome, position, -1, filled, filled
    row = 0
    width = 0
    while True:
        if not has_at(text, position, OPEN_LIST):
            return NOT_A_ROW, position, row, 0, width
        start = filled
        opening = position
        outcome, position, filled = _read_row(text, position + 1, bits, filled, may_miss)
        if outcome != NUMBER:
            return outcome, position, row, filled - start, width
        if row == 0:
            width = filled
        elif filled - start != width:
            return RAGGED, opening, row, filled - start, width
        row += 1
        position = _after_space(text, position)
        if has_at(text, position, CLOSE_LIST):
            return NUMBER, position + 1, row, 0, width
        if not has_at(text, position, COMMA):
            return NOT_GRAMMAR, position, row, -1, width
        position = _after_space(text, position + 1)


@njit(nogil=True, cache=True)
def _watched(
    buffer: Bytes, start: int, stop: int, parent: int, names: Bytes, table: NDArray[np.int64]
) -> int:
    """Return the index of the watched member of `parent` whose name is the key, or NOTHING_LEFT."""
    for index in range(table.shape[0]):
        begin, end = table[index, 0], table[index, 1]
        if table[index, 2] == parent and end - begin == stop - start:
            same = True
            for offset in range(end - begin):
                same = same and names[begin + offset] == buffer[start + offset]
            if same:
                return index
    return NOTHING_LEFT


@njit(nogil=True, cache=True)
def next_member(
    buffer: Bytes,
    position: int,
    depth: int,
    parent: int,
    names: Bytes,
    table: NDArray[np.int64],
) -> Any:
    """Walk on to the next watched member of the object at the top, or of its member `parent`.

    Keys are compared byte for byte: one written with escapes is not found here.

    Args:
        buffer: The body; at its top stands an object.
        position: Where to begin: at that object, at the value of a member, or after it.
        depth: The brackets that are open there.
        parent: The watched member whose object is open there, or about to be; else -1.
        names: The watched names, one after another.
        table: For each watched name: where it begins and ends in `names`, and its parent, or -1.

    Returns:
        The member's index in the table, or NOTHING_LEFT; where its value begins; and depth and
        parent there.
    """
    size = buffer.size
    a_key = False
    while position < size:
        byte = buffer[position]
        if byte == QUOTE:
            stop = string_end(buffer, position)
            if a_key:
                a_key = False
                colon = skip_space(buffer, stop)
                if colon < size and buffer[colon] == COLON:
                    owner = parent if depth == 2 else -1
                    index = _watched(buffer, position + 1, stop - 1, owner, names, table)
                    stop = skip_space(buffer, colon + 1)
                    if index != NOTHING_LEFT:
                        return index, stop, depth, parent
            position = stop
            continue
        if byte == OPEN_OBJECT or byte == OPEN_LIST:
            depth += 1
            a_key = depth == 1 or (depth == 2 and parent >= 0)
        elif byte == CLOSE_OBJECT or byte == CLOSE_LIST:
            depth -= 1
            if depth <= 1:
                parent = -1
            # What follows the object at the top is not looked at: orjson will refuse it.
            position = position if depth > 0 else size
        elif byte == COMMA:
            a_key = depth == 1 or (depth == 2 and parent >= 0)
        position += 1
    return NOTHING_LEFT, size, depth, parent
