"""Every way a request can fail, as a problem document (RFC 9457).

One table gives each domain error its status code; the framework's own errors get the same form.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.envelope import request_id_of
from service.api.faults import query_faults, refusal
from service.api.media import JSON
from service.domain.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DatasetNotFound,
    DeadlineExceeded,
    FieldFault,
    InvalidInput,
    JobNotFound,
    MalformedBody,
    NearfitError,
    NotAcceptable,
    NotReady,
    Overloaded,
    ServiceUnable,
    StoreFull,
    UnsupportedMediaType,
    UploadNotFound,
    WorkerLost,
)

log = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

STATUS_CODES: Final[Mapping[type[NearfitError], HTTPStatus]] = {
    MalformedBody: HTTPStatus.BAD_REQUEST,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    DatasetNotFound: HTTPStatus.NOT_FOUND,
    JobNotFound: HTTPStatus.NOT_FOUND,
    UploadNotFound: HTTPStatus.NOT_FOUND,
    StoreFull: HTTPStatus.INSUFFICIENT_STORAGE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    WorkerLost: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
}

FURTHER_CONDITIONS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.NOT_FOUND: "UnknownPath",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
}
"""Those outside the tree of errors: about the address, or a fault of the service."""

UNNAMED_TYPE: Final = "about:blank"
"""Where there is nothing to say beyond the status (RFC 9457, section 4.2.1)."""

TROUBLESHOOTING: Final = "/guide/troubleshooting/"
"""The page of the guide with a paragraph for each type of problem."""

DEFAULT_RETRY_AFTER_S: Final = 1


def problem_type(condition: str) -> str:
    """Return the URI of a condition such as "InvalidInput": its paragraph in the guide."""
    return f"{TROUBLESHOOTING}#{'-'.join(_words(condition))}"


def problem_title(condition: str) -> str:
    """Return a condition such as "InvalidInput" in words."""
    return " ".join(_words(condition)).capitalize()


def problem_response(
    scope: Scope,
    status: HTTPStatus,
    condition: str | None,
    detail: str,
    *,
    faults: Iterable[FieldFault] = (),
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """Return the problem document of one failed request, whose condition may have no name.

    Under /v2 it has the form of the Open Inference Protocol in its place.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if f"{path}/".startswith("/v2/"):
        refused = orjson.dumps({"error": _encodable(detail)})
        return Response(refused, int(status), headers, JSON)
    document: dict[str, Any] = {
        "type": f"{scope.get('root_path', '')}{problem_type(condition)}"
        if condition
        else UNNAMED_TYPE,
        "title": problem_title(condition) if condition else status.phrase,
        "status": int(status),
        "detail": _encodable(detail),
        "instance": quote(scope["path"], errors="replace"),
        "request_id": request_id_of(scope),
    }
    errors = [
        {"pointer": _encodable(fault.pointer), "detail": _encodable(fault.detail)}
        for fault in faults
    ]
    if errors:
        document["errors"] = errors
    document.update(extensions)
    return Response(orjson.dumps(document), int(status), headers, PROBLEM_MEDIA_TYPE)


def error_response(scope: Scope, error: NearfitError, **extensions: Any) -> Response:
    """Return the answer to a request that ended with this error."""
    headers = {}
    status = STATUS_CODES[type(error)]
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        known = error.retry_after_s if isinstance(error, ServiceUnable) else None
        headers["Retry-After"] = str(known or DEFAULT_RETRY_AFTER_S)
    return problem_response(
        scope,
        status,
        type(error).__name__,
        error.detail,
        faults=error.faults,
        headers=headers,
        **extensions,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Have the application answer every error with a problem document."""

    async def nearfit_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, NearfitError)
        return error_response(request.scope, error)

    async def query_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_response(request.scope, refusal(query_faults(error.errors())))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _framework_response(app, request, error)

    app.add_exception_handler(NearfitError, nearfit_error)
    app.add_exception_handler(RequestValidationError, query_error)
    app.add_exception_handler(HTTPException, http_error)


class UnexpectedErrors:
    """Raw ASGI: an exception that nobody foresaw is logged, and answered without its internals.

    It stands inside the other middleware, so that even this answer carries a request id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = False

        async def watched_send(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            return  # nobody is there to answer
        except Exception:
            request_id = request_id_of(scope)
            log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            if answering:
                raise  # too late for a problem document: the server must cut the answer short
            response = problem_response(
                scope,
                HTTPStatus.INTERNAL_SERVER_ERROR,
                FURTHER_CONDITIONS[HTTPStatus.INTERNAL_SERVER_ERROR],
                "The service failed in a way that it did not foresee; the request is not at "
                f"fault. Its log has the cause under request id {request_id}.",
            )
            await response(scope, receive, send)


def _framework_response(app: FastAPI, request: Request, error: HTTPException) -> Response:
    """Return the problem document for an error that Starlette or FastAPI raised."""
    headers = dict(error.headers or {})
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}; /docs lists all operations."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names the methods of the first route with this path; there may be several.
        allowed = allowed_methods(app, request.url.path) or headers.get("Allow", "")
        headers = {"Allow": allowed}
        detail = f"{request.method} is not possible at {request.url.path}; send {allowed}."
    else:
        detail = f"{error.detail}"
    condition = FURTHER_CONDITIONS.get(status)
    return problem_response(request.scope, status, condition, detail, headers=headers)


def allowed_methods(app: FastAPI, path: str) -> str:
    """Return the methods that the documented path serves, as an Allow header has them."""
    for template, operations in app.openapi()["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path):
            return ", ".join(method.upper() for method in operations)
    return ""


def _words(condition: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z][a-z]*", condition)]


def _encodable(text: str) -> str:
    """Return the text without lone surrogates, which JSON may carry but UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
