"""The handle by which the API process holds a compute process."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, Final, final

from service.domain.dataset import Dataset
from service.engine.workers import messages
from service.engine.workers.base import Task

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from service.engine.workers.child import main; main(int(sys.argv[1]))"
)
"""A fresh interpreter with our import path: unlike with multiprocessing, the main module of the
API process (uvicorn, pytest, a script without a guard) is not run again."""


class ChildEnded(Exception):
    """The compute process is gone."""


@dataclass(frozen=True)
class _Held:
    """A dataset that the process has."""

    digest: str
    nbytes: int


@final
class ChildProcess:
    """A compute process, its socket, and what has been handed over to it; for one thread.

    Args:
        dataset_budget_bytes: For the datasets that it holds; the least recently used are dropped.
    """

    def __init__(self, dataset_budget_bytes: int) -> None:
        self._dataset_budget_bytes: Final = dataset_budget_bytes
        self._held: Final[OrderedDict[str, _Held]] = OrderedDict()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self.connection: Final = Connection(ours.detach())
            try:
                self._process: Final = subprocess.Popen(
                    [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # our own output may be data for a pipe
                    pass_fds=[theirs.fileno()],
                    process_group=0,  # compilers that it starts end with it, and Ctrl-C does not
                )
            except BaseException:
                self.connection.close()
                raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            ChildEnded: Nobody reads it.
        """
        try:
            self.connection.send(message)
        except OSError as problem:
            raise ChildEnded from problem

    def receive(self) -> Any:
        """Return the next message; waits for it.

        Raises:
            ChildEnded: None will come.
        """
        try:
            return self.connection.recv()
        except (EOFError, OSError) as problem:
            raise ChildEnded from problem

    def run(self, number: int, task: Task, deadline: float) -> None:
        """Begin the task; hands the dataset over first, if this version is not there yet.

        Raises:
            ChildEnded: The process is gone.
        """
        self._hand_over(task.dataset)
        stub = messages.without_rows(task.dataset)
        self.send(messages.Run(number, replace(task, dataset=stub), deadline))

    def drop(self, dataset_id: str) -> None:
        """Make the process forget the dataset, if it holds it.

        Raises:
            ChildEnded: The process is gone.
        """
        if self._held.pop(dataset_id, None) is not None:
            self.send(messages.Drop(dataset_id))

    def _hand_over(self, dataset: Dataset) -> None:
        held = self._held.get(dataset.id)
        if dataset.id and held is not None and held.digest == dataset.digest:
            self._held.move_to_end(dataset.id)
            return
        # One version a dataset: the one before has been superseded, or is asked for very rarely.
        self.drop(dataset.id)
        while self._held and self._held_bytes() + dataset.nbytes > self._dataset_budget_bytes:
            self.drop(next(iter(self._held)))
        stub = messages.without_rows(dataset)
        descriptor = messages.numbers_of(dataset)
        try:
            self.send(messages.Hold(stub, dataset.n_rows))
            send_handle(self.connection, descriptor, self.pid)
        except OSError as problem:
            raise ChildEnded from problem
        finally:
            os.close(descriptor)
        if dataset.id:
            self._held[dataset.id] = _Held(dataset.digest, dataset.nbytes)

    def _held_bytes(self) -> int:
        return sum(held.nbytes for held in self._held.values())

    def stop(self, grace_s: float) -> None:
        """Let an idle process end by itself, for `grace_s` seconds, then kill it."""
        with suppress(ChildEnded, subprocess.TimeoutExpired):
            self.send(messages.Stop())
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> int:
        """End the process now, whatever it is doing; return its exit code, -9 where it was killed.

        Safe to call again.
        """
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        return code
