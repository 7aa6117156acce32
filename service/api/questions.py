"""Reading what is asked of the engine, and waiting for its answer as long as the client does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from service.api.media import Format, content_type, read_body
from service.api.state import asked
from service.engine.engine import Engine
from service.engine.limits import Limits

T = TypeVar("T")

# Most answers are there by then; only the others are worth a look at the connection.
WATCHED_AFTER_S: Final = 0.1


async def read_question(
    request: Request, parse: Callable[[bytearray, Limits], T]
) -> tuple[Engine, T]:
    """Return the engine, and what `parse` makes of the JSON body; the answer is JSON too.

    Raises:
        NotAcceptable, InvalidInput, UnsupportedMediaType, MalformedBody: The request is not so.
    """
    engine = asked(request)
    content_type(request, Format.JSON)
    return engine, await read_body(request, engine, lambda body: parse(body, engine.limits))


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; cancel it when the client goes away.

    Raises:
        ClientDisconnect: Nobody waits for the answer any more.
    """
    task = asyncio.ensure_future(work)
    watcher: asyncio.Future[None] | None = None
    try:
        await asyncio.wait({task}, timeout=WATCHED_AFTER_S)
        if not task.done():
            watcher = asyncio.ensure_future(_disconnected(request))
            await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientDisconnect
        return await task
    finally:
        for pending in (task, watcher):
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.wait({pending})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
