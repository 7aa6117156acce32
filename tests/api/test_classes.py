"""Classes: read from every format, predicted by the weights that a mean would have."""

import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris
from sklearn.neighbors import KNeighborsClassifier

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, read_answer, stream

CSV = {"Content-Type": "text/csv"}
X = [[0.0], [1.0], [2.0], [3.0], [4.0]]
Y = ["b", "a", "b", "c", "a"]
ROWS = "x,kind\n" + "".join(f"{x[0]},{y}\n" for x, y in zip(X, Y, strict=True))
NAMES = {"feature_names": ["x"], "target_names": ["kind"]}
COUNTS = [{"label": "a", "rows": 2}, {"label": "b", "rows": 2}, {"label": "c", "rows": 1}]


def upload(api: httpx.Client, **upload: Any) -> httpx.Response:
    return api.post("/datasets", json=upload)


def predict(api: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_classes_are_described(api: httpx.Client) -> None:
    answer = upload(api, x=X, y=Y, **NAMES)
    described = answer.json()
    assert answer.status_code == 201, answer.text
    assert described["task"] == "classification"
    assert (described["targets"], described["target_names"]) == (1, ["kind"])
    assert described["summary"]["targets"] == []
    assert described["summary"]["classes"] == COUNTS
    listed = api.get("/datasets").json()["datasets"]
    assert [item["task"] for item in listed if item["id"] == described["id"]] == ["classification"]
    api.delete(answer.headers["location"])


def test_each_format_of_classes_is_the_same_dataset(api: httpx.Client) -> None:
    first = upload(api, x=X, y=Y, **NAMES)
    assert first.status_code == 201, first.text
    flat = [x[0] for x in X]
    arrow = {"Content-Type": ARROW}
    others = {
        "CSV": api.post("/datasets", content=ROWS, headers=CSV),
        "CSV with spaces": api.post("/datasets", content=ROWS.replace(",", ", "), headers=CSV),
        "a form": api.post("/datasets", files={"file": ("rows.csv", ROWS, "text/csv")}),
        "columns": api.post("/datasets", content=stream({"x": flat, "kind": Y}), headers=arrow),
        "in batches": api.post(
            "/datasets", content=stream({"x": flat, "kind": Y}, batch_rows=2), headers=arrow
        ),
        "a large string": api.post(
            "/datasets",
            content=stream({"x": flat, "kind": pa.array(Y, pa.large_string())}),
            headers=arrow,
        ),
        "a matrix": api.post(
            "/datasets",
            content=stream({"x": matrix(np.array(X)), "y": pa.array(Y)}, NAMES),
            headers=arrow,
        ),
        "escapes": api.post(
            "/datasets",
            content=json.dumps({"x": X, "y": Y, **NAMES}).replace('"a"', '"\\u0061"'),
            headers={"Content-Type": "application/json"},
        ),
        "the task said": upload(api, x=X, y=Y, **NAMES, task="classification"),
    }
    for name, answer in others.items():
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert answer.json()["id"] == first.json()["id"], name
    api.delete(first.headers["location"])


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_probabilities_are_those_of_scikit_learn(api: httpx.Client, weights: str) -> None:
    x, kinds = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[kinds]
    kept = np.arange(len(x)) % 3 > 0
    q = x[~kept] + 1e-3  # no distance of 0, and no ties
    answer = predict(
        api,
        dataset={"x": x[kept].tolist(), "y": names[kept].tolist()},
        queries=q.tolist(),
        fit={"method": "knn", "n_neighbors": 7, "weights": weights},
    )
    peer = KNeighborsClassifier(7, weights=weights).fit(x[kept], names[kept])
    np.testing.assert_allclose(answer["probabilities"], peer.predict_proba(q), atol=1e-12)
    assert answer["label"] == peer.predict(q).tolist()
    assert answer["classes"] == peer.classes_.tolist()
    assert "mean" not in answer


def test_a_local_line_that_overshoots_is_cut(api: httpx.Client) -> None:
    rng = np.random.default_rng(5)
    x = rng.random(60)
    y = ["low" if value < 0.5 else "high" for value in x]
    q = np.linspace(-0.2, 1.2, 15)
    fit = {"method": "local_linear", "kernel": "tricube", "n_neighbors": 45}
    rows = {"x": x.tolist(), "queries": q.tolist()}
    classes = predict(api, dataset={"x": x.tolist(), "y": y}, queries=q.tolist(), fit=fit)
    # The same indicators as numbers; their order is that of the classes.
    numbers = [[float(kind == "high"), float(kind == "low")] for kind in y]
    means = predict(api, dataset={"x": rows["x"], "y": numbers}, queries=q.tolist(), fit=fit)
    sums = np.array(means["mean"])
    assert sums.min() < -0.01
    np.testing.assert_allclose(sums.sum(axis=1), 1.0, atol=1e-12)
    cut = np.maximum(sums, 0.0)
    np.testing.assert_allclose(
        classes["probabilities"], cut / cut.sum(axis=1, keepdims=True), atol=1e-12
    )
    assert classes["label"] == np.where(sums[:, 0] > sums[:, 1], "high", "low").tolist()


def test_where_no_row_carries_weight_there_is_no_class(api: httpx.Client) -> None:
    rows = {"x": [0, 1, 2], "y": ["a", "b", "b"]}
    compact = {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 1.5}
    gaussian = {"method": "kriging", "kernel": "gaussian", "length_scale": 1, "alpha": 0.1}
    for fit in (compact, gaussian):
        answer = predict(api, dataset=rows, queries=[1, 1e6], fit=fit)
        assert answer["probabilities"][1] == [None, None]
        assert answer["label"] == ["b", None]
        found = [(issue["status"], issue["queries"]) for issue in answer["issues"]]
        assert ("no_support", [1]) in found


def test_an_arrow_answer_has_the_same_classes(api: httpx.Client) -> None:
    request = {
        "dataset": {"x": [0, 1, 2], "y": ["a", "b", "b"]},
        "queries": [0.1, 1.9, 99],
        "fit": {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 1.5},
    }
    as_json = predict(api, **request)
    answer = api.post("/predict", json=request, headers={"Accept": ARROW})
    found = read_answer(answer.content)
    nothing = [None, None]  # in a list of fixed size, for a null of its own
    assert found["label"] == as_json["label"] == ["a", "b", None]
    assert found["probabilities"] == as_json["probabilities"]
    assert found["probabilities"][2] == nothing
    assert found["classes"] == as_json["classes"]


def test_whole_numbers_are_classes_where_asked_for(api: httpx.Client) -> None:
    rows = {"x": [0, 1, 2, 3], "y": [10, 9, 10, -1]}
    fit = {"method": "knn", "n_neighbors": 1}
    answer = predict(api, dataset={**rows, "task": "classification"}, queries=[0.1, 2.9], fit=fit)
    assert answer["classes"] == [-1, 9, 10]
    assert answer["label"] == [10, -1]
    assert answer["probabilities"] == [[0, 0, 1], [1, 0, 0]]
    assert predict(api, dataset=rows, queries=[0.1], fit=fit)["mean"] == [10]
    for answer_of in (
        api.post("/datasets?task=classification", content="x,y\n1,0\n2,1\n", headers=CSV),
        api.post(
            "/datasets",
            files={"file": ("a.csv", "x,y\n1,0\n2,1\n")},
            data={"task": "classification"},
        ),
        api.post(
            "/datasets?task=classification",
            content=stream({"x": [1.0, 2.0], "y": [0, 1]}),
            headers={"Content-Type": ARROW},
        ),
    ):
        assert answer_of.is_success, answer_of.text
        assert [found["label"] for found in answer_of.json()["summary"]["classes"]] == [0, 1]
    api.delete(answer_of.headers["location"])


def test_rows_are_appended_by_class(api: httpx.Client) -> None:
    address = upload(api, x=X, y=Y, **NAMES).headers["location"]
    assert api.post(f"{address}/rows", json={"x": [5], "y": ["c"]}).is_success
    grown = api.post(f"{address}/rows", content="kind,x\nc,6\n,7\n", headers=CSV).json()
    assert grown["rows"] == 7
    assert grown["dropped_rows"] == 1
    assert grown["summary"]["classes"][2] == {"label": "c", "rows": 3}
    unknown = api.post(f"{address}/rows", json={"x": [5, 6], "y": ["c", "d"]})
    found = problem(unknown, 422)
    assert pointers(found) == ["/y/1"]
    assert "'d'" in found["detail"]
    problem(api.post(f"{address}/rows", json={"x": [5], "y": [1.0]}), 422)
    problem(api.post("/datasets/motorcycle/rows", json={"x": [5], "y": ["a"]}), 422)
    api.delete(address)


def test_auto_is_tuned_for_classes(api: httpx.Client) -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 2))
    y = np.where(x[:, 0] > 0.5, "right", "left")
    request = {"dataset": {"x": x.tolist(), "y": y.tolist()}}
    job = api.post("/tune", json={**request, "budget_s": 2}).json()
    assert job["state"] == "done"
    assert all(0 <= score["accuracy"] <= 1 for score in job["scores"])
    judged = {**request, "fit": job["best"]["fit"]}
    score = api.post("/score", json=judged).json()
    assert job["best"]["accuracy"] == score["accuracy"] > 0.9
    assert job["best"]["log_loss"] == pytest.approx(score["log_loss"], abs=1e-9)
    q = rng.random((200, 2))
    found = predict(api, **request, queries=q.tolist(), fit=job["best"]["fit"])
    assert np.mean(np.array(found["label"]) == np.where(q[:, 0] > 0.5, "right", "left")) > 0.9


