"""Bodies kept in a file until they are whole: nothing is lost, whatever the disk does."""

import errno
import gc
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pyarrow as pa
import pytest

from service.api import spool
from service.api.spool import IN_MEMORY_BYTES, Spooled

PART = bytes(range(256)) * (IN_MEMORY_BYTES // 1024)  # four of them stay in memory


class OpenedFiles:
    """Opens files in a folder and keeps them in sight; of `room` bytes each, if it is given."""

    def __init__(self, folder: Path, room: int | None = None) -> None:
        self.files: list[FileIO] = []
        self._folder = folder
        self._room = room

    def __call__(self, *, buffering: int) -> FileIO:
        assert buffering == 0
        room = self._room

        class File(FileIO):
            def write(self, data: memoryview) -> int:  # type: ignore[override]
                if room is None:
                    return super().write(data[:1_000_000])  # in parts, as a system may
                if self.tell() >= room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(data[: room - self.tell()])

        self.files.append(File(self._folder / f"{len(self.files)}", "w+"))
        return self.files[-1]


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int | None], OpenedFiles]:
    """Return a function that lets files have so much room."""

    def with_room(room: int | None) -> OpenedFiles:
        opened = OpenedFiles(tmp_path, room)
        monkeypatch.setattr(spool, "TemporaryFile", opened)
        return opened

    return with_room


def read_all(source: pa.NativeFile) -> bytes:
    content: bytes = source.read()
    assert source.size() == len(content)
    return content


@pytest.mark.parametrize("parts", [0, 1, 4, 5, 9])
@pytest.mark.parametrize("room", [None, 0, 1_000, len(PART) * 5 + 1_000, len(PART) * 7])
def test_what_was_fed_is_read(
    opens: Callable[[int | None], OpenedFiles], parts: int, room: int | None
) -> None:
    opened = opens(room)
    body = Spooled(read_all)
    for number in range(parts):
        body.feed(bytes([number]) + PART)
    assert body.finish() == b"".join(bytes([number]) + PART for number in range(parts))
    assert len(opened.files) == (parts * (len(PART) + 1) > IN_MEMORY_BYTES)
    assert all(file.closed for file in opened.files)


def test_where_no_file_can_be_opened_memory_has_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, buffering: int) -> FileIO:
        raise FileNotFoundError(errno.ENOENT, f"No usable temporary directory ({buffering})")

    monkeypatch.setattr(spool, "TemporaryFile", refuse)
    body = Spooled(read_all)
    for _ in range(6):
        body.feed(PART)
    assert body.finish() == 6 * PART


def test_a_body_that_never_comes_to_its_end_leaves_no_file_open(
    opens: Callable[[int | None], OpenedFiles],
) -> None:
    opened = opens(None)
    body = Spooled(read_all)
    for _ in range(5):
        body.feed(PART)
    assert not opened.files[0].closed
    del body
    gc.collect()
    assert opened.files[0].closed
