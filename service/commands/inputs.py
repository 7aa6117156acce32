"""Files that are sent as they are: the service reads them, and its errors name their lines."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from service.client import MEDIA_TYPES
from service.commands.failures import ExitCode, Failure

STANDARD: Final = "-"
"""Stands for stdin or stdout."""

UNNAMED: Final = "application/octet-stream"
"""The service then tells the format by the first bytes."""


@contextmanager
def sent_file(name: str, format_name: str | None) -> Iterator[tuple[Path | BinaryIO, str]]:
    """Give a file, or stdin, and its media type: by `--format`, else by its suffix.

    Raises:
        Failure: There is no such file, or no such format.
    """
    suffix = Path(name).suffix.lower() if format_name is None else f".{format_name.lower()}"
    if format_name is not None and suffix not in MEDIA_TYPES:
        known = ", ".join(kind.removeprefix(".") for kind in MEDIA_TYPES)
        raise Failure(ExitCode.USAGE, f"--format is {format_name!r}; it is one of {known}.")
    media_type = MEDIA_TYPES.get(suffix, UNNAMED)
    if name == STANDARD:
        yield sys.stdin.buffer, media_type
        return
    try:
        file = Path(name).open("rb")
    except OSError as error:
        raise Failure(
            ExitCode.USAGE, f"{name} cannot be read ({error.strerror}); name a file that can."
        ) from None
    with file:
        yield Path(name), media_type


@contextmanager
def sent_queries(name: str, format_name: str | None) -> Iterator[tuple[Path | BinaryIO, str]]:
    """Give queries as `sent_file` does; JSON as lines, and an Arrow stream as a file.

    For these two are to `POST /predict` whole requests, with the id of the dataset in them.

    Raises:
        Failure: As `sent_file` does; or they hold no queries.
    """
    with sent_file(name, format_name) as (source, media_type):
        if media_type not in WHOLE_REQUESTS:
            yield source, media_type
            return
        content = source.read_bytes() if isinstance(source, Path) else source.read()
    rewrite, suffix = WHOLE_REQUESTS[media_type]
    try:
        rewritten = rewrite(content)
    except (pa.ArrowException, ValueError) as error:
        raise Failure(
            ExitCode.USAGE,
            f"{name} cannot be read ({str(error).splitlines()[0]}); queries in JSON are a list of "
            'objects, such as [{"times": 15}], and in Arrow a stream of columns.',
        ) from error
    yield BytesIO(rewritten), MEDIA_TYPES[suffix]


def _json_as_lines(content: bytes) -> bytes:
    rows = json.loads(content)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no list of objects")
    return "\n".join(map(json.dumps, rows)).encode()


def _arrow_stream_as_file(content: bytes) -> bytes:
    table = pa.ipc.open_stream(content).read_all()
    sink = BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


WHOLE_REQUESTS: Final[Mapping[str, tuple[Callable[[bytes], bytes], str]]] = {
    MEDIA_TYPES[".json"]: (_json_as_lines, ".ndjson"),
    MEDIA_TYPES[".arrows"]: (_arrow_stream_as_file, ".arrow"),
}
"""How each is written anew, and the suffix of what it is then."""
