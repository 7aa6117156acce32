"""Cells of x may be missing: of rows and of queries, in each format."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, stream
from tests.live import upload

X: list[list[float | None]] = [[0.0, 1.0], [1.0, None], [None, None], [3.0, 4.0], [None, 2.0]]
Y = [5.0, 6.0, 7.0, 8.0, 9.0]
NAN: list[list[float | None]] = [[np.nan if cell is None else cell for cell in row] for row in X]
KNN = {"method": "knn", "n_neighbors": 2}
MIXED = ["std", "interval", "neighbors", "diagnostics"]


def columns(x: list[list[float | None]]) -> dict[str, Any]:
    first, second = zip(*x, strict=True)
    return {"x1": pa.array(first, pa.float64()), "x2": pa.array(second, pa.float64())}


def arrow(api: httpx.Client, body: bytes, path: str = "/datasets") -> httpx.Response:
    return api.post(path, content=body, headers={"Content-Type": ARROW})


def csv(api: httpx.Client, text: str, path: str = "/datasets") -> httpx.Response:
    return api.post(path, content=text, headers={"Content-Type": "text/csv"})


def test_each_format_has_the_same_gaps(api: httpx.Client) -> None:
    first = api.post("/datasets", json={"x": X, "y": Y})
    assert first.status_code == 201, first.text
    told = first.json()
    assert (told["rows"], told["dropped_rows"]) == (4, 1)
    one, two = told["summary"]["features"]
    assert one == {
        "name": "x1", "min": 0.0, "max": 3.0, "mean": 4 / 3, "missing": 1,
        "standard_deviation": pytest.approx(np.std([0, 1, 3], ddof=1)),
    }  # fmt: skip
    assert (two["min"], two["max"], two["missing"]) == (1.0, 4.0, 1)
    assert "missing" not in told["summary"]["targets"][0]
    lists = pa.array(
        [[0.0, 1.0], [1.0, None], None, [3.0, 4.0], [None, 2.0]], pa.list_(pa.float64(), 2)
    )
    y = {"y": Y}
    others = {
        "empty cells": csv(api, "x1,x2,y\n0,1,5\n1,,6\n,,7\n3,4,8\n,2,9\n"),
        "NA and nan": csv(api, "x1,x2,y\n0,1,5\n1,NA,6\nnan,NaN,7\n3,4,8\nNA,2,9\n"),
        "nulls": arrow(api, stream(columns(X) | y)),
        "NaN": arrow(api, stream(columns(NAN) | y)),
        "matrices": arrow(api, stream({"x": matrix(NAN), "y": pa.array(Y)})),
        "null lists": arrow(api, stream({"x": lists, "y": pa.array(Y)})),
    }
    for name, answer in others.items():
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert answer.json()["id"] == told["id"], name
    api.delete(first.headers["location"])


def test_missing_numbers_stand_beside_classes_in_csv(api: httpx.Client) -> None:
    answer = csv(api, "x1,x2,y\n0,NA,NA\n1,,a\n2,5,b\n3,1,\n")
    assert answer.status_code == 201, answer.text
    assert answer.json()["summary"]["classes"] == [
        {"label": label, "rows": 1} for label in ("NA", "a", "b")
    ]
    assert answer.json()["summary"]["features"][1]["missing"] == 2
    api.delete(answer.headers["location"])


def test_distances_skip_what_is_missing(api: httpx.Client) -> None:
    request = {"dataset": {"x": X, "y": Y}, "fit": KNN, "include": ["neighbors"]}
    found = api.post("/predict", json=request | {"queries": [[0.0, 2.0]]}).json()
    # The row left out does not count: row 3 is [None, 2], at √(2 · 0²); row 0 at √1.
    near = found["neighbors"][0]
    assert (near["rows"], near["distances"]) == ([3, 0], [0.0, 1.0])
    assert found["mean"] == [(9 + 5) / 2]
    assert found["issues"] == []


def test_queries_without_cells_have_no_answer_and_the_others_theirs(api: httpx.Client) -> None:
    x = np.random.default_rng(1).random((60, 3))
    where = upload(api, x.tolist(), x.sum(axis=1).tolist())
    queries = [[0.5, None, 0.5], [None, None, None], [0.5, 0.5, 0.5], [None, 0.1, None]]
    request = {"dataset_id": where, "fit": KNN, "include": MIXED}
    found = api.post("/predict", json=request | {"queries": queries}).json()
    assert found["mean"][1] is None
    assert [
        (issue["status"], issue["queries"])
        for issue in found["issues"]
        if issue["status"] == "missing_cells"
    ] == [("missing_cells", [1]), ("missing_cells", [0, 3])]
    assert found["neighbors"][1] == {"rows": [], "distances": [], "weights": [], "leverage": 0.0}
    told = found["diagnostics"]
    assert (told["support"][1], told["degree"][1], told["bandwidth"][1]) == (0, -1, None)
    assert (found["std"][1], found["interval"]["lower"][1]) == (None, None)
    for i, query in enumerate(queries):
        alone = api.post("/predict", json=request | {"queries": [query]}).json()
        for field in ("mean", "std", "std_observation", "neighbors"):
            assert alone[field] == [found[field][i]], field
        for field in ("lower", "upper", "distance", "distance_rank"):
            assert alone["interval"][field] == [found["interval"][field][i]], field
    api.delete(f"/datasets/{where}")


@pytest.fixture(scope="module")
def complete(api: httpx.Client) -> Iterator[tuple[str, str]]:
    """The ids of rows of three features without a gap, and of them without the second feature."""
    rng = np.random.default_rng(3)
    x = rng.random((80, 3))
    y = np.sin(3 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=80)
    ids = upload(api, x.tolist(), y.tolist()), upload(api, x[:, [0, 2]].tolist(), y.tolist())
    yield ids
    for known in ids:
        api.delete(f"/datasets/{known}")


ROOT = (2 / 3) ** 0.5
FITS: list[tuple[dict[str, Any], Any, Any, list[str]]] = [
    (KNN, "euclidean", {"scale": [ROOT, ROOT]}, ["quantiles"]),
    (
        {"method": "nadaraya_watson", "bandwidth": 0.3},
        {"scale": [2, 1, 0.5]},
        {"scale": [2 * ROOT, 0.5 * ROOT]},
        ["gradient", "quantiles"],
    ),
    (
        {"method": "local_polynomial", "degree": 2, "n_neighbors": 50},
        {"matrix": [[1, 0.3, 0], [0, 1, 0], [0.5, 0, 2]]},
        {"matrix": [[1 / ROOT, 0], [0, 0], [0.5 / ROOT, 2 / ROOT]]},
        ["slope", "gradient"],
    ),
    (
        {"method": "kriging", "length_scale": 0.5, "alpha": 0.1},
        "euclidean",
        {"scale": [ROOT, ROOT]},
        ["gradient"],
    ),
    ({"method": "linear"}, "euclidean", {"scale": [ROOT, ROOT]}, ["slope", "gradient"]),
]


@pytest.mark.parametrize(("fit", "metric", "narrow", "include"), FITS)
def test_a_query_is_answered_by_the_features_that_it_has(
    api: httpx.Client,
    complete: tuple[str, str],
    fit: dict[str, Any],
    metric: Any,
    narrow: Any,
    include: list[str],
) -> None:
    """The same fit to the dataset without the feature, and longer distances."""
    include = ["std", "interval", *include]
    found, expected = (
        api.post(
            "/predict",
            json={
                "dataset_id": known,
                "queries": q,
                "fit": fit | {"metric": m},
                "include": include,
            },
        ).json()
        for known, q, m in (
            (complete[0], [[0.4, None, 0.6], [0.2, None, 0.9]], metric),
            (complete[1], [[0.4, 0.6], [0.2, 0.9]], as_square(narrow)),
        )
    )
    assert found["fit"]["metric"] == metric
    for field in ("mean", "std", "std_observation"):
        assert_allclose(found[field], expected[field], rtol=1e-7)
    for field in ("lower", "upper", "distance", "distance_rank"):
        assert_allclose(found["interval"][field], expected["interval"][field], rtol=1e-7)
    if "quantiles" in include:
        assert found["quantiles"] == expected["quantiles"]
    for field in {"slope", "gradient"} & set(include):
        assert [row[1] for row in found[field]] == [None, None]
        assert_allclose([[r[0], r[2]] for r in found[field]], expected[field], rtol=1e-6, atol=1e-9)


def as_square(metric: Any) -> Any:
    """Return a metric with its matrix in a square one of the same distances."""
    if "matrix" not in metric:
        return metric
    wide = np.array(metric["matrix"])
    return {"matrix": np.linalg.cholesky(wide.T @ wide).T.tolist()}


def test_gaps_in_rows_and_queries_meet(api: httpx.Client) -> None:
    """Rows that have none of a query's features are left out, and keep their numbers."""
    x = [[0.0, None], [None, 1.0], [2.0, 2.0], [3.0, None], [4.0, 0.0]]
    request = {"dataset": {"x": x, "y": Y}, "queries": [[None, 1.2]], "include": ["neighbors"]}
    found = api.post("/predict", json=request | {"fit": KNN | {"n_neighbors": 5}}).json()
    assert found["neighbors"][0]["rows"] == [1, 2, 4]
    assert_allclose(found["neighbors"][0]["distances"], 2**0.5 * np.array([0.2, 0.8, 1.2]))
    assert_allclose(found["mean"], [(6 + 7 + 9) / 3])
    lonely = {"x": [[0.0, None], [1.0, None], [2.0, 2.0]], "y": [1, 2, 3]}
    found = api.post("/predict", json=request | {"dataset": lonely, "fit": KNN}).json()
    assert found["mean"] == [None]
    (issue,) = found["issues"]
    assert issue["status"] == "missing_cells"
    assert "fewer than two rows" in issue["advice"]


