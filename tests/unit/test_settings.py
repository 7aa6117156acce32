"""Every setting is documented in docs/http.md, and a wrong one is refused in a sentence."""

import logging
import os
import re
import sys
from pathlib import Path

import pytest

from service import settings as settings_module
from service.cli import main
from service.engine.limits import Limits
from service.main import limits_of
from service.settings import Settings, keep_compiled_code, prepare_process

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
ROW = re.compile(r"^\| `NEARFIT_(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
DOCUMENTED = {name.lower(): default for name, default, _ in ROW.findall(PAGE.read_text("utf-8"))}

FREE_TEXT = {"host", "cache_dir"}


def test_each_setting_is_documented_and_nothing_else() -> None:
    assert DOCUMENTED.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_documented_default_is_the_true_one(name: str) -> None:
    field = Settings.model_fields[name]
    if field.default_factory is None:
        shown = field.default
        assert DOCUMENTED[name] == f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_says_what_it_is(name: str) -> None:
    assert (Settings.model_fields[name].description or "").endswith(".")


@pytest.mark.parametrize("name", [n for n in Settings.model_fields if n not in FREE_TEXT])
def test_a_wrong_value_is_refused_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"NEARFIT_{name.upper()}", "wrong")
    assert main(["serve"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"nearfit: NEARFIT_{name.upper()} is 'wrong': ")
    assert printed.err.count("\n") == 1


def test_a_wrong_option_is_refused_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "99999"]) == 2
    assert capsys.readouterr().err.startswith("nearfit: --port is '99999': ")


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["bake"])
    assert "Traceback" not in capsys.readouterr().err


def test_each_wrong_value_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEARFIT_PORT", "-1")
    monkeypatch.setenv("NEARFIT_DEFAULT_TIMEOUT_S", "0")
    assert main(["demo"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is ")[0] for line in lines] == [
        "nearfit: NEARFIT_PORT",
        "nearfit: NEARFIT_DEFAULT_TIMEOUT_S",
    ]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIT_PORT", "9000")
    monkeypatch.setenv("NEARFIT_MAX_QUERIES", "7")
    monkeypatch.setenv("NEARFIT_SAMPLE", "false")
    settings = Settings()
    assert (settings.port, settings.max_queries, settings.sample) == (9000, 7, False)
    assert limits_of(settings).max_queries == 7


def test_the_cache_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert Settings().cache_dir == Path("/elsewhere/nearfit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Settings().cache_dir == Path.home() / ".cache" / "nearfit"


def test_the_defaults_are_those_of_the_limits() -> None:
    budget = Settings().memory_budget_bytes
    assert limits_of(Settings()) == Limits(memory_budget_bytes=budget)


def test_a_number_that_never_ends_is_no_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEARFIT_SHUTDOWN_GRACE_S", "inf")
    monkeypatch.setenv("NEARFIT_MAX_TIMEOUT_S", "inf")
    assert main(["serve"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_default_above_the_cap_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEARFIT_DEFAULT_TIMEOUT_S", "500")
    assert main(["serve"]) == 2
    assert "default_timeout_s is 500, above max_timeout_s, 300" in capsys.readouterr().err


@pytest.mark.parametrize("plan", ["", "scan", "tree, cholesky", "low_rank,scan"])
def test_a_plan_of_known_parts_is_taken(plan: str) -> None:
    assert Settings(plan=plan).plan == plan


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("quickest", "send some of tree, scan, cholesky, low_rank, conjugate_gradient"),
        ("tree,scan", "send one of tree, scan"),
        ("cholesky,low_rank", "send one of cholesky, low_rank, conjugate_gradient"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    plan: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEARFIT_PLAN", plan)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == f"nearfit: NEARFIT_PLAN is '{plan}': {words}\n"


@pytest.fixture
def _numba_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # put back afterwards
    monkeypatch.delenv("NUMBA_CACHE_DIR")


@pytest.mark.usefixtures("_numba_is_free")
class TestKeepingCompiledCode:
    def test_beside_the_sources_where_they_may_be_written(self, tmp_path: Path) -> None:
        keep_compiled_code(tmp_path)
        assert "NUMBA_CACHE_DIR" not in os.environ
        assert list(tmp_path.iterdir()) == []

    def test_else_in_the_cache_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr(settings_module, "PACKAGE", tmp_path / "file")
        keep_compiled_code(tmp_path / "cache")
        assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "cache" / "numba")
        assert (tmp_path / "cache" / "numba").is_dir()

    def test_else_for_this_process_alone_and_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        a_file = tmp_path / "file"
        a_file.touch()
        monkeypatch.setattr(settings_module, "PACKAGE", a_file)
        with caplog.at_level(logging.WARNING):
            keep_compiled_code(a_file)
        assert Path(os.environ["NUMBA_CACHE_DIR"]).is_dir()
        assert "set NEARFIT_CACHE_DIR to a folder that may be written" in caplog.text

    def test_where_the_operator_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
        keep_compiled_code(tmp_path)
        assert os.environ["NUMBA_CACHE_DIR"] == "/elsewhere"


@pytest.mark.usefixtures("_numba_is_free")
def test_the_process_of_the_engine_has_no_threads_of_a_blas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"MKL_NUM_THREADS": "3"})
    prepare_process(tmp_path)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["MKL_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("_numba_is_free")
def test_threads_that_run_python_take_turns_often(tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    try:
        prepare_process(tmp_path)
        assert sys.getswitchinterval() == pytest.approx(1e-4)
    finally:
        sys.setswitchinterval(before)
