"""Weights of rows from upload to score, in every format that carries rows."""

from typing import Any

import httpx
import pytest
from numpy.testing import assert_allclose

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, stream

X = [[0.0, 1.0], [1.0, 0.5], [2.0, 2.0], [3.0, 1.0], [4.0, 0.0], [5.0, 2.5]]
Y = [1.0, 3.0, 2.0, 5.0, 4.0, 7.0]
P = [1.0, 2.0, 0.0, 3.0, 1.0, 1.0]
ROWS = {"x": X, "y": Y, "weights": P}
TWICE = [row for row, p in zip(X, P, strict=True) for _ in range(int(p))]
MEANS = [y for y, p in zip(Y, P, strict=True) for _ in range(int(p))]
FIT = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 1.0}
QUERIES = [[1.5, 1.0], [3.0, 1.5]]
CSV, COLUMNS = {"Content-Type": "text/csv"}, {"Content-Type": ARROW}
TABLE = "a,p,b,y\n" + "".join(f"{a},{p},{b},{y}\n" for (a, b), y, p in zip(X, Y, P, strict=True))


def answered(api: httpx.Client, path: str, **request: Any) -> dict[str, Any]:
    answer = api.post(path, json=request)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_weights_are_described_and_part_of_the_content(api: httpx.Client) -> None:
    weighted, plain = (answered(api, "/datasets", **rows) for rows in (ROWS, {"x": X, "y": Y}))
    assert weighted["weights"] == {"column": "weights", "sum": 8.0, "zero": 1}
    assert "weights" not in plain
    assert weighted["digest"] != plain["digest"]
    assert weighted["bytes"] == plain["bytes"] + 8 * len(P)
    other = answered(api, "/datasets", x=X, y=Y, weights=[*P[:-1], 2.0])
    assert other["digest"] != weighted["digest"]
    for dataset in (weighted, plain, other):
        api.delete(f"/datasets/{dataset['id']}")


def test_each_format_of_weights_is_the_same_dataset(api: httpx.Client) -> None:
    names = {"weights": "p", "target": "y"}
    columns = {"a": [x[0] for x in X], "p": P, "b": [x[1] for x in X], "y": Y}
    first = api.post("/datasets", content=TABLE, headers=CSV, params=names)
    assert first.status_code == 201, first.text
    assert first.json()["weights"] == {"column": "p", "sum": 8.0, "zero": 1}
    assert first.json()["feature_names"] == ["a", "b"]
    for other in (
        api.post("/datasets", files={"file": ("rows.csv", TABLE, "text/csv")}, data=names),
        api.post("/datasets", content=stream(columns), headers=COLUMNS, params=names),
    ):
        assert other.status_code == 200, other.text
        assert other.json()["id"] == first.json()["id"]
    api.delete(first.headers["location"])
    in_json = answered(api, "/datasets", **ROWS)
    arrow = stream({"x": matrix(X), "y": Y, "weights": P})
    matrices = api.post("/datasets", content=arrow, headers=COLUMNS)
    assert matrices.status_code == 200, matrices.text
    assert matrices.json()["id"] == in_json["id"]
    api.delete(f"/datasets/{in_json['id']}")


def test_weights_of_integers_are_repeated_rows(api: httpx.Client) -> None:
    for fit in (FIT, {"method": "linear"}, {"method": "kriging", "alpha": 0.5}):
        got, expected = (
            answered(api, "/predict", dataset=rows, queries=QUERIES, fit=fit)["mean"]
            for rows in (ROWS, {"x": TWICE, "y": MEANS})
        )
        assert_allclose(got, expected, rtol=1e-9)