def test_gaps_are_tuned_scored_and_appended(api: httpx.Client) -> None:
    rng = np.random.default_rng(4)
    x = rng.random((60, 2))
    y = (3 * x[:, 0] + x[:, 1]).tolist()
    whole, some = x.tolist(), x.tolist()
    for row in some[::7]:
        row[1] = None
    where = upload(api, whole, y)
    grown = api.post(f"/datasets/{where}/rows", json={"x": some[:8], "y": y[:8]}).json()
    assert (grown["rows"], grown["summary"]["features"][1]["missing"]) == (68, 2)
    job = api.post("/tune", json={"dataset_id": where, "budget_s": 3})
    assert job.status_code in (200, 202), job.text
    while job.json()["state"] in ("waiting", "running"):
        job = api.get(f"/jobs/{job.json()['id']}")
    methods = {score["fit"]["method"] for score in job.json()["scores"]}
    assert methods
    assert methods <= {"knn", "nadaraya_watson", "local_polynomial"}
    card = api.post("/score", json={"dataset_id": where, "fit": KNN})
    assert card.json()["rows"] == 68
    card = api.post("/score", json={"dataset_id": where, "rows": {"x": some, "y": y}})
    assert card.json()["rows"] == 60
    found = api.post("/predict", json={"dataset_id": where, "queries": [[0.5, 0.5]]}).json()
    assert found["mean"][0] == pytest.approx(2.0, abs=0.5)
    api.delete(f"/datasets/{where}")


