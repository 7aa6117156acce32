"""MkDocs hook: the copy button of a console block copies its commands, without what they print."""

import html
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

CONSOLE: Final = re.compile(
    r'<div class="highlight">'
    r'(?P<rest><pre><span></span><code>(?P<code><span class="gp">.*?)</code>)',
    re.DOTALL,
)
TAG: Final = re.compile(r"<[^>]+>")
PROMPT: Final = "$ "


@dataclass(frozen=True)
class Example:
    """A command of a page, and what the page says that it prints."""

    command: str
    output: str


def examples(block: str) -> Iterator[Example]:
    """Yield the commands of a console block, each with the lines up to the next one.

    Raises:
        ValueError: The block begins with something else than a command.
    """
    lines = block.splitlines()
    while lines:
        first = lines.pop(0)
        if not first.startswith(PROMPT):
            raise ValueError(f"'{first}' is neither a command nor its output")
        command = first.removeprefix(PROMPT)
        while not _is_complete(command):
            command += "\n" + lines.pop(0)
        output = []
        while lines and not lines[0].startswith(PROMPT):
            output.append(lines.pop(0))
        yield Example(command, "\n".join(output))


def on_page_content(html_text: str, **_: Any) -> str:
    """Return the page with the commands of each console block as what its button copies."""
    return CONSOLE.sub(_with_commands, html_text)


def _with_commands(found: re.Match[str]) -> str:
    block = html.unescape(TAG.sub("", found["code"]))
    commands = "\n".join(example.command for example in examples(block))
    return f'<div class="highlight" data-copy="{html.escape(commands)}">{found["rest"]}'


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:  # a quote is open
        return False
    return not command.endswith("\\")
