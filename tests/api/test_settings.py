"""Every setting has a description, a default and an environment variable."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.engine.limits import Limits
from service.main import limits_of
from service.settings import Settings


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIT_PORT", "9000")
    monkeypatch.setenv("NEARFIT_MAX_QUERIES", "7")
    monkeypatch.setenv("NEARFIT_SAMPLE", "false")
    settings = Settings()
    assert (settings.port, settings.max_queries, settings.sample) == (9000, 7, False)
    assert limits_of(settings).max_queries == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("BACKEND", "spark"), ("THREADS", "0"), ("MAX_BODY_BYTES", "much")],
)
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"NEARFIT_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_the_cache_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert Settings().cache_dir == Path("/elsewhere/nearfit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Settings().cache_dir == Path.home() / ".cache" / "nearfit"


def test_the_defaults_are_those_of_the_limits() -> None:
    budget = Settings().memory_budget_bytes
    assert limits_of(Settings()) == Limits(memory_budget_bytes=budget)
