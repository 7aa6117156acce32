"""KeOps in a process of its own, with the calls of a Resident sent over a pipe.

The process of the tests must not import KeOps: it is not safe beside threads and forks.
"""

import multiprocessing
import sys
from multiprocessing.connection import Connection
from typing import Any

from service.backends.base import Moments, Nearest, Search, Within
from service.backends.keops.backend import open_backend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel

START_S = 240.0
"""For the compiler, on a machine that is busy."""


class RemoteKeops:
    """The backend, and the rows loaded last."""

    def __init__(self, cache_folder: str) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._connection = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, cache_folder)
        )
        self._process.start()
        theirs.close()
        self.reports: list[str] = []
        while self._connection.poll(START_S):
            kind, value = self._connection.recv()
            if kind == "ready":
                return
            if kind == "failed":
                self.close()
                raise value
            self.reports.append(value)
        raise TimeoutError("KeOps did not start in time.")

    @property
    def row_weights(self) -> None:
        return None

    def load(self, x: Floats, y: Floats, search: Search = Search.TREE) -> "RemoteKeops":
        self._ask("load", x, y)
        return self

    def nearest(self, q: Floats, k: int) -> Nearest:
        found: Nearest = self._ask("nearest", q, k)
        return found

    def within(self, q: Floats, radius: Floats) -> Within:
        found: Within = self._ask("within", q, radius)
        return found

    def moments(
        self, q: Floats, kernel: Kernel, bandwidth: Floats, degree: int, **about: Floats
    ) -> Moments:
        found: Moments = self._ask("moments", q, kernel, bandwidth, degree, **about)
        return found

    def product(self, q: Floats, covariance: Covariance, length_scale: float, a: Floats) -> Floats:
        found: Floats = self._ask("product", q, covariance, length_scale, a)
        return found

    def modules(self) -> list[str]:
        """Return the names of the modules that the process has imported."""
        names: list[str] = self._ask("modules")
        return names

    def close(self) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _ask(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        self._connection.send((name, arguments, keywords))
        kind, value = self._connection.recv()
        if kind == "failed":
            raise value
        return value


def _serve(connection: Connection, cache_folder: str) -> None:
    try:
        backend = open_backend(
            cache_folder, device="cpu", report=lambda doing: connection.send(("report", doing))
        )
    except Exception as problem:
        connection.send(("failed", problem))
        return
    connection.send(("ready", None))
    resident: Any = None
    while True:
        try:
            name, arguments, keywords = connection.recv()
        except EOFError:
            return
        value: Any = None
        try:
            if name == "load":
                resident = backend.load(*arguments)
            elif name == "modules":
                value = sorted(sys.modules)
            else:
                value = getattr(resident, name)(*arguments, **keywords)
        except Exception as problem:
            connection.send(("failed", problem))
        else:
            connection.send(("value", value))
