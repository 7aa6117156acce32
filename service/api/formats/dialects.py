"""How a CSV file is written: what stands between cells, in decimals, around texts, and in bytes.

Nothing in a file says so. It is told from the first lines, reported back, and what the sender says
counts more.

Over 300 lines: what a sender may say, and what is told where nothing is said, side by side.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.api.faults import shown
from service.domain.errors import InvalidInput, MalformedBody, UnsupportedMediaType

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS: Final = ",;\t|"
NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?")
NOT_SENT: Final = ("", "NA")  # besides these, NaN is the number of that name

SAMPLE_BYTES: Final = 2**16
SAMPLE_LINES: Final = 100

CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that no text of one byte a character has, but pictures and programs."""

MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks."""

ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-16be": "utf-16-be",
    "latin-1": "windows-1252",
    "latin1": "windows-1252",
    "iso-8859-1": "windows-1252",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
    "iso-8859-2": "iso-8859-2",
    "iso-8859-15": "iso-8859-15",
    "windows-1250": "windows-1250",
    "windows-1251": "windows-1251",
    "shift_jis": "shift_jis",
    "gb18030": "gb18030",
}
"""By what people and programs call them; what is labelled Latin-1 is windows-1252 as a rule, as
browsers take it (WHATWG Encoding Standard)."""


@dataclass(frozen=True)
class Given:
    """What the sender says of a file of text; None where nothing is said.

    Attributes:
        delimiter: The character between cells.
        decimal: The decimal sign, a point or a comma.
        header: Whether the first line names the columns.
        encoding: A key of `ENCODINGS`.
        quote: The character around texts, or "none".
    """

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    encoding: str | None = None
    quote: str | None = None


NOTHING_GIVEN: Final = Given()


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, as it is read.

    Attributes:
        delimiter: The character between cells.
        decimal: The decimal sign.
        has_header: Whether the first line names the columns.
        quote: The character around texts; None where none may stand.
        is_quoted: Whether it was seen in the first lines.
    """

    delimiter: str
    decimal: str
    has_header: bool
    quote: str | None
    is_quoted: bool

    def cells(self, line: str) -> list[str]:
        """Return the cells of a line.

        Raises:
            csv.Error: It has none, since a quote is misplaced.
        """
        return next(self.reader([line], strict=True), [])

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> "Reader":
        """Return what reads lines as cells."""
        if self.quote is None:
            return csv.reader(
                lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=strict
            )
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=strict)

    def as_number(self, text: str) -> str:
        """Return a number as the text of a cell has it, with a point in its decimals."""
        return text.replace(",", ".") if self.decimal == "," else text


def dialect_of(sample: str, given: Given) -> Dialect:
    """Return how a file is written, by its first lines and what the sender says.

    The delimiter is the one of `DELIMITERS` outside of quotes in the first line; of several, the
    one that makes all lines equally long, and more of their cells numbers. Decimals have a comma
    where some cells have one and none a point; but never between commas, where 1,234 may be a
    thousand. The first line has no names where all its cells are numbers, or missing.

    Args:
        sample: The first lines, none of them cut.
        given: What is known already.
    """
    lines = [line for line in sample.splitlines() if line.strip()][:SAMPLE_LINES]
    first = lines[0] if lines else ""
    quote = given.quote
    if quote is None:
        quote = "'" if '"' not in sample and re.search(r"(^|[,;\t|])'[^']*'", first) else '"'
    is_quoted = quote != "none" and quote in sample
    known = quote if quote != "none" else None
    delimiter = given.delimiter or _delimiter(lines, known)
    rows = _rows(lines, delimiter, known)
    cells = [cell.strip() for row in rows for cell in row]
    decimal = given.decimal or "."
    if given.decimal is None and delimiter != ",":
        with_comma = any(DECIMAL_COMMA.fullmatch(cell) for cell in cells)
        if with_comma and not any("." in cell and NUMBER.fullmatch(cell) for cell in cells):
            decimal = ","
    dialect = Dialect(delimiter, decimal, True, known, is_quoted)
    head = [dialect.as_number(cell.strip()) for cell in rows[0]] if rows else []
    are_numbers = [NUMBER.fullmatch(cell) is not None for cell in head]
    nothing = [cell in NOT_SENT for cell in head]
    has_header = given.header
    if has_header is None:
        has_header = not (
            any(are_numbers) and all(a or b for a, b in zip(are_numbers, nothing, strict=True))
        )
    return Dialect(delimiter, decimal, has_header, known, is_quoted)


