"""Files of rows: what a request says of them, and what is said of how they were read."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.formats.dialects import Given, checked_sign
from service.api.schemas.base import AnswerModel, Tally

DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
DECIMAL_NAMES = {"point": ".", "comma": ","}
QUOTE_NAMES = {"double": '"', "single": "'", "none": "none"}


class TextQuery(BaseModel):
    """How a CSV file is written, where that should not be told from its first lines."""

    model_config = ConfigDict(extra="forbid")

    delimiter: str | None = Field(
        None,
        description="CSV: what stands between cells: `comma`, `semicolon`, `tab`, `bar`, `space`, "
        "or the sign itself. Default: as the first lines tell.",
        examples=["semicolon"],
    )
    decimal: str | None = Field(
        None,
        description="CSV: the decimal sign, `point` or `comma`. Default: as the first lines tell; "
        "between commas it is a point.",
        examples=["comma"],
    )
    header: bool | None = Field(
        None,
        description="CSV: whether the first line names the columns. Default: unless all its cells "
        "are numbers. Without names they are x1, x2, … and y, or those of the dataset.",
    )
    encoding: str | None = Field(
        None,
        description="CSV: the encoding of the text, such as `utf-8`, `utf-16` or `windows-1252`. "
        "Default: by its first bytes, UTF-8 or else windows-1252.",
        examples=["windows-1252"],
    )
    quote: str | None = Field(
        None,
        description="CSV: the sign around texts: `double`, `single`, or `none`. Default: as the "
        "first lines tell.",
        examples=["double"],
    )

    def given(self, charset: str | None = None) -> Given:
        """Return what is said of a text, where `charset` is what its label says.

        Raises:
            InvalidInput: A sign is not known.
        """
        return Given(
            delimiter=checked_sign("delimiter", self.delimiter, DELIMITER_NAMES),
            decimal=checked_sign("decimal", self.decimal, DECIMAL_NAMES),
            header=self.header,
            encoding=self.encoding or charset,
            quote=checked_sign("quote", self.quote, QUOTE_NAMES),
        )


class RowsQuery(BaseModel):
    """Which rows of a dataset."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(
        0, ge=0, le=2**53, description="How many rows to leave out first.", examples=[0]
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=2**53,
        description="The most rows to return. Default: all, streamed.",
        examples=[10],
    )


class Source(AnswerModel):
    """How an uploaded file was read; of CSV, with all that was told from its first lines."""

    format: Literal["csv", "ndjson", "parquet", "arrow", "arrow file", "npz"] = Field(
        description="The format of the file."
    )
    delimiter: str | None = Field(None, description="CSV: the sign between cells.")
    decimal: str | None = Field(None, description="CSV: the decimal sign.")
    header: bool | None = Field(None, description="CSV: whether the first line named the columns.")
    encoding: str | None = Field(None, description="CSV: the encoding of the text.")
    quote: str | None = Field(
        None, description="CSV: the sign around texts; null where the first lines have none."
    )
    compression: Literal["gzip", "zstd"] | None = Field(
        None, description="How the file in a form was compressed; only where it was."
    )


class UploadProgress(AnswerModel):
    """How far an upload has come."""

    id: str = Field(description="As the header `Upload-Id` of the upload has it.")
    state: Literal["receiving", "done", "failed"] = Field(
        description="`receiving` until all rows are kept, or the upload was refused."
    )
    bytes_read: Tally = Field(description="Bytes of the body that have come.")
    bytes_expected: Tally | None = Field(
        description="Bytes of the whole body, as its Content-Length says; null where none was sent."
    )
    rows: Tally = Field(
        description="Rows that were read so far: of CSV and NDJSON as they come, of others at the "
        "end."
    )
    elapsed_s: float = Field(
        description="Seconds since the upload began, until it ended.",
        json_schema_extra={"minimum": 0},
    )
    dataset_id: str | None = Field(description="The dataset, once it is kept.")
    detail: str = Field(description="Why it failed; empty otherwise.")
