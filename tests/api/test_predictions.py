"""Predictions over HTTP: the form of the answer. Their values are held in tests/reference."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.problems import problem


def ask(api: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


ROWS = {"x": [0, 1, 2, 3, 4], "y": [0, 1, 4, 9, 16]}


def test_the_answer_names_dataset_version_and_fit(api: httpx.Client) -> None:
    answer = ask(api, dataset_id="motorcycle", queries=[[15.0], [25.0]])
    assert answer["dataset_id"] == "motorcycle"
    assert answer["target_names"] == ["accel"]
    assert answer["fit"] == {
        "method": "local_polynomial",
        "degree": 1,
        "kernel": "tricube",
        "n_neighbors": answer["fit"]["n_neighbors"],
        "ridge": 0.0,
        "metric": "standardized",
    }
    assert len(answer["mean"]) == 2
    assert answer["issues"] == []
    assert not {"neighbors", "diagnostics", "solver"} & set(answer)


@pytest.mark.parametrize(
    "fit",
    [
        {"method": "knn"},
        {"method": "knn", "n_neighbors": 3.0, "weights": "distance"},
        {"method": "knn", "n_neighbors": 3, "metric": {"scale": [2]}},
        {"method": "nadaraya_watson", "bandwidth": 2},
        {"method": "nadaraya_watson", "n_neighbors": 3, "bandwidth": None, "kernel": "cosine"},
        {"method": "local_linear", "n_neighbors": 4, "ridge": 0.1},
        {"method": "local_polynomial", "degree": 2, "bandwidth": 3, "metric": "standardized"},
        {"method": "kriging"},
        {"method": "kriging", "kernel": "matern32", "n_neighbors": 3, "alpha": 0.5},
        {"method": "auto"},
        None,
    ],
)
def test_the_fit_of_an_answer_can_be_sent_back(api: httpx.Client, fit: Any) -> None:
    first = ask(api, dataset=ROWS, queries=[0.5, 2.5], fit=fit)
    second = ask(api, dataset=ROWS, queries=[0.5, 2.5], fit=first["fit"])
    assert second["fit"] == first["fit"]
    assert second["mean"] == first["mean"]
    assert first["dataset_id"] is None


def test_several_targets_give_rows(api: httpx.Client) -> None:
    rows = {"x": [0, 1, 2], "y": [[0, 5], [1, 6], [2, 7]], "target_names": ["a", "b"]}
    answer = ask(api, dataset=rows, queries=[0, 2], fit={"method": "knn", "n_neighbors": 1})
    assert answer["mean"] == [[0, 5], [2, 7]]
    assert answer["target_names"] == ["a", "b"]


def test_no_support_is_null_and_an_issue(api: httpx.Client) -> None:
    fit = {"method": "nadaraya_watson", "kernel": "tricube", "bandwidth": 0.5}
    answer = ask(api, dataset=ROWS, queries=[1, 1000, 2, -1000], fit=fit)
    assert [value is None for value in answer["mean"]] == [False, True, False, True]
    issue = next(found for found in answer["issues"] if found["status"] == "no_support")
    assert issue["queries"] == [1, 3]
    assert issue["advice"]


def test_neighbors_reproduce_the_estimate(api: httpx.Client) -> None:
    for fit in (
        {"method": "knn", "n_neighbors": 3},
        {"method": "local_linear", "n_neighbors": 4},
        {"method": "kriging", "n_neighbors": 4, "length_scale": 2},
    ):
        answer = ask(
            api, dataset=ROWS, queries=[0.6, 2.9], fit=fit, include=["neighbors", "neighbors"]
        )
        for mean, found in zip(answer["mean"], answer["neighbors"], strict=True):
            again = sum(
                w * ROWS["y"][i] for w, i in zip(found["weights"], found["rows"], strict=True)
            )
            assert math.isclose(mean, again, rel_tol=1e-9, abs_tol=1e-9)
            assert found["distances"] == sorted(found["distances"])


def test_diagnostics_have_one_number_a_query(api: httpx.Client) -> None:
    fit = {"method": "local_linear", "kernel": "tricube", "bandwidth": 1.5}
    answer = ask(api, dataset=ROWS, queries=[1, 50], fit=fit, include=["diagnostics"])
    found = answer["diagnostics"]
    assert found["support"] == [3, 0]
    assert found["degree"] == [1, -1]
    assert found["bandwidth"][0] == 1.5
    assert len(found["effective_rows"]) == 2
    assert found["plan"]["backend"] == "native"
    assert found["plan"]["reasons"]


EXTRAS = {"std", "std_observation", "noise", "interval", "slope", "slope_std", "gradient"}
EXTRAS |= {"quantiles"}


def test_only_what_is_asked_for_is_there(api: httpx.Client) -> None:
    plain = ask(api, dataset_id="motorcycle", queries=[15, 25])
    assert not EXTRAS & set(plain)
    for include, fields in {
        ("std",): {"std", "std_observation", "noise"},
        ("interval",): {"interval"},
        ("slope",): {"slope", "slope_std", "noise"},
        ("gradient",): {"gradient"},
        ("quantiles",): {"quantiles"},
        ("std", "interval", "slope", "gradient", "quantiles"): EXTRAS,
    }.items():
        answer = ask(api, dataset_id="motorcycle", queries=[15, 25], include=include)
        assert EXTRAS & set(answer) == fields
        assert {name: answer[name] for name in plain} == plain


def test_intervals_hold_the_estimate_and_widen_with_the_level(api: httpx.Client) -> None:
    request = {"dataset_id": "motorcycle", "queries": [15, 25, 500], "include": ["interval"]}
    widths = {}
    for kind in ("confidence", "prediction", "conformal", "jackknife_plus"):
        for level in (0.5, 0.9):
            answer = ask(api, **request, interval_kind=kind, level=level)
            found = answer["interval"]
            assert (found["kind"], found["level"]) == (kind, level)
            assert found["distance_rank"][2] == 1
            lower, upper = np.array(found["lower"]), np.array(found["upper"])
            assert (lower < answer["mean"]).all()
            assert (upper > answer["mean"]).all()
            widths[kind, level] = upper - lower
        assert (widths[kind, 0.5] < widths[kind, 0.9]).all()
    assert (widths["confidence", 0.9] < widths["prediction", 0.9]).all()
    default = ask(api, **request)["interval"]
    assert (default["kind"], default["level"]) == ("conformal", 0.9)


def test_several_targets_each_have_their_own(api: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((40, 3)), rng.normal(size=(40, 2))
    fit = {"method": "local_linear", "n_neighbors": 30}
    include = ["std", "interval", "slope", "gradient", "quantiles"]
    q = rng.random((5, 3)).tolist()
    both = ask(api, dataset={"x": x.tolist(), "y": y.tolist()}, queries=q, fit=fit, include=include)
    assert np.shape(both["slope"]) == np.shape(both["gradient"]) == (5, 2, 3)
    assert np.shape(both["quantiles"]["values"]) == (5, 3, 2)
    for c in range(2):
        one = ask(
            api,
            dataset={"x": x.tolist(), "y": y[:, c].tolist()},
            queries=q,
            fit=fit,
            include=include,
        )
        for name in ("mean", "std", "std_observation", "slope", "slope_std", "gradient"):
            got = np.array(both[name])[:, c]
            np.testing.assert_allclose(got, one[name], rtol=1e-12, err_msg=name)
        for name in ("lower", "upper"):
            got = np.array(both["interval"][name])[:, c]
            np.testing.assert_allclose(got, one["interval"][name], rtol=1e-12, err_msg=name)
        values = np.array(both["quantiles"]["values"])[:, :, c]
        assert values.tolist() == one["quantiles"]["values"]


def test_the_gradient_is_the_difference_of_two_predictions(api: httpx.Client) -> None:
    step = 1e-4
    for fit in (
        {"method": "local_linear", "n_neighbors": 40, "metric": "standardized"},
        {"method": "nadaraya_watson", "bandwidth": 3},
        {"method": "kriging", "length_scale": 5, "alpha": 0.3, "kernel": "matern52"},
    ):
        request: dict[str, Any] = {"dataset_id": "motorcycle", "fit": fit}
        at = ask(api, **request, queries=[15, 25], include=["gradient"])["gradient"]
        ends = ask(api, **request, queries=[15 - step, 15 + step, 25 - step, 25 + step])["mean"]
        for i in range(2):
            slope = (ends[2 * i + 1] - ends[2 * i]) / (2 * step)
            assert math.isclose(at[i][0], slope, rel_tol=1e-6)


def test_the_leverage_is_the_sum_of_the_squared_weights(api: httpx.Client) -> None:
    request = {"queries": [0.6, 99], "fit": {"method": "nadaraya_watson", "bandwidth": 1,
               "kernel": "tricube"}}  # fmt: skip
    answer = ask(api, dataset=ROWS, **request, include=["neighbors", "diagnostics", "std"])
    for found, std in zip(answer["neighbors"], answer["std"], strict=True):
        leverage = sum(weight**2 for weight in found["weights"])
        assert math.isclose(found["leverage"], leverage, rel_tol=1e-12)
        if std is not None:
            scale = answer["noise"]["residual_scale"][0]
            assert math.isclose(std, scale * math.sqrt(leverage), rel_tol=1e-12)
    assert answer["std"][1] is None
    assert answer["diagnostics"]["ridge"] == [0, 0]


def test_what_nothing_bounds_is_null_and_an_issue(api: httpx.Client) -> None:
    fit = {"method": "knn", "n_neighbors": 2}
    answer = ask(api, dataset=ROWS, queries=[1], fit=fit, include=["interval"])
    assert answer["interval"]["lower"] == answer["interval"]["upper"] == [None]
    assert [issue["status"] for issue in answer["issues"]] == ["unbounded"]
    fit = {"method": "knn", "n_neighbors": 1}
    answer = ask(api, dataset=ROWS, queries=[1], fit=fit, include=["std"])
    assert answer["std"] == answer["noise"]["residual_scale"] == [None]
    assert [issue["status"] for issue in answer["issues"]] == ["undetermined"]


def test_quantiles_of_nearest_rows(api: httpx.Client) -> None:
    fit = {"method": "knn", "n_neighbors": 3}
    answer = ask(
        api, dataset=ROWS, queries=[2], fit=fit, include=["quantiles"], quantiles=[0.2, 0.5, 0.8]
    )
    assert answer["quantiles"] == {"levels": [0.2, 0.5, 0.8], "values": [[1, 4, 9]]}


def test_kriging_over_all_rows_reports_its_solver(api: httpx.Client) -> None:
    answer = ask(api, dataset=ROWS, queries=[1], fit={"method": "kriging", "alpha": 0.1})
    assert answer["solver"]["relative_residual"] < 1e-10
    assert answer["solver"]["jitter"] == 0


EQUAL: dict[str, Any] = {"x": [[1, 2]] * 4, "y": [3] * 4}
TWO_PLACES: dict[str, Any] = {"x": [0, 0, 1, 1], "y": [0, 1, 2, 3]}


@pytest.mark.parametrize(
    ("rows", "fit"),
    [
        # Constant features.
        ({"x": [[1, 5], [1, 5], [1, 5]], "y": [1, 2, 3]}, {"method": "auto"}),
        # All rows equal, the targets too.
        (EQUAL, {"method": "local_linear", "n_neighbors": 4}),
        (EQUAL, {"method": "knn", "weights": "distance", "n_neighbors": 4}),
        # Two distinct points for a parabola.
        (TWO_PLACES, {"method": "local_polynomial", "degree": 2, "n_neighbors": 4}),
    ],
)
def test_awkward_rows_get_an_answer(api: httpx.Client, rows: Any, fit: Any) -> None:
    q = [[0.5] * len(np.atleast_2d(np.array(rows["x"]).T))]
    answer = ask(api, dataset=rows, queries=q, fit=fit)
    (mean,) = answer["mean"]
    assert mean is None or math.isfinite(mean)
    assert mean is not None or answer["issues"]


def test_a_long_answer_is_the_same_as_many_short_ones(api: httpx.Client) -> None:
    rng = np.random.default_rng(5)
    queries = rng.uniform(0, 60, size=20_000)
    fit = {"method": "knn", "n_neighbors": 3}
    request = {"dataset_id": "motorcycle", "fit": fit, "include": ["neighbors", "diagnostics"]}
    whole = ask(api, queries=queries.tolist(), **request)
    assert len(whole["neighbors"]) == len(queries)
    for start in (0, 9_999, 19_990):
        part = ask(api, queries=queries[start : start + 10].tolist(), **request)
        stop = start + len(part["mean"])
        assert whole["mean"][start:stop] == part["mean"]
        assert whole["neighbors"][start:stop] == part["neighbors"]
        for name in ("support", "effective_rows", "bandwidth", "degree"):
            assert whole["diagnostics"][name][start:stop] == part["diagnostics"][name]


def test_a_deadline_ends_a_long_prediction(api: httpx.Client) -> None:
    rng = np.random.default_rng(6)
    uploaded = api.post(
        "/datasets", json={"x": rng.random((50_000, 3)).tolist(), "y": rng.random(50_000).tolist()}
    )
    request = {
        "dataset_id": uploaded.json()["id"],
        "queries": rng.random((20_000, 3)).tolist(),
        "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.1},
        "timeout_s": 0.3,
    }
    problem(api.post("/predict", json=request), 504)
    api.delete(uploaded.headers["location"])


def test_server_timing_names_the_parts(api: httpx.Client) -> None:
    answer = api.post("/predict", json={"dataset_id": "motorcycle", "queries": [15]})
    parts = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
    assert [name for name, _ in parts] == ["read", "queue", "compute", "write"]
    assert all(float(duration) >= 0 for _, duration in parts)


def test_every_other_answer_has_its_total_time(api: httpx.Client) -> None:
    for answer in (
        api.get("/livez"),
        api.get("/docs"),
        api.get("/datasets/motorcycle"),
        api.head("/limits"),
        api.get("/nothing"),
        api.delete("/livez"),
        api.post("/predict", json={}),
        api.post("/predict", content=b"", headers={"Content-Type": "text/plain"}),
    ):
        name, _, duration = answer.headers["server-timing"].partition(";dur=")
        assert name == "total"
        assert float(duration) > 0
