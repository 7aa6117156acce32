"""The slopes that locfit gives for its own local polynomials."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.kernels import Kernel
from service.estimators.fits import LocalPolynomial
from service.estimators.gradients import slope

R: dict[str, Any] = json.loads((Path(__file__).parent / "r_tables.json").read_text())
CASES = [case for case in R["cases"] if "slope" in case]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_slopes_of_locfit(case: dict[str, Any]) -> None:
    table = R["data"][case["data"]]
    x = np.column_stack([np.array(table[name], dtype=np.float64) for name in case["features"]])
    y = np.array(table[case["target"]], dtype=np.float64)[:, None]
    asked = case["fit"]
    fit = LocalPolynomial(
        asked["degree"],
        Kernel(asked["kernel"]),
        asked.get("bandwidth"),
        asked.get("n_neighbors"),
    )
    queries = np.array(case["queries"], dtype=np.float64).reshape(-1, x.shape[1])
    got = slope(NativeBackend().load(x, y), fit, queries).slope[:, 0, 0]
    assert_allclose(got, case["slope"], rtol=1e-6 if fit.degree == 2 else 1e-9)