def test_arrow_queries_may_have_nulls(api: httpx.Client) -> None:
    where = upload(api, X, Y)
    lists = pa.array([[0.0, None], [None, None], None], pa.list_(pa.float64(), 2))
    body = stream({"queries": lists}, {"dataset_id": where, "fit": KNN})
    found = arrow(api, body, "/predict").json()
    assert [mean is None for mean in found["mean"]] == [False, True, True]
    by_name = stream(columns([[0.0, None]]), {"dataset_id": where, "fit": KNN})
    assert arrow(api, by_name, "/predict").json()["mean"] == found["mean"][:1]
    api.delete(f"/datasets/{where}")


@pytest.mark.parametrize(
    ("path", "body", "pointer", "says"),
    [
        ("/datasets", {"x": [[1, None], [2, None], [3, None]], "y": [1, 2, 3]}, "/x", "'x2'"),
        ("/datasets", {"x": [None, None, 3], "y": [1, 2, 3]}, "/x", "at least 2 rows"),
        ("/datasets", {"x": [[None], [None]], "y": [1, 2]}, "/x", "all features are missing"),
        ("/predict", {"queries": [[0, 0]], "fit": {"method": "linear"}}, "/fit/method", "knn"),
        ("/predict", {"queries": [[0, 0]], "fit": {"method": "kriging"}}, "/fit/method", "knn"),
        (
            "/predict",
            {"queries": [[0, 0]], "fit": KNN | {"metric": {"matrix": [[1, 0], [0, 1]]}}},
            "/fit/metric/matrix",
            "scale",
        ),
        (
            "/predict",
            {
                "queries": [[0, 0]],
                "fit": {"method": "local_linear", "bandwidth": 3},
                "include": ["slope"],
            },
            "/include",
            "leave it out",
        ),
        ("/minimize", {"starts": [[0, None]]}, "/starts/0/1", "replace the value"),
        ("/minimize", {"starts": [[0, 0]]}, "/dataset", "without these rows"),
        ("/tune", {"methods": ["kriging"]}, "/methods", "knn"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    api: httpx.Client, path: str, body: dict[str, Any], pointer: str, says: str
) -> None:
    rows = {} if path == "/datasets" else {"dataset": {"x": X, "y": Y}}
    found = problem(api.post(path, json=body | rows), 422)
    assert pointers(found) == [pointer]
    assert says in found["detail"]


def test_relevance_needs_all_cells(api: httpx.Client) -> None:
    where = upload(api, X, Y)
    assert "slopes" in problem(api.get(f"/datasets/{where}/relevance"), 422)["detail"]
    api.delete(f"/datasets/{where}")


@pytest.mark.parametrize("gaps", [False, True])
def test_bandwidths_of_rows_look_at_no_more_rows_than_are_left(
    api: httpx.Client, gaps: bool
) -> None:
    """Rows that do not count, or have none of a query's features, are no neighbours."""
    rng = np.random.default_rng(6)
    x: list[list[float | None]] = rng.normal(size=(12, 2)).tolist()
    if gaps:
        x = [[a, None] if i % 2 else [None, b] for i, (a, b) in enumerate(x)]
    weights = {} if gaps else {"weights": [1, 0] * 6}
    request = {
        "dataset": {"x": x, "y": rng.normal(size=12).tolist(), **weights},
        "queries": [[0.2, None]],
        "fit": {"method": "nadaraya_watson", "n_neighbors": 9, "bandwidth_at": "row"},
        "include": ["diagnostics"],
    }
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["mean"][0] is not None
    assert answer.json()["diagnostics"]["support"][0] <= 6
