"""Categorical features: read from every format, described, asked about, and refused."""

import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, read_answer, stream

CSV = {"Content-Type": "text/csv"}
SIZES = ["small", "medium", "large"]
ROWS = [
    [1.5, "red", "small"],
    [2.5, "green", "large"],
    [0.5, "red", "medium"],
    [3.5, "blue", "small"],
    [2.0, "green", "medium"],
    [1.0, "blue", "large"],
]
Y = [1.0, 2.0, 1.5, 4.0, 2.5, 3.0]
NAMES = {"feature_names": ["weight", "color", "size"], "target_names": ["price"]}
UPLOAD = {"x": ROWS, "y": Y, **NAMES, "categories": {"size": SIZES}}
TEXT = "weight,color,size,price\n" + "".join(
    f"{x[0]},{x[1]},{x[2]},{y}\n" for x, y in zip(ROWS, Y, strict=True)
)
COLUMNS: dict[str, Any] = {
    "weight": [x[0] for x in ROWS],
    "color": [x[1] for x in ROWS],
    "size": [x[2] for x in ROWS],
    "price": Y,
}
ORDERED = "size:small|medium|large"
NW = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.8}


@pytest.fixture(scope="module")
def dataset_id(api: httpx.Client) -> str:
    """The id of the rows above."""
    answer = api.post("/datasets", json=UPLOAD)
    assert answer.status_code in (200, 201), answer.text
    found: str = answer.json()["id"]
    return found


