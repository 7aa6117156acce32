"""MkDocs hook: what the guide takes from outside of its folder.

The changelog becomes a page. Links to other files of the project, which have no page, become their
paths.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
UNUSED: Final = (
    "404.html",
    "sitemap.xml*",
    "assets/**/*.map",
    "assets/javascripts/lunr/**/*.js",
)
"""Of the theme: what needs to know the site's address, and what serves its developers, and searches
in other languages. It is half of the site."""

LINK: Final = re.compile(r"\[([^\]]+)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "CHANGELOG.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return the text of the page with its links as `without_outside` has them."""
    return without_outside(markdown, page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Remove the files of the theme that nothing here asks for."""
    for pattern in UNUSED:
        for path in Path(config.site_dir).glob(pattern):
            path.unlink()


def without_outside(markdown: str, source: str) -> str:
    """Return the text with links that leave the folder turned into the path that they lead to.

    Args:
        markdown: The text.
        source: Where in the folder it stands.
    """

    def anew(found: re.Match[str]) -> str:
        steps: list[str] = []
        for step in (PurePosixPath("docs", source).parent / found[2]).parts:
            if step == "..":
                steps.pop()
            else:
                steps.append(step)
        if not found[2] or steps[:1] == ["docs"]:
            return found[0]
        path = "/".join(steps)
        return f"`{path}`" if path.endswith(found[1].strip("`")) else f"{found[1]} (`{path}`)"

    return LINK.sub(anew, markdown)
