"""`nearfit doctor`: whether the service can run here, and what to do where it cannot.

Each check looks at one thing and returns what it found; nothing is changed, and nothing outside
this machine is asked.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Final

from service.commands import machine_checks, service_checks
from service.commands.failures import ExitCode
from service.commands.findings import Finding, State
from service.commands.output import Table, show
from service.commands.serve import settings_of
from service.settings import Settings

CHECKS: Final[tuple[Callable[[Settings], Finding], ...]] = (
    service_checks.check_version,
    service_checks.check_compiled_code,  # before the engine is loaded, which settles the folder
    service_checks.check_engine,
    service_checks.check_cache,
    machine_checks.check_disk,
    service_checks.check_port,
    service_checks.check_proxy,
    machine_checks.check_memory,
    machine_checks.check_cores,
    machine_checks.check_compiler,
    machine_checks.check_keops,
    machine_checks.check_gpu,
)
"""In the order in which a start would fail by them."""


def doctor(options: argparse.Namespace) -> int:
    """Print what every check found; return 1 where one found a fault."""
    settings = settings_of(options)
    findings = list(examine(settings))
    has_fault = any(finding.state is State.FAULT for finding in findings)
    document = {"can_run": not has_fault, "checks": [asdict(finding) for finding in findings]}
    rows = [(f.state.value, f.check, f.found, f.remedy) for f in findings]
    show(Table(("state", "check", "found", "what to do"), rows), document, as_json=options.json)
    return ExitCode.REFUSED if has_fault else ExitCode.DONE


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what each check found."""
    for check in CHECKS:
        yield check(settings)
