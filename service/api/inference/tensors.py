"""Tensors of the protocol: their types, and their two forms, JSON and bytes.

As bytes a tensor is its elements in row-major order, little-endian, without gaps; a text is its
length in four bytes and then its UTF-8.

Source: Open Inference Protocol, version 2, and its binary tensor data extension.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from math import prod
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from service.api.faults import shown
from service.api.schemas.base import Items
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput

Datatype: TypeAlias = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]


class _Elements(NamedTuple):
    """What the elements of a tensor are."""

    dtype: np.dtype[Any]
    json_types: frozenset[type]
    called: str


_WHOLE: Final[tuple[frozenset[type], str]] = (frozenset({int}), "whole numbers")
_REAL: Final[tuple[frozenset[type], str]] = (
    frozenset({int, float, type(None)}),
    "numbers, or null where a cell is missing",
)

NUMBERS: Final[Mapping[str, _Elements]] = {
    "BOOL": _Elements(np.dtype("?"), frozenset({bool}), "true or false"),
    "UINT8": _Elements(np.dtype("u1"), *_WHOLE),
    "UINT16": _Elements(np.dtype("<u2"), *_WHOLE),
    "UINT32": _Elements(np.dtype("<u4"), *_WHOLE),
    "UINT64": _Elements(np.dtype("<u8"), *_WHOLE),
    "INT8": _Elements(np.dtype("i1"), *_WHOLE),
    "INT16": _Elements(np.dtype("<i2"), *_WHOLE),
    "INT32": _Elements(np.dtype("<i4"), *_WHOLE),
    "INT64": _Elements(np.dtype("<i8"), *_WHOLE),
    "FP16": _Elements(np.dtype("<f2"), *_REAL),
    "FP32": _Elements(np.dtype("<f4"), *_REAL),
    "FP64": _Elements(np.dtype("<f8"), *_REAL),
}
"""Every type but BYTES, which is text."""

TEXTS: Final[tuple[frozenset[type], str]] = (
    frozenset({str, type(None)}),
    "texts, or null where a cell is missing",
)

LENGTH: Final = struct.Struct("<I")
"""What stands before each text."""

BINARY_PIECE: Final = 2**20
"""Bytes of a tensor that are sent at a time."""


@dataclass(frozen=True, eq=False)
class InputTensor:
    """A tensor as it was sent.

    Attributes:
        name: Of the model's inputs.
        shape: As sent; the product is the number of elements.
        elements: In row-major order: float64, NaN for null; or texts, None for null.
    """

    name: str
    shape: tuple[int, ...]
    elements: Floats | list[str | None]


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """A tensor to be sent.

    Attributes:
        name: Of the model's outputs.
        shape: The product is the number of elements.
        elements: In row-major order, numbers or texts.
    """

    name: str
    shape: tuple[int, ...]
    elements: Floats | Items[str]

    @property
    def datatype(self) -> Datatype:
        """The type of its elements."""
        return "BYTES" if isinstance(self.elements, Items) else "FP64"

    def encoded(self) -> bytes | memoryview:
        """Return its bytes; NaN and infinite numbers are themselves."""
        if isinstance(self.elements, Items):
            texts = self.elements.stretch(0, self.elements.length)
            return b"".join(chain.from_iterable(_prefixed(text) for text in texts))
        return np.ascontiguousarray(self.elements, dtype="<f8").data.cast("B")


def pieces_of(data: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Yield the bytes in stretches, none of which takes long to copy."""
    for start in range(0, len(data), BINARY_PIECE):
        yield data[start : start + BINARY_PIECE]


