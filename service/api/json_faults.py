"""What is wrong with a JSON body or with an array of numbers in it, as errors with a remedy."""

import re
from typing import Final, NamedTuple

import numpy as np

from service.api import decimal_numbers, json_arrays
from service.api.decimal_numbers import Bytes
from service.domain.errors import InvalidInput, MalformedBody, RequestRefused

LONGEST_QUOTE: Final = 40  # characters of the body shown in a message
BLOCK: Final = 1 << 20  # bytes looked at together for line feeds, so that memory stays small
WORD: Final = re.compile(rb"(null|true|false|NaN|-?Infinity)(?![\w.+-])")
LONGEST_WORD: Final = len(b"-Infinity")
NEVER_JSON: Final = frozenset({"NaN", "Infinity", "-Infinity"})


class Fault(NamedTuple):
    """What `json_arrays.read_array` returns where an array is not one of numbers."""

    outcome: int
    position: int
    row: int  # -1 where the array is flat
    column: int
    width: int


def name_at(pointer: str) -> str:
    """Return the last name of a JSON pointer (RFC 6901)."""
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def malformed(buffer: Bytes, position: int, reason: str) -> MalformedBody:
    """Return the error for a body that ceases to be JSON at `position`."""
    line = 1
    for start in range(0, position, BLOCK):
        block = buffer[start : min(start + BLOCK, position)]
        line += int(np.count_nonzero(block == json_arrays.LINE_FEED))
    near = _shown(buffer, max(0, position - 10), position + 20)
    return MalformedBody(
        f"The body is not JSON: {reason}, at byte {position:,}, line {line:,}"
        + (f", near {near!r}." if near else ".")
    )


def fault_error(buffer: Bytes, pointer: str, fault: Fault) -> RequestRefused:
    """Return the error for a fault in the array at `pointer`."""
    if fault.outcome == json_arrays.RAGGED:
        count = "1 number" if fault.column == 1 else f"{fault.column:,} numbers"
        return InvalidInput.at(
            f"{pointer}/{fault.row}",
            f"Row {fault.row} has {count}, but row 0 has {fault.width:,}; "
            "rows must be equally long.",
        )
    if fault.outcome == decimal_numbers.NOT_GRAMMAR:
        if _word_at(buffer, fault.position - 1) != "-Infinity":
            return _not_json(buffer, fault.position, pointer, "a number, comma or bracket")
        fault = fault._replace(position=fault.position - 1)  # back to the sign
    wanted = "a list of numbers" if fault.outcome == json_arrays.NOT_A_ROW else "a number"
    found = _found(buffer, fault, wanted)
    if not found:
        return _not_json(buffer, fault.position, pointer, wanted)

    name = name_at(pointer)
    if fault.row < 0:
        at, place = f"{fault.column}", f"Element {fault.column} of {name}"
    elif fault.outcome == json_arrays.NOT_A_ROW:
        at, place = f"{fault.row}", f"Row {fault.row} of {name}"
    else:
        at = f"{fault.row}/{fault.column}"
        place = f"Row {fault.row}, column {fault.column} of {name}"
    dropped = "it" if fault.row < 0 else "the row"
    return InvalidInput.at(
        f"{pointer}/{at}", f"{place} is {found}; drop {dropped} or replace the value."
    )


def _found(buffer: Bytes, fault: Fault, wanted: str) -> str:
    """Return what stands at the fault, and why it may not; nothing where that is not JSON."""
    opening = buffer[fault.position] if fault.position < buffer.size else 0
    word = _word_at(buffer, fault.position)
    if word:
        why = "which is not a number in JSON" if word in NEVER_JSON else f"not {wanted}"
        return f"{word}, {why}"
    if json_arrays.starts_number(opening):
        outcome, stop = decimal_numbers.number_end(buffer, fault.position)
        number = _shown(buffer, fault.position, stop)
        if outcome == decimal_numbers.NOT_GRAMMAR:
            return ""
        too_large = fault.outcome == decimal_numbers.TOO_LARGE
        why = "which is too large for a 64-bit number" if too_large else f"not {wanted}"
        return f"{number}, {why}"
    if opening == json_arrays.QUOTE:
        stop = json_arrays.string_end(buffer, fault.position)
        text = _shown(buffer, fault.position, stop)
        return f"the text {text}, not {wanted}" if stop <= buffer.size else ""
    if opening == json_arrays.OPEN_OBJECT:
        return f"an object, not {wanted}"
    if opening == json_arrays.OPEN_LIST:
        return f"a list, not {wanted}"
    return ""


def _word_at(buffer: Bytes, position: int) -> str:
    """Return the literal at `position`, of JSON or of those often taken for it, or nothing."""
    match = WORD.match(buffer[position : position + LONGEST_WORD + 1].tobytes())
    return match[1].decode() if match else ""


def _shown(buffer: Bytes, start: int, stop: int) -> str:
    """Return these bytes as text, shortened."""
    text = buffer[start : min(stop, start + 4 * LONGEST_QUOTE)].tobytes().decode(errors="replace")
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"


def _not_json(buffer: Bytes, position: int, pointer: str, wanted: str) -> MalformedBody:
    """Return the error for an array that is not JSON, or ends with the body."""
    ended = position >= buffer.size
    reason = f"it ends within {pointer}" if ended else f"in {pointer}, {wanted} should stand"
    return malformed(buffer, position, reason)
