"""The published kriging figures, by every solver."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.kernels import Covariance
from service.engine.plan import Forced
from service.estimators.fits import Kriging
from service.estimators.kriging_system import Solver
from tests.predicting import make_task, predict_here

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "seed_curves.json").read_text())[
    "kriging"
]


@pytest.mark.parametrize("solver", Solver)
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["kernel"]))
def test_every_solver_gives_the_published_figures(case: dict[str, Any], solver: Solver) -> None:
    x, y, q = (
        np.array(case[name], dtype=np.float64).reshape(len(case[name]), -1)
        for name in ("x", "y", "queries")
    )
    fit = Kriging(Covariance(case["kernel"]), case["length_scale"], case["alpha"])
    forced = Forced.named(solver.value)
    got = predict_here(make_task(x, y, fit, q, forced=forced), NativeBackend())
    assert_allclose(got.mean[:, 0], case["mean"], rtol=1e-9)
    assert got.solve is not None
    assert got.solve.relative_residual < 1e-8
