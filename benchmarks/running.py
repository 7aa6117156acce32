"""What the benchmarks of a running service share: the service, and a watch on /livez."""

import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import httpx

POLL_S = 0.005
SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def service_process(**environment: str) -> Iterator[tuple[httpx.Client, int]]:
    """Start `nearfit serve` as a process of its own; give a client and the process' id, once ready.

    Args:
        environment: NEARFIT_* settings, beside those that are set already.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        # A search for the best fit, begun at an upload, would run beside what is measured.
        env={**os.environ, "NEARFIT_TUNE_S": "0", **environment},
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found, "the service did not say where it answers"
        with httpx.Client(base_url=found.group(), timeout=300, trust_env=False) as client:
            while not client.get("/readyz").is_success:
                time.sleep(0.1)
            yield client, server.pid
    finally:
        server.terminate()
        server.wait()


@contextmanager
def service(**environment: str) -> Iterator[httpx.Client]:
    """Start `nearfit serve` as a process of its own; give a client once it is ready."""
    with service_process(**environment) as (client, _):
        yield client


class LivezWatch:
    """Polls /livez every 5 ms from another process, and says how slow the slowest was."""

    def __init__(self, url: str) -> None:
        self._pipe, other = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_poll, args=(url, other))
        self._process.start()
        self._pipe.recv()

    def slowest_ms(self) -> float:
        """Return the slowest answer since the last call."""
        self._pipe.send("how slow?")
        return float(self._pipe.recv())

    def end(self) -> None:
        """Stop polling."""
        self._pipe.send("end")
        self._process.join()


def _poll(url: str, pipe: Connection) -> None:
    address = urlsplit(url)
    # Of the standard library, since it is to take little of what it watches.
    connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
    _ask(connection)
    pipe.send("watching")
    slowest_ms = 0.0
    while True:
        started = time.perf_counter()
        _ask(connection)
        slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - started))
        if pipe.poll(POLL_S):
            if pipe.recv() == "end":
                return
            pipe.send(slowest_ms)
            slowest_ms = 0.0


def _ask(connection: HTTPConnection) -> None:
    connection.request("GET", "/livez")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
