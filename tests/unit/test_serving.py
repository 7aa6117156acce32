"""The service as a process: it says where it answers, and ends cleanly."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.live import children, live_process, wait_until_ready
from tests.unit.engine.workers.test_process import held_datasets


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_finish(number: signal.Signals) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((3900, 3))  # seconds of solving
    body = {
        "dataset": {"x": x.tolist(), "y": x[:, 0].tolist()},
        "queries": rng.random((2000, 3)).tolist(),
        "fit": {"method": "kriging", "length_scale": 0.3, "alpha": 0.1},
    }
    answers: list[int] = []
    with live_process() as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        wait_until_ready(client)
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/predict", json=body).status_code)
        )
        asking.start()
        time.sleep(0.8)  # the request has arrived, and is not done
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        asking.join(30)
        assert process.stderr is not None
        log = process.stderr.read()
    assert answers == [200]
    assert "nearfit has ended" in log
    assert "Traceback" not in log


@pytest.mark.keops
def test_the_worker_process_and_its_memory_end_with_the_service() -> None:
    with (
        live_process(NEARFIT_BACKEND="keops") as (process, url),
        httpx.Client(base_url=url) as client,
    ):
        wait_until_ready(client)
        body = {"dataset_id": "motorcycle", "queries": [[15.0]], "fit": {"method": "knn"}}
        assert client.post("/predict", json=body, timeout=30).status_code == 200
        workers = children(process.pid)
        assert [held_datasets(worker) for worker in workers] == [1]
        assert held_datasets(process.pid) == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    until = time.monotonic() + 10
    while any(is_running(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    # What it held has no name, so it is gone with the last process that had it open.
    assert not any(is_running(worker) for worker in workers)


@pytest.mark.keops
def test_the_worker_process_ends_even_when_the_service_is_killed() -> None:
    with (
        live_process(NEARFIT_BACKEND="keops") as (process, url),
        httpx.Client(base_url=url) as client,
    ):
        wait_until_ready(client)
        workers = children(process.pid)
        process.kill()
        process.wait()
    until = time.monotonic() + 10
    while any(is_running(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(is_running(worker) for worker in workers)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "160", **environment},
        check=False,
    )


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        got = run("serve", "--port", str(taken.getsockname()[1]))
    assert got.returncode == 1
    assert "cannot listen on 127.0.0.1:" in got.stderr
    assert "Traceback" not in got.stderr


def test_the_demo_predicts_with_every_method() -> None:
    got = run("demo")
    assert got.returncode == 0, got.stderr
    for name in ("nearest", "Watson", "linear", "parabola", "kriging", "auto", "truth"):
        assert name in got.stdout
    (row,) = [line for line in got.stdout.splitlines() if line.split()[:1] == ["error"]]
    errors = [float(cell) for cell in row.split()[1:]]
    assert len(errors) == 6
    # The noise of these data has a standard deviation of about 23 g.
    assert all(error < 35 for error in errors)