def _delimiter(lines: list[str], quote: str | None) -> str:
    first = lines[0] if lines else ""
    unquoted = re.sub(f"{quote}[^{quote}]*{quote}", "", first) if quote else first
    found = [sign for sign in DELIMITERS if sign in unquoted]
    if len(found) < 2:
        return found[0] if found else ","

    def fitness(sign: str) -> tuple[bool, int]:
        rows = _rows(lines, sign, quote)
        numbers = sum(
            NUMBER.fullmatch(cell.strip()) is not None
            or (sign != "," and DECIMAL_COMMA.fullmatch(cell.strip()) is not None)
            for row in rows
            for cell in row
        )
        cells = sum(len(row) for row in rows)
        return len({len(row) for row in rows}) == 1, numbers - cells

    return max(found, key=fitness)


def _rows(lines: list[str], delimiter: str, quote: str | None) -> list[list[str]]:
    dialect = Dialect(delimiter, ".", True, quote, False)
    try:
        return [row for row in dialect.reader(lines) if row]
    except csv.Error:
        return []


class Decoder:
    """Text in any encoding to UTF-8, piece by piece.

    Where nothing is said, the first bytes that are no ASCII decide between UTF-8 and windows-1252.

    Attributes:
        encoding: What was found so far.
        is_decided: Whether nothing that follows can change it.
    """

    def __init__(self, given: str | None) -> None:
        """Begin. Raises `UnsupportedMediaType` for an encoding that is not read."""
        self.encoding = "utf-8"
        self.is_decided = given is not None
        if given is not None:
            if given.lower() not in ENCODINGS:
                raise UnsupportedMediaType(
                    f"The encoding is {shown(given)}; one of {', '.join(ENCODINGS)} is read. Save "
                    "the file as UTF-8."
                )
            self.encoding = ENCODINGS[given.lower()]
        self._rest = b""

    def begin(self, head: bytes) -> int:
        """Tell the encoding from the first bytes; return how many of them are a mark."""
        for mark, encoding in MARKS:
            if head.startswith(mark) and (
                not self.is_decided or self.encoding in (encoding, "utf-16")
            ):
                self.encoding, self.is_decided = encoding, True
                return len(mark)
        if self.encoding == "utf-16":
            self.encoding = "utf-16-le"
        if not self.is_decided and (found := _wide_encoding(head[:SAMPLE_BYTES])):
            self.encoding, self.is_decided = found, True
        return 0

    def decoded(self, data: bytearray, *, is_last: bool = False) -> bytes | bytearray:
        """Return the next piece in UTF-8; `begin` has seen its first bytes.

        Raises:
            MalformedBody: It is not in this encoding.
        """
        if self.encoding == "utf-8":
            return data
        data = bytearray(self._rest) + data
        width = 2 if self.encoding.startswith("utf-16") else 1
        whole = len(data) - len(data) % width
        if width == 1 and not is_last:
            whole = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data)
        elif width == 2 and not is_last and whole >= 2:
            last = data[whole - 1 if self.encoding == "utf-16-le" else whole - 2]
            if 0xD8 <= last < 0xDC:  # the first half of a pair
                whole -= 2
        self._rest = bytes(data[whole:])
        try:
            return data[: len(data) if is_last else whole].decode(self.encoding).encode("utf-8")
        except UnicodeError as error:
            raise MalformedBody(
                f"The file is not {self.encoding}: {' '.join(str(error).split())[:200]}. Save it "
                "as UTF-8, or say in encoding what it is."
            ) from None

    def checked(self, block: bytes | bytearray) -> bytes | bytearray:
        """Return whole lines in UTF-8, as far as that is not decided already.

        Raises:
            MalformedBody: It is no text.
        """
        if self.is_decided or block.isascii():
            return block
        self.is_decided = True
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            if CONTROLS.search(block):
                raise MalformedBody(
                    "The file is no text, in UTF-8 or another encoding. Save a table as CSV; of a "
                    "compressed body say so in Content-Encoding (gzip, zstd)."
                ) from None
            self.encoding = "windows-1252"
            return self.decoded(bytearray(block), is_last=True)
        return block


def checked_sign(name: str, text: str | None, known: dict[str, str]) -> str | None:
    """Return the sign that a parameter means; None where it was not sent.

    Raises:
        InvalidInput: It is none of those known.
    """
    if text is None:
        return None
    if text in known.values():
        return text
    if text.lower() not in known:
        raise InvalidInput.at(
            name, f"{name} is {shown(text)}; it must be {', '.join(known)}, or the sign itself."
        )
    return known[text.lower()]


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of two bytes a character that the zeros among them tell, if they do."""
    if len(head) < 4:
        return None
    pairs = len(head) // 2
    first, second = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if second > 0.7 * pairs and not first:
        return "utf-16-le"
    return "utf-16-be" if first > 0.7 * pairs and not second else None
