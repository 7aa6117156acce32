"""Fixtures that tests of several folders share."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.prediction import Prediction
from service.estimators.fits import Fit
from tests.live import live_client
from tests.predicting import Predict, make_task, predict_here

settings.register_profile(
    "nearfit",
    deadline=None,  # the first call compiles
    max_examples=60,
    derandomize=True,  # a failure here is a failure everywhere
    # The `predict` fixture has no state that one example could leave to the next.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("nearfit")


@pytest.fixture(params=["native"])
def predict(request: pytest.FixtureRequest) -> Predict:
    """Predict on a backend."""
    backend = NativeBackend()

    def on_native(
        x: Floats,
        y: Floats,
        fit: Fit,
        q: Floats,
        *,
        neighbors: bool = False,
        diagnostics: bool = False,
        block_size: int = 1000,
    ) -> Prediction:
        task = make_task(
            np.array(x), np.array(y), fit, np.array(q),
            neighbors=neighbors, diagnostics=diagnostics, block_size=block_size,
        )  # fmt: skip
        return predict_here(task, backend)

    return on_native


@pytest.fixture(scope="session", params=["native", pytest.param("keops", marks=pytest.mark.keops)])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a backend, each in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def client(backend: str) -> Iterator[httpx.Client]:
    """A client of a service that runs on the backend."""
    with live_client(backend=backend) as client:
        yield client
