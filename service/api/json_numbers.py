"""A JSON body with its arrays of numbers read straight into float64, off the GIL.

The arrays at the given pointers are read by compiled code, each is replaced by a short mark, and
what is left, small, goes to orjson. orjson judges all that the compiled walk only steps over: if
it accepts the rest, that walk saw the true strings and brackets, and the marks are true members.
"""

from dataclasses import dataclass
from functools import cache
from math import isinf
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api import decimal_numbers, json_arrays, json_faults
from service.api.decimal_numbers import Bytes
from service.api.json_faults import Fault, name_at
from service.api.json_mixed import read_mixed
from service.api.json_texts import read_labels
from service.domain.arrays import Floats
from service.domain.categories import MixedRows
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
MARK: Final = "\0 an array of numbers \0"  # a client that sends it gets it back as text
MARK_BYTES: Final = orjson.dumps(MARK)


def parse_document(
    body: bytes | bytearray | memoryview,
    *,
    array_pointers: frozenset[str],
    target_pointers: frozenset[str] = frozenset(),
    gap_pointers: frozenset[str] = frozenset(),
    mixed_pointers: frozenset[str] = frozenset(),
    max_rest_bytes: int = 524_288,
) -> Any:
    """Return the JSON document, with the values at `array_pointers` as float64 arrays.

    A list of numbers becomes shape (n,), a list of equally long lists of numbers (n, d), each
    number with the bits of Python's `float()`. Values there that are no lists stay as they are.
    At `target_pointers` null may stand for a number, and becomes NaN, and a list of texts becomes
    `Labels`.

    Args:
        body: UTF-8, with or without a byte order mark.
        array_pointers: JSON pointers of one or two names, such as `/x` and `/dataset/x`.
        target_pointers: Those of them where targets stand, or labels of groups.
        gap_pointers: Those where null may stand for a number, and becomes NaN, but no text may.
        mixed_pointers: Those where texts may stand among numbers, which makes `MixedRows` of all.
        max_rest_bytes: The most bytes beside these arrays; orjson reads them with the GIL held.

    Raises:
        MalformedBody: The body is not JSON.
        InvalidInput: An array is not a rectangle of finite numbers, an array or the object that
            holds it stands twice, or the rest is too long.

    Cost: O(bytes) time, and the memory of the arrays beside the body.

    >>> parse_document(b'{"x": [[1, 2], [3, 4]], "name": "a"}', array_pointers=frozenset({"/x"}))
    {'x': array([[1., 2.],
           [3., 4.]]), 'name': 'a'}
    """
    buffer = np.frombuffer(body, dtype=np.uint8)
    buffer.flags.writeable = False  # one type for the compiler, whatever holds the body
    start = len(BYTE_ORDER_MARK) if buffer[:3].tobytes() == BYTE_ORDER_MARK else 0
    watch = _watch_over(array_pointers)
    arrays: dict[str, Floats | Labels | MixedRows] = {}
    kept: list[tuple[int, int]] = []  # extents of the body between the arrays
    seen: set[str] = set()

    position = json_arrays.skip_space(buffer, start)
    if position < buffer.size and buffer[position] == json_arrays.OPEN_OBJECT:
        depth, parent = 0, -1
        while True:
            index, position, depth, parent = json_arrays.next_member(
                buffer, position, depth, parent, watch.names, watch.table
            )
            if index == json_arrays.NOTHING_LEFT:
                break
            pointer = watch.pointers[index]
            if pointer in seen:
                raise InvalidInput.at(pointer, f"{name_at(pointer)} stands twice; send it once.")
            seen.add(pointer)
            opening = buffer[position] if position < buffer.size else 0
            if opening == json_arrays.OPEN_OBJECT and depth == 1:
                parent = index
            elif opening == json_arrays.OPEN_LIST and pointer in array_pointers:
                kept.append((start, position))
                may_be_texts = pointer in target_pointers
                arrays[pointer], position = _read_numbers(
                    buffer,
                    pointer,
                    position,
                    may_miss=may_be_texts or pointer in gap_pointers,
                    may_be_texts=may_be_texts,
                    may_be_mixed=pointer in mixed_pointers,
                )
                start = position
    kept.append((start, buffer.size))

    document = _parse_rest(buffer, kept, max_rest_bytes)
    for pointer in array_pointers:
        _put_in_place(document, pointer, arrays.get(pointer))
    return document


def warm_up() -> None:
    """Compile, or load from the cache, all that `parse_document` needs."""
    undecided = b"1.00000000000000011102230246251565404236316680908203125"
    for body in (b'{"x": [[1.5, 2e3], [3, %b]], "y": ["a"]}' % undecided, b'{"x": [[0, "a"]]}'):
        parse_document(
            body,
            array_pointers=frozenset({"/x", "/y", "/dataset/x"}),
            target_pointers=frozenset({"/y"}),
            mixed_pointers=frozenset({"/x"}),
        )


