"""The application: routes, middleware and error handlers around an engine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.api import (
    datasets,
    docs_page,
    explorer,
    guide,
    health,
    optimization,
    plots,
    predictions,
    rows,
    scoring,
    tuning,
)
from service.api.envelope import Envelope
from service.api.errors import UnexpectedErrors, install_error_handlers
from service.api.inference import routes as inference
from service.api.limits import BodyLimit
from service.api.openapi import TITLE, cached_openapi
from service.api.progress import Uploads
from service.api.state import State, Summaries
from service.engine.engine import Engine
from service.engine.workers.priority import yield_to_the_event_loop
from service.plots.studio import Studio

# In the order in which a path is looked for.
MODULES: Final = (
    predictions,
    datasets,
    rows,
    plots,
    optimization,
    scoring,
    tuning,
    inference,
    health,
    docs_page,
    explorer,
    guide,
)


class HeadAsGet:
    """Answer HEAD as GET; the server leaves the body out. Some monitors ask that way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def build_app(
    open_engine: Callable[[], Engine], max_body_bytes: int, body_timeout_s: float
) -> FastAPI:
    """Return the application.

    Args:
        open_engine: Called once the server starts; the engine is closed when it stops.
        max_body_bytes: The largest request body.
        body_timeout_s: Seconds without a byte after which a body counts as given up.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        engine, studio = open_engine(), Studio(yield_to_the_event_loop)
        try:
            await engine.start()
            yield {
                "engine": engine,
                "summaries": Summaries(),
                "uploads": Uploads(),
                "studio": studio,
            }
        finally:
            studio.close()
            await engine.close()

    app = FastAPI(
        title=TITLE,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # As they are: an included router would be asked for a match, and then each of its routes.
        routes=[route for module in MODULES for route in module.router.routes],
        middleware=[
            Middleware(HeadAsGet),
            Middleware(Envelope),
            Middleware(BodyLimit, max_body_bytes=max_body_bytes, body_timeout_s=body_timeout_s),
            Middleware(UnexpectedErrors),
        ],
    )
    install_error_handlers(app)
    app.openapi = cached_openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app
