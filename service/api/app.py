"""The application: routes, middleware and error handlers around an engine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.api import datasets, docs_page, health, predictions
from service.api.errors import UnexpectedErrors, install_error_handlers
from service.api.limits import BodyLimit
from service.api.openapi import TITLE, cached_openapi
from service.api.request_id import RequestIds
from service.api.state import State, Summaries
from service.engine.engine import Engine


class HeadAsGet:
    """Answer HEAD as GET; the server leaves the body out. Some monitors ask that way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def build_app(open_engine: Callable[[], Engine], max_body_bytes: int) -> FastAPI:
    """Return the application.

    Args:
        open_engine: Called once the server starts; the engine is closed when it stops.
        max_body_bytes: The largest request body.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        engine = open_engine()
        try:
            await engine.start()
            yield {"engine": engine, "summaries": Summaries()}
        finally:
            await engine.close()

    app = FastAPI(
        title=TITLE,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(HeadAsGet),
            Middleware(RequestIds),
            Middleware(BodyLimit, max_body_bytes=max_body_bytes),
            Middleware(UnexpectedErrors),
        ],
    )
    for module in (datasets, predictions, health, docs_page):
        app.include_router(module.router)
    install_error_handlers(app)
    app.openapi = cached_openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app
