"""A service, and `nearfit` run against it in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from typing import Any, TypeAlias

import pytest

from service.cli import main
from tests.live import live_client


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str
    raw: bytes

    @property
    def rows(self) -> list[list[str]]:
        """The cells of its lines."""
        return [line.split("\t") for line in self.out.splitlines()]


Nearfit: TypeAlias = Callable[..., Ran]


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """The address of a service with the default settings."""
    with live_client() as client:
        yield str(client.base_url)


@pytest.fixture
def run_nearfit(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Nearfit:
    """Run `nearfit` with these arguments, as in a pipe."""

    def run(*arguments: Any, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
        printed = capsysbinary.readouterr()
        out = printed.out.decode(errors="replace")
        return Ran(code, out, printed.err.decode(), printed.out)

    return run


@pytest.fixture
def nearfit(run_nearfit: Nearfit, service_url: str, monkeypatch: pytest.MonkeyPatch) -> Nearfit:
    """Run `nearfit` against a service, whose address stands in the environment."""
    monkeypatch.setenv("NEARFIT_URL", service_url)
    return run_nearfit
