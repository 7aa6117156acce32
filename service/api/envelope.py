"""Raw ASGI: what every answer carries, whatever becomes of the request.

`X-Request-Id` is named in problems and the log too; `Server-Timing` says how long it took.
"""

import os
import re
from time import perf_counter
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ID_HEADER: Final = b"x-request-id"
TIMING_HEADER: Final = b"server-timing"

# What may stand in a log line and a header without quoting.
ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, or "" outside of the middleware."""
    return str(scope.get("state", {}).get("request_id", ""))


class Envelope:
    """Take the client's X-Request-Id where it is sane, or make one; time the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if ACCEPTABLE.fullmatch(asked) else os.urandom(16).hex()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (ID_HEADER, request_id.encode("ascii"))]
                if not any(name == TIMING_HEADER for name, _ in headers):
                    total = f"total;dur={1e3 * (perf_counter() - started):.3f}"
                    headers.append((TIMING_HEADER, total.encode("ascii")))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)
