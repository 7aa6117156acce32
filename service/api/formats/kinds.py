"""The formats of bodies, by their media types."""

from enum import StrEnum
from typing import Final


class Format(StrEnum):
    """The formats in which some operation reads or writes a body."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"
    ARROW_FILE = "application/vnd.apache.arrow.file"
    PARQUET = "application/vnd.apache.parquet"
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"
    NPZ = "application/x-npz"
    FORM = "multipart/form-data"
    BYTES = "application/octet-stream"  # told by its first bytes

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name.lower().replace("_", " ")


ALIASES: Final = {
    "text/tab-separated-values": Format.CSV,
    "application/csv": Format.CSV,
    "text/x-csv": Format.CSV,
    "text/plain": Format.CSV,
    "application/vnd.ms-excel": Format.CSV,  # what some browsers call a .csv file
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "application/x-jsonlines": Format.NDJSON,
    "application/jsonlines": Format.NDJSON,
    "application/parquet": Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
    "application/npz": Format.NPZ,
    "application/zip": Format.NPZ,
    "application/x-zip-compressed": Format.NPZ,
}
"""What else programs call them."""

FILES: Final = (
    Format.CSV,
    Format.NDJSON,
    Format.PARQUET,
    Format.ARROW_FILE,
    Format.NPZ,
    Format.BYTES,
)
"""Formats of rows that have no place for the fields of a request; these are query parameters."""


def as_format(essence: str) -> Format | None:
    """Return the format that a media type without parameters names; None if it is not known."""
    if essence.startswith("application/") and essence.endswith("+json"):
        return Format.JSON
    if essence in ALIASES:
        return ALIASES[essence]
    try:
        return Format(essence)
    except ValueError:
        return None
