"""The commands in README.md and docs/http.md, run as written: each gives the output shown there."""

import argparse
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.live import live_client

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/http.md")
WRITTEN_URL = "http://127.0.0.1:8000"

BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@dataclass(frozen=True)
class Example:
    """A command of a page, and what the page says that it prints."""

    command: str
    output: str


def examples(text: str) -> Iterator[Example]:
    """Yield the curl commands of the page's blocks, each with the lines up to the next one."""
    for block in BLOCK.findall(text):
        lines = block.splitlines()
        while lines:
            command = lines.pop(0)
            assert command.startswith("$ "), f"'{command}' is neither a command nor its output"
            command = command[2:]
            while not is_complete(command):
                command += "\n" + lines.pop(0)
            output = []
            while lines and not lines[0].startswith("$ "):
                output.append(lines.pop(0))
            if command.startswith("curl "):
                yield Example(command, "\n".join(output))


def is_complete(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:  # a quote is open
        return False
    return not command.endswith("\\")


def words(command: str, url: str) -> list[str]:
    assert WRITTEN_URL in command
    return shlex.split(command.replace("\\\n", " ").replace(WRITTEN_URL, url))


def by_curl(command: str, client: httpx.Client) -> str:
    """Return what curl prints."""
    _, *rest = words(command, str(client.base_url))
    run = subprocess.run(
        ["curl", "--noproxy", "*", *rest], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return run.stdout


def by_httpx(command: str, client: httpx.Client) -> str:
    """Return what curl would print, for the options that the pages use."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-s", action="store_true", required=True)
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--data-binary", dest="file")
    parser.add_argument("-F", dest="form", action="append", default=[])
    parser.add_argument("-o", dest="target", choices=["/dev/null"])
    parser.add_argument("-w", dest="last", choices=[r"%{http_code}\n"])
    parser.add_argument("url")
    _, *rest = words(command, str(client.base_url))
    options = parser.parse_args(rest)
    fields = dict(field.split("=", 1) for field in options.form)
    files = {name: file_at(value) for name, value in fields.items() if value.startswith("@")}
    content = options.data.encode() if options.data else None
    if options.file:
        content = file_at(options.file)
    answer = client.request(
        options.method or ("POST" if content or files else "GET"),
        options.url,
        headers=dict(header.split(": ", 1) for header in options.headers),
        content=content,
        data={name: value for name, value in fields.items() if name not in files} or None,
        files=files or None,
    )
    return ("" if options.target else answer.text) + (
        f"{answer.status_code}\n" if options.last else ""
    )


def file_at(argument: str) -> bytes:
    assert argument.startswith("@")
    return (ROOT / argument[1:]).read_bytes()


Sender = Callable[[str, httpx.Client], str]
SENDERS: list[Sender] = [by_httpx] + ([by_curl] if shutil.which("curl") else [])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("send", SENDERS)
def test_each_command_gives_the_output_shown(page: str, send: Sender) -> None:
    shown = list(examples((ROOT / page).read_text(encoding="utf-8")))
    assert shown
    with live_client() as client:
        given = [
            Example(example.command, send(example.command, client).rstrip("\n"))
            for example in shown
        ]
    assert given == shown


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"{p.relative_to(ROOT)}" for p in ROOT.glob("docs/**/*.md"))]
)
def test_each_link_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
