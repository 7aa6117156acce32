"""Robust fits through HTTP: the digits of R and of statsmodels, and what they cannot give."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

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


def test_an_answer_has_all_that_other_fits_have(api: httpx.Client) -> None:
    fit = {"method": "local_linear", "n_neighbors": 30, "robust": 3}
    include = ["neighbors", "diagnostics", "std", "interval", "slope", "gradient", "quantiles"]
    request = {"dataset_id": "motorcycle", "queries": [12, 20], "fit": fit, "include": include}
    for kind in ("confidence", "prediction", "conformal", "jackknife_plus"):
        answer = api.post("/predict", json={**request, "quantiles": [0.5], "interval_kind": kind})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        lower, upper = (np.array(found["interval"][side]) for side in ("lower", "upper"))
        assert (lower < found["mean"]).all()
        assert (upper > found["mean"]).all()
    assert (np.array(found["std"]) > 0).all()
    assert np.isfinite(found["slope"]).all()
    assert (np.array(found["slope_std"]) > 0).all()
    assert found["noise"]["residual_scale"][0] > 0
    assert found["issues"] == []


def test_several_targets_have_all_but_neighbors_and_each_its_own(api: httpx.Client) -> None:
    rng = np.random.default_rng(4)
    x = rng.random(60)
    y = np.column_stack([np.sin(6 * x), x]) + 0.1 * rng.standard_t(1.5, size=(60, 2))
    fit = {"method": "local_linear", "n_neighbors": 25, "robust": 2}
    include = ["std", "interval", "slope", "gradient", "quantiles"]

    def answered(targets: Any) -> Any:
        dataset = {"x": x.tolist(), "y": targets.tolist()}
        request = {"dataset": dataset, "fit": fit, "queries": [0.3, 0.6]}
        answer = api.post("/predict", json={**request, "include": include, "quantiles": [0.5]})
        assert answer.status_code == 200, answer.text
        scored = api.post("/score", json={"dataset": dataset, "fit": fit}).json()
        return answer.json(), scored

    (both, both_scored), (second, second_scored) = answered(y), answered(y[:, 1])
    for name in ("mean", "std", "slope", "slope_std", "gradient"):
        assert_allclose([each[1] for each in both[name]], second[name], rtol=1e-9)
    assert_allclose([each[1] for each in both["interval"]["upper"]], second["interval"]["upper"])
    assert both_scored["trace"] is None
    assert both_scored["by"] == "leave_one_out"
    named = {**second_scored["targets"][0], "name": "y2"}
    for name, value in named.items():
        if name != "name":
            assert_allclose(both_scored["targets"][1][name], value, rtol=1e-9)


def test_leave_one_out_and_descents_know_robust_fits(api: httpx.Client) -> None:
    rng = np.random.default_rng(2)
    x = np.linspace(0, 4, 80)
    y = (x - 2) ** 2 + 0.05 * rng.normal(size=80)
    y[::9] += 30
    rows = {"x": x.tolist(), "y": y.tolist()}
    fit = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.3}
    plain, firm = ({**fit, "robust": times} for times in (0, 4))
    mae = [
        api.post("/score", json={"dataset": rows, "fit": each}).json()["targets"][0]["mae"]
        for each in (plain, firm)
    ]
    assert mae[1] < 0.7 * mae[0]  # the outliers are predicted by neither
    start = {"dataset": rows, "fit": firm, "starts": [0.5], "rate": 0.2, "max_steps": 60}
    path = api.post("/minimize", json=start).json()["paths"][0]
    assert abs(path["points"][-1] - 2) < 0.2
    few = {"dataset": {"x": rows["x"][:40], "y": rows["y"][:40]}, "budget_s": 30}
    tuned = api.post("/tune", json={**few, "selector": "gcv", "fit": {**firm, "robust": 1}}).json()
    assert tuned["state"] == "done"
    assert tuned["best"]["fit"]["robust"] == 1
    assert tuned["best"]["fit"]["bandwidth"] != 0.3