def predicted(api: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_format_is_the_same_dataset(api: httpx.Client, dataset_id: str) -> None:
    arrow = {"Content-Type": ARROW}
    query = {"ordered": ORDERED}
    dictionaries = COLUMNS | {
        name: pa.array(COLUMNS[name]).dictionary_encode() for name in ("color", "size")
    }
    form = {"file": ("rows.csv", TEXT, "text/csv")}
    answers = {
        "JSON": api.post("/datasets", json=UPLOAD),
        "positions": api.post("/datasets", json=UPLOAD | {"categories": {"2": SIZES}}),
        "CSV": api.post("/datasets", params=query, content=TEXT, headers=CSV),
        "spaces": api.post("/datasets", params=query, content=TEXT.replace(",", ", "), headers=CSV),
        "a form": api.post("/datasets", files=form, data={"ordered": ORDERED}),
        "Arrow": api.post("/datasets", params=query, content=stream(COLUMNS), headers=arrow),
        "metadata": api.post(
            "/datasets",
            content=stream(COLUMNS, {"categories": {"size": SIZES}}, batch_rows=2),
            headers=arrow,
        ),
        "dictionaries": api.post(
            "/datasets",
            params=query,
            content=stream(dictionaries, compression="zstd"),
            headers=arrow,
        ),
    }
    for name, answer in answers.items():
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert answer.json()["id"] == dataset_id, name


def test_levels_are_described(api: httpx.Client, dataset_id: str) -> None:
    described = api.get(f"/datasets/{dataset_id}").json()
    assert (described["features"], described["feature_names"]) == (3, NAMES["feature_names"])
    weight, color, size = described["summary"]["features"]
    assert (weight["name"], weight["min"], weight["max"]) == ("weight", 0.5, 3.5)
    levels = [{"level": level, "rows": 2} for level in ("blue", "green", "red")]
    assert color == {"name": "color", "kind": "unordered", "levels": levels}
    levels = [{"level": level, "rows": 2} for level in SIZES]
    assert size == {"name": "size", "kind": "ordered", "levels": levels}


def test_a_dataset_comes_back_from_its_description(api: httpx.Client, dataset_id: str) -> None:
    described = api.get(f"/datasets/{dataset_id}").json()
    categories = {
        feature["name"]: "unordered"
        if feature["kind"] == "unordered"
        else [item["level"] for item in feature["levels"]]
        for feature in described["summary"]["features"]
        if "kind" in feature
    }
    again = api.post("/datasets", json=UPLOAD | {"categories": categories})
    assert (again.status_code, again.json()["digest"]) == (200, described["digest"])


def test_another_order_is_another_dataset(api: httpx.Client, dataset_id: str) -> None:
    answer = api.post("/datasets", json=UPLOAD | {"categories": {"size": SIZES[::-1]}})
    assert answer.status_code == 201
    assert answer.json()["digest"] != api.get(f"/datasets/{dataset_id}").json()["digest"]
    api.delete(answer.headers["location"])


def test_weights_are_the_product_of_the_kernels(api: httpx.Client, dataset_id: str) -> None:
    queries = [[1.2, "red", "medium"], [3.0, "blue", "large"]]
    level = np.exp(-0.5 / 0.8**2)
    expected = []
    for weight, color, size in queries:
        w = np.array(
            [
                np.exp(-0.5 * ((row[0] - weight) / 0.8) ** 2)  # type: ignore[operator]
                * level ** (row[1] != color)
                * level ** abs(SIZES.index(str(row[2])) - SIZES.index(str(size)))
                for row in ROWS
            ]
        )
        expected.append(w @ np.array(Y) / w.sum())
    found = predicted(api, dataset_id=dataset_id, queries=queries, fit=NW)
    np.testing.assert_allclose(found["mean"], expected, rtol=0, atol=1e-12)
    inline = predicted(api, dataset=UPLOAD, queries=queries, fit=NW)
    assert inline["mean"] == found["mean"]


def test_queries_in_arrow_are_those_in_json(api: httpx.Client, dataset_id: str) -> None:
    queries = {"size": ["medium", "large"], "weight": [1.2, 3.0], "color": ["red", "blue"]}
    rows = [[1.2, "red", "medium"], [3.0, "blue", "large"]]
    by_json = predicted(api, dataset_id=dataset_id, queries=rows, fit=NW)
    for columns in (queries, queries | {"color": pa.array(["red", "blue"]).dictionary_encode()}):
        answer = api.post(
            "/predict",
            content=stream(columns, {"dataset_id": dataset_id, "fit": NW}),
            headers={"Content-Type": ARROW, "Accept": ARROW},
        )
        assert answer.status_code == 200, answer.text
        assert read_answer(answer.content)["mean"] == by_json["mean"]


def test_derivatives_by_categories_are_null(api: httpx.Client, dataset_id: str) -> None:
    fit = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 2.0}
    found = predicted(
        api,
        dataset_id=dataset_id,
        queries=[[1.2, "red", "medium"]],
        fit=fit,
        include=["slope", "gradient", "neighbors"],
    )
    for name in ("slope", "slope_std", "gradient"):
        first, *others = found[name][0]
        assert np.isfinite(first), name
        assert others == [None, None], name
    weights = found["neighbors"][0]["weights"]
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)
    rows = found["neighbors"][0]["rows"]
    by_weights = sum(w * Y[row] for w, row in zip(weights, rows, strict=True))
    assert by_weights == pytest.approx(found["mean"][0], abs=1e-12)


def test_a_descent_stays_at_the_levels_of_its_start(api: httpx.Client, dataset_id: str) -> None:
    answer = api.post(
        "/minimize",
        json={
            "dataset_id": dataset_id,
            "starts": [[2.0, "green", "large"]],
            "fit": NW,
            "max_steps": 5,
            "rate": 0.2,
            "bounds": {"low": [1.8, None, None]},
        },
    )
    assert answer.status_code == 200, answer.text
    path = answer.json()["paths"][0]
    assert {tuple(point[1:]) for point in path["points"]} == {("green", "large")}
    assert min(point[0] for point in path["points"]) >= 1.8
    assert all(gradient[1:] == [None, None] for gradient in path["gradients"])
    at_end = predicted(api, dataset_id=dataset_id, queries=path["points"][-1:], fit=NW)
    assert at_end["mean"][0] == pytest.approx(path["values"][-1], rel=1e-12)