@pytest.mark.parametrize(
    ("changes", "pointer", "says"),
    [
        ({"y": ["a", "a", "a"]}, "/y", "at least two classes"),
        ({"y": ["a", "b", 1]}, "/y/2", "not a text"),
        ({"y": [1, "b", "c"]}, "/y/1", "not a number"),
        ({"y": ["a", "b"]}, "/y", "3 rows and y has 2"),
        ({"y": ["a", "b", True]}, "/y/2", "not a text"),
        ({"y": [["a"], ["b"], ["c"]]}, "/y/0/0", "not a number"),
        ({"y": ["a", "b", ""]}, "/y", "0 characters"),
        ({"y": ["a", "b", "c\n"]}, "/y", "cannot be printed"),
        ({"y": ["a", "b", "c" * 201]}, "/y", "201 characters"),
        ({"y": ["a", "b", "c"], "task": "regression"}, "/task", "y is texts"),
        ({"y": ["a", "b", "c"], "target_names": ["u", "v"]}, "/target_names", "2 names"),
        ({"y": [1, 1.5, 2], "task": "classification"}, "/y/1", "1.5"),
        ({"y": [1, 1, 1], "task": "classification"}, "/y", "at least two classes"),
        ({"y": [[1, 2]] * 3, "task": "classification"}, "/y", "one column"),
        ({"y": [1, 2, 3], "task": "clustering"}, "/task", "'clustering'"),
    ],
)
def test_bad_classes_are_refused(
    api: httpx.Client, changes: dict[str, Any], pointer: str, says: str
) -> None:
    found = problem(upload(api, **{"x": [1, 2, 3], **changes}), 422)
    assert pointers(found) == [pointer]
    assert says in found["detail"]
    inline = api.post("/predict", json={"dataset": {"x": [1, 2, 3], **changes}, "queries": [1]})
    assert pointers(problem(inline, 422)) == [f"/dataset{pointer}"]


