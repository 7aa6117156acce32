"""A running service, asked over HTTP as any client would."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.serving import running
from service.settings import Settings

READY_WITHIN_S = 400.0
"""A first start on KeOps compiles every formula."""

Answer = Mapping[str, Any]


@contextmanager
def live_client(**settings: Any) -> Iterator[httpx.Client]:
    """Start a service with these settings on a free port, and give a client once it is ready.

    Unless told otherwise, it does not look for the best fit by itself, so that `auto` stays what it
    is at first.
    """
    with (
        running(Settings(**{"port": 0, "tune_s": 0, **settings})) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        wait_until_ready(client)
        yield client


@contextmanager
def live_process(**environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `nearfit serve` on a free port; give the process and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NEARFIT_TUNE_S": "0", **environment},
    )
    assert process.stderr is not None
    try:
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found
        yield process, found.group()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def children(pid: int) -> list[int]:
    """Return the processes that this one has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def wait_until_ready(client: httpx.Client) -> None:
    """Return once /readyz is green."""
    until = time.monotonic() + READY_WITHIN_S
    while not (answer := client.get("/readyz")).is_success:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)


def upload(client: httpx.Client, x: Any, y: Any) -> str:
    """Upload rows and return the id."""
    answer = client.post("/datasets", json={"x": x, "y": y})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def predict(client: httpx.Client, dataset_id: str, queries: Any, fit: Answer) -> Answer:
    """Return the answer of /predict, with diagnostics."""
    answer = client.post(
        "/predict",
        json={
            "dataset_id": dataset_id,
            "queries": queries,
            "fit": fit,
            "include": ["diagnostics"],
        },
    )
    assert answer.status_code == 200, answer.text
    body: Answer = answer.json()
    return body
