"""Linear regression through HTTP: both solvers, and all that an answer can include."""

import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from service.domain.arrays import Floats

RNG = np.random.default_rng(8)
X = RNG.normal(size=(300, 4)) @ (np.eye(4) + 0.4 * RNG.normal(size=(4, 4))) * [1, 10, 100, 0.1]
Y = X @ [3.0, -0.5, 0.02, 7.0] + 2 + 0.5 * RNG.normal(size=300)
QUERIES = X[:6] + 0.1
DESIGN = np.column_stack([np.ones(300), X])
COEFFICIENTS = np.linalg.lstsq(DESIGN, Y, rcond=None)[0]


@pytest.fixture(scope="module")
def rows(api: httpx.Client) -> str:
    answer = api.post("/datasets", json={"x": X.tolist(), "y": Y.tolist()})
    return str(answer.raise_for_status().json()["id"])


def predict(api: httpx.Client, rows: str, include: list[str], **fit: Any) -> dict[str, Any]:
    request = {"dataset_id": rows, "queries": QUERIES.tolist(), "include": include}
    answer = api.post("/predict", json={**request, "fit": {"method": "linear", **fit}})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_both_solvers_agree_with_each_other_and_with_numpy(api: httpx.Client, rows: str) -> None:
    direct = predict(api, rows, [])
    descended = predict(api, rows, [], solver="gradient_descent")
    expected = COEFFICIENTS[0] + QUERIES @ COEFFICIENTS[1:]
    assert_allclose(direct["mean"], expected, rtol=1e-9)
    assert_allclose(descended["mean"], direct["mean"], rtol=1e-6)
    assert "solver" not in direct
    assert direct["fit"] == {"method": "linear", "metric": "euclidean", "solver": "least_squares"}


def test_the_history_of_the_loss_comes_down_to_the_mean_squared_residual(
    api: httpx.Client, rows: str
) -> None:
    report = predict(api, rows, [], solver="gradient_descent")["solver"]
    (losses,) = report["loss_history"]
    assert len(losses) == report["iterations"] + 1 > 2
    assert report["relative_residual"] <= 1e-12
    assert_allclose(losses[0], np.var(Y))
    assert_allclose(losses[-1], np.mean((Y - DESIGN @ COEFFICIENTS) ** 2))


@pytest.mark.parametrize("metric", ["euclidean", "standardized"])
def test_all_that_an_answer_can_include_is_that_of_the_textbook(
    api: httpx.Client, rows: str, metric: str
) -> None:
    include = ["neighbors", "diagnostics", "std", "slope", "gradient"]
    found = predict(api, rows, include, metric=metric)
    scale = np.abs(X).max(axis=0)
    inverse = np.linalg.inv((DESIGN / [1, *scale]).T @ (DESIGN / [1, *scale]))
    at = np.column_stack([np.ones(6), QUERIES / scale])
    weights = at @ inverse @ (DESIGN / [1, *scale]).T
    variance = float(np.sum((Y - DESIGN @ COEFFICIENTS) ** 2)) / 295
    for listed, expected in zip(found["neighbors"], weights, strict=True):
        assert_allclose(listed["weights"], expected[listed["rows"]], rtol=1e-8, atol=1e-12)
    norms = np.sum(weights**2, axis=1)
    assert_allclose(found["diagnostics"]["effective_rows"], 1 / norms, rtol=1e-9)
    assert_allclose(found["std"], np.sqrt(variance * norms), rtol=1e-9)
    assert_allclose(found["slope"], np.tile(COEFFICIENTS[1:], (6, 1)), rtol=1e-8)
    errors = np.sqrt(variance * np.diag(inverse)[1:]) / scale
    assert_allclose(found["slope_std"], np.tile(errors, (6, 1)), rtol=1e-8)
    assert_allclose(found["gradient"], found["slope"], rtol=1e-12)


def test_conformal_intervals_hold(api: httpx.Client, rows: str) -> None:
    fresh: Floats = np.random.default_rng(9).normal(size=(500, 4)) * [1, 10, 100, 0.1]
    y = fresh @ [3.0, -0.5, 0.02, 7.0] + 2 + 0.5 * np.random.default_rng(10).normal(size=500)
    request = {"dataset_id": rows, "queries": fresh.tolist(), "fit": {"method": "linear"}}
    found = api.post("/predict", json={**request, "include": ["interval"]}).json()["interval"]
    inside = (np.array(found["lower"]) <= y) & (y <= np.array(found["upper"]))
    assert 0.86 <= inside.mean() <= 0.94


def test_the_score_is_that_of_the_textbook(api: httpx.Client, rows: str) -> None:
    score = api.post("/score", json={"dataset_id": rows, "fit": {"method": "linear"}}).json()
    hat = np.sum(np.linalg.qr(DESIGN)[0] ** 2, axis=1)
    residual = (Y - DESIGN @ COEFFICIENTS) / (1 - hat)
    assert_allclose(score["trace"], 5)
    assert_allclose(score["targets"][0]["rmse"], np.sqrt(np.mean(residual**2)), rtol=1e-9)


def test_an_arrow_answer_has_the_history_too(api: httpx.Client, rows: str) -> None:
    fit = {"method": "linear", "solver": "gradient_descent"}
    request = {"dataset_id": rows, "queries": QUERIES.tolist(), "fit": fit}
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    stream = api.post("/predict", json=request, headers=accept).content
    table = pa.ipc.open_stream(stream).read_all()
    assert "loss_history" in json.loads(table.schema.metadata[b"nearfit"])["solver"]


def test_gradient_descent_takes_the_settings_given(api: httpx.Client, rows: str) -> None:
    few = predict(api, rows, [], solver="gradient_descent", rate=0.05, momentum=0, max_steps=3)
    assert few["solver"]["iterations"] == 3
    assert [issue["status"] for issue in few["issues"]] == ["not_converged"]
    assert (few["fit"]["rate"], few["fit"]["momentum"], few["fit"]["max_steps"]) == (0.05, 0, 3)


def test_a_constant_feature_has_no_slope_as_of_a_local_line(api: httpx.Client) -> None:
    dataset = {"x": [3.0] * 12, "y": list(range(12))}
    request = {"dataset": dataset, "queries": [3, 4], "include": ["slope"]}
    line = {"method": "local_linear", "bandwidth": 3}
    for fit in ({"method": "linear"}, line):
        answer = api.post("/predict", json={**request, "fit": fit})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["mean"] == [5.5, 5.5]
        assert found["slope"] == found["slope_std"] == [[None], [None]]
        assert found["issues"][0]["status"] == "degenerate"
