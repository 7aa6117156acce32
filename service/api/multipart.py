"""A form with one file, taken apart without copying the file."""

from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.faults import closest, shown
from service.domain.errors import FieldFault, InvalidInput, MalformedBody

# The parser is given this much at a time, so that it lets other threads run in between.
SLICE_BYTES: Final = 2**24
FIELDS: Final = (
    "name",
    "target",
    "columns",
    "weights",
    "task",
    "categorical",
    "ordered",
    "delimiter",
    "decimal",
    "header",
    "encoding",
    "quote",
)
"""What a form may say of its file; the same as the query parameters of an upload."""

LONGEST_FIELD_BYTES: Final = 2**16
MOST_PARTS: Final = 1_000


@dataclass(frozen=True)
class Form:
    """What a form holds.

    Attributes:
        file: A view of the body.
        file_name: As the sender calls it; "" where it has no name.
        charset: Of the file, where its label says so.
        fields: The texts of each field that is not empty, by its name.
    """

    file: memoryview
    file_name: str
    charset: str | None
    fields: dict[str, list[str]]


@dataclass
class _Part:
    """One part on its way in; its data are body[stop - length : stop]."""

    headers: dict[str, bytes] = field(default_factory=dict)
    stop: int = 0
    length: int = 0


class _Splitter:
    """Callbacks of the parser, which note where each part begins and ends."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_complete = False
        self.slice_start = 0
        self.slice = b""
        self._header = b""
        self._value = b""

    def on_part_begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise MalformedBody(f"The form has more than {MOST_PARTS:,} parts; send one file.")
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._header.decode("latin-1").lower()] = self._value
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        # Data that began like a boundary at the end of the last slice come in a buffer of their
        # own; they end where this slice begins.
        part.stop = self.slice_start + (end if data is self.slice else 0)
        part.length += end - start

    def on_end(self) -> None:
        self.is_complete = True


def read_form(body: bytearray, boundary: bytes) -> Form:
    """Return the one file and the fields of a multipart/form-data body.

    Raises:
        MalformedBody: The body is no form, or is cut short.
        InvalidInput: There is no file, more than one, or an unknown field.
    """
    splitter = _Splitter()
    view = memoryview(body)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": splitter.on_part_begin,
                "on_part_data": splitter.on_part_data,
                "on_header_field": splitter.on_header_field,
                "on_header_value": splitter.on_header_value,
                "on_header_end": splitter.on_header_end,
                "on_end": splitter.on_end,
            },
        )
        for start in range(0, len(body), SLICE_BYTES):
            splitter.slice_start = start
            splitter.slice = view[start : start + SLICE_BYTES].tobytes()
            parser.write(splitter.slice)
    except FormParserError as error:
        raise MalformedBody(f"The body is not multipart/form-data: {error}.") from None
    if not splitter.is_complete:
        raise MalformedBody("The form is cut short: its last boundary is missing.")
    return _form_of(splitter.parts, view)


def _form_of(parts: list[_Part], view: memoryview) -> Form:
    files: list[tuple[memoryview, str, str | None]] = []
    fields: dict[str, list[str]] = {}
    for part in parts:
        data = view[part.stop - part.length : part.stop]
        _, options = parse_options_header(part.headers.get("content-disposition"))
        label = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options or label == "file":
            _, said = parse_options_header(part.headers.get("content-type", b""))
            charset = said[b"charset"].decode("latin-1") if b"charset" in said else None
            files.append((data, options.get(b"filename", b"").decode("utf-8", "replace"), charset))
        elif label in FIELDS:
            text = _text(data, label)
            if text:  # Swagger UI sends a field that was left empty
                fields.setdefault(label, []).append(text)
        else:
            hint = closest(label, FIELDS) or "."
            known = f"file, {', '.join(FIELDS[:-1])} and {FIELDS[-1]}"
            detail = f"There is no field {shown(label)}{hint} Known are {known}."
            raise InvalidInput.at(label, detail)
    if len(files) != 1:
        raise InvalidInput(
            f"The form has {len(files)} files; send one, in the field 'file'.",
            faults=(FieldFault("file", "One file is needed."),),
        )
    return Form(*files[0], fields)


def _text(data: memoryview, label: str) -> str:
    if len(data) > LONGEST_FIELD_BYTES:
        raise InvalidInput.at(
            label, f"The field {label} has {len(data):,} bytes; at most 200 characters are read."
        )
    try:
        return data.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput.at(label, f"The field {label} is not UTF-8.") from None
