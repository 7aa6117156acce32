"""Fixtures that tests of several folders share."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from service.backends.base import Search
from service.backends.keops.backend import open_backend
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.prediction import Prediction
from service.engine import tuner
from service.engine.plan import NOTHING_FORCED, Forced
from service.engine.workers.base import Task
from service.engine.workers.process import ProcessWorker
from service.estimators.fits import Fit
from service.estimators.kriging_system import Solver
from service.settings import Settings
from tests.live import READY_WITHIN_S, live_client
from tests.predicting import TIME_S, Predict, RunTask, make_task, predict_here

settings.register_profile(
    "nearfit",
    deadline=None,  # the first call compiles
    max_examples=60,
    derandomize=True,  # a failure here is a failure everywhere
    # The `predict` fixture has no state that one example could leave to the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("nearfit")


def pytest_collection_finish() -> None:
    """Keep the modules and the thousands of tests out of every collection of garbage from here on.

    They stay to the end; a full collection that looks through them takes longer than many a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def searches_have_their_share() -> Iterator[None]:
    """Let the services of this process search for fits on cores that other tests keep busy.

    As users have them, searches wait until a core is idle.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuner, "work_when_idle", lambda: None)
        yield


@pytest.fixture(scope="session", params=["native", pytest.param("keops", marks=pytest.mark.keops)])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend, each in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def client(backend: str) -> Iterator[httpx.Client]:
    """A client of a service that runs on the backend."""
    with live_client(backend=backend) as client:
        yield client


@pytest.fixture(scope="session")
def built_guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the guide, built as `make docs` does, which a warning ends with an error."""
    folder = tmp_path_factory.mktemp("guide")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="session")
def run_on_keops() -> Iterator[RunTask]:
    """Run tasks in a KeOps worker process, from an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    worker = ProcessWorker(
        open_backend,
        {"cache_folder": str(Settings().cache_dir), "device": "cpu"},
        prepared_budget_bytes=10**8,
        dataset_budget_bytes=10**8,
    )

    def run(task: Task) -> Prediction:
        future = asyncio.run_coroutine_threadsafe(
            worker.predict(task, time.monotonic() + TIME_S), loop
        )
        return future.result().prediction

    asyncio.run_coroutine_threadsafe(worker.start(), loop).result()
    until = time.monotonic() + READY_WITHIN_S
    while not worker.is_ready:
        assert time.monotonic() < until, worker.state
        time.sleep(0.05)
    yield run
    asyncio.run_coroutine_threadsafe(worker.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def predict_with(run: RunTask, forced: Forced = NOTHING_FORCED) -> Predict:
    def predict(
        x: Floats,
        y: Floats,
        fit: Fit,
        q: Floats,
        *,
        neighbors: bool = False,
        diagnostics: bool = False,
        block_size: int = 1000,
    ) -> Prediction:
        return run(
            # Copies: a dataset makes its arrays read-only.
            make_task(
                np.array(x),
                np.array(y),
                fit,
                np.array(q),
                neighbors=neighbors,
                diagnostics=diagnostics,
                block_size=block_size,
                forced=forced,
            )
        )

    return predict


@pytest.fixture
def predict_natively() -> Predict:
    """Predict on the native backend, in this process, by the planner's own choice."""
    return predict_with(run_here)


def run_here(task: Task) -> Prediction:
    return predict_here(task, NativeBackend())


PLANS = {
    "tree": Forced(Search.TREE, Solver.CHOLESKY),
    "scan": Forced(Search.SCAN, Solver.LOW_RANK),
    "iteration": Forced(Search.TREE, Solver.CONJUGATE_GRADIENT),
}
"""Every search and every solver that the planner can choose, each forced by one of these: the two
have nothing to do with each other."""


@pytest.fixture(params=[*PLANS, pytest.param("keops", marks=pytest.mark.keops)])
def predict(request: pytest.FixtureRequest) -> Predict:
    """Predict by each plan in turn, and on KeOps."""
    if request.param == "keops":
        return predict_with(request.getfixturevalue("run_on_keops"))
    return predict_with(run_here, PLANS[request.param])
