"""/docs: Swagger UI, all of it from this machine.

The scripts come from a Python package, and the page forbids the browser to fetch from elsewhere.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}

# Swagger UI styles its elements in place, carries its icons as data, and shows pictures as blobs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

FAVICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 12C4 12 5 4 8 4s4 6 7 6' fill='none' stroke='%230a6' stroke-width='2'/%3E"
    "%3Ccircle cx='8' cy='4' r='2' fill='%23e63'/%3E%3C/svg%3E"
)

# There is one server to choose from; without keys to ask for, its box is left out. Fields of a form
# that are empty mean what fields that are missing do, so there is nothing to choose about them.
STYLE: Final = """
  body { margin: 0; }
  .swagger-ui .info { margin: 2rem 0 1rem; }
  .swagger-ui .scheme-container:not(:has(.auth-wrapper)) { display: none; }
  .swagger-ui .parameter__empty_value_toggle { display: none; }
"""

# All addresses are relative, so that the page works behind a proxy that adds a prefix.
PAGE: Final = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>nearfit: API</title>
  <link rel="icon" href="{FAVICON}">
  <link rel="stylesheet" href="docs/swagger-ui.css">
  <style>{STYLE}</style>
</head>
<body>
  <div id="swagger-ui"></div>
  <noscript>This page needs JavaScript; the document itself is at openapi.json.</noscript>
  <script src="docs/swagger-ui-bundle.js"></script>
  <script src="docs/start.js"></script>
</body>
</html>
"""

START: Final = """\
window.ui = SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href, // else relative links get lost
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  showCommonExtensions: true, // the bounds of parameters
  defaultModelsExpandDepth: 0,
  persistAuthorization: true,
  validatorUrl: null, // else the page would ask a server on the internet
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""


@router.get("/docs")
async def docs() -> Response:
    """Return the page."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/start.js")
async def start_script() -> Response:
    """Return the script that starts Swagger UI."""
    return Response(START, media_type="text/javascript")


@router.get("/docs/{asset}")
async def asset(asset: str) -> Response:
    """Return a file of Swagger UI."""
    if asset not in ASSETS:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(_content(asset), media_type=ASSETS[asset], headers=headers)


@cache
def _content(asset: str) -> bytes:
    return (files("fastapi_offline") / "static" / asset).read_bytes()