@dataclass(frozen=True)
class _Watch:
    """The members to look for, in the form that compiled code reads."""

    pointers: list[str]
    names: Bytes
    table: NDArray[np.int64]


@cache
def _watch_over(array_pointers: frozenset[str]) -> _Watch:
    """Return the watch over these pointers and over the objects that hold them."""
    parents = {pointer.rpartition("/")[0] for pointer in array_pointers} - {""}
    pointers = sorted(array_pointers | parents)
    names = b""
    rows = []
    for pointer in pointers:
        parent = pointer.rpartition("/")[0]
        name = name_at(pointer).encode()
        owner = pointers.index(parent) if parent else -1
        rows.append((len(names), len(names) + len(name), owner))
        names += name
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return _Watch(pointers, np.frombuffer(names, dtype=np.uint8), table)


def _read_numbers(
    buffer: Bytes,
    pointer: str,
    position: int,
    *,
    may_miss: bool,
    may_be_texts: bool,
    may_be_mixed: bool,
) -> tuple[Floats | Labels | MixedRows, int]:
    """Return the array that opens at `position`, and where it ends."""
    opening = position
    numbers = np.empty(json_arrays.count_numbers(buffer, position))
    bits = numbers.view(np.uint64)
    outcome, position, row, column, width = json_arrays.read_array(buffer, position, bits, may_miss)
    if outcome != decimal_numbers.NUMBER:
        is_text = outcome == json_arrays.NOT_A_NUMBER and position < buffer.size
        is_text = is_text and buffer[position] == json_arrays.QUOTE
        if may_be_mixed and is_text:
            return read_mixed(buffer, pointer, opening)
        # The first that is not null decides what all of them are.
        if may_be_texts and is_text and row < 0 and (bits[:column] == json_arrays.MISSING).all():
            return read_labels(buffer, pointer, opening)
        fault = Fault(outcome, position, row, column, width)
        raise json_faults.fault_error(buffer, pointer, fault)
    flat = row < 0
    count = width if flat else row * width
    numbers, bits = numbers[:count], bits[:count]

    index, start, stop = decimal_numbers.next_undecided(buffer, bits, 0)
    while index < count:
        numbers[index] = number = float(buffer[start:stop].tobytes())
        if isinf(number):
            row, column = (-1, index) if flat else divmod(index, width)
            fault = Fault(decimal_numbers.TOO_LARGE, start, row, column, width)
            raise json_faults.fault_error(buffer, pointer, fault)
        index, start, stop = decimal_numbers.next_undecided(buffer, bits, index + 1)
    return (numbers if flat else numbers.reshape(row, width)), position


def _put_in_place(document: Any, pointer: str, array: Floats | Labels | MixedRows | None) -> None:
    """Replace the mark at `pointer` by its array; refuse what an escaped name hides."""
    holder = document
    parent, _, name = pointer.rpartition("/")
    if parent and isinstance(holder, dict):
        holder = holder.get(name_at(parent))
    name = name_at(pointer)
    value = holder.get(name) if isinstance(holder, dict) else None
    if array is not None and value != MARK:
        raise InvalidInput.at(pointer, f"{name} stands twice, once with an escaped name.")
    if array is None and isinstance(value, list):
        raise InvalidInput.at(
            pointer, f"The name {name} is written with escapes; write it plainly."
        )
    if array is not None:
        holder[name] = array


def _parse_rest(buffer: Bytes, kept: list[tuple[int, int]], max_rest_bytes: int) -> Any:
    """Return the document that orjson makes of the kept extents, with a mark between each two."""
    length = sum(stop - start for start, stop in kept)
    if length > max_rest_bytes:
        raise InvalidInput.at(
            "",
            f"Beside the arrays of numbers the body has {length:,} bytes; "
            f"they must be at most {max_rest_bytes:,}: shorten names, or number labels.",
        )
    rest = MARK_BYTES.join(buffer[start:stop].tobytes() for start, stop in kept)
    try:
        return orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        try:
            place = len(rest.decode()[: error.pos].encode())
            reason = error.msg
        except UnicodeDecodeError as broken:
            place, reason = broken.start, "it is not UTF-8"
    for start, stop in kept:
        if place <= stop - start:
            break
        # Past this extent: take off it and its mark. A place in a mark is its array's end.
        place = max(0, place - (stop - start) - len(MARK_BYTES))
    raise json_faults.malformed(buffer, start + place, reason)
