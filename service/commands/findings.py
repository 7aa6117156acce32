"""What `nearfit doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import final


class State(StrEnum):
    """How a check ends."""

    OK = "ok"
    WARNING = "warning"  # the service runs, with less
    FAULT = "fault"  # it does not


@final
@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        state: Whether that is as it should be.
        found: What it is.
        remedy: What to do; empty where there is nothing to do.
    """

    check: str
    state: State
    found: str
    remedy: str = ""


def lacking(is_needed: bool) -> State:
    """Return how a check ends that misses something: a fault where it is needed."""
    return State.FAULT if is_needed else State.WARNING
