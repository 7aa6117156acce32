"""/explore: a page to look at datasets and fits, all of it from this machine.

The page is static: `service/explorer` as it stands, without a build step, and the plotting library
out of the package `plotly`, whose Python is never imported. It asks the same operations as any
other client, and the browser is forbidden to fetch from elsewhere.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).parents[1] / "explorer"
PAGE: Final = "index.html"
PLOTLY: Final = "plotly.min.js"

MEDIA_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

# Plotly styles its elements in place, and saves pictures by way of data and blob addresses.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

# The library changes with the package only; the page asks each time whether its parts are the same.
CACHE_CONTROL: Final = {PLOTLY: "public, max-age=86400"}
ASK_FIRST: Final = "no-cache"


@router.get("/")
async def start_page(request: Request) -> Response:
    """Lead whoever opens the address in a browser to the page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/explore", status_code=307)


@router.get("/explore")
async def explore(request: Request) -> Response:
    """Return the page."""
    return _sent(request, FOLDER / PAGE, {"Content-Security-Policy": POLICY})


@router.get("/explore/{asset}")
async def explorer_asset(asset: str, request: Request) -> Response:
    """Return a script or style of the page."""
    path = _assets().get(asset)
    if path is None:
        raise HTTPException(404)
    return _sent(request, path, {})


@cache
def _assets() -> dict[str, Path]:
    """Return where each script and style lies, by its name."""
    assets = {path.name: path for path in FOLDER.iterdir() if path.suffix in {".js", ".css"}}
    package = find_spec("plotly")
    assert package is not None
    assert package.origin is not None
    assets[PLOTLY] = Path(package.origin).parent / "package_data" / PLOTLY
    return assets


def _sent(request: Request, path: Path, headers: dict[str, str]) -> Response:
    """Return the file, or 304 to a browser that has it as it is."""
    headers = {
        **headers,
        "Cache-Control": CACHE_CONTROL.get(path.name, ASK_FIRST),
        "X-Content-Type-Options": "nosniff",
    }
    # Its length and ETag come from the time and size of the file, which is read piece by piece.
    answer = FileResponse(
        path, headers=headers, media_type=MEDIA_TYPES[path.suffix], stat_result=path.stat()
    )
    etag = answer.headers["etag"]
    known = {tag.strip().removeprefix("W/") for tag in _if_none_match(request).split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers={**headers, "ETag": etag})
    return answer


def _if_none_match(request: Request) -> str:
    return ",".join(request.headers.getlist("if-none-match"))
