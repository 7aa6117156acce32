"""The examples of README.md and docs/, run as written: each gives the output shown there.

A page's commands and programs are run in their order against a service of their own. The programs
share their names, as in a notebook. After a change of the output that is meant,
`python -m tests.api.test_readme [page …]` writes it anew.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from docs.hooks.commands import Example, examples
from tests.live import live_client

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"{path.relative_to(ROOT)}" for path in ROOT.glob("docs/**/*.md")))
WRITTEN_URL = "http://127.0.0.1:8000"

MADE_AT_BUILD: Final = ("reference.md",)
"""Pages of the guide that are generated from what else is here."""

NOT_RUN: Final = ("make ", ".venv/bin/", "NEARFIT_BENCHMARK_DATA=", "docker ", "pip install ")
"""Commands that measure for long, or install; a page shows none of their output."""

BLOCK = re.compile(
    r"^```(?P<kind>console|python)\n(?P<text>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
FRACTION = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")

# Runs each program it is sent, as a JSON string a line, and answers with what that printed.
NOTEBOOK = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(json.loads(line), "<page>", "exec"), names)
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Session:
    """Where the examples of one page are run: a service, a folder, and a Python of their own.

    The folder has what the pages name: the package, with the sample data.
    """

    def __init__(self, client: httpx.Client, folder: Path) -> None:
        self._client = client
        self._url = str(client.base_url)
        self._folder = folder
        self._environment = {
            **os.environ,
            "NEARFIT_URL": self._url,
            "PYTHONPATH": str(ROOT),
            "no_proxy": "*",
            "COLUMNS": "100",
        }
        self._notebook: subprocess.Popen[str] | None = None

    def output_of(self, command: str) -> str:
        """Return what the command prints."""
        here = command.replace("\\\n", " ").replace(WRITTEN_URL, self._url)
        program, *arguments = shlex.split(here)
        match program:
            case "curl" if shutil.which("curl"):
                printed = self._run(["curl", "--noproxy", "*", *arguments])
            case "curl":
                printed = by_httpx(arguments, self._client, self._folder)
            case "nearfit":
                printed = self._run([sys.executable, "-m", "service.cli", *arguments])
            case _:
                raise AssertionError(f"no test can run '{command}'")
        return printed.replace(self._url, WRITTEN_URL).rstrip("\n")

    def printed_by(self, program: str) -> str:
        """Return what the program prints, run after those of the page before it."""
        if self._notebook is None:
            self._notebook = subprocess.Popen(
                [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", NOTEBOOK],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._notebook.stdin is not None
        assert self._notebook.stdout is not None
        self._notebook.stdin.write(json.dumps(program.replace(WRITTEN_URL, self._url)) + "\n")
        self._notebook.stdin.flush()
        answer = self._notebook.stdout.readline()
        assert answer, f"the program failed:\n{program}"
        return str(json.loads(answer)).replace(self._url, WRITTEN_URL)

    def close(self) -> None:
        """End the Python of the page."""
        if self._notebook is not None:
            self._notebook.communicate(timeout=60)

    def _run(self, words: list[str]) -> str:
        run = subprocess.run(
            words,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return run.stdout


@contextmanager
def session() -> Iterator[Session]:
    """Give a session, with a service that was just started."""
    with live_client() as client, TemporaryDirectory() as name:
        (Path(name) / "service").symlink_to(ROOT / "service")
        page = Session(client, Path(name))
        try:
            yield page
        finally:
            page.close()


def by_httpx(arguments: list[str], client: httpx.Client, folder: Path) -> str:
    """Return what curl would print, for the options that the pages use."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-s", action="store_true", required=True)
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("--data-binary", dest="file")
    parser.add_argument("-F", dest="form", action="append", default=[])
    parser.add_argument("-o", dest="target")
    parser.add_argument("-w", dest="last", choices=[r"%{http_code}\n"])
    parser.add_argument("url")
    options = parser.parse_args(arguments)

    def file_at(argument: str) -> bytes:
        assert argument.startswith("@")
        return (folder / argument[1:]).read_bytes()

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
    if options.target and options.target != "/dev/null":
        (folder / options.target).write_bytes(answer.content)
    return ("" if options.target else answer.text) + (
        f"{answer.status_code}\n" if options.last else ""
    )


def assert_same(got: str, shown: str) -> None:
    """Assert that the texts are equal, up to the last digits of their fractions.

    A processor that fuses products and sums rounds them otherwise than one that does not.
    """
    assert FRACTION.sub("#", got) == FRACTION.sub("#", shown)
    numbers = [np.array(FRACTION.findall(text), dtype=np.float64) for text in (got, shown)]
    assert_allclose(numbers[0], numbers[1], rtol=1e-12)


def blocks_of(page: str) -> list[re.Match[str]]:
    return list(BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")))


def is_run(example: Example) -> bool:
    """Tell whether the command is run; one that is not shows nothing of what it prints."""
    if example.command.startswith(NOT_RUN):
        assert example.output == "", f"nothing checks what '{example.command}' prints"
        return False
    return True


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)])
def test_each_example_gives_the_output_shown(page: str) -> None:
    with session() as here:
        for block in blocks_of(page):
            if block["kind"] == "python":
                assert_same(here.printed_by(block["text"]), block["printed"] or "")
                continue
            for example in filter(is_run, examples(block["text"])):
                assert_same(here.output_of(example.command), example.output)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl to compare with")
def test_httpx_stands_in_for_curl() -> None:
    """On machines without curl, so that the examples are run there too."""
    shown = [
        example
        for block in blocks_of("docs/http.md")
        if block["kind"] == "console"
        for example in examples(block["text"])
    ]
    with live_client() as client:
        for example in shown:
            curl, *arguments = shlex.split(example.command.replace(WRITTEN_URL, ""))
            assert curl == "curl"
            assert_same(by_httpx(arguments, client, ROOT).rstrip("\n"), example.output)


@pytest.mark.parametrize("page", PAGES)
def test_each_fenced_block_is_an_example_that_is_run(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    run = blocks_of(page)
    assert len(fences) == 2 * (len(run) + sum(block["printed"] is not None for block in run))


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    made = {ROOT / "docs" / name for name in MADE_AT_BUILD}
    assert [
        target
        for target in targets
        if not (path.parent / target).exists() and (path.parent / target).resolve() not in made
    ] == []


def write_outputs(page: str) -> None:
    """Replace the outputs on the page by those of a service started for it."""
    with session() as here:

        def anew(block: re.Match[str]) -> str:
            if block["kind"] == "python":
                printed = here.printed_by(block["text"])
                shown = f"\n\n```text\n{printed}```" if printed else ""
                return f"```python\n{block['text']}```{shown}"
            lines = []
            for example in examples(block["text"]):
                output = here.output_of(example.command) if is_run(example) else ""
                lines += [f"$ {example.command}\n", f"{output}\n" if output else ""]
            return f"```console\n{''.join(lines)}```"

        path = ROOT / page
        path.write_text(BLOCK.sub(anew, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        if blocks_of(name):
            write_outputs(name)
