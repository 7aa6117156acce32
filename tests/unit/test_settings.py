"""Every setting is documented in docs/http.md, and a wrong one is refused in a sentence."""

import re
from pathlib import Path

import pytest

from service.cli import main
from service.settings import Settings

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


@pytest.mark.parametrize("name", Settings.model_fields.keys() - FREE_TEXT)
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
    with pytest.raises(SystemExit, match="^2$"):
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
