"""Published paths of gradient descent, on a surface fitted to samples of the function."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.estimators import local_polynomial
from service.estimators.descent import Decay, Descent, Stop, descend
from service.estimators.fits import LocalPolynomial
from service.estimators.gradients import gradient

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "descent.json").read_text())
FIT = LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=0.005)


@pytest.mark.parametrize("case", PUBLISHED["paths"], ids=lambda case: f"from {case['start']}")
def test_the_path_on_the_fitted_surface_is_the_published_one(case: dict[str, Any]) -> None:
    x = np.linspace(-5, 5, 4001)[:, None]
    rows = NativeBackend().load(x, x**2 + 3 * np.sin(x) - 4 * np.cos(x**2))

    def surface(points: Floats) -> tuple[Floats, Floats]:
        found = local_polynomial.predict(rows, FIT, points, neighbor_limit=None, diagnostics=False)
        return found.mean[:, 0], gradient(rows, FIT, points).gradient[:, 0]

    descent = Descent(case["rate"], Decay.EXPONENTIAL, case["decay"], tolerance=1e-5)
    (path,) = descend(surface, np.array([[float(case["start"])]]), descent)
    assert_allclose(path.points[:, 0], case["x"], rtol=0, atol=1e-3)
    assert path.stop is Stop.CONVERGED
