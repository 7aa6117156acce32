"""What a request says about its body and about the answer it accepts, and the body itself."""

from asyncio import Future, ensure_future
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.api.faults import body_refusal, shown
from service.api.formats.coding import coding_of, inflated
from service.api.formats.kinds import Format as Format
from service.api.formats.kinds import as_format
from service.api.json_numbers import parse_document
from service.api.schemas.base import RequestModel
from service.domain.errors import (
    InvalidInput,
    MalformedBody,
    NotAcceptable,
    UnsupportedMediaType,
)
from service.engine.engine import Engine
from service.engine.limits import Limits

Model = TypeVar("Model", bound=RequestModel)
Result = TypeVar("Result")
Read = TypeVar("Read", covariant=True)

JSON: Final = "application/json"

# Reading a body of this length takes less time than a thread takes to begin.
INLINE_BYTES: Final = 2**15

PART_BYTES: Final = 2**22
"""Of a body that is read as it comes."""

NOTHING_SENT: Final = "The body is empty; send the data in it."


@dataclass(frozen=True)
class ContentType:
    """The format of a body, and what the Content-Type says beside it.

    Attributes:
        format: Of the body.
        boundary: Between the parts of a form.
        charset: Of a text, where it is named; that of JSON is UTF-8.
    """

    format: Format
    boundary: bytes = b""
    charset: str | None = None


def content_type(request: Request, *readable: Format) -> ContentType:
    """Return the format of the body, by its Content-Type.

    Raises:
        UnsupportedMediaType: It is none of those that the operation reads.
    """
    sent = request.headers.get("content-type", "")
    listed = ", ".join(readable[:-1]) + " or " * (len(readable) > 1) + readable[-1]
    if not sent:
        raise UnsupportedMediaType(f"The request has no Content-Type; send {listed}.")
    coding_of(request.headers.get("content-encoding", ""))
    essence_bytes, options = parse_options_header(sent)
    found = as_format(essence_bytes.decode("latin-1"))
    if found is None or found not in readable:
        raise UnsupportedMediaType(f"The Content-Type is {shown(sent)}; {listed} is read here.")
    sent_charset = options.get(b"charset")
    charset = None if sent_charset is None else sent_charset.decode("latin-1").lower()
    if found is not Format.CSV and charset not in {None, "utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(
            f"The charset is {shown(charset)}; only UTF-8 is read. Save the body as UTF-8."
        )
    if found is Format.FORM and not options.get(b"boundary"):
        raise MalformedBody("The Content-Type multipart/form-data names no boundary.")
    return ContentType(found, options.get(b"boundary", b""), charset)


