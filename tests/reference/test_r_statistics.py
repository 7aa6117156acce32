"""Standard errors, degrees of freedom and robust fits: the digits of R and of statsmodels."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.engine.portions import SerialBlocks
from service.estimators import robust
from service.estimators.fits import LocalPolynomial
from service.estimators.uncertainty import residual_variance, squared_norms

HERE = Path(__file__).parent
R: dict[str, Any] = json.loads((HERE / "r_tables.json").read_text())
LOWESS: dict[str, Any] = json.loads((HERE / "lowess.json").read_text())


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def trimmed_deviation(values: Floats) -> float:
    """Return the standard deviation without the 10 % at each end, by which loess scales."""
    dropped = int(np.ceil(0.1 * len(values)))
    return float(np.std(np.sort(values)[dropped:-dropped], ddof=1))


def loaded(case: dict[str, Any]) -> tuple[Resident, LocalPolynomial, Floats]:
    """Return the rows of a case, its fit and its queries, in the metric of the fit."""
    table, q = R["data"][case["data"]], np.array(case["queries"], dtype=np.float64)
    x = np.column_stack([np.array(table[name], dtype=np.float64) for name in case["features"]])
    if case.get("scale") == "trimmed deviation":
        scale = [trimmed_deviation(column) for column in x.T]
        x, q = x / scale, q / scale
    y = np.array(table[case["target"]], dtype=np.float64)[:, None]
    fit = case["fit"]
    return (
        NativeBackend().load(x, y),
        LocalPolynomial(fit["degree"], Kernel(fit["kernel"]), n_neighbors=fit["n_neighbors"]),
        q,
    )


@pytest.mark.parametrize(
    "case",
    [case for case in R["cases"] if "standard_error" in case],
    ids=lambda case: str(case["id"]),
)
def test_the_statistics_of_loess(case: dict[str, Any]) -> None:
    rows, fit, q = loaded(case)
    rtol = 1e-6 if fit.degree == 2 else 1e-9
    noise = residual_variance(rows, fit, None, unhurried())
    assert not noise.is_estimate
    assert_allclose(np.sqrt(noise.variance), [case["residual_scale"]], rtol=rtol)
    assert_allclose(noise.trace, case["trace_hat"], rtol=rtol)
    assert_allclose(noise.freedom, case["df"], rtol=rtol)
    errors = np.sqrt(noise.variance[0] * squared_norms(rows, fit, q))
    assert_allclose(errors, case["standard_error"], rtol=rtol)


@pytest.mark.parametrize("case", R["robust"], ids=lambda case: str(case["id"]))
def test_loess_with_the_symmetric_family(case: dict[str, Any]) -> None:
    rows, fit, q = loaded(case)
    # R counts the first fit among its iterations.
    weights = robust.robustness_weights(rows, fit, case["iterations"] - 1, unhurried())
    got = robust.predict(rows, fit, weights, q, diagnostics=False)
    assert_allclose(got.mean[:, 0], case["mean"], rtol=1e-6)


@pytest.mark.parametrize("case", LOWESS["cases"], ids=lambda case: f"{case['data']}-{case['it']}")
def test_lowess_of_statsmodels(case: dict[str, Any]) -> None:
    table = R["data"][case["data"]]
    x, y = (np.array(table[case[name]], float)[:, None] for name in ("feature", "target"))
    rows = NativeBackend().load(x, y)
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=int(case["frac"] * len(x) + 1e-10))
    weights = robust.robustness_weights(rows, fit, case["it"], unhurried())
    got = robust.predict(rows, fit, weights, x, diagnostics=False)
    assert_allclose(got.mean[:, 0], case["mean"], rtol=1e-9, atol=1e-9)
