"""What a call does, as steps that somebody else takes.

An operation is a generator: it yields a `Call` and is sent the `Reply`, or yields a `Pause`. It
does no input or output itself, so that one definition serves the blocking client, the asynchronous
one, and tests without a network or a clock.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, TypeVar

CHUNK_BYTES: Final = 2**18

Result = TypeVar("Result")

Progress: TypeAlias = Callable[[int, int | None], None]
"""Told how many bytes have been sent, and of how many, where that is known."""


@dataclass(frozen=True)
class Body:
    """What is sent, from its beginning at each try.

    Attributes:
        source: Bytes, or a file that is read as it is sent.
        media_type: Its Content-Type.
    """

    source: memoryview | bytes | Path | BinaryIO
    media_type: str

    @property
    def length(self) -> int | None:
        """How many bytes it has; None where only reading tells."""
        if isinstance(self.source, memoryview):
            return self.source.nbytes
        if isinstance(self.source, bytes):
            return len(self.source)
        if isinstance(self.source, Path):
            return self.source.stat().st_size
        return None

    @property
    def can_repeat(self) -> bool:
        """Whether it can be sent again."""
        return isinstance(self.source, memoryview | bytes | Path) or self.source.seekable()

    def chunks(self) -> Iterator[bytes]:
        """Yield it piece by piece."""
        if isinstance(self.source, bytes | memoryview):
            whole = memoryview(self.source).cast("B")
            for start in range(0, len(whole), CHUNK_BYTES):
                yield bytes(whole[start : start + CHUNK_BYTES])
        elif isinstance(self.source, Path):
            with self.source.open("rb") as file:
                yield from iter(lambda: file.read(CHUNK_BYTES), b"")
        else:
            stream = self.source
            if stream.seekable():
                stream.seek(0)
            yield from iter(lambda: stream.read(CHUNK_BYTES), b"")


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: Of HTTP.
        path: Below the address of the service.
        is_repeatable: Whether doing it twice is as good as once, so that it may be tried again
            where no answer tells whether it was done.
        query: Parameters of the address; a list repeats one.
        headers: Beside Content-Type.
        body: None for none.
        progress: Told of the bytes as they are sent.
        timeout_s: What is left of the time, in seconds; None for no end.
    """

    method: str
    path: str
    is_repeatable: bool = True
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    progress: Progress | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Reply:
    """One answer: its status, its headers with names in lower case, and its body."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Pause:
    """Nothing, for so many seconds."""

    seconds: float


class ConnectionFailed(Exception):
    """A call got no answer, or half of one.

    Args:
        reason: What the network said.
        was_sent: Whether the service may have seen the request.
        is_timeout: Whether waiting took too long.
    """

    def __init__(self, reason: str, *, was_sent: bool, is_timeout: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent
        self.is_timeout = is_timeout


Steps: TypeAlias = Generator[Call | Pause, Reply | None, Result]


def reply_to(call: Call) -> Steps[Reply]:
    """Return the answer to a call."""
    reply = yield call
    assert reply is not None  # whoever takes the steps answers a call or throws
    return reply
