"""The thread that keeps a compute process alive and at work."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from multiprocessing.connection import wait
from typing import Final, final

from service.domain.errors import NearfitError, NotReady, WorkerLost
from service.engine.portions import too_late
from service.engine.workers import messages
from service.engine.workers.base import Computed, Task
from service.engine.workers.child_process import ChildEnded, ChildProcess

_log = logging.getLogger(__name__)

RETRY_LOST_S = 2
"""What a client is told when the process was lost: with a full cache it is back within seconds."""

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
"""How long to wait after a failed start: doubled each time, up to the longest."""

CLOSING = "The service is shutting down."


@dataclass(eq=False)
class Job:
    """A task that someone waits for; once they do not, its future is cancelled.

    Attributes:
        task: What to compute.
        deadline: On the clock of `time.monotonic`.
        future: How it ended.
    """

    task: Task
    deadline: float
    future: Future[Computed] = field(default_factory=Future)

    def settle(self, outcome: Computed | Exception) -> None:
        """End the wait, if there still is one."""
        with suppress(InvalidStateError):
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)


@final
class Keeper:
    """Hands jobs to a process, one at a time in their order, and starts it anew when it ends.

    All methods but those of the thread itself return at once.

    Args:
        start: The first message to each process.
        dataset_budget_bytes: Budget of the datasets that a process holds.
        grace_s: How long a process may go on after a deadline, or after it was asked to end.
    """

    def __init__(self, start: messages.Start, dataset_budget_bytes: int, grace_s: float) -> None:
        self.state = "not started"
        self.is_ready = False
        self.device = "cpu"
        self.child: ChildProcess | None = None
        self._start: Final = start
        self._dataset_budget_bytes: Final = dataset_budget_bytes
        self._grace_s: Final = grace_s
        self._queue: Final[deque[Job | messages.Drop]] = deque()
        self._bell: Final = _Bell()
        self._lock: Final = threading.Lock()
        self._is_closing = False
        self._start_s = 0.0  # how long the last start took
        self._running: Job | None = None
        self._number = 0  # of the tasks that the process was given
        self._is_told = False  # that nobody waits for the running task
        self._failure = ""  # why the process could not make its backend
        # A daemon: a program that forgets to close the worker can end all the same.
        self.thread: Final = threading.Thread(target=self._live, name="compute", daemon=True)

    def submit(self, job: Job) -> None:
        """Put the job in the queue.

        Raises:
            NotReady: The keeper has been closed.
        """
        with self._lock:
            if self._is_closing:
                raise NotReady(CLOSING)
            self._queue.append(job)
        self._bell.ring()

    def look(self) -> None:
        """Make the thread look whether someone has given up waiting."""
        self._bell.ring()

    def forget(self, dataset_id: str) -> None:
        """Drop the dataset in the process, after the jobs that wait for it.

        Jobs to come may be on the next version or upload with this id, which stays.
        """
        with self._lock:
            place = 0
            for number, item in enumerate(self._queue, start=1):
                if isinstance(item, Job) and item.task.dataset.id == dataset_id:
                    place = number
            if place or self.is_ready:  # else the process holds nothing yet
                self._queue.insert(place, messages.Drop(dataset_id))
        self._bell.ring()

    def close(self) -> None:
        """Begin to end; `thread` is done when all has ended."""
        with self._lock:
            self._is_closing = True
        self._bell.ring()

    def _live(self) -> None:
        failures = 0
        while not self._is_closing:
            began = time.monotonic()
            self.state = "starting the compute process"
            try:
                self.child = ChildProcess(self._dataset_budget_bytes)
            except Exception as problem:
                reason = f"the system refused to start it ({problem})"
            else:
                reason = self._attend(self.child, began)
            was_ready, self.is_ready = self.is_ready, False
            if self.child is not None:
                code = self.child.kill()
                self.child = None
                reason = reason or f"it ended with code {code}"
            if self._is_closing:
                break
            _log.warning("The compute process has ended: %s.", reason)
            failures = 0 if was_ready else failures + 1
            # A new process would come too late for some of those that wait, or not at all.
            back = time.monotonic() + self._start_s if was_ready else inf
            self._refuse_waiting(back, partial(_lost, reason))
            if failures:
                delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (failures - 1))
                self.state = f"cannot start, next try in {delay:g} s: {reason}"
                self._sleep(delay)
        self.state = "closed"
        self._refuse_waiting(inf, lambda: NotReady(CLOSING))
        self._bell.close()

    def _attend(self, child: ChildProcess, began: float) -> str:
        """Go through the life of one process; return why it is over, "" where nobody knows."""
        self._running, self._number, self._is_told, self._failure = None, 0, False, ""
        try:
            child.send(self._start)
            while not self._is_closing:
                self._direct(child)
                if self._running is not None and self._patience() == 0.0:
                    self._running.settle(too_late())
                    return f"it went on for {self._grace_s:g} s after a deadline and was stopped"
                arrived = wait([child.connection, self._bell.reader], self._patience())
                if self._bell.reader in arrived:
                    self._bell.hush()
                if child.connection in arrived:
                    self._hear(child.receive(), began)
        except ChildEnded:
            reason = self._failure
        except Exception as problem:  # such as an answer that is too large for the memory
            _log.exception("The compute process cannot be followed.")
            reason = f"it could not be followed ({type(problem).__name__})"
        else:
            reason = CLOSING
            if self._running is None and self.is_ready:
                child.stop(self._grace_s)
        if self._running is not None:
            self._running.settle(NotReady(CLOSING) if self._is_closing else _lost(reason))
        return reason

    def _direct(self, child: ChildProcess) -> None:
        """Tell a busy process that nobody waits any more; give an idle one what there is to do."""
        if self._running is not None:
            if self._running.future.cancelled() and not self._is_told:
                child.send(messages.Cancel(self._number))
                self._is_told = True
            return
        if not self.is_ready:
            return
        while self._running is None and (item := self._next()) is not None:
            if isinstance(item, Job):
                self._begin(child, item)
            else:
                child.drop(item.dataset_id)

    def _begin(self, child: ChildProcess, job: Job) -> None:
        """Send the job to the process, if it is still worth it."""
        if job.future.cancelled():
            return
        if job.deadline <= time.monotonic():
            job.settle(too_late())
            return
        self._number += 1
        try:
            child.run(self._number, job.task, job.deadline)
        except ChildEnded:
            job.settle(_lost(""))
            raise
        except Exception as problem:  # no memory for the dataset, or a task without a pickle
            job.settle(problem)
        else:
            self._running, self._is_told = job, False

    def _hear(self, message: object, began: float) -> None:
        match message:
            case messages.Answer():
                if self._running is not None:
                    self._running.settle(_outcome(message))
                self._running = None
            case messages.Progress(doing):
                self.state = doing
            case messages.Ready(device):
                self._start_s = time.monotonic() - began
                self.device, self.state, self.is_ready = device, "ready", True
            case messages.Failed(reason):
                self._failure = reason

    def _patience(self) -> float | None:
        """Return how long to wait for the process, in seconds; None without end."""
        if self._running is None:
            return None
        return max(0.0, self._running.deadline + self._grace_s - time.monotonic())

    def _next(self) -> Job | messages.Drop | None:
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def _refuse_waiting(self, until: float, why: Callable[[], Exception]) -> None:
        """Take the jobs with a deadline up to `until` out of the queue, and answer them."""
        with self._lock:
            for _ in range(len(self._queue)):
                item = self._queue.popleft()
                if isinstance(item, Job) and item.deadline <= until:
                    item.settle(why())
                else:
                    self._queue.append(item)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_closing and (left := until - time.monotonic()) > 0:
            if wait([self._bell.reader], left):
                self._bell.hush()


def _outcome(answer: messages.Answer) -> Computed | Exception:
    if isinstance(answer.outcome, Computed | NearfitError):
        return answer.outcome
    _log.error("A task failed in the compute process:\n%s", answer.outcome)
    return RuntimeError("A task failed in the compute process; its traceback is in the log.")


def _lost(reason: str) -> WorkerLost:
    why = f" ({reason})" if reason else ""
    return WorkerLost(
        f"The compute process ended before this request was done{why}. No dataset is lost, and "
        "the process starts again by itself; send the request once more.",
        retry_after_s=RETRY_LOST_S,
    )


@final
class _Bell:
    """Wakes a thread that waits for file descriptors."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._lock: Final = threading.Lock()
        self._is_closed = False

    def ring(self) -> None:
        with self._lock, suppress(BlockingIOError):  # full: it is ringing
            if not self._is_closed:
                os.write(self._writer, b"!")

    def hush(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            os.close(self.reader)
            os.close(self._writer)