@pytest.mark.parametrize("kind", ["texts", "numbers", "CSV", "Arrow"])
def test_too_many_classes_are_refused(api: httpx.Client, kind: str) -> None:
    n = 101
    x, names = list(range(n)), [f"k{j}" for j in range(n)]
    answer = {
        "texts": lambda: upload(api, x=x, y=names),
        "numbers": lambda: upload(api, x=x, y=x, task="classification"),
        "CSV": lambda: api.post(
            "/datasets", content="x,y\n" + "".join(f"{j},k{j}\n" for j in x), headers=CSV
        ),
        "Arrow": lambda: api.post(
            "/datasets",
            content=stream({"x": [float(j) for j in x], "y": names}),
            headers={"Content-Type": ARROW},
        ),
    }[kind]()
    assert "limit is 100 (max_targets" in problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    ("text", "pointer", "says"),
    [
        ("x,y\n1,a\n2,3\n", "cell=2,2", "'a', a text"),  # texts among numbers
        ("x,y\n1,2\n2,?\n", "cell=3,2", "leave the cell empty"),
        ("x,y\n1,a\nfar,b\n", "cell=3,1", "'far', a text"),  # the target is not at fault
        ("x,y\n1,a\n2,a\n", "/y", "at least two classes"),
    ],
)
def test_bad_classes_in_csv_are_refused(
    api: httpx.Client, text: str, pointer: str, says: str
) -> None:
    found = problem(api.post("/datasets", content=text, headers=CSV), 422)
    assert pointers(found) == [pointer]
    assert says in found["detail"]


