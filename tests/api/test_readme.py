"""The commands in README.md and docs/http.md, run as written: each gives the output shown there.

After a change of the output that is meant, `python -m tests.api.test_readme` writes it anew.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.api.errors import STATUS_CODES, problem_type
from tests.live import live_client

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/http.md")
WRITTEN_URL = "http://127.0.0.1:8000"

BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
FRACTION = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Example:
    """A command of a page, and what the page says that it prints."""

    command: str
    output: str


def examples(block: str) -> Iterator[Example]:
    """Yield the commands of a block, each with the lines up to the next one."""
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
SENDERS: list[Sender] = [by_httpx, by_curl] if shutil.which("curl") else [by_httpx]


def answered(example: Example, send: Sender, client: httpx.Client) -> Example:
    """Return the example with the output that it has now."""
    if not example.command.startswith("curl "):
        return example
    return Example(example.command, send(example.command, client).rstrip("\n"))


def assert_same(got: str, shown: str) -> None:
    """Assert that the texts are equal, up to the last digits of their fractions.

    A processor that fuses products and sums rounds them otherwise than one that does not.
    """
    assert FRACTION.sub("#", got) == FRACTION.sub("#", shown)
    numbers = [np.array(FRACTION.findall(text), dtype=np.float64) for text in (got, shown)]
    assert_allclose(numbers[0], numbers[1], rtol=1e-12)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("send", SENDERS)
def test_each_command_gives_the_output_shown(page: str, send: Sender) -> None:
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    shown = [
        example
        for block in blocks
        for example in examples(block)
        if example.command.startswith("curl ")
    ]
    assert shown
    with live_client() as client:
        for example in shown:
            assert_same(answered(example, send, client).output, example.output)


def test_each_program_prints_what_is_shown() -> None:
    programs = PROGRAM.findall((ROOT / "docs/http.md").read_text(encoding="utf-8"))
    assert programs
    with live_client() as client:
        for source, shown in programs:
            run = subprocess.run(
                [sys.executable, "-c", source.replace(WRITTEN_URL, str(client.base_url))],
                env={**os.environ, "no_proxy": "*"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.stderr == ""
            assert_same(run.stdout, shown)


def test_each_problem_is_documented_with_its_status() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `([\w-]+)` \|", (ROOT / "docs/http.md").read_text("utf-8"), re.M
    )
    documented = {f"urn:nearfit:problem:{name}": int(status) for status, name in rows}
    for error, status in STATUS_CODES.items():
        assert documented[problem_type(error.__name__)] == status


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"{p.relative_to(ROOT)}" for p in ROOT.glob("docs/**/*.md"))]
)
def test_each_link_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def write_outputs(page: str) -> None:
    """Replace the outputs on the page by those of a service started for it."""
    with live_client() as client:

        def anew(block: re.Match[str]) -> str:
            found = [answered(example, by_httpx, client) for example in examples(block[1])]
            lines = [
                f"$ {e.command}\n{e.output}\n" if e.output else f"$ {e.command}\n" for e in found
            ]
            return block[0].replace(block[1], "".join(lines))

        path = ROOT / page
        path.write_text(BLOCK.sub(anew, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in PAGES:
        write_outputs(name)
