"""Rows whose target is missing are left out and counted."""

from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, stream

CSV = {"Content-Type": "text/csv"}
TWO = {"target_names": ["y", "z"], "feature_names": ["x"]}
X = [0.0, 1.0, 2.0, 3.0]
Y = [5.0, None, 7.0, None]
Z = [1.0, 2.0, 3.0, None]


def arrow(api: httpx.Client, body: bytes, query: str = "") -> httpx.Response:
    return api.post(f"/datasets{query}", content=body, headers={"Content-Type": ARROW})


def test_each_format_leaves_out_the_same_rows(api: httpx.Client) -> None:
    first = api.post("/datasets", json={"x": X, "y": Y})
    assert first.status_code == 201, first.text
    described = first.json()
    assert (described["rows"], described["dropped_rows"]) == (2, 2)
    assert described["summary"]["targets"][0]["mean"] == 6
    assert described["summary"]["features"][0]["max"] == 2
    nan = [np.nan if y is None else y for y in Y]
    others = {
        "empty cells": api.post("/datasets", content="x1,y\n0,5\n1,\n2,7\n3,\n", headers=CSV),
        "NA and nan": api.post("/datasets", content="x1,y\n0,5\n1,NA\n2,7\n3,nan\n", headers=CSV),
        "nulls": arrow(api, stream({"x1": X, "y": Y})),
        "integers": arrow(api, stream({"x1": X, "y": pa.array([5, None, 7, None])})),
        "NaN": arrow(api, stream({"x1": X, "y": nan})),
        "matrices": arrow(api, stream({"x": matrix(np.array(X)[:, None]), "y": pa.array(Y)})),
        "lists": arrow(
            api,
            stream({"x": matrix(np.array(X)[:, None]), "y": matrix(np.array(nan)[:, None])}),
        ),
        "null lists": arrow(
            api,
            stream(
                {
                    "x": matrix(np.array(X)[:, None]),
                    "y": pa.array([[5.0], None, [7.0], [None]], pa.list_(pa.float64(), 1)),
                }
            ),
        ),
    }
    for name, answer in others.items():
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert answer.json()["id"] == described["id"], name
    api.delete(first.headers["location"])


def test_a_row_needs_all_its_targets(api: httpx.Client) -> None:
    pairs = [list(pair) for pair in zip(Y, Z, strict=True)]
    answer = api.post("/datasets", json={"x": X, "y": pairs, **TWO})
    assert (answer.json()["rows"], answer.json()["dropped_rows"]) == (2, 2)
    text = "y,x,z\n5,0,1\n,1,2\n7,2,3\n,3,\n"
    same = api.post("/datasets?target=y&target=z", content=text, headers=CSV)
    assert same.json()["id"] == answer.json()["id"]
    api.delete(answer.headers["location"])


def test_what_was_left_out_does_not_count(api: httpx.Client) -> None:
    fit = {"method": "knn", "n_neighbors": 2}
    request = {"queries": [1.1], "fit": fit, "include": ["neighbors"]}
    with_gaps = api.post("/predict", json={"dataset": {"x": X, "y": Y}, **request}).json()
    without = api.post("/predict", json={"dataset": {"x": [0, 2], "y": [5, 7]}, **request}).json()
    assert with_gaps == without


def test_appended_rows_without_a_target_are_counted_too(api: httpx.Client) -> None:
    address = api.post("/datasets", json={"x": X, "y": Y}).headers["location"]
    grown = api.post(f"{address}/rows", json={"x": [4, 5, 6], "y": [1, None, 3]}).json()
    assert (grown["rows"], grown["dropped_rows"], grown["version"]) == (4, 3, 2)
    none = api.post(f"{address}/rows", json={"x": [7], "y": [None]})
    assert "missing in every row" in problem(none, 422)["detail"]
    assert api.get(address).json()["version"] == 2
    api.delete(address)


@pytest.mark.parametrize(
    ("upload", "pointer", "says"),
    [
        ({"x": [1, 2, 3], "y": [1, None, None]}, "/x", "2 miss y"),
        ({"x": [1, 2, 3], "y": [None, None, None]}, "/y", "every row"),
        ({"x": [1, 2, 3], "y": [[1], None, [3]]}, "/y/1", "null"),
    ],
)
def test_other_gaps_are_refused(
    api: httpx.Client, upload: dict[str, Any], pointer: str, says: str
) -> None:
    found = problem(api.post("/datasets", json=upload), 422)
    assert pointers(found) == [pointer]
    assert says in found["detail"]


def test_infinity_is_no_missing_cell(api: httpx.Client) -> None:
    infinite = problem(arrow(api, stream({"x": [0.0, 1.0], "y": [np.inf, 2.0]})), 422)
    assert pointers(infinite) == ["/y/0/0"]
    infinite = problem(arrow(api, stream({"x": [0.0, np.inf], "y": [1.0, 2.0]})), 422)
    assert pointers(infinite) == ["/x/1/0"]
