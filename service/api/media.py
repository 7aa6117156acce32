"""What a request says about its body and about the answer it accepts, and the body itself."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.api.faults import body_refusal, shown
from service.api.json_numbers import parse_document
from service.api.schemas.base import RequestModel
from service.domain.errors import (
    InvalidInput,
    MalformedBody,
    NotAcceptable,
    UnsupportedMediaType,
)
from service.engine.engine import Engine

Model = TypeVar("Model", bound=RequestModel)
Result = TypeVar("Result")

JSON: Final = "application/json"

# Reading a body of this length takes less time than a thread takes to begin.
INLINE_BYTES: Final = 2**15


class Format(StrEnum):
    """The formats in which some operation reads a body."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"
    CSV = "text/csv"
    FORM = "multipart/form-data"


@dataclass(frozen=True)
class ContentType:
    """The format of a body, and the boundary between the parts of a form."""

    format: Format
    boundary: bytes = b""


def content_type(request: Request, *readable: Format) -> ContentType:
    """Return the format of the body, by its Content-Type.

    Raises:
        UnsupportedMediaType: It is none of those that the operation reads.
    """
    sent = request.headers.get("content-type", "")
    listed = ", ".join(readable[:-1]) + " or " * (len(readable) > 1) + readable[-1]
    if not sent:
        raise UnsupportedMediaType(f"The request has no Content-Type; send {listed}.")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(
            f"The body is encoded with {shown(encoding)}; send it without Content-Encoding."
        )
    essence_bytes, options = parse_options_header(sent)
    essence = essence_bytes.decode("latin-1")
    if essence.startswith("application/") and essence.endswith("+json"):
        essence = Format.JSON.value
    if essence not in readable:
        raise UnsupportedMediaType(f"The Content-Type is {shown(sent)}; {listed} is read here.")
    found = Format(essence)
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(
            f"The charset is {shown(charset)}; only UTF-8 is read. Save the body as UTF-8."
        )
    if found is Format.FORM and not options.get(b"boundary"):
        raise MalformedBody("The Content-Type multipart/form-data names no boundary.")
    return ContentType(found, options.get(b"boundary", b""))


async def read_body(
    request: Request, engine: Engine, parse: Callable[[bytearray], Result]
) -> Result:
    """Return what `parse` makes of the body; a long one is parsed in a thread.

    The body is collected in one buffer and never copied as a whole on the event loop.

    Raises:
        MalformedBody: The body is empty.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk  # grows by remapping pages, so even a large buffer does not stall
    if not body:
        raise MalformedBody("The body is empty; send the data in it.")
    if len(body) <= INLINE_BYTES:
        return parse(body)
    return await engine.run_aside(lambda: parse(body))


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
