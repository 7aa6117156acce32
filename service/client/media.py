"""The media types that the service reads, by the end of a file's name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from service.client.steps import Body

JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".txt": "text/csv",
    ".json": JSON,
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".parquet": PARQUET,
    ".arrows": ARROW,
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".npz": "application/x-npz",
}


def is_file(data: Any) -> bool:
    """Return whether this is a file, to be sent as it is, or its path."""
    return isinstance(data, Path) or hasattr(data, "read")


def file_body(data: Path | BinaryIO, media_type: str | None) -> Body:
    """Return a file as it is.

    Args:
        data: Its path, or the file open for reading bytes.
        media_type: What it holds; None goes by the end of its name.

    Raises:
        ValueError: Nothing says what it holds.
        TypeError: It is open for texts.
    """
    if isinstance(getattr(data, "read", lambda _: b"")(0), str):
        raise TypeError("The file is open for texts; open it for bytes, with mode 'rb'.")
    name = data if isinstance(data, Path) else Path(str(getattr(data, "name", "")))
    if media_type is None:
        media_type = MEDIA_TYPES.get(name.suffix.lower())
    if media_type is None:
        raise ValueError(
            f"The end of the name, '{name.suffix}', does not say what the file holds; give "
            f"media_type, such as text/csv, or name it with one of {', '.join(MEDIA_TYPES)}."
        )
    return Body(data, media_type)
