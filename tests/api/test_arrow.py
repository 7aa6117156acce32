"""Arrow means what JSON means, to the bit, in and out; what is no such stream is refused."""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.api.problems import pointers, problem
from tests.api.streams import ARROW, matrix, read_answer, stream

rng = np.random.default_rng(7)
X = rng.random((60, 3))
Y = rng.random((60, 2))
NAMES = ["a", "b", "c", "u", "v"]
COLUMNS = dict(zip(NAMES, np.hstack([X, Y]).T, strict=True))
FEATURES = {"feature_names": NAMES[:3], "target_names": NAMES[3:]}


def post(client: httpx.Client, path: str, body: bytes, accept: str = "*/*") -> httpx.Response:
    return client.post(path, content=body, headers={"Content-Type": ARROW, "Accept": accept})


def test_each_form_of_an_upload_is_the_same_dataset(api: httpx.Client) -> None:
    as_json = api.post("/datasets", json={"x": X.tolist(), "y": Y.tolist(), **FEATURES})
    assert as_json.status_code == 201, as_json.text
    shuffled = {name: COLUMNS[name] for name in "avbcu"}
    bodies = {
        "matrices": ("", stream({"x": matrix(X), "y": matrix(Y)}, FEATURES)),
        "the other order": ("", stream({"y": matrix(Y), "x": matrix(X)}, FEATURES)),
        "batches": ("", stream({"x": matrix(X), "y": matrix(Y)}, FEATURES, batch_rows=7)),
        "by name": ("?target=u&target=v", stream(COLUMNS)),
        "by name, shuffled": ("?target=u&target=v", stream(shuffled)),
        "by name, in batches": ("?target=u&target=v", stream(COLUMNS, batch_rows=7)),
    }
    for compression in ("lz4", "zstd"):
        bodies[compression] = (
            "",
            stream({"x": matrix(X), "y": matrix(Y)}, FEATURES, compression=compression),
        )
    for name, (query, body) in bodies.items():
        answer = post(api, f"/datasets{query}", body)
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert answer.json() == as_json.json(), name
    api.delete(as_json.headers["location"])


def test_the_last_column_is_the_target_and_a_name_may_stand_on_either_side(
    api: httpx.Client,
) -> None:
    for query, fields in (("?name=Pair", None), ("", {"name": "Pair"})):
        answer = post(api, f"/datasets{query}", stream({"t": X[:, 0], "z": Y[:, 0]}, fields))
        assert answer.status_code == 201, answer.text
        described = answer.json()
        assert (described["feature_names"], described["target_names"]) == (["t"], ["z"])
        assert described["name"] == "Pair"
        api.delete(answer.headers["location"])


@pytest.mark.parametrize(
    "numbers",
    [
        "float16",
        "float32",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    ],
)
def test_other_numbers_are_converted(api: httpx.Client, numbers: str) -> None:
    x = np.arange(6).astype(numbers).reshape(3, 2)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 2)
    answers = [
        post(api, "/datasets", stream({"x": wide, "y": x[:, 0]})),
        post(api, "/datasets", stream({"x1": x[:, 0], "x2": x[:, 1], "y": x[:, 0]})),
        api.post("/datasets", json={"x": x.tolist(), "y": x[:, 0].tolist()}),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json()["digest"] for answer in answers}) == 1
    api.delete(answers[0].headers["location"])


def test_appended_rows_come_as_matrices_or_by_name(api: httpx.Client) -> None:
    more = {"x": X[:2].tolist(), "y": Y[:2].tolist()}
    digests = set()
    for body, form in (
        (json.dumps(more).encode(), "application/json"),
        (stream({"x": matrix(X[:2]), "y": matrix(Y[:2])}), ARROW),
        (stream({name: COLUMNS[name][:2] for name in "vcbau"}), ARROW),
    ):
        uploaded = api.post("/datasets", json={"x": X.tolist(), "y": Y.tolist(), **FEATURES})
        path = uploaded.headers["location"]
        answer = api.post(f"{path}/rows", content=body, headers={"Content-Type": form})
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == 62
        digests.add(answer.json()["digest"])
        api.delete(path)
    assert len(digests) == 1


