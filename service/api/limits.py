"""Raw ASGI: a body over the limit is refused, before its first byte where its length is known.

So is one that would make the bodies that are held at once, over all requests, too many bytes, and
one of which nothing comes for too long.

A client that is still sending when the connection closes sees a reset instead of the answer. So
an answer that comes before the end of the body is sent, but its last event is held back until the
rest of the body has been read and dropped, within bounds.
"""

import time
from asyncio import timeout
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import error_response
from service.domain.errors import BodyTooLarge, BodyTooSlow, Overloaded

# Bodies of the largest size that may be held at once.
LARGEST_BODIES: Final = 4
RETRY_AFTER_S: Final = 5

DRAIN_SECONDS: Final = 10.0
DRAIN_BYTES: Final = 2**30


class BodyLimit:
    """Let at most `max_body_bytes` of a request body through to the application.

    Args:
        app: The application.
        max_body_bytes: Of one request; the requests under way hold some times as many together.
        body_timeout_s: Seconds without a byte after which a body counts as given up.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._bodies = _Bodies(LARGEST_BODIES * max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = _declared_length(headers)
        if length == 0 and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        body = _Body(
            receive, send, headers, self._max_body_bytes, self._body_timeout_s, self._bodies
        )
        try:
            self._check(length or 0)
        except (BodyTooLarge, Overloaded) as error:
            await error_response(scope, error)(scope, body.receive, body.send)
            return
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            body.release()

    def _check(self, length: int) -> None:
        if length > self._max_body_bytes:
            raise too_large(f"The body has {length:,} bytes", self._max_body_bytes)
        self._bodies.check_room(length)


def too_large(found: str, limit: int) -> BodyTooLarge:
    """Return the error for a body of which `found` says how long it is."""
    return BodyTooLarge(
        f"{found}, and the limit is {limit:,} bytes (max_body_bytes in /limits). Upload the rows "
        "in parts, with POST /datasets/{id}/rows for all but the first, or send the queries in "
        "several requests."
    )


class _Bodies:
    """The bytes of all bodies that are held, as far as they have come.

    What is only announced is not counted: clients that announce much and send nothing would keep
    all others out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    def check_room(self, more: int) -> None:
        """Raise `Overloaded` if there is no room for so many bytes more."""
        if self._held + more > self._limit:
            raise Overloaded(
                f"The requests under way hold {self._held:,} bytes, and with this body they would "
                f"hold more than {self._limit:,} ({LARGEST_BODIES} times max_body_bytes in "
                "/limits); send it again later.",
                retry_after_s=RETRY_AFTER_S,
            )

    def hold(self, more: int) -> None:
        """Count so many bytes more. Raises `Overloaded` as `check_room` does."""
        self.check_room(more)
        self._held += more

    def release(self, count: int) -> None:
        """Count so many bytes less."""
        self._held -= count


class _Body:
    """The body of one request on its way in: counted, and drained if an answer overtakes it."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        headers: Headers,
        limit: int,
        timeout_s: float,
        bodies: _Bodies,
    ) -> None:
        self._receive = receive
        self._send = send
        # Nothing more will come: such a client waits for a word before it sends, and a final answer
        # means that it will not.
        self._held_back = headers.get("expect", "").lower() == "100-continue"
        self._limit = limit
        self._timeout_s = timeout_s
        self._bodies = bodies
        self._held = 0
        self._received = 0
        self._ended = False

    async def receive(self) -> Message:
        """Return the next event of the body.

        Raises:
            BodyTooLarge: The bytes received exceed the limit; how many follow is not known.
            BodyTooSlow: Nothing has come for too long.
            Overloaded: All requests together would hold too many bytes.
        """
        if self._ended:  # what is waited for now is that the client goes away
            return await self._receive()
        before = self._received
        try:
            async with timeout(self._timeout_s):
                message = await self._receive_counted()
        except TimeoutError:
            self._held_back = True
            raise BodyTooSlow(
                f"Nothing of the body has come for {self._timeout_s:g} seconds, after "
                f"{self._received:,} bytes; send it again, without a pause."
            ) from None
        if self._received > self._limit:
            raise too_large(f"The body has more than {self._limit:,} bytes", self._limit)
        self._bodies.hold(self._received - before)
        self._held += self._received - before
        return message

    def release(self) -> None:
        """Count its bytes no more; the application has let go of them."""
        self._bodies.release(self._held)
        self._held = 0

    async def send(self, message: Message) -> None:
        """Pass on an event of the answer, but end it only after the body has ended."""
        if self._ended:
            self.release()  # it was read to its end and is not needed for an answer
            await self._send(message)
        elif message["type"] == "http.response.start":
            # Should the body outlast the bounds, then nothing can follow on this connection.
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _receive_counted(self) -> Message:
        message = await self._receive()
        self._held_back = False
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        else:
            self._ended = True
        return message

    async def _drain(self) -> None:
        if self._held_back:
            return
        stop = self._received + DRAIN_BYTES
        started = time.monotonic()
        try:
            async with timeout(DRAIN_SECONDS):
                while not self._ended and self._received < stop:
                    await self._receive_counted()
                    # The timeout does not fire while data are always at hand.
                    if time.monotonic() - started > DRAIN_SECONDS:
                        return
        except TimeoutError:
            return


def _declared_length(headers: Headers) -> int | None:
    """Return the Content-Length; None where it is absent in a chunked body, or is no number.

    The server has refused what is no valid length; without either header there is no body.
    """
    declared = headers.get("content-length")
    if declared is None:
        return None if "transfer-encoding" in headers else 0
    return int(declared) if declared.isascii() and declared.isdigit() else None