def test_appended_rows_and_scored_rows_have_levels(api: httpx.Client) -> None:
    first = api.post("/datasets", json=UPLOAD | {"name": "grows"} | {"y": [*Y[:-1], 7.0]})
    address = first.headers["location"]
    lines = "size,price,color,weight\nlarge,2,red,1\nsmall,3,blue,2\n"
    for answer, rows in (
        (api.post(f"{address}/rows", json={"x": ROWS[:1], "y": Y[:1]}), 7),
        (api.post(f"{address}/rows", content=lines, headers=CSV), 9),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == rows
    score = api.post(
        "/score",
        json={
            "dataset_id": first.json()["id"],
            "rows": {"x": ROWS, "y": Y},
            "fit": NW,
            "interval_kind": None,
        },
    )
    assert score.status_code == 200, score.text
    assert score.json()["rows"] == 6
    api.delete(address)


def test_numbers_may_be_levels(api: httpx.Client) -> None:
    upload = {
        "x": [[10115, 3], [80331, 1], [10115, 2], [20095, 3]],
        "y": [1, 2, 3, 5],
        "feature_names": ["zip", "rating"],
        "categories": {"zip": "unordered", "rating": [3, 2, 1]},
    }
    answer = api.post("/datasets", json=upload)
    zip_code, rating = answer.json()["summary"]["features"]
    assert [item["level"] for item in zip_code["levels"]] == [10115, 20095, 80331]
    assert [item["level"] for item in rating["levels"]] == [3, 2, 1]
    query = {"dataset_id": answer.json()["id"], "fit": NW}
    assert np.isfinite(predicted(api, **query, queries=[[80331, 2]])["mean"][0])
    refused = problem(api.post("/predict", json=query | {"queries": [[80331, 2], [5, 2]]}), 422)
    assert pointers(refused) == ["/queries/1/0"]
    by_parameter = api.post(
        "/datasets",
        params={"categorical": "zip", "ordered": "rating:3|2|1", "target": "y"},
        content=stream(
            {"zip": [10115, 80331, 10115, 20095], "rating": [3, 1, 2, 3], "y": upload["y"]}
        ),
        headers={"Content-Type": ARROW},
    )
    assert by_parameter.json()["id"] == answer.json()["id"]
    in_text = api.post(
        "/datasets",
        params={"categorical": "zip"},
        content="zip,y\n01067,1\n80331,2\n01067,3\n",
        headers=CSV,
    )
    levels = in_text.json()["summary"]["features"][0]["levels"]
    assert levels == [{"level": "01067", "rows": 2}, {"level": "80331", "rows": 1}]
    for found in (answer, in_text):
        api.delete(found.headers["location"])


def test_one_feature_may_be_a_flat_list_of_texts(api: httpx.Client) -> None:
    dataset = {"x": ["a", "b", "a", "c"], "y": [1, 2, 3, 4]}
    fit = {"method": "local_linear", "kernel": "uniform", "bandwidth": 0.5}
    include = ["slope", "gradient", "diagnostics"]
    found = predicted(api, dataset=dataset, queries=["a", "c", "b"], fit=fit, include=include)
    assert found["mean"] == [2.0, 4.0, 2.0]
    assert found["slope"] == [[None], [None], [None]]


def test_categories_are_worth_more_than_nothing_and_less_than_noise_in_tuning(
    api: httpx.Client,
) -> None:
    """The search finds the category that matters and keeps the one that does not out of the way."""
    rng = np.random.default_rng(4)
    n = 300
    z, kind, idle = rng.random(n), rng.integers(0, 4, n), rng.integers(0, 5, n)
    y = np.sin(6 * z) * np.array([1.0, -1.0, 0.3, 2.0])[kind] + 0.05 * rng.normal(size=n)
    rows = [[a, f"k{b}", f"i{c}"] for a, b, c in zip(z.tolist(), kind, idle, strict=True)]
    bodies = {
        "all": {"x": rows, "y": y.tolist(), "feature_names": ["z", "kind", "idle"]},
        "z": {"x": z.tolist(), "y": y.tolist()},
    }
    errors, best = {}, {}
    for name, dataset in bodies.items():
        answer = api.post("/tune", json={"dataset": dataset, "budget_s": 3}, timeout=60)
        assert answer.status_code == 200, answer.text
        best[name] = answer.json()["best"]
        errors[name] = best[name]["error"]
    assert errors["all"] < 0.3 < 0.7 < errors["z"]
    scale = best["all"]["fit"]["metric"]["scale"]
    assert len(scale) == 3
    assert scale[2] > 2 * scale[1]  # what does not matter hardly counts


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "an unknown level",
        {"queries": [[1, "red", "small"], [1, "pink", "small"]]},
        "/queries/1/1",
        '"pink"',
    ),
    (
        "a number for a level",
        {"queries": [[1, "red", 2]]},
        "/queries/0/2",
        '"small", "medium", "large"',
    ),
    (
        "a text for a number",
        {"queries": [["1", "red", "small"]]},
        "/queries/0/0",
        "'weight' is of numbers",
    ),
    ("no level", {"queries": [[1, None, "small"]]}, "/queries/0/1", "a level of its own"),
    (
        "a cell that is neither",
        {"queries": [[1, "red", "small"], [1, True, "small"]]},
        "/queries/1/1",
        "neither a number nor a text",
    ),
    ("too few cells", {"queries": [[1, "red"]]}, "/queries", "2 features"),
    (
        "rows of different lengths",
        {"queries": [[1, "red", "small"], [1, "red"]]},
        "/queries/1",
        "equally long",
    ),
    ("no row", {"queries": [[1, "red", "small"], "red"]}, "/queries/1", "not a list"),
    (
        "a matrix",
        {"queries": [[1, "red", "small"]], "fit": NW | {"metric": {"matrix": np.eye(3).tolist()}}},
        "/fit/metric/matrix",
        "send a scale",
    ),
    (
        "a scale of coordinates",
        {"queries": [[1, "red", "small"]], "fit": NW | {"metric": {"scale": [1] * 5}}},
        "/fit/metric/scale",
        "3 features",
    ),
]


