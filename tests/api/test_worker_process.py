"""What a client sees when the compute process is busy, killed, or out of time."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from tests.live import children, live_process, upload, wait_until_ready
from tests.unit.engine.workers.test_process import held_datasets

pytestmark = pytest.mark.keops

RNG = np.random.default_rng(0)
QUICK = {"queries": [[15.0]], "dataset_id": "motorcycle", "fit": {"method": "knn"}}


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[int, httpx.Client]]:
    """The process of a service on KeOps, whose one child is the worker, and a client."""
    with (
        live_process(NEARFIT_BACKEND="keops") as (process, url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        wait_until_ready(client)
        yield process.pid, client


@pytest.fixture(scope="module")
def client(service: tuple[int, httpx.Client]) -> httpx.Client:
    return service[1]


@pytest.fixture(scope="module")
def long(client: httpx.Client) -> dict[str, Any]:
    """A request that takes KeOps many seconds on any machine: 4e9 pairs."""
    x = RNG.random((200_000, 3))
    return {
        "dataset_id": upload(client, x.tolist(), x[:, 0].tolist()),
        "queries": RNG.random((20_000, 3)).tolist(),
        "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.3},
        "timeout_s": 100,
    }


def worker_pid(service: tuple[int, httpx.Client]) -> int:
    (worker,) = children(service[0])
    return worker


class Asking(threading.Thread):
    """Sends a prediction and keeps the answer."""

    def __init__(self, client: httpx.Client, body: dict[str, Any]) -> None:
        super().__init__()
        self._client, self._body = client, body
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        self.answer = self._client.post("/predict", json=self._body, timeout=120)

    def result(self) -> httpx.Response:
        self.join(120)
        assert self.answer is not None
        return self.answer


def test_others_are_served_while_it_computes_and_a_deadline_frees_it(
    client: httpx.Client, long: dict[str, Any]
) -> None:
    started, deadline_s = time.monotonic(), 4
    asking = Asking(client, {**long, "timeout_s": deadline_s})
    waits = []
    while asking.is_alive():
        asked = time.monotonic()
        assert client.get("/livez").status_code == 200
        waits.append(time.monotonic() - asked)
        time.sleep(0.01)
    late = asking.result()
    assert late.status_code == 504
    assert late.json()["type"].endswith("deadline-exceeded")
    assert len(waits) > 50
    # A reduction that kept the event loop waiting would do so until its deadline, or leave no room
    # for so many answers; the rest is the noise of a machine that other tests keep busy too
    # (benchmarks/busy_worker.py measures 50 ms).
    assert max(waits) < deadline_s / 2
    assert time.monotonic() - started < 10
    assert client.post("/predict", json={**QUICK, "timeout_s": 20}).status_code == 200


def test_a_killed_worker_costs_one_answer_and_no_dataset(
    service: tuple[int, httpx.Client], client: httpx.Client, long: dict[str, Any]
) -> None:
    asking = Asking(client, long)
    time.sleep(1.5)
    killed = worker_pid(service)
    os.kill(killed, signal.SIGKILL)
    lost = asking.result()
    assert lost.status_code == 503
    assert int(lost.headers["Retry-After"]) >= 1
    assert lost.json()["type"].endswith("worker-lost")
    assert client.get("/livez").status_code == 200
    wait_until_ready(client)
    assert worker_pid(service) != killed
    assert client.get(f"/datasets/{long['dataset_id']}").json()["rows"] == 200_000
    again = {**long, "queries": long["queries"][:10], "include": ["diagnostics"]}
    answer = client.post("/predict", json=again, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["diagnostics"]["plan"]["backend"] == "keops"


def test_a_deleted_dataset_leaves_the_worker_too(
    service: tuple[int, httpx.Client], client: httpx.Client, long: dict[str, Any]
) -> None:
    few = {**long, "queries": long["queries"][:5]}
    assert client.post("/predict", json=few, timeout=60).status_code == 200
    worker = worker_pid(service)
    mapped, resident = held_datasets(worker), psutil.Process(worker).memory_info().rss
    assert held_datasets(service[0]) == 0
    assert client.delete(f"/datasets/{long['dataset_id']}").status_code == 204
    until = time.monotonic() + 10
    while time.monotonic() < until:
        has_unmapped = held_datasets(worker) == mapped - 1
        if has_unmapped and psutil.Process(worker).memory_info().rss < resident - 5_000_000:
            return
        time.sleep(0.1)
    pytest.fail("the worker still holds the memory of the deleted dataset")
