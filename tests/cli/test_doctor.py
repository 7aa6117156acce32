"""`nearfit doctor`: each fault that can be made here is found, with its remedy."""

import json
import socket
import sys
from pathlib import Path

import pytest

from service.commands import machine_checks, service_checks
from service.commands.findings import Finding, State
from service.settings import Settings, available_cores
from tests.cli.conftest import Nearfit


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(port=0, cache_dir=tmp_path)


def assert_says(finding: Finding, state: State, *words: str) -> None:
    """Assert how a check ended; what is not well has a remedy."""
    assert finding.state is state, finding
    said = f"{finding.found} {finding.remedy}"
    for word in words:
        assert word in said
    assert bool(finding.remedy) == (state is not State.OK)


def test_a_machine_that_runs_the_tests_can_run_the_service(
    run_nearfit: Nearfit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIT_PORT", "0")
    ran = run_nearfit("doctor", "--json")
    assert ran.code == 0, ran.out
    report = json.loads(ran.out)
    assert report["can_run"]
    assert [check["check"] for check in report["checks"]] == [
        *("version", "compiled code", "engine", "cache folder", "disk", "port", "proxy"),
        *("memory", "cores", "compiler", "KeOps", "GPU"),
    ]


def test_a_pipe_gets_a_line_a_check(run_nearfit: Nearfit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIT_PORT", "0")
    rows = run_nearfit("doctor").rows
    assert {row[0] for row in rows} <= set(State)
    assert {len(row) for row in rows} == {4}


def test_a_fault_is_the_exit_code(run_nearfit: Nearfit, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(0)
        monkeypatch.setenv("NEARFIT_PORT", str(taken.getsockname()[1]))
        ran = run_nearfit("doctor", "--json")
    assert ran.code == 1
    report = json.loads(ran.out)
    assert not report["can_run"]
    (fault,) = [check for check in report["checks"] if check["state"] == "fault"]
    assert fault["check"] == "port"
    assert "NEARFIT_PORT" in fault["remedy"]


def test_a_wrong_setting_is_a_usage_error(
    run_nearfit: Nearfit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIT_THREADS", "many")
    ran = run_nearfit("doctor")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("nearfit: NEARFIT_THREADS is 'many': ")


def test_a_nearfit_that_listens_already_is_no_fault(service_url: str) -> None:
    port = int(service_url.rsplit(":", 1)[1])
    assert_says(service_checks.check_port(Settings(port=port)), State.OK, "answers", str(port))


@pytest.mark.parametrize(("backend", "state"), [("native", State.WARNING), ("keops", State.FAULT)])
def test_a_cache_folder_that_cannot_be_written_is_found(
    backend: str, state: State, tmp_path: Path
) -> None:
    a_file = tmp_path / "file"
    a_file.touch()
    settings = Settings(backend=backend, cache_dir=a_file)
    assert_says(service_checks.check_cache(settings), state, str(a_file), "NEARFIT_CACHE_DIR")


def test_compiled_code_that_cannot_be_kept_is_found(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file = tmp_path / "file"
    a_file.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(a_file))
    assert_says(service_checks.check_compiled_code(settings), State.WARNING, str(a_file))


def test_an_engine_that_cannot_be_loaded_is_a_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "service.serving", None)
    finding = service_checks.check_engine(settings)
    assert_says(finding, State.FAULT, "cannot be loaded", "pip install")


@pytest.mark.parametrize(("backend", "state"), [("native", State.WARNING), ("keops", State.FAULT)])
def test_no_compiler_is_found(backend: str, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    settings = Settings(backend=backend)
    assert_says(machine_checks.check_compiler(settings), state, "g++", "clang++", "install")


def test_a_compiler_that_fails_is_found_with_what_it_says(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'no such header' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    finding = machine_checks.check_compiler(settings)
    assert_says(finding, State.WARNING, str(broken), "no such header")


def test_keops_is_needed_by_its_backend_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_checks, "_installed", lambda _: None)
    assert_says(machine_checks.check_keops(settings), State.OK, "not installed")
    needed = settings.model_copy(update={"backend": "keops"})
    assert_says(machine_checks.check_keops(needed), State.FAULT, "nearfit[keops]")


def test_budgets_above_the_free_memory_are_found(settings: Settings) -> None:
    greedy = settings.model_copy(update={"memory_budget_bytes": 2**60})
    finding = machine_checks.check_memory(greedy)
    assert_says(finding, State.WARNING, "NEARFIT_MEMORY_BUDGET_BYTES")


def test_more_threads_than_cores_are_found(settings: Settings) -> None:
    many = settings.model_copy(update={"threads": available_cores() + 1})
    assert_says(machine_checks.check_cores(many), State.WARNING, "NEARFIT_THREADS")


def test_a_full_disk_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "LEAST_DISK_BYTES", 2**62)
    assert_says(machine_checks.check_disk(settings), State.WARNING, "make room")


def test_a_proxy_in_between_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    finding = service_checks.check_proxy(settings)
    assert_says(finding, State.WARNING, "HTTP_PROXY", "NO_PROXY=127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert_says(service_checks.check_proxy(settings), State.OK)
