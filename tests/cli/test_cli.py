"""The command as a whole: its help, its exit codes, and what it loads."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from service.client import errors, transport
from service.commands.connection import exit_code_of
from service.commands.failures import MEANINGS, ExitCode
from service.commands.options import make_parser
from tests.cli.conftest import Nearfit

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS = ["upload", "predict", "tune", "list", "rm", "doctor"]


def run_process(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(statement: str) -> set[str]:
    """Return the packages that are loaded after the statement, in a process of its own."""
    source = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_each_exit_code_is_in_the_help_and_on_the_page() -> None:
    assert set(MEANINGS) == set(ExitCode)
    help_text, page = make_parser().format_help(), PAGE.read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^  {int(code)} +{re.escape(meaning)}$", help_text, re.MULTILINE)
        assert f"| {int(code)} | {meaning} |" in page


def test_each_error_of_the_client_has_its_exit_code() -> None:
    expected = {
        errors.InvalidInput: ExitCode.REFUSED,
        errors.NotFound: ExitCode.REFUSED,
        errors.Refused: ExitCode.REFUSED,
        errors.ServiceFault: ExitCode.REFUSED,
        errors.Unavailable: ExitCode.UNAVAILABLE,
        errors.StoreFull: ExitCode.UNAVAILABLE,
        errors.Deadline: ExitCode.DEADLINE,
        errors.NoConnection: ExitCode.NO_CONNECTION,
    }
    assert {kind: exit_code_of(kind("why")) for kind in expected} == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples_that_are_accepted(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = make_parser()
    with pytest.raises(SystemExit, match=r"^0$"):
        parser.parse_args([command, "--help"])
    text = capsys.readouterr().out
    _, _, examples = text.partition("examples:\n")
    lines = [line for line in examples.splitlines() if line.strip()]
    assert lines
    for line in lines:
        for part in line.split(" | "):
            words = shlex.split(re.split(" [<>] ", part)[0])
            if "nearfit" in words and "xargs" not in words:
                arguments = words[words.index("nearfit") + 1 :]
                assert parser.parse_args(arguments).command in COMMANDS


def test_each_command_and_option_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"nearfit {command}" in page
    shown = set(re.findall(r"--[a-z][a-z-]+", make_parser().format_help()))
    for command in COMMANDS:
        parser = make_parser()
        (commands,) = [a for a in parser._actions if a.dest == "command"]
        assert isinstance(commands.choices, dict)
        shown |= {
            option
            for action in commands.choices[command]._actions
            for option in action.option_strings
            if option.startswith("--")
        }
    shown -= {"--help", "--version"}
    assert shown <= set(re.findall(r"--[a-z][a-z-]+", page))


def test_wrong_arguments_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        make_parser().parse_args(["predict", "motorcycle", "q.csv", "--bandwith", "3"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--bandwith" in said
    assert "nearfit --help" in said


@pytest.mark.parametrize("fit", ["knn", "[1]"])
def test_a_fit_that_is_no_object_is_refused(fit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        make_parser().parse_args(["predict", "motorcycle", "q.csv", "--fit", fit])
    assert f"'{fit}' is " in capsys.readouterr().err


def test_names_with_commas_are_given_as_json() -> None:
    options = make_parser().parse_args(["upload", "f.csv", "--target", '["a, b", "c"]'])
    assert options.target == ["a, b", "c"]


def test_nobody_at_the_address_has_its_own_code(run_nearfit: Nearfit) -> None:
    ran = run_nearfit("list", "--url", "http://127.0.0.1:1", "--timeout", "2")
    assert (ran.code, ran.out) == (3, "")
    assert "nearfit serve" in ran.err
    assert "Traceback" not in ran.err


def test_help_loads_nothing_that_takes_time() -> None:
    loaded = loaded_by("from service.commands.options import make_parser; make_parser()")
    assert not loaded & {"numpy", "httpx", "pydantic", "rich", "pyarrow"}


def test_commands_that_ask_load_no_engine_and_serving_no_client() -> None:
    asking = loaded_by("import service.commands.predict, service.commands.tune")
    assert not asking & {"numba", "scipy", "fastapi", "pydantic", "service.settings"}
    serving = loaded_by("import service.commands.serve, service.settings")
    assert not serving & {"service.client", "httpx", "rich", "numba"}


def test_a_pipe_that_nobody_reads_ends_the_command_quietly(
    service_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "queries.csv"
    path.write_text("times\n" + "20.5\n" * 50_000)  # more than a pipe holds
    asking = f"{sys.executable} -m service.cli predict motorcycle {path} --method knn"
    run = subprocess.run(
        ["bash", "-c", f"{asking} --url {service_url} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.splitlines() == ["times\tmean\tissues", "141"]
    assert run.stderr == ""


def test_an_interrupt_ends_a_search_and_the_command(
    nearfit: Nearfit, service_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    # While it waits for the search; the service, in this process too, sleeps as ever.
    monkeypatch.setattr(transport, "time", SimpleNamespace(sleep=interrupt))
    ran = nearfit("tune", "motorcycle", "--budget", "300")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "")
    jobs = httpx.get(f"{service_url}/jobs", trust_env=False).json()["jobs"]
    assert jobs[0]["budget_s"] == 300
    assert jobs[0]["state"] in ("cancelled", "running")  # until the candidate under way is done
    wait_until_cancelled(service_url, jobs[0]["id"])


def test_an_interrupt_ends_the_process(service_url: str, tmp_path: Path) -> None:
    fifo = tmp_path / "queries.csv"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "upload", str(fifo)],
        env={**os.environ, "NEARFIT_URL": service_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with fifo.open("wb"):  # it has been opened for reading, and nothing comes
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "")


def wait_until_cancelled(service_url: str, job_id: str) -> None:
    until = time.monotonic() + 30
    with httpx.Client(base_url=service_url, trust_env=False) as client:
        while client.get(f"/jobs/{job_id}").json()["state"] != "cancelled":
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_entry_point_runs_a_command(service_url: str) -> None:
    run = run_process("list", NEARFIT_URL=service_url)
    assert (run.returncode, run.stderr) == (0, "")
    assert "motorcycle" in [line.split("\t")[0] for line in run.stdout.splitlines()]


@pytest.mark.parametrize("url", ["foo", "127.0.0.1:8000", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_a_usage_error(nearfit: Nearfit, url: str) -> None:
    run = nearfit("list", "--url", url)
    assert run.code == ExitCode.USAGE
    assert run.err.count("\n") == 1
    assert url in run.err
