"""Bodies and files that are compressed, within bounds, and what a file is by its first bytes."""

import zlib
from collections.abc import Iterator
from typing import Final, Self

import pyarrow as pa

from service.api.faults import reason_of, shown
from service.api.formats.kinds import Format
from service.domain.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from service.engine.limits import Limits

CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "deflate": "deflate"}
"""Values of Content-Encoding (RFC 9110, RFC 8878), and Arrow's names of them; Arrow has no deflate,
which Triton's clients send."""

SUFFIXES: Final = {".gz": "gzip", ".zst": "zstd"}

MOST_GROWTH: Final = 100
"""Rows of numbers shrink to a third, to a twentieth where they repeat; only what is made to harm
grows a thousandfold. Looked at while it grows, so that such a body takes no memory."""

FREE_BYTES: Final = 2**22
"""So much may come of any body, however short."""

PIECE_BYTES: Final = 2**20

MARKS: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"PAR1", Format.PARQUET),
    (b"ARROW1", Format.ARROW_FILE),
    (b"\xff\xff\xff\xff", Format.ARROW),
    (b"PK\x03\x04", Format.NPZ),
)
CODED_MARKS: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
FILE_FORMATS: Final = {
    ".json": Format.JSON,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
}
"""The formats of text that are no CSV, by the names of files."""


def coding_of(content_encoding: str) -> str | None:
    """Return how a body is compressed, by its Content-Encoding; None where it is not.

    Raises:
        UnsupportedMediaType: In a way that is not read.
    """
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in CODINGS:
        raise UnsupportedMediaType(
            f"The body is encoded with {shown(name)}; gzip, zstd and deflate are read: send one of "
            "them, or no Content-Encoding."
        )
    return CODINGS[name]


def most_bytes(received: int, limits: Limits) -> int:
    """Return how many bytes so many received ones may become."""
    return min(limits.max_body_bytes, max(FREE_BYTES, MOST_GROWTH * received))


def inflated(body: bytearray | memoryview, coding: str, limits: Limits) -> Iterator[bytes]:
    """Yield the pieces of what was compressed.

    Raises:
        MalformedBody: It is not compressed that way, or cut short.
        BodyTooLarge: It becomes too long, told as soon as it does.
    """
    length = 0
    source = pa.BufferReader(pa.py_buffer(body))
    try:
        with _opened(source, coding) as stream:
            while piece := stream.read(PIECE_BYTES):
                length += len(piece)
                # By what was read of it so far, a bomb is told at its beginning.
                most = most_bytes(source.tell(), limits)
                if length > most:
                    raise BodyTooLarge(
                        f"The first {source.tell():,} of its {len(body):,} bytes decompress to "
                        f"{length:,} or more, and the limit is {most:,} ({MOST_GROWTH} times as "
                        f"many, at least {FREE_BYTES:,}, and max_body_bytes in /limits); send the "
                        "body without compression, or in parts."
                    )
                yield piece
    except (pa.ArrowException, OSError, zlib.error) as error:
        reason = reason_of(error)
        raise MalformedBody(
            f"The body is not {coding}, or cut short: after {length:,} decompressed bytes, "
            f"{reason}. Compress it anew, or send it without compression."
        ) from None


def _opened(source: pa.NativeFile, coding: str) -> "pa.NativeFile | _Inflating":
    """Return the file of what is compressed in another."""
    return _Inflating(source) if coding == "deflate" else pa.CompressedInputStream(source, coding)


class _Inflating:
    """What is compressed in a file by zlib (RFC 1950), which HTTP calls deflate.

    Args:
        source: The file.
    """

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source
        self._zlib = zlib.decompressobj()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open: the source is its owner's."""

    def read(self, most: int) -> bytes:
        """Return the next bytes, at most so many; none at the end.

        Raises:
            OSError, zlib.error: It is cut short, or not compressed so.
        """
        while not self._zlib.eof:
            data = self._zlib.unconsumed_tail or self._source.read(PIECE_BYTES)
            piece = self._zlib.decompress(data, most)
            if piece:
                return piece
            if not data:
                raise OSError("it ends too early")
        return b""


def coding_of_file(name: str, head: bytes) -> str | None:
    """Return how a file is compressed, by its first bytes or its name; None where it is not."""
    for mark, coding in CODED_MARKS:
        if head.startswith(mark):
            return coding
    return next((coding for suffix, coding in SUFFIXES.items() if name.endswith(suffix)), None)


def format_of_file(name: str, head: bytes) -> Format:
    """Return the format of a file that may have no label: by its first bytes, or its name.

    Args:
        name: Of the file, "" where it has none.
        head: Its first bytes, decompressed.
    """
    for mark, found in MARKS:
        if head.startswith(mark):
            return found
    lower = name.lower()
    for suffix in SUFFIXES:
        lower = lower.removesuffix(suffix)
    for suffix, found in FILE_FORMATS.items():
        if lower.endswith(suffix):
            return found
    if head.lstrip()[:1] == b"{":
        first, _, rest = head.lstrip().partition(b"\n")
        return Format.NDJSON if first.rstrip()[-1:] == b"}" and rest.strip() else Format.JSON
    return Format.CSV
