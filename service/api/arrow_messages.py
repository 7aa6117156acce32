"""What the messages of an Arrow IPC stream declare, looked at before Arrow acts on it.

A compressed buffer says how long it will be, and Arrow takes that much memory before it reads on;
so the sum is bounded first. Arrow has verified the metadata by then, a flatbuffer: a table begins
with the distance back to its list of fields, which has the offset of each, or 0 where it is absent.

    Format: https://arrow.apache.org/docs/format/Columnar.html, `Message.fbs`
    Encoding: https://flatbuffers.dev/internals/
"""

import struct
from typing import Any, Final

# The fields of the tables in Message.fbs, by their place there.
HEADER: Final = 2  # of Message
DATA: Final = 1  # of DictionaryBatch
BUFFERS: Final = 2  # of RecordBatch
COMPRESSION: Final = 3

BUFFER: Final = struct.Struct("<qq")  # where it begins in the body, and its length
AS_IT_IS: Final = -1  # in the place of the length, for a buffer that compression made no shorter


def decompressed_bytes(message: Any) -> int:
    """Return how many bytes the compressed buffers of a batch become; 0 without any.

    Args:
        message: A `pyarrow.ipc.Message` with a record batch, or the values of a dictionary.

    Raises:
        struct.error: The metadata or the body end before what they declare.
    """
    metadata = memoryview(message.metadata)
    batch = _member(metadata, _target(metadata, 0), HEADER)
    if batch and message.type == "dictionary":
        batch = _member(metadata, batch, DATA)
    if not batch or not _field(metadata, batch, COMPRESSION):
        return 0
    buffers = _member(metadata, batch, BUFFERS)
    (count,) = struct.unpack_from("<I", metadata, buffers)
    body = memoryview(message.body)
    total = 0
    for start, length in BUFFER.iter_unpack(metadata[buffers + 4 :][: count * BUFFER.size]):
        if length:
            (becomes,) = struct.unpack_from("<q", body, start)
            total += length if becomes == AS_IT_IS else max(becomes, 0)
    return total


def _target(metadata: memoryview, position: int) -> int:
    """Return the position that the offset at `position` leads to."""
    (offset,) = struct.unpack_from("<I", metadata, position)
    return position + int(offset)


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Return where the field of a table stands, or 0 where it is absent."""
    (back,) = struct.unpack_from("<i", metadata, table)
    fields = table - back
    (length,) = struct.unpack_from("<H", metadata, fields)
    entry = 4 + 2 * index
    if entry >= length:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, fields + entry)
    return table + int(offset) if offset else 0


def _member(metadata: memoryview, table: int, index: int) -> int:
    """Return where the table or vector begins that a field refers to, or 0."""
    field = _field(metadata, table, index)
    return _target(metadata, field) if field else 0
