"""KeOps where it runs in the service: in a compute process, through every estimator."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.keops.backend import open_backend
from service.backends.native.backend import NativeBackend
from service.domain.dataset import make_dataset
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Wanted
from service.engine.workers.base import Task
from service.engine.workers.process import ProcessWorker
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from tests.predicting import plan_of, predict_here

pytestmark = pytest.mark.keops

RNG = np.random.default_rng(11)
X, Q = RNG.random((700, 2)), RNG.random((150, 2)) * 1.2
Y = np.column_stack([np.sin(5 * X[:, 0]) + X[:, 1], X[:, 0] * X[:, 1]])
DATASET = replace(make_dataset(X, Y), id="ds_1")
FITS: tuple[Fit, ...] = (
    Knn(5),
    Knn(100, weights="distance", metric="standardized"),
    NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.05),
    NadarayaWatson(Kernel.EPANECHNIKOV, n_neighbors=20),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=40, metric="standardized"),
    LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=0.2),
    LocalPolynomial(1, Kernel.UNIFORM, n_neighbors=30),
    Kriging(Covariance.MATERN52, length_scale=0.3, alpha=0.01),
    Kriging(Covariance.GAUSSIAN, length_scale=0.2, alpha=0.1, n_neighbors=30),
)


def test_every_fit_agrees_with_the_native_engine_also_after_a_lost_start(tmp_path: Path) -> None:
    seen: set[str] = set()

    async def scenario() -> None:
        worker = ProcessWorker(
            open_backend,
            {"cache_folder": str(tmp_path), "device": "cpu", "threads": 1},
            prepared_budget_bytes=10**8,
            dataset_budget_bytes=10**8,
        )
        await worker.start()
        try:
            async with asyncio.timeout(240):
                while "(3 of" not in worker.state:
                    seen.add(worker.state)
                    await asyncio.sleep(0.005)
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)  # in the middle of a compile
                while not worker.is_ready:
                    await asyncio.sleep(0.05)
            for fit in FITS:
                task = Task(
                    DATASET,
                    fit,
                    Q,
                    plan_of(fit, DATASET, block_size=64),
                    Wanted(10**6, diagnostics=True),
                )
                got = (await worker.predict(task, time.monotonic() + 60)).prediction
                expected = predict_here(task, NativeBackend())
                assert_allclose(got.mean, expected.mean, rtol=1e-9, atol=1e-9, err_msg=str(fit))
                assert [issue.status for issue in got.issues] == [
                    issue.status for issue in expected.issues
                ]
        finally:
            await worker.close()

    asyncio.run(scenario())
    assert "importing KeOps" in seen
    assert any(state.startswith("compiling KeOps formulas (") for state in seen)
