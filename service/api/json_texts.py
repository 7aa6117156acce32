"""A JSON list of texts as classes, read off the GIL.

The compiled walk only finds where each text begins and ends; Arrow finds the different ones, and
orjson, which judges grammar, UTF-8 and escapes, reads each of these once.
"""

from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from service.api import json_arrays, json_faults
from service.api.decimal_numbers import Bytes
from service.api.label_columns import labels_of, texts_of
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

READ: Final = 0
NOT_A_TEXT: Final = 1  # where a text should begin, something else does
NOT_GRAMMAR: Final = 2

OTHER_VALUES: Final = frozenset(b"-0123456789[{tf")  # with these a value begins that is no text
NULL: Final = np.frombuffer(b"null", dtype=np.uint8)


def read_labels(buffer: Bytes, pointer: str, position: int) -> tuple[Labels, int]:
    """Return the list of texts, among them null, that opens at `position`, and where it ends.

    Raises:
        MalformedBody: It is not JSON.
        InvalidInput: Something else stands among the texts, or too many are different.
    """
    outcome, stop, count = _walk(buffer, position, NULL, np.empty(0, dtype=np.int64), False)
    if outcome != READ:
        raise _fault(buffer, pointer, outcome, stop, count)
    starts = np.empty(count, dtype=np.int64)
    _walk(buffer, position, NULL, starts, True)
    present = starts >= 0
    offsets, texts = _gathered(buffer, starts)
    column = pa.Array.from_buffers(
        pa.large_binary(),
        count,
        [
            pa.py_buffer(np.packbits(present, bitorder="little")),
            pa.py_buffer(offsets),
            pa.py_buffer(texts),
        ],
    )
    found = texts_of(pa.chunked_array([column]), json_faults.name_at(pointer), pointer)

    def meaning(raw: bytes) -> str:
        try:
            return str(orjson.loads(b'"' + raw + b'"'))
        except orjson.JSONDecodeError as error:
            first = int(np.argmax(found.codes == found.values.index(raw)))
            raise json_faults.malformed(buffer, int(starts[first]), error.msg) from None

    return labels_of(found, meaning), stop


def _fault(buffer: Bytes, pointer: str, outcome: int, position: int, element: int) -> Exception:
    ended = position >= buffer.size
    if ended or outcome == NOT_GRAMMAR:
        reason = "it ends within" if ended else "a comma or bracket should stand in"
        return json_faults.malformed(buffer, position, f"{reason} {pointer}")
    if buffer[position] not in OTHER_VALUES:
        return json_faults.malformed(buffer, position, f"in {pointer}, a text should stand")
    name = json_faults.name_at(pointer)
    return InvalidInput.at(
        f"{pointer}/{element}",
        f"Element {element} of {name} is not a text, and those before it are; send texts "
        "alone, or numbers alone.",
    )


@njit(nogil=True, cache=True)
def _walk(buffer: Bytes, position: int, null: Bytes, starts: NDArray[np.int64], keeps: bool) -> Any:
    """Step through the list; return outcome, position, and how many elements were found.

    With `keeps`, note in `starts` where each text begins, after its quote; -1 for null.
    """
    position = json_arrays.skip_space(buffer, position + 1)
    element = 0
    while position < buffer.size:
        start = -1
        if buffer[position] == json_arrays.QUOTE:
            start = position + 1
            position = json_arrays.string_end(buffer, position)
        elif position + 4 <= buffer.size and np.all(buffer[position : position + 4] == null):
            position += 4
        else:
            return NOT_A_TEXT, position, element
        if keeps:
            starts[element] = start
        element += 1
        position = json_arrays.skip_space(buffer, position)
        if position >= buffer.size:
            break
        if buffer[position] == json_arrays.CLOSE_LIST:
            return READ, position + 1, element
        if buffer[position] != json_arrays.COMMA:
            return NOT_GRAMMAR, position, element
        position = json_arrays.skip_space(buffer, position + 1)
    return NOT_GRAMMAR, buffer.size, element


@njit(nogil=True, cache=True)
def _gathered(buffer: Bytes, starts: NDArray[np.int64]) -> Any:
    """Return the texts one after another, and where each begins and the last ends."""
    offsets = np.zeros(starts.size + 1, dtype=np.int64)
    for element in range(starts.size):
        length = 0
        if starts[element] >= 0:
            stop = json_arrays.string_end(buffer, starts[element] - 1) - 1
            length = stop - starts[element]
        offsets[element + 1] = offsets[element] + length
    texts = np.empty(offsets[-1], dtype=np.uint8)
    for element in range(starts.size):
        length = offsets[element + 1] - offsets[element]
        for offset in range(length):
            texts[offsets[element] + offset] = buffer[starts[element] + offset]
    return offsets, texts