def test_appended_rows_bring_their_weights(api: httpx.Client) -> None:
    names = {"weights": "p", "target": "y"}
    first = api.post("/datasets", content=TABLE, headers=CSV, params=names)
    rows = f"{first.headers['location']}/rows"
    arrow = stream({"x": matrix([[6.0, 1.0]]), "y": [2.0], "weights": [0.5]})
    for answer, weight in (
        (api.post(rows, json={"x": [[1.0, 1.0]], "y": [2.0], "weights": [2.5]}), 10.5),
        (api.post(rows, content="y,p,b,a\n1,0.5,2,3\n", headers=CSV), 11.0),
        (api.post(rows, content=arrow, headers=COLUMNS), 11.5),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.json()["weights"]["sum"] == weight
    stored = answered(api, "/predict", dataset_id=first.json()["id"], queries=QUERIES, fit=FIT)[
        "mean"
    ]
    sent = {
        "x": [*X, [1.0, 1.0], [3.0, 2.0], [6.0, 1.0]],
        "y": [*Y, 2.0, 1.0, 2.0],
        "weights": [*P, 2.5, 0.5, 0.5],
    }
    whole = answered(api, "/predict", dataset=sent, queries=QUERIES, fit=FIT)["mean"]
    assert_allclose(stored, whole, rtol=1e-12)
    api.delete(first.headers["location"])


def test_a_row_without_target_loses_its_weight_too(api: httpx.Client) -> None:
    missing = [None, *Y[1:]]
    got = answered(api, "/predict", dataset={**ROWS, "y": missing}, queries=QUERIES, fit=FIT)
    left = {"x": X[1:], "y": Y[1:], "weights": P[1:]}
    assert got["mean"] == answered(api, "/predict", dataset=left, queries=QUERIES, fit=FIT)["mean"]


def test_neighbors_that_do_not_count_give_no_answer(api: httpx.Client) -> None:
    fit = {"method": "knn", "n_neighbors": 1}
    found = answered(
        api, "/predict", dataset=ROWS, queries=[X[2], X[3]], fit=fit, include=["neighbors"]
    )
    assert found["mean"] == [None, 5.0]
    assert [(issue["status"], issue["queries"]) for issue in found["issues"]] == [
        ("no_support", [0])
    ]


def test_errors_are_weighted_means(api: httpx.Client) -> None:
    judged: dict[str, Any] = {"x": QUERIES, "y": [2.0, 6.0]}
    mean = answered(api, "/predict", dataset=ROWS, queries=QUERIES, fit=FIT)["mean"]
    errors = [abs(y - f) for y, f in zip(judged["y"], mean, strict=True)]
    request = {"dataset": ROWS, "fit": FIT, "interval_kind": None}
    found = answered(api, "/score", **request, rows={**judged, "weights": [3, 1]})
    assert_allclose(found["targets"][0]["mae"], (3 * errors[0] + errors[1]) / 4, rtol=1e-12)


def test_leave_one_out_judges_by_the_rows_that_count(api: httpx.Client) -> None:
    found = answered(api, "/score", dataset=ROWS, fit=FIT)
    assert (found["rows"], found["sampled"]) == (5, False)
    scaled = {**ROWS, "weights": [10 * p for p in P]}
    other = answered(api, "/score", dataset=scaled, fit=FIT)
    for name in ("rmse", "mae", "r2", "coverage", "gcv"):
        assert_allclose(found["targets"][0][name], other["targets"][0][name], rtol=1e-9)


def test_every_method_has_its_errors(api: httpx.Client) -> None:
    rows = {"x": [*X, *[[b, a] for a, b in X]], "y": [*Y, *Y[::-1]], "weights": P + P}
    for fit in (
        {"method": "knn", "n_neighbors": 5},
        FIT,
        {"method": "local_linear", "kernel": "gaussian", "bandwidth": 2.0},
        {"method": "kriging", "alpha": 0.3},
        {"method": "kriging", "alpha": 0.3, "n_neighbors": 6, "mean": "constant"},
        {"method": "linear"},
    ):
        for kind in ("conformal", "prediction"):
            found = answered(
                api, "/predict", dataset=rows, queries=QUERIES, fit=fit,
                include=["std", "interval"], interval_kind=kind, level=0.5,
            )  # fmt: skip
            for low, mean, high in zip(
                found["interval"]["lower"], found["mean"], found["interval"]["upper"], strict=True
            ):
                assert low < mean < high
            assert min(found["std"]) > 0


@pytest.mark.parametrize(
    ("weights", "pointer", "remedy"),
    [
        ([1, 1, -1, 1, 1, 1], "/weights/2", "must be 0"),
        ([1, 1, 1, 1, 1, 1e60], "/weights/5", "1e\\+50"),
        ([1, 1, 1, 1e-60, 1, 1], "/weights/3", "1e-50"),
        ([0, 0, 0, 0, 0, 0], "/weights", "above 0"),
        ([1, 1, 1], "/weights", "one a row"),
        ([[1], [1], [1], [1], [1], [1]], "/weights", "flat list"),
        ([1, 1, None, 1, 1, 1], "/weights/2", "replace"),
        ("w", "/weights", "list of numbers"),
    ],
)
def test_bad_weights_are_refused(
    api: httpx.Client, weights: Any, pointer: str, remedy: str
) -> None:
    found = problem(api.post("/datasets", json={"x": X, "y": Y, "weights": weights}), 422)
    assert pointers(found) == [pointer]
    assert remedy.replace("\\", "") in found["detail"]
    inline = {"dataset": {"x": X, "y": Y, "weights": weights}, "queries": QUERIES}
    assert pointers(problem(api.post("/predict", json=inline), 422)) == [f"/dataset{pointer}"]


def test_bad_columns_of_weights_are_refused(api: httpx.Client) -> None:
    for name, pointer in (("q", "weights"), ("y", "target")):
        answer = api.post("/datasets", content=TABLE, headers=CSV, params={"weights": name})
        assert pointers(problem(answer, 422)) == [pointer]
    cut = TABLE.replace("1.0,2.0,0.5", "1.0,,0.5")
    answer = api.post("/datasets", content=cut, headers=CSV, params={"weights": "p"})
    assert pointers(problem(answer, 422)) == ["/weights/1"]
    answer = api.post("/datasets", json=ROWS, params={"weights": "p"})
    assert pointers(problem(answer, 422)) == ["weights"]
    arrow = stream({"x": matrix(X), "y": Y, "weights": P})
    answer = api.post("/datasets", content=arrow, headers=COLUMNS, params={"weights": "p"})
    assert pointers(problem(answer, 422)) == ["weights"]


def test_rows_with_and_without_weights_do_not_mix(api: httpx.Client) -> None:
    for rows, appended, remedy in (
        (ROWS, {"x": [[1, 1]], "y": [1]}, "1 for a row"),
        ({"x": X, "y": Y}, {"x": [[1, 1]], "y": [1], "weights": [1]}, "leave weights out"),
    ):
        stored = answered(api, "/datasets", **rows)
        answer = api.post(f"/datasets/{stored['id']}/rows", json=appended)
        found = problem(answer, 422)
        assert pointers(found) == ["/weights"]
        assert remedy in found["detail"]
        api.delete(f"/datasets/{stored['id']}")


def test_dpill_takes_no_weights(api: httpx.Client) -> None:
    rows = {"x": list(range(30)), "y": [float(i % 7) for i in range(30)], "weights": [2.0] * 30}
    fit = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 1.0}
    answer = api.post("/tune", json={"dataset": rows, "selector": "dpill", "fit": fit})
    assert pointers(problem(answer, 422)) == ["/selector"]


@pytest.mark.parametrize("nearest", [{}, {"n_neighbors": 4}])
def test_kriging_far_from_the_rows_that_count_is_extrapolated(
    api: httpx.Client, nearest: dict[str, int]
) -> None:
    found = answered(
        api,
        "/predict",
        dataset={"x": [0, 1, 3, 13], "y": [1, 2, 1, 1], "weights": [0, 0, 0, 1]},
        queries=[3.3, 12.9],
        fit={"method": "kriging", **nearest},
    )
    (issue,) = [one for one in found["issues"] if one["status"] == "extrapolated"]
    assert issue["queries"] == [0]


@pytest.mark.parametrize("selector", ["cv_ls", "gcv", "aicc"])
def test_a_search_over_a_single_row_that_counts_ends_with_a_reason(
    api: httpx.Client, selector: str
) -> None:
    dataset = answered(
        api,
        "/datasets",
        x=list(range(12)),
        y=[float(i * i % 7) for i in range(12)],
        weights=[0] * 11 + [1],
        name=f"one row for {selector}",
    )
    answer = api.post("/tune", json={"dataset_id": dataset["id"], "selector": selector})
    assert answer.status_code == 422 or answer.json()["state"] == "failed", answer.text
    assert "log of the service" not in answer.text
