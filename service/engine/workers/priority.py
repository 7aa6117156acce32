"""Who gets a core first: the event loop, before any computing."""

import os
import sys
import threading

COMPUTING_NICENESS = 5
LAST_NICENESS = 15


def yield_to_the_event_loop() -> None:
    """Lower the priority of the calling thread, where the system has priorities a thread (Linux).

    Computing fills every core; without this /livez and small requests would wait for a time slice
    behind it.
    """
    _be_nice(COMPUTING_NICENESS)


def work_last() -> None:
    """Lower the priority of the calling thread below that of computing: nobody waits for it yet."""
    _be_nice(LAST_NICENESS)


def _be_nice(niceness: int) -> None:
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        except PermissionError:  # this process is nicer already, and may not go back
            return