def from_json(
    name: str, datatype: Datatype, shape: tuple[int, ...], data: Any, pointer: str
) -> InputTensor:
    """Return the tensor whose elements stand in a JSON list, flat or nested as the shape is.

    A number of a narrow type, such as FP32, is rounded to it, as in its bytes.

    Raises:
        InvalidInput: It is no such list, or an element is not of the type.

    Cost: O(elements), with the GIL held.
    """
    flat = _flattened(data, shape, name, pointer)
    json_types, called = TEXTS if datatype == "BYTES" else NUMBERS[datatype][1:]
    if not set(map(type, flat)) <= json_types:
        place = next(i for i, value in enumerate(flat) if type(value) not in json_types)
        raise InvalidInput.at(
            f"{pointer}/{place}",
            f"Element {place} of the tensor '{name}' is {shown(flat[place])}; the datatype is "
            f"{datatype}, so its elements are {called}.",
        )
    if datatype == "BYTES":
        return InputTensor(name, shape, flat)
    try:
        with np.errstate(over="ignore"):
            typed = np.array(flat, dtype=NUMBERS[datatype].dtype)
    except OverflowError:
        raise InvalidInput.at(
            pointer,
            f"The tensor '{name}' has a number out of the range of {datatype}; send a wider "
            "datatype.",
        ) from None
    return InputTensor(name, shape, typed.astype(np.float64))


def from_bytes(
    name: str, datatype: Datatype, shape: tuple[int, ...], data: memoryview, pointer: str
) -> InputTensor:
    """Return the tensor whose elements are these bytes.

    Raises:
        InvalidInput: They are more or fewer than the shape says, or no UTF-8.
    """
    count = prod(shape)
    if datatype == "BYTES":
        return InputTensor(name, shape, _texts(data, count, name, pointer))
    dtype = NUMBERS[datatype].dtype
    if len(data) != count * dtype.itemsize:
        raise InvalidInput.at(
            pointer,
            f"The tensor '{name}' has {len(data):,} bytes, and {_times(shape)} elements of "
            f"{datatype} have {count * dtype.itemsize:,}; send shape, datatype and "
            "binary_data_size that agree.",
        )
    # A copy: the bytes may begin at any address, and the numbers outlive the body.
    return InputTensor(name, shape, np.frombuffer(data, dtype).astype(np.float64))


def _flattened(data: Any, shape: tuple[int, ...], name: str, pointer: str) -> list[Any]:
    """Return the elements of a list that is flat, or nested as the shape is.

    Raises:
        InvalidInput: Their number is not that of the shape.
    """
    level: list[Any] = [data]
    lengths = shape if _is_nested(data) else (prod(shape),)
    for length in lengths:
        if not all(isinstance(part, list) and len(part) == length for part in level):
            raise InvalidInput.at(
                pointer,
                f"The tensor '{name}' has the shape {list(shape)}, and data is "
                f"{shown(data)}; send a flat list of its {prod(shape):,} elements, or lists in "
                "lists as the shape says.",
            )
        level = list(chain.from_iterable(level))
    return level


def _is_nested(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], list)


def _texts(data: memoryview, count: int, name: str, pointer: str) -> list[str | None]:
    """Return the texts that bytes hold.

    Raises:
        InvalidInput: They are not so many, or not UTF-8.
    """
    stops = [0]
    while len(stops) <= count and stops[-1] + LENGTH.size <= len(data):
        start = stops[-1]
        stops.append(start + LENGTH.size + LENGTH.unpack_from(data, start)[0])
    if stops[-1] != len(data) or len(stops) != count + 1:
        raise InvalidInput.at(
            pointer,
            f"The {len(data):,} bytes of the tensor '{name}' are not {count:,} texts, each after "
            "its length in four bytes, little-endian.",
        )
    try:
        return [str(data[start + LENGTH.size : stop], "utf-8") for start, stop in pairwise(stops)]
    except UnicodeDecodeError:
        raise InvalidInput.at(
            pointer, f"A text of the tensor '{name}' is not UTF-8; send it so encoded."
        ) from None


def _prefixed(text: str) -> tuple[bytes, bytes]:
    encoded = text.encode()
    return LENGTH.pack(len(encoded)), encoded


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
