"""/guide: the documentation, as `make docs` builds it into this package.

The pages are files, read when they are asked for. They forbid the browser to fetch from elsewhere.
"""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

SITE: Final = Path(__file__).parents[1] / "guide"
"""Where `make docs` puts the site, and where wheels and images have it."""

# The theme's pages start with scripts of a line in place, which differ by how deep a page lies.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

NOT_BUILT: Final = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nearfit: the guide is not built</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto;
         padding: 0 1rem; }}
</style>
<h1>The guide is not built here</h1>
<p>Run <code>make docs</code> in the folder of the project, then load this page again.
The same pages, as text, are in its folder <code>docs</code>.</p>
<p>The operations are described at <a href="{root}/docs">/docs</a> too.</p>
</html>
"""


@router.get("/guide")
async def guide(request: Request) -> Response:
    """Lead to the first page: the addresses in it are relative to its folder."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/guide/", status_code=307)


@router.get("/guide/{path:path}")
async def page(path: str, request: Request) -> Response:
    """Return a file of the site; of a folder, its index.html."""
    if not (SITE / "index.html").is_file():
        text = NOT_BUILT.format(root=request.scope.get("root_path", ""))
        response: Response = HTMLResponse(text, status_code=404)
    else:
        # Starlette answers If-None-Match and refuses paths that leave the folder.
        response = await StaticFiles(directory=SITE, html=True).get_response(path, request.scope)
    response.headers["Content-Security-Policy"] = POLICY
    return response
