"""What the benchmarks of a running service share: the service, and a watch on /livez."""

import json
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from service import __version__

RESULTS = Path(__file__).parent / "results"
POLL_S = 0.005
SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def service(**environment: str) -> Iterator[httpx.Client]:
    """Start `nearfit serve` as a process of its own; give a client once it is ready."""
    server = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found, "the service did not say where it answers"
        with httpx.Client(base_url=found.group(), timeout=300, trust_env=False) as client:
            while not client.get("/readyz").is_success:
                time.sleep(0.1)
            yield client
    finally:
        server.terminate()
        server.wait()


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
    slowest_ms = 0.0
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get("/livez")
        pipe.send("watching")
        while True:
            started = time.perf_counter()
            client.get("/livez").raise_for_status()
            slowest_ms = max(slowest_ms, 1000 * (time.perf_counter() - started))
            if pipe.poll(POLL_S):
                if pipe.recv() == "end":
                    return
                pipe.send(slowest_ms)
                slowest_ms = 0.0


def report(name: str, rounds: Sequence[dict[str, float]], **setting: Any) -> None:
    """Print medians and extremes of each figure, and write them to results/<name>.json."""
    figures: dict[str, dict[str, float]] = {}
    print(f"{'figure':44} {'median':>9} {'min':>9} {'max':>9}")
    for figure in rounds[0]:
        values = [one[figure] for one in rounds]
        median, least, most = statistics.median(values), min(values), max(values)
        figures[figure] = {"median": median, "min": least, "max": most}
        print(f"{figure:44} {median:9.3f} {least:9.3f} {most:9.3f}")
    RESULTS.mkdir(exist_ok=True)
    record = {
        "version": __version__,
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "rounds": len(rounds),
        **setting,
        "figures": figures,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def processor() -> str:
    """Return the processor's name, where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found.group(1) if found else platform.machine()
