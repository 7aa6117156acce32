"""NumPy's files of several arrays (npz) to arrays, within bounds. Pickles are never read."""

import zipfile
import zlib
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.api.faults import reason_of, shown
from service.api.formats.coding import MOST_GROWTH, most_bytes
from service.domain.errors import BodyTooLarge, InvalidInput, MalformedBody
from service.engine.limits import Limits

NUMBERS: Final = "fiu"
TEXTS: Final = "U"
LONGEST_HEADER: Final = 10_000  # as NumPy has it
NOT_NPZ: Final = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    UnicodeDecodeError,
)


def read_npz(body: bytearray | memoryview, limits: Limits) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file: float64, or texts.

    Raises:
        MalformedBody: It is no such file; the detail names the array and the byte where it begins.
        InvalidInput: An array has objects, which are pickles, or another type that is not read.
        BodyTooLarge: It would become too long.
    """
    most = most_bytes(len(body), limits)
    arrays: dict[str, NDArray[Any]] = {}
    place = "the list of its arrays, at its end"
    try:
        with zipfile.ZipFile(pa.BufferReader(pa.py_buffer(body))) as archive:
            entries = archive.infolist()
            most_columns = limits.max_features + limits.max_targets + 1
            if len(entries) > most_columns:
                raise InvalidInput.at(
                    "",
                    f"The file has {len(entries):,} arrays, and at most {most_columns:,} are "
                    "read; send x as one array of two axes.",
                )
            becomes = sum(entry.file_size for entry in entries)
            if becomes > most:
                raise BodyTooLarge(
                    f"The file of {len(body):,} bytes becomes {becomes:,}, and the limit is "
                    f"{most:,} ({MOST_GROWTH} times its length, and max_body_bytes in /limits); "
                    "send the rows in parts."
                )
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                place = f"its array {shown(name)}, which begins at byte {entry.header_offset:,}"
                with archive.open(entry) as stream:
                    arrays[name] = _read_array(stream, name, entry.file_size)
                    if stream.read(1):
                        raise ValueError("more bytes than its shape has")
    except NOT_NPZ as error:
        reason = reason_of(error) or type(error).__name__
        raise MalformedBody(
            f"The body is not an npz file that can be read, in {place}: {reason}. Write it with "
            "numpy.savez; a workbook of Excel is to be saved as CSV."
        ) from None
    if not arrays:
        raise InvalidInput.at("", "The file has no arrays; send x and y.")
    return arrays


def _read_array(stream: Any, name: str, size: int) -> NDArray[Any]:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    shape, is_transposed, kind = readers[version](stream, max_header_size=LONGEST_HEADER)
    if kind.kind not in NUMBERS + TEXTS + "b":
        what = "objects, which are pickles and never read" if kind.hasobject else f"type {kind}"
        raise InvalidInput.at(
            f"/{name}", f"The array {shown(name)} has {what}; send numbers, or texts as strings."
        )
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if count * kind.itemsize > size:
        raise ValueError(f"its shape {shape} needs more bytes than are there")
    values = np.empty(count, kind)
    view = values.view(np.uint8).data if kind.itemsize else memoryview(b"")
    filled = 0
    while filled < len(view):
        more = stream.readinto(view[filled : filled + 2**24])
        if not more:
            raise EOFError(f"it ends after {filled:,} bytes of numbers")
        filled += more
    values = values.reshape(shape[::-1]).T if is_transposed else values.reshape(shape)
    if kind.kind in TEXTS:
        return np.ascontiguousarray(values) if values.ndim else values
    return np.ascontiguousarray(values, dtype=np.float64).reshape(shape)
