"""Who gets a core first."""

import os
import sys
import threading
from collections.abc import Callable

import pytest

from service.engine.workers.priority import (
    COMPUTING_NICENESS,
    LAST_NICENESS,
    work_last,
    work_when_idle,
    yield_to_the_event_loop,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="priorities are Linux's")


def after(lower: Callable[[], None]) -> tuple[int, int]:
    """Return the niceness and the scheduling class of a thread that has called this."""
    found: list[tuple[int, int]] = []

    def look() -> None:
        lower()
        own = threading.get_native_id()
        found.append((os.getpriority(os.PRIO_PROCESS, own), os.sched_getscheduler(own)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def may_be_idle() -> bool:
    """Return whether the system lets threads run where a core is idle alone."""
    forbidden: list[PermissionError] = []

    def ask() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except PermissionError as error:
            forbidden.append(error)

    after(ask)
    return not forbidden


def test_a_search_runs_where_a_core_is_idle_and_computing_before_what_nobody_waits_for() -> None:
    here, plain = after(lambda: None)
    assert after(yield_to_the_event_loop) == (max(here, COMPUTING_NICENESS), plain)
    assert after(work_last) == (max(here, LAST_NICENESS), plain)
    idle = os.SCHED_IDLE if may_be_idle() else plain
    assert after(work_when_idle) == (max(here, LAST_NICENESS), idle)
    assert after(lambda: None) == (here, plain)


def test_a_system_that_forbids_priorities_is_computed_on_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    usual = after(lambda: None)
    monkeypatch.setattr(os, "setpriority", forbid)
    monkeypatch.setattr(os, "sched_setscheduler", forbid)
    assert after(work_when_idle) == usual