METHODS: list[dict[str, Any]] = [
    {"method": "knn", "n_neighbors": 3, "weights": "distance"},
    {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 0.3},
    {"method": "local_linear", "n_neighbors": 8},
    {"method": "kriging", "length_scale": 0.5},
    {"method": "auto"},
]
WITHOUT_SLOPE = METHODS[:2] + METHODS[3:4]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 9),
    t=st.integers(1, 3),
    fit=st.sampled_from(METHODS),
    include=st.sampled_from(
        [
            [],
            ["neighbors"],
            ["diagnostics"],
            ["neighbors", "diagnostics"],
            ["std", "interval", "diagnostics"],
            ["slope", "gradient", "quantiles", "interval"],
        ]
    ),
    by_name=st.booleans(),
    compression=st.sampled_from([None, "lz4", "zstd"]),
    batch_rows=st.integers(1, 9),
)
def test_arrow_and_json_give_the_same_bits_both_ways(
    api: httpx.Client,
    seed: int,
    m: int,
    t: int,
    fit: dict[str, Any],
    include: list[str],
    by_name: bool,
    compression: str | None,
    batch_rows: int,
) -> None:
    drawn = np.random.default_rng(seed)
    x, y, q = drawn.random((20, 2)), drawn.random((20, t)), 3 * drawn.random((m, 2)) - 1
    fields = {"dataset": {"x": x.tolist(), "y": y.tolist()}, "fit": fit, "include": include}
    assume("slope" not in include or fit not in WITHOUT_SLOPE)
    wanted = api.post("/predict", json=fields | {"queries": q.tolist()}).json()
    wanted.get("diagnostics", {}).pop("plan", None)  # may tell of other requests
    columns = {"x2": q[:, 1], "x1": q[:, 0]} if by_name else {"queries": matrix(q)}
    body = stream(columns, fields, batch_rows, compression=compression)
    as_json = {"Content-Type": "application/json", "Accept": ARROW}
    answers = [
        post(api, "/predict", body).json(),
        read_answer(post(api, "/predict", body, ARROW).content),
        read_answer(
            api.post(
                "/predict", content=json.dumps(fields | {"queries": q.tolist()}), headers=as_json
            ).content
        ),
    ]
    for answer in answers:
        answer.get("diagnostics", {}).pop("plan", None)
        assert answer == wanted


def test_a_long_answer_comes_in_batches(api: httpx.Client) -> None:
    q = 60 * rng.random((700_000, 1))
    fields = {"dataset_id": "motorcycle", "fit": {"method": "knn", "n_neighbors": 1}}
    answer = post(api, "/predict", stream({"times": q[:, 0]}, fields), ARROW)
    assert answer.status_code == 200, answer.text
    batches = list(pa.ipc.open_stream(answer.content))
    assert len(batches) > 1
    some = q[::70_000]
    wanted = api.post("/predict", json=fields | {"queries": some.tolist()}).json()["mean"]
    means = np.concatenate([batch.column(0).to_numpy() for batch in batches])
    assert means[::70_000].tolist() == wanted


def test_a_missing_estimate_is_null(api: httpx.Client) -> None:
    fit = {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 1}
    fields = {"dataset_id": "motorcycle", "fit": fit}
    answer = post(api, "/predict", stream({"times": [15.0, 9e9]}, fields), ARROW)
    column = pa.ipc.open_stream(answer.content).read_all().column("mean")
    assert column.is_valid().to_pylist() == [True, False]
    assert read_answer(answer.content)["issues"][0]["queries"] == [1]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        (f"application/json, {ARROW}", "application/json"),
        (f"application/json;q=0.5, {ARROW}", ARROW),
        (f"{ARROW}, */*;q=0.1", ARROW),
        (f"application/json;q=0, {ARROW};q=0.1", ARROW),
        ("application/json;q=0, application/*", ARROW),
        (ARROW.upper(), ARROW),
        (f"{ARROW};q=0", None),
        ("text/html", None),
    ],
)
def test_accept_decides_the_format_of_predictions(
    api: httpx.Client, accept: str, expected: str | None
) -> None:
    request = {"dataset_id": "motorcycle", "queries": [15]}
    answer = api.post("/predict", json=request, headers={"Accept": accept})
    if expected is None:
        assert ARROW in problem(answer, 406)["detail"]
    else:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == expected


def test_other_answers_are_not_written_as_arrow(api: httpx.Client) -> None:
    body = stream({"t": X[:, 0], "z": Y[:, 0]})
    problem(post(api, "/datasets", body, ARROW), 406)
    problem(api.get("/limits", headers={"Accept": ARROW}), 406)


