"""Bodies that are read only once they are whole, and meanwhile lie in a file."""

import weakref
from collections.abc import Callable
from io import FileIO
from tempfile import TemporaryFile
from typing import Final, Generic, TypeVar

import pyarrow as pa

Result = TypeVar("Result")

IN_MEMORY_BYTES: Final = 2**24
"""Shorter bodies never reach the disk."""


class Spooled(Generic[Result]):
    """Keeps a body until it is whole: at first in memory, then in a file without a name.

    So that beside the rows of a long one, it need not be in memory too. Where no file can be
    written (no room, no such folder, all is read-only), memory has it.

    Attributes:
        rows: None is read before the body is whole.
    """

    rows = 0

    def __init__(self, parse: Callable[[pa.NativeFile], Result]) -> None:
        """Read nothing yet.

        Args:
            parse: Makes of the body what is wanted.
        """
        self._parse = parse
        self._memory = bytearray()
        self._file: FileIO | None = None
        self._filed = 0
        self._may_file = True

    def feed(self, data: bytearray | bytes) -> None:
        """Keep the next part."""
        self._memory += data
        if self._file is None and (len(self._memory) <= IN_MEMORY_BYTES or not self._may_file):
            return
        try:
            self._write()
        except OSError:
            self._take_back()

    def finish(self) -> Result:
        """Return what the body holds, and let go of it."""
        memory, self._memory = self._memory, bytearray()
        if self._file is None:
            return self.whole(memory)
        with self._file as file:
            file.seek(0)
            return self._parse(pa.PythonFile(file, mode="r"))

    def whole(self, body: bytearray | memoryview) -> Result:
        """Return what a body holds that is in memory already."""
        return self._parse(pa.BufferReader(pa.py_buffer(body)))

    def _write(self) -> None:
        """Move what memory has to the end of the file."""
        if self._file is None:
            self._file = TemporaryFile(buffering=0)
            weakref.finalize(self, self._file.close)  # also of a body that never comes to its end
        rest = memoryview(self._memory)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._filed += len(self._memory)
        self._memory = bytearray()

    def _take_back(self) -> None:
        """Have everything in memory from now on."""
        self._may_file = False
        if self._file is None:
            return
        with self._file as file:
            file.seek(0)
            body = bytearray(self._filed)
            rest = memoryview(body)
            while rest:
                rest = rest[file.readinto(rest) :]
        self._memory = body + self._memory
        self._file = None
