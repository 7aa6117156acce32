"""Robust fits through HTTP: the digits of R and of statsmodels, and what they cannot give."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.api.problems import pointers, problem

REFERENCE = Path(__file__).parents[1] / "reference"
R: dict[str, Any] = json.loads((REFERENCE / "r_tables.json").read_text())
LOWESS: dict[str, Any] = json.loads((REFERENCE / "lowess.json").read_text())


def predict(api: httpx.Client, x: Any, y: Any, queries: Any, **fit: Any) -> list[float]:
    request = {"dataset": {"x": x, "y": y}, "queries": queries, "fit": fit}
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["fit"]["robust"] == fit["robust"]
    mean: list[float] = answer.json()["mean"]
    return mean


@pytest.mark.parametrize("case", R["robust"], ids=lambda case: str(case["id"]))
def test_loess_with_the_symmetric_family(api: httpx.Client, case: dict[str, Any]) -> None:
    table, fit = R["data"][case["data"]], case["fit"]
    x = np.column_stack([table[name] for name in case["features"]]).tolist()
    mean = predict(
        api,
        x,
        table[case["target"]],
        case["queries"],
        method="local_polynomial",
        degree=fit["degree"],
        kernel=fit["kernel"],
        n_neighbors=fit["n_neighbors"],
        robust=case["iterations"] - 1,  # R counts the first fit
    )
    assert_allclose(mean, case["mean"], rtol=1e-6)


@pytest.mark.parametrize(
    "case",
    [case for case in LOWESS["cases"] if case["it"] > 0],
    ids=lambda case: f"{case['data']}-{case['it']}",
)
def test_lowess_of_statsmodels(api: httpx.Client, case: dict[str, Any]) -> None:
    table = R["data"][case["data"]]
    x = table[case["feature"]]
    k = int(case["frac"] * len(x) + 1e-10)
    mean = predict(
        api, x, table[case["target"]], x, method="local_linear", n_neighbors=k, robust=case["it"]
    )
    assert_allclose(mean, case["mean"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["nadaraya_watson", "local_linear"])
def test_an_outlier_does_not_pull(api: httpx.Client, method: str) -> None:
    x = np.linspace(0, 1, 40).tolist()
    y = (1 + 0.1 * np.random.default_rng(13).normal(size=40)).tolist()
    y[20] = 1000.0
    fit = {"method": method, "n_neighbors": 15, "kernel": "tricube"}
    assert_allclose(predict(api, x, y, x, **fit, robust=5), 1.0, atol=0.2)


def test_the_weights_of_a_stored_dataset_are_found_once_and_anew_after_an_append(
    api: httpx.Client,
) -> None:
    rng = np.random.default_rng(12)
    x = np.sort(rng.random(200))
    y = np.sin(6 * x) + 0.1 * rng.standard_t(1, size=200)
    uploaded = api.post("/datasets", json={"x": x[:150].tolist(), "y": y[:150].tolist()}).json()
    fit = {"method": "local_linear", "n_neighbors": 30, "robust": 3}
    request = {"dataset_id": uploaded["id"], "queries": [0.2, 0.9], "fit": fit}
    before = api.post("/predict", json=request).json()
    assert api.post("/predict", json=request).json() == before
    rest = {"x": x[150:].tolist(), "y": y[150:].tolist()}
    api.post(f"/datasets/{uploaded['id']}/rows", json=rest).raise_for_status()
    after = api.post("/predict", json=request).json()
    assert after["mean"] == predict(api, x.tolist(), y.tolist(), [0.2, 0.9], **fit)
    api.delete(f"/datasets/{uploaded['id']}").raise_for_status()


@pytest.mark.parametrize(
    "include", ["neighbors", "std", "interval", "slope", "gradient", "quantiles"]
)
def test_what_needs_weights_that_do_not_look_at_y_is_refused(
    api: httpx.Client, include: str
) -> None:
    fit = {"method": "local_linear", "n_neighbors": 30, "robust": 3}
    request = {"dataset_id": "motorcycle", "queries": [20], "fit": fit, "include": [include]}
    if include == "quantiles":
        request["quantiles"] = [0.5]
    found = problem(api.post("/predict", json=request), 422)
    assert pointers(found) == ["/fit/robust"]
    assert "send robust 0" in found["detail"]