ID = {"dataset_id": "motorcycle"}
WHOLE = stream({"times": np.arange(50.0)}, ID)
LISTS = pa.array([[1.0, 2.0], [3.0]])
DICTIONARY = pa.array(["a", "b"]).dictionary_encode()
DOUBLE = pa.Table.from_arrays([pa.array([1.0])] * 2, ["times", "times"])

BAD: dict[str, tuple[str, bytes, int, str | None, str]] = {
    "text": ("/predict", b"hello", 400, None, "Arrow IPC stream"),
    "an Arrow file": ("/predict", b"ARROW1\0\0" + WHOLE, 400, None, "another format"),
    "cut in the schema": ("/predict", WHOLE[:50], 400, None, "cut short"),
    "cut in a batch": ("/predict", WHOLE[:-100], 400, None, "cut short"),
    "nothing but the end": ("/predict", b"\xff\xff\xff\xff\0\0\0\0", 400, None, "schema"),
    "two schemas": ("/predict", WHOLE[:200] + WHOLE, 400, None, ""),
    "no columns": ("/predict", stream(pa.table({}), ID), 422, "", "no columns"),
    "no rows": ("/predict", stream({"times": np.empty(0)}, ID), 422, "", "no rows"),
    "a text": ("/predict", stream({"times": ["a"]}, ID), 422, "/queries/0/0", "of numbers"),
    "bytes": ("/predict", stream({"times": [b"a"]}, ID), 422, "/times", "'binary'"),
    "truth": ("/predict", stream({"times": [True]}, ID), 422, "/times", "'bool'"),
    "a dictionary": (
        "/predict",
        stream({"times": DICTIONARY}, ID),
        422,
        "/queries/0/0",
        "of numbers",
    ),
    "lists of any length": ("/predict", stream({"queries": LISTS}, ID), 422, "/queries", "list"),
    "nulls only": ("/predict", stream({"times": pa.nulls(3)}, ID), 422, "/times", "null"),
    "infinity": ("/predict", stream({"times": [1.0, np.inf]}, ID), 422, "/queries/1/0", "finite"),
    "too wide": ("/predict", stream({"queries": matrix([[1, 2]])}, ID), 422, "/queries", "2"),
    "another name": ("/predict", stream({"tims": [1.0]}, ID), 422, "", "'times'"),
    "a column too many": (
        "/predict",
        stream({"times": [1.0], "accel": [1.0]}, ID),
        422,
        "/accel",
        "no column",
    ),
    "a column beside a matrix": (
        "/predict",
        stream({"queries": matrix([[1]]), "times": [1.0]}, ID),
        422,
        "/times",
        "queries alone",
    ),
    "a name twice": ("/predict", stream(DOUBLE, ID), 422, "/times", "twice"),
    "no metadata": ("/predict", stream({"times": [1.0]}), 422, "", "neither"),
    "metadata that is no JSON": ("/predict", stream({"times": [1.0]}, "{"), 400, None, "nearfit"),
    "metadata that is a list": ("/predict", stream({"times": [1.0]}, "[]"), 422, "", "a list"),
    "queries twice": (
        "/predict",
        stream({"times": [1.0]}, {**ID, "queries": [1]}),
        422,
        "/queries",
        "metadata",
    ),
    "an unknown field": (
        "/predict",
        stream({"times": [1.0]}, {**ID, "fitt": {}}),
        422,
        "/fitt",
        "'fit'",
    ),
    "an unknown dataset": (
        "/predict",
        stream({"times": [1.0]}, {"dataset_id": "none"}),
        404,
        None,
        "none",
    ),
    "rows of other lengths": (
        "/datasets",
        stream({"x": matrix([[1, 2], [3, 4]]), "y": [1.0, float("inf")]}),
        422,
        "/y/1/0",
        "finite",
    ),
    "no targets": ("/datasets", stream({"x": matrix([[1, 2], [3, 4]])}), 422, "", "'y'"),
    "a target of a matrix": (
        "/datasets?target=y",
        stream({"x": matrix([[1, 2], [3, 4]]), "y": [1.0, 2.0]}),
        422,
        "target",
        "query",
    ),
    "two names": (
        "/datasets?name=a",
        stream({"x": matrix([[1, 2], [3, 4]]), "y": [1.0, 2.0]}, {"name": "b"}),
        422,
        "name",
        "metadata",
    ),
    "names of named columns": (
        "/datasets",
        stream({"t": [1.0, 2.0], "z": [1.0, 2.0]}, {"feature_names": ["t"]}),
        422,
        "/feature_names",
        "metadata",
    ),
    "one column": ("/datasets", stream({"t": [1.0, 2.0]}), 422, "target", "1 column"),
    "a strange target": (
        "/datasets?target=q",
        stream({"t": [1.0, 2.0], "z": [1.0, 2.0]}),
        422,
        "target",
        "'q'",
    ),
    "metadata of appended rows": (
        "/datasets/motorcycle/rows",
        stream({"times": [1.0], "accel": [1.0]}, {"name": "b"}),
        422,
        "/name",
        "name",
    ),
    "appended rows without a target": (
        "/datasets/motorcycle/rows",
        stream({"times": [1.0]}),
        422,
        "",
        "'accel'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_stream_is_refused(api: httpx.Client, name: str) -> None:
    path, body, status, pointer, says = BAD[name]
    found = problem(post(api, path, body), status)
    assert says in found["detail"]
    assert pointers(found) == ([] if pointer is None else [pointer])


def test_more_columns_than_a_dataset_may_have_are_refused(small: httpx.Client) -> None:
    found = problem(post(small, "/datasets", stream({f"c{j}": [1.0, 2.0] for j in range(6)})), 422)
    assert "max_features" in found["detail"]
    found = problem(
        post(small, "/datasets", stream({"x": matrix([[1] * 4] * 2), "y": [1, 2]})), 422
    )
    assert pointers(found) == ["/x"]


def test_a_stream_that_decompresses_too_far_is_refused(api: httpx.Client) -> None:
    zeros = stream({"times": np.zeros(2_000_000)}, ID, compression="zstd")
    assert len(zeros) < 20_000
    found = problem(post(api, "/predict", zeros), 413)
    assert "without compression" in found["detail"]


ROWS = "/datasets/{id}/rows"
SEEDS = [
    (path, stream(columns, fields, 4, compression=compression))
    for compression in (None, "lz4", "zstd")
    for path, columns, fields in (
        ("/predict", {"queries": matrix(rng.random((9, 1)))}, ID),
        ("/predict", {"times": rng.random(9)}, ID),
        ("/datasets", {"x": matrix(X[:9]), "y": Y[:9, 0]}, {"name": "mutant"}),
        ("/datasets", {"t": X[:9, 0], "z": pa.array([1, None, 3] * 3)}, None),
        (ROWS, {"times": X[:9, 0], "accel": X[:9, 0]}, None),
    )
]
WORDS = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
    (2**40).to_bytes(8, "little"),
    b"\xff" * 7 + b"\x7f",
]


def mutated(body: bytes, seed: int) -> bytes:
    """Return the body with some bytes changed, words replaced, or its end cut off."""
    chance = random.Random(seed)
    content = bytearray(body)
    for _ in range(chance.choice([1, 1, 2, 5])):
        place = chance.randrange(len(content) - 8)
        match chance.randrange(4):
            case 0 | 1:
                content[place] = chance.randrange(256)
            case 2:
                word = chance.choice(WORDS)
                place &= ~3
                content[place : place + len(word)] = word
            case _ if len(content) > 40:
                del content[max(20, place) :]
    return bytes(content)


@pytest.fixture
def grown(api: httpx.Client) -> Iterator[str]:
    """The id of a dataset that rows may be appended to."""
    rows = {"x": [[0.5], [1.5]], "y": [1.0, 2.0], "feature_names": ["times"]}
    answer = api.post("/datasets", json={**rows, "target_names": ["accel"]})
    yield answer.raise_for_status().json()["id"]
    api.delete(answer.headers["location"])


@settings(max_examples=400)
@given(which=st.sampled_from(range(len(SEEDS))), seed=st.integers(0, 2**32 - 1))
def test_any_mutation_of_a_stream_is_answered(
    api: httpx.Client, grown: str, which: int, seed: int
) -> None:
    path, body = SEEDS[which]
    answer = post(api, path.format(id=grown), mutated(body, seed))
    if not answer.is_success:
        assert answer.status_code < 500, answer.text
        problem(answer, answer.status_code)
    elif path == "/datasets":
        api.delete(answer.headers["location"])
