"""POST /score and the relevance of features: beside what a client would compute by itself."""

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.live import upload

RNG = np.random.default_rng(23)
X = RNG.random((40, 2)) * [1.0, 5.0]
Y = np.column_stack([np.sin(5 * X[:, 0]), X[:, 1]]) + 0.2 * RNG.normal(size=(40, 2))
NEW_X, NEW_Y = X[:9] + 0.01, Y[:9] + 0.1

FITS: Mapping[str, Any] = {
    "knn": {"method": "knn", "n_neighbors": 3},
    "nadaraya_watson": {"method": "nadaraya_watson", "bandwidth": 0.5},
    "local_linear": {"method": "local_linear", "n_neighbors": 12, "ridge": 0.01},
    "kriging": {"method": "kriging", "length_scale": 0.7, "alpha": 0.1},
    "local_kriging": {"method": "kriging", "alpha": 0.1, "n_neighbors": 10, "mean": "constant"},
}


def post(api: httpx.Client, path: str, **request: Any) -> Any:
    answer = api.post(path, json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def mean(api: httpx.Client, x: Any, y: Any, fit: Any, queries: Any) -> Any:
    dataset = {"x": x.tolist(), "y": y.tolist()}
    answer = post(api, "/predict", dataset=dataset, queries=queries.tolist(), fit=fit)
    return np.array(answer["mean"], dtype=np.float64)


def assert_figures(targets: Any, y: Any, prediction: Any) -> None:
    error = y - prediction
    spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    expected = {
        "rmse": np.sqrt((error**2).mean(axis=0)),
        "mae": np.abs(error).mean(axis=0),
        "r2": 1 - (error**2).sum(axis=0) / spread,
    }
    for name, values in expected.items():
        assert_allclose([target[name] for target in targets], values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FITS)
def test_without_rows_each_row_is_predicted_by_all_the_others(api: httpx.Client, name: str) -> None:
    dataset_id, fit = upload(api, X.tolist(), Y.tolist()), FITS[name]
    found = post(api, "/score", dataset_id=dataset_id, fit=fit)
    assert (found["by"], found["rows"], found["sampled"]) == ("leave_one_out", 40, False)
    assert found["fit"].items() >= {**fit, "method": found["fit"]["method"]}.items()
    others = [np.delete(np.arange(40), i) for i in range(40)]
    refits = [mean(api, X[o], Y[o], fit, X[i : i + 1]) for i, o in enumerate(others)]
    assert_figures(found["targets"], Y, np.concatenate(refits))


@pytest.mark.parametrize("name", FITS)
def test_the_criteria_are_those_of_the_hat_matrix(api: httpx.Client, name: str) -> None:
    dataset_id, fit = upload(api, X.tolist(), Y.tolist()), FITS[name]
    found = post(api, "/score", dataset_id=dataset_id, fit=fit)
    answer = post(
        api,
        "/predict",
        dataset_id=dataset_id,
        queries=X.tolist(),
        fit=fit,
        include=["neighbors"],
    )
    own = [
        sum(w for row, w in zip(each["rows"], each["weights"], strict=True) if row == i)
        for i, each in enumerate(answer["neighbors"])
    ]
    trace, n = sum(own), 40
    assert_allclose(found["trace"], trace, rtol=1e-8)
    mean_square = ((Y - np.array(answer["mean"])) ** 2).mean(axis=0)
    gcv = [target["gcv"] for target in found["targets"]]
    aicc = [target["aicc"] for target in found["targets"]]
    assert_allclose(gcv, mean_square / (1 - trace / n) ** 2, rtol=1e-7)
    penalty = 1 + 2 * (trace + 1) / (n - trace - 2)
    assert_allclose(aicc, np.log(mean_square) + penalty, rtol=1e-7)


def test_rows_sent_along_are_predicted_by_the_dataset(api: httpx.Client) -> None:
    dataset_id, fit = upload(api, X.tolist(), Y.tolist()), FITS["local_linear"]
    rows = {"x": NEW_X.tolist(), "y": NEW_Y.tolist()}
    found = post(api, "/score", dataset_id=dataset_id, fit=fit, rows=rows, level=0.8)
    assert (found["by"], found["rows"], found["sampled"]) == ("rows", 9, False)
    assert found["trace"] is None
    assert [target["name"] for target in found["targets"]] == ["y1", "y2"]
    answer = post(
        api,
        "/predict",
        dataset_id=dataset_id,
        queries=rows["x"],
        fit=fit,
        include=["interval"],
        level=0.8,
    )
    assert_figures(found["targets"], NEW_Y, np.array(answer["mean"]))
    lower, upper = (np.array(answer["interval"][end]) for end in ("lower", "upper"))
    within = ((lower <= NEW_Y) & (NEW_Y <= upper)).mean(axis=0)
    assert_allclose([target["coverage"] for target in found["targets"]], within)
    width = (upper - lower).mean(axis=0)
    assert_allclose([target["mean_width"] for target in found["targets"]], width)


def test_each_kind_of_interval_holds_about_as_often_as_it_says(api: httpx.Client) -> None:
    x = RNG.random((1500, 1))
    y = np.sin(6 * x) + 0.3 * RNG.normal(size=x.shape)
    dataset_id = upload(api, x[:1000].tolist(), y[:1000].tolist())
    rows = {"x": x[1000:].tolist(), "y": y[1000:].tolist()}
    for kind in ("prediction", "conformal"):
        found = post(api, "/score", dataset_id=dataset_id, rows=rows, interval_kind=kind)
        assert 0.86 < found["targets"][0]["coverage"] < 0.94
    by_others = post(api, "/score", dataset_id=dataset_id)
    assert 0.87 < by_others["targets"][0]["coverage"] < 0.93
    none = post(api, "/score", dataset_id=dataset_id, rows=rows, interval_kind=None)
    assert none["targets"][0]["coverage"] is None
    assert none["targets"][0]["mean_width"] is None
    assert none["targets"][0]["rmse"] == found["targets"][0]["rmse"]


def test_above_5000_rows_a_sample_of_them_is_left_out(api: httpx.Client) -> None:
    x = np.linspace(0, 1, 6000)
    dataset_id = upload(api, x.tolist(), (x + 0.1 * RNG.normal(size=6000)).tolist())
    found = post(api, "/score", dataset_id=dataset_id)
    assert (found["rows"], found["sampled"]) == (5000, True)
    assert found["targets"][0]["rmse"] == pytest.approx(0.1, rel=0.05)
    assert found == post(api, "/score", dataset_id=dataset_id)  # the same sample


def test_rows_without_a_prediction_are_counted(api: httpx.Client) -> None:
    dataset = {"x": [0, 0.1, 0.2, 9], "y": [1, 2, 3, 100]}
    fit = {"method": "nadaraya_watson", "kernel": "uniform", "bandwidth": 1}
    found = post(api, "/score", dataset=dataset, fit=fit, interval_kind=None)
    assert (found["rows"], found["without_prediction"]) == (4, 1)
    assert_figures(found["targets"], np.array([[1.0], [2.0], [3.0]]), [[2.5], [2.0], [1.5]])
    rows = {"x": [20, 0.1], "y": [0, 2]}
    found = post(api, "/score", dataset=dataset, fit=fit, rows=rows, interval_kind=None)
    assert (found["rows"], found["without_prediction"]) == (2, 1)
    assert found["targets"][0]["rmse"] == pytest.approx(0.0)
    assert found["targets"][0]["r2"] is None  # a single target has no spread
    rows = {"x": [20], "y": [0]}
    found = post(api, "/score", dataset=dataset, fit=fit, rows=rows)
    assert found["without_prediction"] == 1
    assert found["targets"][0]["rmse"] is None
    assert found["targets"][0]["coverage"] is None


@pytest.mark.parametrize(
    "fit",
    [
        {"method": "linear", "solver": "gradient_descent", "metric": "standardized"},
    ],
)
def test_a_fit_without_intervals_is_judged_by_rows_without_them(
    api: httpx.Client, fit: Any
) -> None:
    request = {"dataset_id": "motorcycle", "fit": fit}
    rows = {"x": [12.0, 22.0], "y": [-5.0, -110.0]}
    refused = api.post("/score", json={**request, "rows": rows})
    assert refused.status_code == 422
    (fault,) = refused.json()["errors"]
    assert fault["pointer"] == "/interval_kind"
    assert "interval_kind null" in fault["detail"]
    found = post(api, "/score", **request, rows=rows, interval_kind=None)
    answer = post(api, "/predict", **request, queries=rows["x"])
    assert_figures(found["targets"], np.array([rows["y"]]).T, np.array([answer["mean"]]).T)
    others = api.post("/score", json={**request, "interval_kind": None})
    assert others.status_code == 422
    (fault,) = others.json()["errors"]
    assert fault["pointer"] == "/fit/solver"


def test_classes_are_judged_one_by_one_and_together(api: httpx.Client) -> None:
    dataset = {"x": [0, 1, 2, 3, 4, 5], "y": ["a", "a", "b", "b", "a", "b"]}
    fit = {"method": "knn", "n_neighbors": 3}
    rows = {"x": [0, 1, 4.1, 5], "y": ["a", "b", "b", "b"]}
    found = post(api, "/score", dataset=dataset, fit=fit, rows=rows, interval_kind=None)
    b = np.array([1 / 3, 1 / 3, 2 / 3, 2 / 3])  # the share of it among the three nearest
    assert [target["name"] for target in found["targets"]] == ["a", "b"]
    is_b = np.array([0.0, 1.0, 1.0, 1.0])
    assert_figures(found["targets"], np.column_stack([1 - is_b, is_b]), np.column_stack([1 - b, b]))
    assert found["accuracy"] == 0.75
    true = np.where(is_b == 1, b, 1 - b)
    assert found["log_loss"] == pytest.approx(-np.log(true).mean())


def test_a_fit_over_all_rows_goes_on_with_one_less(api: httpx.Client) -> None:
    dataset = {"x": [0, 1, 2, 3, 4], "y": [0, 1, 4, 9, 16]}
    fit = {"method": "knn", "n_neighbors": 5}
    found = post(api, "/score", dataset=dataset, fit=fit)
    others = [[(30 - y) / 4] for y in dataset["y"]]
    assert_figures(found["targets"], np.array(dataset["y"], dtype=float)[:, None], others)
    assert found["targets"][0]["mean_width"] is None  # two rows bound nothing at this level


def test_the_relevance_is_that_of_the_slopes_until_a_metric_is_learned(api: httpx.Client) -> None:
    x = RNG.random((400, 3)) * [1.0, 10.0, 100.0]
    x[:, 2] = 7.0  # constant: no step in it is typical
    dataset_id = upload(api, x.tolist(), (4 * x[:, 0] + 0.1 * x[:, 1]).tolist())
    found = api.get(f"/datasets/{dataset_id}/relevance").json()
    assert (found["by"], found["rows"]) == ("slopes", 400)
    assert found["fit"]["metric"] == "standardized"
    assert [feature["name"] for feature in found["features"]] == ["x1", "x2", "x3"]
    shares = np.array([feature["share"] for feature in found["features"]])
    deviation = x.std(axis=0)
    expected = np.array([4.0, 0.1, 0.0]) * deviation
    assert_allclose(shares, expected / expected.sum(), rtol=1e-6, atol=1e-9)


def test_a_missing_dataset_is_not_found(api: httpx.Client) -> None:
    for answer in (
        api.get("/datasets/nothing/relevance"),
        api.post("/score", json={"dataset_id": "nothing"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "/guide/troubleshooting/#dataset-not-found"


def test_a_score_has_a_deadline(api: httpx.Client) -> None:
    x = RNG.random((3000, 2))
    dataset_id = upload(api, x.tolist(), x[:, 0].tolist())
    fit = {"method": "kriging", "kernel": "laplacian", "alpha": 0.01}
    answer = api.post("/score", json={"dataset_id": dataset_id, "fit": fit, "timeout_s": 0.05})
    assert answer.status_code == 504
    assert answer.json()["type"] == "/guide/troubleshooting/#deadline-exceeded"
    assert answer.json()["detail"].startswith("The score took longer than its time: send rows")


@pytest.mark.parametrize("rows", [4, 12, 40])
@pytest.mark.parametrize("fit", [{"method": "knn", "n_neighbors": 2}, {"method": "local_linear"}])
def test_intervals_of_a_few_rows_with_gaps_are_scored(
    api: httpx.Client, rows: int, fit: dict[str, Any]
) -> None:
    """One half of the rows, which the other is judged by, may have no gap."""
    x: list[list[float | None]] = [[i * 0.37 % 1, i * 0.71 % 1] for i in range(rows)]
    x[1][0] = None
    dataset = {"x": x, "y": [i * 0.53 % 1 for i in range(rows)]}
    fit = {"n_neighbors": 3, **fit}
    found = post(api, "/score", dataset=dataset, fit=fit)
    assert found["rows"] == rows
    assert found["targets"][0]["rmse"] > 0


@pytest.mark.parametrize(
    "fit",
    [
        {"method": "nadaraya_watson", "bandwidth": 1},
        {"method": "local_linear", "kernel": "gaussian", "n_neighbors": 2},
        {"method": "local_linear", "kernel": "gaussian", "bandwidth": 1, "robust": 2},
    ],
)
def test_a_single_row_that_counts_is_predicted_by_nothing(
    api: httpx.Client, fit: dict[str, Any]
) -> None:
    dataset = {"x": [0, 1, 2, 3], "y": [1, 2, 3, 4], "weights": [0, 0, 0, 1]}
    found = post(api, "/score", dataset=dataset, fit=fit)
    assert found["without_prediction"] == found["rows"]
    assert found["targets"][0]["rmse"] is None
    answer = post(api, "/predict", dataset=dataset, fit=fit, queries=[3.0], include=["interval"])
    assert answer["interval"]["lower"] == [None]


@pytest.mark.parametrize("rows", [2, 4, 9])
def test_a_fit_through_all_rows_has_no_gcv(api: httpx.Client, rows: int) -> None:
    rng = np.random.default_rng(rows)
    dataset = {"x": rng.normal(size=(rows, rows - 1)).tolist(), "y": rng.normal(size=rows).tolist()}
    found = post(api, "/score", dataset=dataset, fit={"method": "linear"})
    assert found["targets"][0]["gcv"] is None