async def read_body(
    request: Request, engine: Engine, parse: Callable[[bytearray], Result]
) -> Result:
    """Return what `parse` makes of the body; a long one is parsed in a thread.

    The body is collected in one buffer and never copied as a whole on the event loop.

    Raises:
        MalformedBody: The body is empty, or not compressed as its Content-Encoding says.
        BodyTooLarge: It becomes too long when it is decompressed.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk  # grows by remapping pages, so even a large buffer does not stall
    if not body:
        raise MalformedBody(NOTHING_SENT)
    coding = coding_of(request.headers.get("content-encoding", ""))
    if coding is not None:
        return await engine.run_aside(lambda: parse(_whole(body, coding, engine.limits)))
    if len(body) <= INLINE_BYTES:
        return parse(body)
    return await engine.run_aside(lambda: parse(body))


def _whole(body: bytearray, coding: str, limits: Limits) -> bytearray:
    found = bytearray()
    for piece in inflated(body, coding, limits):
        found += piece
    return found


class BodyReader(Protocol[Read]):
    """Takes a body in parts as they come; each call may take long, and is made in a thread."""

    @property
    def rows(self) -> int:
        """How many rows were read so far."""

    def feed(self, data: bytearray | bytes) -> None:
        """Read the next part."""

    def finish(self) -> Read:
        """Return what the whole body holds."""


class Watch(Protocol):
    """Is told how far a body has been read."""

    def seen(self, more_bytes: int, rows: int) -> None:
        """Note that so many bytes more have come, and so many rows are read in all."""


async def read_parts(
    request: Request, engine: Engine, reader: BodyReader[Result], watch: Watch
) -> Result:
    """Return what the reader makes of the body, which is given to it part by part, in a thread.

    While it reads one, the next comes. A compressed body is collected, and given to it in parts as
    it is decompressed.

    Raises:
        MalformedBody, BodyTooLarge: As `read_body` does.
    """
    coding = coding_of(request.headers.get("content-encoding", ""))
    part = bytearray()
    received = 0
    reading: Future[None] | None = None  # of the part before
    try:
        async for chunk in request.stream():
            received += len(chunk)
            part += chunk
            if coding is None and len(part) >= PART_BYTES:
                if reading is not None:
                    await reading
                full, part = part, bytearray()
                reading = ensure_future(engine.run_aside(partial(reader.feed, full)))
            watch.seen(len(chunk), reader.rows)
    finally:
        if reading is not None:
            await reading
    if not received:
        raise MalformedBody(NOTHING_SENT)

    def read_last() -> Result:
        if coding is None:
            reader.feed(part)
        else:
            for piece in inflated(part, coding, engine.limits):
                reader.feed(piece)
                watch.seen(0, reader.rows)
        return reader.finish()

    short = received <= INLINE_BYTES and coding is None
    found = read_last() if short else await engine.run_aside(read_last)
    watch.seen(0, reader.rows)
    return found


def parse_model(body: bytearray, model: type[Model], array_pointers: frozenset[str]) -> Model:
    """Return the model that a JSON body holds.

    The arrays called y and groups in it may be texts. They, x and queries may have gaps; x, queries
    and starts may have texts among numbers.

    Raises:
        MalformedBody: The body is not JSON.
        InvalidInput: It does not fit the model.
    """
    targets = frozenset(p for p in array_pointers if p.endswith(("/y", "/groups")))
    gaps = frozenset(p for p in array_pointers if p.endswith(("/x", "/queries")))
    mixed = frozenset(p for p in array_pointers if p.endswith(("/x", "/queries", "/starts")))
    document = parse_document(
        body,
        array_pointers=array_pointers,
        target_pointers=targets,
        gap_pointers=gaps,
        mixed_pointers=mixed,
    )
    return validated(document, model)


def validated(document: Any, model: type[Model]) -> Model:
    """Return the model that a document holds.

    Raises:
        InvalidInput: It does not fit the model.
    """
    if not isinstance(document, dict):
        raise InvalidInput.at("", f"The body is {shown(document)}; send a JSON object.")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise body_refusal(error, model, document) from None


def accepted(accept: str, *offered: Format) -> Format:
    """Return the format of the answer (RFC 9110, section 12.5.1).

    Args:
        accept: The Accept header; an empty one accepts all.
        offered: The formats that can be written, of which the first is preferred.

    Raises:
        NotAcceptable: None of them is accepted.
    """
    if not accept or accept == "*/*" or accept == offered[0]:
        return offered[0]
    qualities = [_quality(accept.lower(), media_type) for media_type in offered]
    best = max(qualities)
    if best <= 0:
        raise NotAcceptable(
            f"The answer is {' or '.join(offered)}, and the request accepts {shown(accept)} only; "
            f"send Accept: {offered[0]}."
        )
    return offered[qualities.index(best)]


def _quality(accept: str, media_type: Format) -> float:
    """Return how much the media type is wanted; of several wishes, the most specific one counts."""
    ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    best_specificity, quality = -1, 0.0
    for wish in accept.split(","):
        media_range, *parameters = (part.strip() for part in wish.split(";"))
        specificity = ranges.index(media_range) if media_range in ranges else -1
        if specificity > best_specificity:
            best_specificity, quality = specificity, _parameter_q(parameters)
    return quality


def _parameter_q(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
