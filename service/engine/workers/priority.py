"""Who gets a core first: the event loop, before any computing."""

import os
import sys
import threading

COMPUTING_NICENESS = 5


def yield_to_the_event_loop() -> None:
    """Lower the priority of the calling thread, where the system has priorities a thread (Linux).

    Computing fills every core; without this /livez and small requests would wait for a time slice
    behind it.
    """
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COMPUTING_NICENESS)
        except PermissionError:  # this process is nicer already, and may not go back
            return
