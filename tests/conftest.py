"""Fixtures that tests of several folders share."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.prediction import Prediction
from service.estimators.fits import Fit
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
