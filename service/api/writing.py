"""Answers: short ones at once, long ones in pieces that are made off the event loop.

One call of orjson holds the GIL to its end, so no call is given more than a piece's worth.
NaN, which JSON does not have, is written as null.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import numpy as np
import orjson
from starlette.responses import Response, StreamingResponse

from service.api.media import JSON
from service.api.schemas.base import Items
from service.engine.engine import Engine

# About 5 ms of writing, and 1 MB of text.
PIECE_NUMBERS: Final = 50_000
PIECE_BYTES: Final = 2**18


async def write_answer(
    engine: Engine,
    document: dict[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer with this document; arrays in it may be of any length."""
    if size(document) <= PIECE_NUMBERS:
        return Response(_dumps(document), status, headers, JSON)
    return await write_pieces(engine, json_pieces(document), JSON, status=status, headers=headers)


async def write_pieces(
    engine: Engine,
    pieces: Iterator[bytes | memoryview],
    media_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer of these pieces, which are made off the event loop as they are sent."""

    def next_bytes() -> bytes:
        found: list[bytes | memoryview] = []
        length = 0
        for piece in pieces:
            found.append(piece)
            length += len(piece)
            if length >= PIECE_BYTES:
                break
        return b"".join(found)

    first = await engine.run_aside(next_bytes)
    if len(first) < PIECE_BYTES:
        return Response(first, status, headers, media_type)

    async def stream() -> AsyncIterator[bytes]:
        text = first
        while text:
            yield text
            text = await engine.run_aside(next_bytes)

    return StreamingResponse(stream(), status, headers, media_type)


def size(value: Any) -> int:
    """Return about how many numbers and texts the value holds."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, Items):
        return value.numbers
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    if isinstance(value, list):
        return sum(map(size, value))
    return 1


def json_pieces(value: Any) -> Iterator[bytes]:
    """Yield the JSON text of the value, none of it the work of more than a piece."""
    if size(value) <= PIECE_NUMBERS:
        yield _dumps(value)
    elif isinstance(value, dict):
        opening = b"{"
        for name, member in value.items():
            yield opening + orjson.dumps(name) + b":"
            yield from json_pieces(member)
            opening = b","
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        yield from _members(value)
        yield b"]"
    elif isinstance(value, Items):
        yield from _stretches(value)
    else:
        yield from _slices(value)


def _slices(array: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """Yield a long array by rows."""
    rows = max(1, PIECE_NUMBERS * len(array) // array.size)
    yield b"["
    for start in range(0, len(array), rows):
        yield (b"," if start else b"") + _dumps(array[start : start + rows])[1:-1]
    yield b"]"


def _stretches(items: Items[Any]) -> Iterator[bytes]:
    """Yield a long list of items, each made when its turn comes."""
    count = max(1, PIECE_NUMBERS * items.length // items.numbers)
    yield b"["
    for start in range(0, items.length, count):
        stretch = items.stretch(start, min(start + count, items.length))
        yield b"," if start else b""
        if size(stretch) <= PIECE_NUMBERS:
            yield _dumps(stretch)[1:-1]
        else:  # the count is right on average, and a single item may hold far more
            yield from _members(stretch)
    yield b"]"


def _members(values: list[Any]) -> Iterator[bytes]:
    """Yield the members of a list, with commas between."""
    separator = b""
    for member in values:
        yield separator
        yield from json_pieces(member)
        separator = b","


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    """Return what orjson can write in place of a value that it cannot."""
    if isinstance(value, Items):
        return value.stretch(0, value.length)
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
