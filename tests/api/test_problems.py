"""Every error has a status code and a problem document."""

import asyncio
import logging
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.api.envelope import Envelope
from service.api.errors import STATUS_CODES, UnexpectedErrors, install_error_handlers
from service.domain.errors import (
    FieldFault,
    InvalidInput,
    NearfitError,
    NotReady,
    ServiceUnable,
    WorkerLost,
)
from tests.api.problems import problem


def leaves(parent: type[NearfitError]) -> Iterator[type[NearfitError]]:
    children = parent.__subclasses__()
    if not children:
        yield parent
    for child in children:
        yield from leaves(child)


def answer_to(error: Exception) -> httpx.Response:
    """Return the answer of an endpoint that ends with this error."""
    app = FastAPI(middleware=[Middleware(Envelope), Middleware(UnexpectedErrors)])
    install_error_handlers(app)

    @app.get("/")
    async def endpoint() -> None:
        raise error

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/")

    return asyncio.run(ask())


def test_every_error_has_a_status_code() -> None:
    assert set(STATUS_CODES) == set(leaves(NearfitError))


@pytest.mark.parametrize("kind", list(STATUS_CODES))
def test_every_error_becomes_a_problem(kind: type[NearfitError]) -> None:
    found = problem(answer_to(kind("What to do.")), STATUS_CODES[kind])
    assert found["detail"] == "What to do."
    assert re.fullmatch(r"/guide/troubleshooting/#[a-z]+(-[a-z]+)*", found["type"])
    assert found["title"].lower().replace(" ", "-") == found["type"].rpartition("#")[2]


@pytest.mark.parametrize("kind", [WorkerLost, NotReady])
def test_the_wait_that_the_service_knows_is_passed_on(kind: type[ServiceUnable]) -> None:
    answer = answer_to(kind("Wait.", retry_after_s=7))
    assert answer.headers["retry-after"] == "7"


def test_what_cannot_be_written_does_not_break_the_answer() -> None:
    faults = (FieldFault("/\ud800", "nan \udfff"),)
    found = problem(answer_to(InvalidInput("a \ud800 b", faults=faults)), 422)
    assert found["detail"] == "a ? b"


def test_an_unforeseen_error_is_logged_and_says_nothing_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = answer_to(ZeroDivisionError("secret"))
    found = problem(answer, 500)
    assert found["type"] == "/guide/troubleshooting/#internal-error"
    assert "secret" not in answer.text
    assert "ZeroDivisionError: secret" in caplog.text
    assert found["request_id"] in caplog.text


def test_a_status_without_a_condition_of_ours_names_none() -> None:
    answer = answer_to(HTTPException(425, "Wait for the handshake."))
    assert answer.status_code == 425
    document = answer.json()
    assert document["type"] == "about:blank"
    assert document["title"] == "Too Early"
    assert document["detail"] == "Wait for the handshake."


def test_behind_a_prefix_the_type_still_leads_to_the_guide() -> None:
    app = FastAPI(middleware=[Middleware(Envelope)])
    install_error_handlers(app)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, root_path="/nearfit")
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/nearfit/nowhere")

    assert asyncio.run(ask()).json()["type"] == "/nearfit/guide/troubleshooting/#unknown-path"


def test_a_client_that_left_gets_no_answer_and_no_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Message] = []

    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    with caplog.at_level(logging.INFO):
        asyncio.run(UnexpectedErrors(gone)({"type": "http"}, receive, send))
    assert sent == []
    assert caplog.records == []


def test_a_request_id_is_taken_over_if_it_is_sane(api: httpx.Client) -> None:
    asked = "trace-1:2/3"
    assert api.get("/livez", headers={"X-Request-Id": asked}).headers["x-request-id"] == asked
    for strange in ("a b", "x" * 200, '"', "<script>"):
        made = api.get("/livez", headers={"X-Request-Id": strange}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)