@pytest.mark.parametrize(
    ("request_body", "pointer", "part"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_queries_are_refused(
    api: httpx.Client, dataset_id: str, request_body: dict[str, Any], pointer: str, part: str
) -> None:
    found = problem(api.post("/predict", json={"dataset_id": dataset_id} | request_body), 422)
    assert pointers(found) == [pointer]
    assert part in found["detail"]


BAD_UPLOADS: list[tuple[str, dict[str, Any], str, str]] = [
    ("numbers as texts", {"x": [[1, "2"], [2, "3"]], "y": [1, 2]}, "/x", "which is a number"),
    ("a number among texts", {"x": [[1, "a"], [2, 3]], "y": [1, 2]}, "/x/1/1", "the number 3"),
    ("a level that is missing", {"x": [["a"], [None]], "y": [1, 2]}, "/x/1/0", "is missing"),
    (
        "an unknown feature",
        UPLOAD | {"categories": {"colour": "unordered"}},
        "/categories",
        "colour",
    ),
    ("a level that is not listed", UPLOAD | {"categories": {"size": SIZES[:2]}}, "/x/1/2", "large"),
    (
        "a level twice",
        UPLOAD | {"categories": {"size": [*SIZES, "small"]}},
        "/categories",
        "different",
    ),
    ("no levels", UPLOAD | {"categories": {"size": []}}, "/categories", "1 to 256"),
    ("another word", UPLOAD | {"categories": {"size": "sorted"}}, "/categories/size", "sorted"),
    ("named twice", UPLOAD | {"categories": {"size": SIZES, "2": SIZES}}, "/categories", "twice"),
    (
        "too many levels",
        {"x": [f"l{i}" for i in range(257)], "y": [0] * 257},
        "/x",
        "join rare levels",
    ),
    (
        "a level that cannot be printed",
        {"x": ["a\u0000", "b"], "y": [1, 2]},
        "/x",
        "cannot be printed",
    ),
    ("texts for numbers in y", {"x": ["a", "b"], "y": [[1], ["b"]]}, "/y/1/0", '"b"'),
]


@pytest.mark.parametrize(
    ("upload", "pointer", "part"),
    [case[1:] for case in BAD_UPLOADS],
    ids=[c[0] for c in BAD_UPLOADS],
)
def test_bad_uploads_are_refused(
    api: httpx.Client, upload: dict[str, Any], pointer: str, part: str
) -> None:
    found = problem(api.post("/datasets", json=upload), 422)
    assert pointers(found)[0].startswith(pointer)
    assert part in found["detail"]


@pytest.mark.parametrize(
    ("params", "content", "pointer", "part"),
    [
        ({"categorical": "colour"}, TEXT, "categorical", "'color'"),
        ({"ordered": "size"}, TEXT, "ordered", "size:small|medium|large"),
        ({"ordered": ORDERED, "categorical": "size"}, TEXT, "ordered", "twice"),
        ({"ordered": "size:small|large"}, TEXT, "/x/2/2", "medium"),
        ({}, TEXT.replace("2.5,green", "heavy,green"), "cell=3,1", "'heavy', a text"),
        ({}, TEXT.replace("2.5,green", "2.5,7"), "cell=2,2", "'red', a text"),
        ({}, TEXT.replace("2.5,green", "2.5,"), "/x/1/1", "missing"),
    ],
)
def test_bad_files_are_refused(
    api: httpx.Client, params: dict[str, str], content: str, pointer: str, part: str
) -> None:
    found = problem(api.post("/datasets", params=params, content=content, headers=CSV), 422)
    assert pointers(found) == [pointer]
    assert part in found["detail"]


def test_parameters_and_metadata_do_not_both_say_what_is_a_category(api: httpx.Client) -> None:
    content = stream(COLUMNS, {"categories": {"size": SIZES}})
    answer = api.post(
        "/datasets", params={"ordered": ORDERED}, content=content, headers={"Content-Type": ARROW}
    )
    assert pointers(problem(answer, 422)) == ["/categories"]


def test_bounds_of_a_category_are_refused(api: httpx.Client, dataset_id: str) -> None:
    body = {"dataset_id": dataset_id, "starts": [[2.0, "green", "large"]], "fit": NW}
    for bounds, pointer in (
        ({"low": [0, 0, None]}, "/bounds/low/1"),
        ({"high": [0]}, "/bounds/high"),
    ):
        answer = api.post("/minimize", json=body | {"bounds": bounds})
        assert pointers(problem(answer, 422)) == [pointer]


@pytest.mark.parametrize(
    "text",
    [
        '{"x": [[1, "a"], [2, "b"]',
        '{"x": [[1, "a"], [2, "b"],], "y": [1, 2]}',
        '{"x": [[1, "a"], [2, "b" 3]], "y": [1, 2]}',
        '{"x": [[1, "a"], [02, "b"]], "y": [1, 2]}',
        '{"x": [[1, "a], [2, "b"]], "y": [1, 2]}',
        '{"x": [[1, "\\ud800"], [2, "b"]], "y": [1, 2]}',
        '{"x": [[1, "a"], [1e999, "b"]], "y": [1, 2]}',
    ],
)
def test_what_is_not_json_is_malformed(api: httpx.Client, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    found = problem(api.post("/datasets", content=text, headers=headers), 400)
    assert "not JSON" in found["detail"]


def test_long_lists_are_read_in_stretches(api: httpx.Client) -> None:
    n = 20_000
    rows = [[i, f"level {i % 7}", "padding of some length"] for i in range(n)]
    body = json.dumps({"x": rows, "y": [i % 7 for i in range(n)]})
    assert len(body) > 2**19
    answer = api.post("/datasets", content=body, headers={"Content-Type": "application/json"})
    number, level, _ = answer.json()["summary"]["features"]
    assert (number["min"], number["max"]) == (0, n - 1)
    assert sum(item["rows"] for item in level["levels"]) == n
    api.delete(answer.headers["location"])


def test_a_matrix_in_arrow_is_of_numbers(api: httpx.Client) -> None:
    content = stream(
        {"x": matrix([[1.0, 0.0], [2.0, 1.0]]), "y": [1.0, 2.0]}, {"categories": {"1": "unordered"}}
    )
    answer = api.post("/datasets", content=content, headers={"Content-Type": ARROW})
    assert answer.status_code == 201, answer.text
    assert answer.json()["summary"]["features"][1]["kind"] == "unordered"
    api.delete(answer.headers["location"])
