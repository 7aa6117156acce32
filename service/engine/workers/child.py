"""The compute process: the other end of a `ProcessWorker`.

It is a fresh interpreter, so that nothing of the API process (threads, event loop, signal
handlers, whatever its main module is) is carried over. It has one thread, which computes; between
two blocks of queries it looks at the clock and at its socket. When the socket closes, it ends.
"""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections import deque
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, Final, final

from service.backends.base import Backend
from service.domain.dataset import Dataset
from service.domain.errors import NearfitError
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers import messages
from service.engine.workers.base import Computed, Task
from service.engine.workers.priority import yield_to_the_event_loop

_PR_SET_PDEATHSIG = 1


def main(descriptor: int) -> None:
    """Serve the worker at the other end of the socket until it stops us, or is gone."""
    # Ctrl-C goes to every process of the terminal, but it is the parent that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    # Before KeOps starts its threads, which inherit it.
    yield_to_the_event_loop()
    inbox = _Inbox(Connection(descriptor))
    start = inbox.next()
    try:
        backend = start.make_backend(
            report=lambda doing: inbox.send(messages.Progress(doing)), **start.arguments
        )
    except Exception as problem:
        if not isinstance(problem, RuntimeError):  # those are foreseen, and say all there is to say
            traceback.print_exc()
        said = " ".join(str(problem).split()).rstrip(".")
        inbox.send(messages.Failed(said or type(problem).__name__))
        return
    # Not all backends have a choice of devices.
    inbox.send(messages.Ready(getattr(backend, "device", "cpu")))
    _serve(inbox, backend, PreparedCache(start.prepared_budget_bytes))


def _serve(inbox: "_Inbox", backend: Backend, cache: PreparedCache) -> None:
    held: dict[str, Dataset] = {}
    while True:
        message = inbox.next()
        match message:
            case messages.Hold():
                held[message.dataset.id] = inbox.dataset(message)
            case messages.Drop():
                cache.forget(message.dataset_id)
                held.pop(message.dataset_id, None)
            case messages.Run():
                task = replace(message.task, dataset=held[message.task.dataset.id])
                held.pop("", None)  # a dataset that came with its request goes with it
                inbox.send(_answer(inbox, message, task, backend, cache))
                del task
            case messages.Stop():
                return


def _answer(
    inbox: "_Inbox", message: messages.Run, task: Task, backend: Backend, cache: PreparedCache
) -> messages.Answer:
    blocks = SerialBlocks(message.deadline, lambda: inbox.is_cancelled(message.number))
    started = time.monotonic()
    try:
        prediction = run_task(task, backend, cache, blocks)
        computed = Computed(prediction, time.monotonic() - started)
        return messages.Answer(message.number, computed)
    except NearfitError as error:
        return messages.Answer(message.number, error)
    except Exception:
        return messages.Answer(message.number, traceback.format_exc())


@final
class _Inbox:
    """The socket, with what was read from it ahead of its time."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection
        self._ahead: Final[deque[Any]] = deque()

    def send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            _leave()

    def next(self) -> Any:
        return self._ahead.popleft() if self._ahead else self._read()

    def dataset(self, message: messages.Hold) -> Dataset:
        """Return the dataset, whose descriptor comes next on the socket."""
        descriptor = recv_handle(self._connection)
        try:
            return messages.with_rows(message.dataset, message.rows, descriptor)
        finally:
            os.close(descriptor)

    def is_cancelled(self, number: int) -> bool:
        """Return whether the task has been cancelled; only cancellations come while one runs."""
        while self._connection.poll():
            self._ahead.append(self._read())
        return messages.Cancel(number) in self._ahead

    def _read(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            _leave()


def _leave() -> Any:
    """End at once: the parent is gone, and there is nobody left to tell."""
    os._exit(0)


def _end_with_parent() -> None:
    """Ask Linux to kill this process when the parent ends, even in the middle of a reduction.

    Elsewhere the closed socket ends it, after the block that it is at.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
