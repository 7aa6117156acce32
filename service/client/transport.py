"""Steps taken over HTTP: blocking, and on an event loop. All input and output is here."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx

from service.client.steps import Call, ConnectionFailed, Reply, Result, Steps

CONNECT_S: Final = 5.0
"""A service on this machine or nearby answers a connection at once."""

DEFAULT_URL: Final = "http://127.0.0.1:8000"

NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def address(url: str | None) -> str:
    """Return the address of the service: this one, else that in NEARFIT_URL, else this machine.

    Raises:
        ValueError: It is none.
    """
    found = (url or os.environ.get("NEARFIT_URL") or DEFAULT_URL).rstrip("/")
    try:
        parsed = httpx.URL(found)
        is_address = parsed.scheme in ("http", "https") and bool(parsed.host)
    except httpx.InvalidURL:
        is_address = False
    if not is_address:
        raise ValueError(f"The url is {found!r}; give one such as {DEFAULT_URL}.")
    return found


def run(steps: Steps[Result], http: httpx.Client) -> Result:
    """Take the steps, and return what they return."""
    try:
        step = next(steps)
        while True:
            reply: Reply | None = None
            try:
                if isinstance(step, Call):
                    reply = _sent(step, http)
                else:
                    time.sleep(step.seconds)
            except BaseException as error:  # an interrupt too: the steps may have a job to cancel
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result


async def run_async(steps: Steps[Result], http: httpx.AsyncClient) -> Result:
    """Take the steps on the event loop, and return what they return."""
    try:
        step = next(steps)
        while True:
            reply: Reply | None = None
            try:
                if isinstance(step, Call):
                    reply = await _sent_async(step, http)
                else:
                    await asyncio.sleep(step.seconds)
            except BaseException as error:  # a cancellation too: the steps may have a job to cancel
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as end:
        result: Result = end.value
        return result


def _sent(call: Call, http: httpx.Client) -> Reply:
    try:
        return _reply(http.send(_request(call, http, content=_pieces(call))))
    except httpx.TransportError as error:
        raise _failure(error) from error


async def _sent_async(call: Call, http: httpx.AsyncClient) -> Reply:
    try:
        return _reply(await http.send(_request(call, http, content=_async_pieces(call))))
    except httpx.TransportError as error:
        raise _failure(error) from error


def _request(call: Call, http: httpx.Client | httpx.AsyncClient, content: Any) -> httpx.Request:
    headers = dict(call.headers)
    if call.body is not None:
        headers["Content-Type"] = call.body.media_type
        length = call.body.length
        if length is not None:
            headers["Content-Length"] = str(length)
    left = call.timeout_s
    connect = CONNECT_S if left is None else min(CONNECT_S, left)
    return http.build_request(
        call.method,
        call.path,
        params=dict(call.query),
        headers=headers,
        content=None if call.body is None else content,
        timeout=httpx.Timeout(left, connect=connect),
    )


def _pieces(call: Call) -> Iterator[bytes]:
    if call.body is None:
        return
    sent, total = 0, call.body.length
    for chunk in call.body.chunks():
        yield chunk
        sent += len(chunk)
        if call.progress is not None:
            call.progress(sent, total)


async def _async_pieces(call: Call) -> AsyncIterator[bytes]:
    pieces = _pieces(call)
    while chunk := await asyncio.to_thread(next, pieces, b""):  # a file is read off the event loop
        yield chunk


def _reply(answer: httpx.Response) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status_code, headers, answer.content)


def _failure(error: httpx.TransportError) -> ConnectionFailed:
    return ConnectionFailed(
        str(error) or type(error).__name__,
        was_sent=not isinstance(error, NOT_SENT),
        is_timeout=isinstance(error, httpx.TimeoutException),
    )