def test_texts_are_one_target(api: httpx.Client) -> None:
    flat = {"x": [1.0, 2.0], "kind": ["a", "b"], "y": [1.0, 2.0]}
    answer = api.post(
        "/datasets?target=y&target=kind", content=stream(flat), headers={"Content-Type": ARROW}
    )
    assert "one column" in problem(answer, 422)["detail"]


def test_texts_in_arrow_that_are_not_utf8_are_malformed(api: httpx.Client) -> None:
    raw = pa.array([b"a", b"\xff"], pa.binary())
    kinds = pa.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    answer = api.post(
        "/datasets",
        content=stream({"x": [1.0, 2.0], "kind": kinds}),
        headers={"Content-Type": ARROW},
    )
    problem(answer, 400)


def test_a_fit_to_classes_is_scored(api: httpx.Client) -> None:
    rows = {"x": [0, 1, 2, 3, 4, 5], "y": ["a", "a", "a", "b", "b", "a"]}
    fit = {"method": "knn", "n_neighbors": 1}
    held_out = {"x": [0.1, 2.9, 4.9, 3.1], "y": ["a", "b", "b", None]}
    found = api.post("/score", json={"dataset": rows, "fit": fit, "rows": held_out}).json()
    assert found["rows"] == 3
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-np.log(2.0**-52) / 3)
    assert [target["name"] for target in found["targets"]] == ["a", "b"]
    # By leave-one-out, the nearest other row, ties by index: a, a, a, a, b, b.
    assert api.post("/score", json={"dataset": rows, "fit": fit}).json()["accuracy"] == 4 / 6
    unknown = {"x": [1], "y": ["c"]}
    answer = api.post("/score", json={"dataset": rows, "fit": fit, "rows": unknown})
    assert pointers(problem(answer, 422)) == ["/rows/y/0"]
    numbers = {"x": [0, 1, 2, 3], "y": [1.0, 2.0, 2.5, 4.0]}
    assert "accuracy" not in api.post("/score", json={"dataset": numbers, "fit": fit}).json()


def test_a_gradient_of_classes_is_that_of_their_indicators(api: httpx.Client) -> None:
    rng = np.random.default_rng(3)
    x = rng.random(80)
    kinds = np.where(x + 0.3 * rng.normal(size=80) > 0.5, "u", "d")
    indicators = [[float(kind == "d"), float(kind == "u")] for kind in kinds]
    fit = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.1}
    request = {"queries": [0.3, 0.6], "fit": fit, "include": ["gradient", "neighbors"]}
    of_classes = predict(api, dataset={"x": x.tolist(), "y": kinds.tolist()}, **request)
    of_numbers = predict(api, dataset={"x": x.tolist(), "y": indicators}, **request)
    assert of_classes["gradient"] == of_numbers["gradient"]
    assert of_classes["neighbors"] == of_numbers["neighbors"]
