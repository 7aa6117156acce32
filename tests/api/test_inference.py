"""The Open Inference Protocol: the same answers as /predict, to the bit, in tensors."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from service.api.inference.examples import (
    CONFIGURATION_ANSWER,
    INFERENCE_ANSWER,
    INFERENCES,
    MODEL_ANSWER,
    MODEL_READY_ANSWER,
    MODELS_ANSWER,
    SERVER_ANSWER,
    SERVER_LIVE_ANSWER,
    SERVER_READY_ANSWER,
)
from service.api.inference.queries import HEADER_LENGTH
from service.api.inference.questions import FIT_FIELDS, MOST_JSON_BYTES
from tests.api.problems import problem
from tests.api.test_fuzz import anything, arrays, fits, small
from tests.live import live_client

INFER = "/v2/models/{}/infer"
QUERIES = np.linspace(3.0, 57.0, 7)
KNN = {"method": "knn", "n_neighbors": 5}


@pytest.fixture(scope="module")
def plane(api: httpx.Client) -> str:
    """The id of a dataset of two features and two targets."""
    x = np.random.default_rng(5).normal(size=(50, 2))
    rows = {"x": x.tolist(), "y": np.stack([x.sum(1), x[:, 0] * x[:, 1]], 1).tolist()}
    names = {"feature_names": ["east", "north"], "target_names": ["height", "std"]}
    return str(api.post("/datasets", json=rows | names | {"name": "hill"}).json()["id"])


@pytest.fixture(scope="module")
def pets(api: httpx.Client) -> str:
    """The id of a dataset of classes, by a number and a category."""
    sizes = [1.2, 1.4, 1.9, 2.2, 2.4, 2.5]
    furs = ["short", "long", "short", "short", "long", "long"]
    rows = {"x": [list(row) for row in zip(sizes, furs, strict=True)]}
    labels = {"y": ["cat", "cat", "dog", "cat", "dog", "dog"]}
    names = {"feature_names": ["size", "fur"]}
    return str(api.post("/datasets", json=rows | labels | names).json()["id"])


def tensor(values: NDArray[Any], name: str = "x", datatype: str = "FP64") -> dict[str, Any]:
    shape = list(values.shape)
    return {"name": name, "shape": shape, "datatype": datatype, "data": values.tolist()}


def infer(client: httpx.Client, model: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(INFER.format(model), json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def output(answer: dict[str, Any], name: str) -> Any:
    """Return the elements of an output, in its shape."""
    (found,) = (each for each in answer["outputs"] if each["name"] == name)
    kind = float if found["datatype"] == "FP64" else object
    return np.array(found["data"], dtype=kind).reshape(found["shape"])


def predicted(client: httpx.Client, dataset_id: str, queries: Any, **how: Any) -> dict[str, Any]:
    request = {"dataset_id": dataset_id, "queries": queries, **how}
    answer = client.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def with_bytes(document: dict[str, Any], *data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body of JSON with bytes after it, and the header that says so."""
    text = json.dumps(document).encode()
    return b"".join([text, *data]), {HEADER_LENGTH: str(len(text))}


def refusal(answer: httpx.Response, status: int = 422) -> str:
    """Check that the answer is a refusal of the protocol, and return its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert set(document) == {"error"}
    return str(document["error"])


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/v2", SERVER_ANSWER),
        ("GET", "/v2/health/live", SERVER_LIVE_ANSWER),
        ("GET", "/v2/health/ready", SERVER_READY_ANSWER),
        ("GET", "/v2/models/motorcycle", MODEL_ANSWER),
        ("GET", "/v2/models/motorcycle/versions/1", MODEL_ANSWER),
        ("GET", "/v2/models/motorcycle/ready", MODEL_READY_ANSWER),
        ("GET", "/v2/models/motorcycle/versions/1/ready", MODEL_READY_ANSWER),
        ("GET", "/v2/models/motorcycle/config", CONFIGURATION_ANSWER),
    ],
)
def test_the_server_and_its_models_describe_themselves(
    api: httpx.Client, method: str, path: str, shown: Any
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 200
    assert answer.json() == shown


def test_all_models_are_listed(api: httpx.Client, plane: str) -> None:
    listed = api.post("/v2/repository/index").json()
    assert listed[:1] == MODELS_ANSWER
    assert {"name": plane, "version": "1", "state": "READY", "reason": ""} in listed


def test_the_example_of_an_answer_is_what_comes(api: httpx.Client) -> None:
    example: Any = INFERENCES["fit"]["value"]
    found = infer(api, "motorcycle", example)
    shown = dict(INFERENCE_ANSWER)
    assert output(found, "y") == pytest.approx(output(shown, "y"), rel=1e-12)
    found.pop("outputs"), shown.pop("outputs")
    assert found == shown


@pytest.mark.parametrize(
    "fit",
    [
        None,
        KNN,
        {"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
        {"method": "kriging", "length_scale": 5.0, "alpha": 0.25},
        {"method": "nadaraya_watson", "bandwidth": 1.5, "metric": {"scale": [2.0]}},
    ],
    ids=lambda fit: "auto" if fit is None else str(fit["method"]),
)
def test_the_bits_are_those_of_predict(api: httpx.Client, fit: dict[str, Any] | None) -> None:
    expected = predicted(api, "motorcycle", QUERIES.tolist(), **({"fit": fit} if fit else {}))
    parameters = {"fit": json.dumps(fit)} if fit else {}
    found = infer(api, "motorcycle", {"inputs": [tensor(QUERIES)], "parameters": parameters})
    assert_array_equal(output(found, "y"), expected["mean"])
    assert json.loads(found["parameters"]["fit"]) == expected["fit"]
    assert found["parameters"].get("chosen_by") == expected.get("chosen_by")
    assert found["model_version"] == "1"


def test_a_fit_may_stand_field_by_field(api: httpx.Client) -> None:
    asked = {"inputs": [tensor(QUERIES)]}
    whole = infer(api, "motorcycle", asked | {"parameters": {"fit": json.dumps(KNN)}})
    assert infer(api, "motorcycle", asked | {"parameters": KNN}) == whole
    assert {"method", "n_neighbors", "degree", "alpha", "solver"} <= FIT_FIELDS


def test_the_outputs_are_what_predict_includes(api: httpx.Client, plane: str) -> None:
    queries = np.random.default_rng(1).normal(size=(5, 2))
    fit = {"method": "local_linear", "n_neighbors": 20}
    expected = predicted(
        api, plane, queries.tolist(), fit=fit, include=["std", "interval"], level=0.8
    )
    names = ("lower", "y", "upper", "std", "height")
    found = infer(
        api,
        plane,
        {
            "id": "7",
            "inputs": [tensor(queries)],
            "outputs": [{"name": name} for name in names],
            "parameters": {**fit, "level": 0.8},
        },
    )
    assert found["id"] == "7"
    assert tuple(each["name"] for each in found["outputs"]) == names
    assert_array_equal(output(found, "y"), expected["mean"])
    assert_array_equal(output(found, "std"), expected["std"])
    assert_array_equal(output(found, "lower"), expected["interval"]["lower"])
    assert_array_equal(output(found, "upper"), expected["interval"]["upper"])
    assert_array_equal(output(found, "height"), np.array(expected["mean"])[:, 0])


def test_a_target_called_as_an_output_is_not_hidden_in_y(api: httpx.Client, plane: str) -> None:
    outputs = api.get(f"/v2/models/{plane}").json()["outputs"]
    assert {each["name"]: each["shape"] for each in outputs} == {
        "y": [-1, 2],
        "std": [-1, 2],
        "lower": [-1, 2],
        "upper": [-1, 2],
        "status": [-1],
        "height": [-1],
    }


def test_a_tensor_a_feature_is_as_good_as_one_of_all(api: httpx.Client, plane: str) -> None:
    queries = np.random.default_rng(2).normal(size=(6, 2))
    whole = infer(api, plane, {"inputs": [tensor(queries)], "parameters": KNN})
    north, east = tensor(queries[:, 1], "north"), tensor(queries[:, :1], "east")
    assert infer(api, plane, {"inputs": [north, east], "parameters": KNN}) == whole


def test_a_query_without_support_has_no_number_and_a_status(api: httpx.Client) -> None:
    fit = {"method": "local_linear", "kernel": "tricube", "bandwidth": 2.0}
    asked = {
        "inputs": [tensor(np.array([20.0, 500.0]))],
        "outputs": [{"name": "y"}, {"name": "status"}],
        "parameters": fit,
    }
    found = infer(api, "motorcycle", asked)
    assert np.isnan(output(found, "y")).tolist() == [False, True]
    statuses = output(found, "status")
    assert statuses[0] == ""
    assert "no_support" in statuses[1].split(" ")
    issues = predicted(api, "motorcycle", [20.0, 500.0], fit=fit)["issues"]
    assert set(statuses[1].split(" ")) == {issue["status"] for issue in issues}
    assert all(issue["advice"] in found["parameters"]["advice"] for issue in issues)


def test_a_missing_cell_is_null_or_nan(api: httpx.Client, plane: str) -> None:
    queries = [[0.1, None], [0.2, 0.3]]
    expected = predicted(api, plane, queries, fit=KNN)["mean"]
    asked: dict[str, Any] = {"name": "x", "shape": [2, 2], "datatype": "FP64"}
    found = infer(api, plane, {"inputs": [asked | {"data": queries}], "parameters": KNN})
    assert_array_equal(output(found, "y"), expected)
    data = np.array(queries, dtype="<f8").tobytes()
    asked["parameters"] = {"binary_data_size": len(data)}
    content, headers = with_bytes({"inputs": [asked], "parameters": KNN}, data)
    answer = api.post(INFER.format(plane), content=content, headers=headers)
    assert_array_equal(output(answer.json(), "y"), expected)


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("FP64", "<f8"),
        ("FP32", "<f4"),
        ("FP16", "<f2"),
        ("INT64", "<i8"),
        ("INT32", "<i4"),
        ("INT16", "<i2"),
        ("INT8", "i1"),
        ("UINT64", "<u8"),
        ("UINT32", "<u4"),
        ("UINT16", "<u2"),
        ("UINT8", "u1"),
        ("BOOL", "?"),
    ],
)
def test_every_type_of_number_is_read_from_json_and_from_bytes(
    api: httpx.Client, datatype: str, dtype: str
) -> None:
    values = np.array([1, 14.1, 53.7]).astype(dtype)
    expected = predicted(api, "motorcycle", values.astype(float).tolist(), fit=KNN)["mean"]
    sent = tensor(values, datatype=datatype)
    if datatype == "FP32":  # the text of the wide number, which the type makes narrow
        sent["data"] = [1, 14.1, 53.7]
    assert_array_equal(
        output(infer(api, "motorcycle", {"inputs": [sent], "parameters": KNN}), "y"), expected
    )
    del sent["data"]
    data = values.tobytes()
    sent["parameters"] = {"binary_data_size": len(data), "content_type": "np"}
    content, headers = with_bytes({"inputs": [sent], "parameters": KNN}, data)
    answer = api.post(INFER.format("motorcycle"), content=content, headers=headers)
    assert_array_equal(output(answer.json(), "y"), expected)


def read_bytes(answer: httpx.Response) -> dict[str, Any]:
    """Return the outputs of an answer with bytes, by a reader of its own."""
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[HEADER_LENGTH])
    document = json.loads(answer.content[:length])
    rest = answer.content[length:]
    found: dict[str, Any] = {}
    for each in document["outputs"]:
        if "data" in each:
            assert "parameters" not in each
            found[each["name"]] = np.array(each["data"]).reshape(each["shape"])
            continue
        size = each["parameters"]["binary_data_size"]
        data, rest = rest[:size], rest[size:]
        if each["datatype"] == "FP64":
            found[each["name"]] = np.frombuffer(data, "<f8").reshape(each["shape"])
            continue
        texts = []
        while data:
            stop = 4 + int.from_bytes(data[:4], "little")
            texts.append(data[4:stop].decode())
            data = data[stop:]
        found[each["name"]] = np.array(texts, dtype=object).reshape(each["shape"])
    assert not rest
    return found


@pytest.mark.parametrize("m", [3, 30_000])
def test_outputs_may_be_bytes(api: httpx.Client, m: int) -> None:
    """Short answers are written at once, long ones in pieces."""
    queries = np.linspace(-900.0, 57.0, m)
    fit = {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 3.0}
    data = queries.tobytes()
    sent: dict[str, Any] = {"name": "x", "shape": [m], "datatype": "FP64"}
    sent["parameters"] = {"binary_data_size": len(data)}
    asked = {
        "inputs": [sent],
        "parameters": {**fit, "binary_data_output": True},
        "outputs": [
            {"name": "y"},
            {"name": "status", "parameters": {"binary_data": m > 3}},
            {"name": "upper", "parameters": {"binary_data": m == 3}},
        ],
    }
    content, headers = with_bytes(asked, data)
    found = read_bytes(api.post(INFER.format("motorcycle"), content=content, headers=headers))
    expected = predicted(api, "motorcycle", queries.tolist(), fit=fit, include=["interval"])
    assert_array_equal(found["y"], np.array(expected["mean"], dtype=float))
    upper = np.array(expected["interval"]["upper"], dtype=float)
    assert_array_equal(
        np.nan_to_num(found["upper"].astype(float), posinf=0.0), np.nan_to_num(upper)
    )
    assert set(found["status"].tolist()) >= {"", "no_support"}
    assert ("no_support" in found["status"][0]) == bool(np.isnan(found["y"][0]))


def test_classes_are_labels_and_probabilities(api: httpx.Client, pets: str) -> None:
    inputs = api.get(f"/v2/models/{pets}").json()["inputs"]
    assert [(each["name"], each["datatype"]) for each in inputs] == [
        ("size", "FP64"),
        ("fur", "BYTES"),
    ]
    fit = {"method": "knn", "n_neighbors": 3}
    expected = predicted(api, pets, [[1.5, "long"], [2.3, "short"]], fit=fit)
    size = tensor(np.array([1.5, 2.3]), "size")
    fur: dict[str, Any] = {"name": "fur", "shape": [2], "datatype": "BYTES"}
    fur["data"] = ["long", "short"]
    found = infer(api, pets, {"inputs": [size, fur], "parameters": fit})
    assert output(found, "label").tolist() == expected["label"]
    assert_array_equal(output(found, "probabilities"), expected["probabilities"])

    texts = b"".join(len(t).to_bytes(4, "little") + t for t in (b"long", b"short"))
    fur = {key: fur[key] for key in fur if key != "data"}
    fur["parameters"] = {"binary_data_size": len(texts)}
    asked = {"inputs": [size, fur], "parameters": {**fit, "binary_data_output": True}}
    content, headers = with_bytes(asked, texts)
    as_bytes = read_bytes(api.post(INFER.format(pets), content=content, headers=headers))
    assert as_bytes["label"].tolist() == expected["label"]
    assert_array_equal(as_bytes["probabilities"], expected["probabilities"])


def test_the_likeliest_classes_come_as_triton_writes_them(api: httpx.Client, pets: str) -> None:
    size = tensor(np.array([1.5, 2.45]), "size")
    fur = {"name": "fur", "shape": [2], "datatype": "BYTES", "data": ["long", "long"]}
    wanted = {"name": "probabilities", "parameters": {"classification": 2}}
    found = infer(
        api,
        pets,
        {"inputs": [size, fur], "parameters": {"method": "knn", "n_neighbors": 3}}
        | {"outputs": [wanted, {"name": "label"}]},
    )
    ranked = output(found, "probabilities")
    assert ranked.shape == (2, 2)
    for row, label in zip(ranked.tolist(), output(found, "label").tolist(), strict=True):
        shares = [float(text.split(":")[0]) for text in row]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1.0)
        assert row[0].endswith({"cat": ":0:cat", "dog": ":1:dog"}[label])


def test_a_name_that_one_dataset_has_is_a_model(api: httpx.Client, plane: str) -> None:
    assert api.get("/v2/models/hill/ready").json() == {"name": "hill", "ready": True}
    found = infer(api, "hill", {"inputs": [tensor(np.zeros((1, 2)))], "parameters": KNN})
    assert found["model_name"] == "hill"
    assert_array_equal(output(found, "y"), predicted(api, plane, [[0.0, 0.0]], fit=KNN)["mean"])


@pytest.fixture
def twins() -> Iterator[httpx.Client]:
    """A service with two datasets of one name, one of which has a second version."""
    with live_client() as client:
        for shift in (0.0, 1.0):
            rows = {"x": [0.0, 1.0, 2.0], "y": [shift, 1.0, 2.0], "name": "twin"}
            assert client.post("/datasets", json=rows).status_code == 201
        yield client


def test_names_and_versions_that_do_not_say_which_are_refused(twins: httpx.Client) -> None:
    assert "2 datasets have the name 'twin'" in refusal(twins.get("/v2/models/twin"))
    (first, _) = (
        each["id"] for each in twins.get("/datasets").json()["datasets"] if each["name"] == "twin"
    )
    assert twins.get(f"/v2/models/{first}/versions/1/ready").status_code == 200
    twins.post(f"/datasets/{first}/rows", json={"x": [3.0], "y": [3.0]})
    for path in ("", "/ready", "/config"):
        sentence = refusal(twins.get(f"/v2/models/{first}/versions/1{path}"), 404)
        assert "the present one is 2" in sentence
    asked = {"inputs": [tensor(np.array([3.0]))], "parameters": {"method": "knn", "n_neighbors": 1}}
    old = twins.post(f"/v2/models/{first}/versions/1/infer", json=asked)
    assert "no version '1'" in refusal(old, 404)
    new = twins.post(f"/v2/models/{first}/versions/2/infer", json=asked)
    assert new.json()["model_version"] == "2"
    assert new.json()["outputs"][0]["data"] == [3.0]


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_requests_are_read(api: httpx.Client, coding: str, compress: Any) -> None:
    data = QUERIES.tobytes()
    sent: dict[str, Any] = {"name": "x", "shape": [len(QUERIES)], "datatype": "FP64"}
    sent["parameters"] = {"binary_data_size": len(data)}
    content, headers = with_bytes({"inputs": [sent], "parameters": KNN}, data)
    plain = api.post(INFER.format("motorcycle"), content=content, headers=headers)
    headers["Content-Encoding"] = coding
    answer = api.post(INFER.format("motorcycle"), content=compress(content), headers=headers)
    assert answer.content == plain.content
    cut = compress(content)[:-6]
    broken = api.post(INFER.format("motorcycle"), content=cut, headers=headers)
    assert f"The body is not {coding}, or cut short" in refusal(broken, 400)


def test_a_deflated_bomb_is_refused(api: httpx.Client) -> None:
    bomb = zlib.compress(bytes(20_000_000))
    answer = api.post(
        INFER.format("motorcycle"), content=bomb, headers={"Content-Encoding": "deflate"}
    )
    assert "bytes decompress to" in refusal(answer, 413)


X = tensor(QUERIES)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({}, "The field 'inputs' is missing"),
    "empty inputs": ({"inputs": []}, "inputs is a list of 0; it must have at least 1 element"),
    "an unknown field": ({"inputs": [X], "output": []}, "did you mean 'outputs'?"),
    "another model": ({"inputs": [X], "model_name": "a"}, "and the address has 'motorcycle'"),
    "an unknown datatype": ({"inputs": [X | {"datatype": "FP8"}]}, "datatype is 'FP8'"),
    "three axes": ({"inputs": [X | {"shape": [7, 1, 1]}]}, "at most 2 elements"),
    "another count": ({"inputs": [X | {"shape": [6]}]}, "has the shape [6], and data is a list of"),
    "other lists": (
        {"inputs": [X | {"shape": [1, 7], "data": [QUERIES.tolist()[:3]]}]},
        "send a flat list of its 7 elements",
    ),
    "a text for a number": ({"inputs": [X | {"shape": [1], "data": ["a"]}]}, "Element 0"),
    "true for a number": ({"inputs": [X | {"shape": [1], "data": [True]}]}, "is true"),
    "a part for a whole": (
        {"inputs": [X | {"datatype": "INT64", "shape": [1], "data": [1.5]}]},
        "is 1.5; the datatype is INT64, so its elements are whole numbers",
    ),
    "a wide number": (
        {"inputs": [X | {"datatype": "INT8", "shape": [1], "data": [1000]}]},
        "out of the range of INT8",
    ),
    "an infinite number": (
        {"inputs": [X | {"datatype": "FP16", "shape": [1], "data": [1e9]}]},
        "not a finite number",
    ),
    "no data": ({"inputs": [{k: X[k] for k in X if k != "data"}]}, "neither data nor"),
    "no header": (
        {
            "inputs": [
                {**{k: X[k] for k in X if k != "data"}, "parameters": {"binary_data_size": 8}}
            ]
        },
        f"no header {HEADER_LENGTH}",
    ),
    "shared memory": (
        {"inputs": [X | {"parameters": {"shared_memory_region": "a"}}]},
        "There is no field 'shared_memory_region' here",
    ),
    "too many features": (
        {"inputs": [X | {"shape": [1, 7]}]},
        "has the shape [1, 7], and the dataset has 1 features",
    ),
    "an unknown input": ({"inputs": [X | {"name": "time"}]}, "did you mean 'times'?"),
    "no queries": ({"inputs": [X | {"shape": [0], "data": []}]}, "There are no rows"),
    "an unknown output": ({"inputs": [X], "outputs": [{"name": "mean"}]}, "The model has y, std,"),
    "an output twice": ({"inputs": [X], "outputs": [{"name": "y"}] * 2}, "stands twice"),
    "classification of numbers": (
        {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
        "it belongs to the output 'probabilities'",
    ),
    "an unknown parameter": (
        {"inputs": [X], "parameters": {"n_neighbours": 3}},
        "did you mean 'n_neighbors'?",
    ),
    "a sequence": ({"inputs": [X], "parameters": {"sequence_id": 3}}, "no parameter 'sequence_id'"),
    "a fit without a method": ({"inputs": [X], "parameters": {"n_neighbors": 3}}, "no method"),
    "a fit twice": (
        {"inputs": [X], "parameters": {"fit": "{}", "method": "knn"}},
        "both fit and method",
    ),
    "a fit that is no JSON": ({"inputs": [X], "parameters": {"fit": "knn"}}, "which is not JSON"),
    "a fit that is no object": ({"inputs": [X], "parameters": {"fit": "3"}}, "fit is 3"),
    "a wrong fit": (
        {"inputs": [X], "parameters": {"method": "knn", "n_neighbors": 0}},
        "at least 1",
    ),
    "a level of nothing": ({"inputs": [X], "parameters": {"level": 0.5}}, "lower, upper, of which"),
    "a wrong level": (
        {"inputs": [X], "outputs": [{"name": "lower"}], "parameters": {"level": 2}},
        "level is 2; it must be less than 1",
    ),
    "a long time": ({"inputs": [X], "parameters": {"timeout": 10**12}}, "the limit is 300 seconds"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=list(REFUSED))
def test_what_is_wrong_is_said_in_the_form_of_the_protocol(
    api: httpx.Client, case: tuple[dict[str, Any], str]
) -> None:
    body, sentence = case
    assert sentence in refusal(api.post(INFER.format("motorcycle"), json=body))


def test_inputs_of_features_that_do_not_agree_are_refused(api: httpx.Client, plane: str) -> None:
    def sentence(*inputs: dict[str, Any]) -> str:
        return refusal(api.post(INFER.format(plane), json={"inputs": list(inputs)}))

    east, north = tensor(QUERIES, "east"), tensor(QUERIES[:3], "north")
    assert "The input 'north' is missing" in sentence(east)
    assert "'north' has 3 queries, and 'east' has 7" in sentence(east, north)
    assert "stands twice" in sentence(east, east)
    assert "it must be [m] or [m, 1]" in sentence(tensor(np.zeros((2, 2)), "east"), north)
    assert "There is no input 'x'" in sentence(tensor(np.zeros((3, 2))), north)
    assert "send [m, 2] for m queries" in sentence(tensor(np.zeros(2)))


@pytest.mark.parametrize(
    ("size", "data", "datatype", "sentence"),
    [
        (16, bytes(8), "FP64", "has 8 bytes, and 2 elements of FP64 have 16"),
        (8, bytes(8), "FP64", "has 8 bytes, and 2 elements of FP64 have 16"),
        (16, bytes(24), "FP64", "there are 24 bytes, and the inputs have 16 in all"),
        (9, b"\4\0\0\0ab\0\0\0", "BYTES", "are not 2 texts"),
        (10, b"\1\0\0\0\xff\1\0\0\0a", "BYTES", "is not UTF-8"),
    ],
)
def test_bytes_that_are_not_the_tensor_are_refused(
    api: httpx.Client, size: int, data: bytes, datatype: str, sentence: str
) -> None:
    sent: dict[str, Any] = {"name": "x", "shape": [2], "datatype": datatype}
    sent["parameters"] = {"binary_data_size": size}
    content, headers = with_bytes({"inputs": [sent]}, data)
    answer = api.post(INFER.format("motorcycle"), content=content, headers=headers)
    assert sentence in refusal(answer)


@pytest.mark.parametrize("length", ["", "x", "-1", "0", "99999", "9" * 5000])
def test_a_wrong_length_of_the_json_is_refused(api: httpx.Client, length: str) -> None:
    answer = api.post(
        INFER.format("motorcycle"), json={"inputs": [X]}, headers={HEADER_LENGTH: length}
    )
    assert "it must be the bytes of the JSON" in refusal(answer)


def test_bodies_that_are_no_json_and_too_long_ones_are_refused(api: httpx.Client) -> None:
    path = INFER.format("motorcycle")
    assert "The body is not JSON" in refusal(api.post(path, content=b"{"), 400)
    assert "The body is empty" in refusal(api.post(path), 400)
    assert "send a JSON object" in refusal(api.post(path, content=b"[]"))
    long = b'{"inputs": [' + b" " * MOST_JSON_BYTES
    assert "send the tensors as bytes" in refusal(api.post(path, content=long))


def test_paths_that_are_not_there_are_refused_in_the_form_too(api: httpx.Client) -> None:
    assert "no dataset with the id or name 'nope'" in refusal(api.get("/v2/models/nope"), 404)
    assert "nothing at /v2/models" in refusal(api.get("/v2/models"), 404)
    answer = api.get(INFER.format("motorcycle"))
    assert "send POST" in refusal(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert "nothing at /v20" in problem(api.get("/v20"), 404)["detail"]
    assert "no query parameter" in refusal(api.get("/v2?a=1"))


def test_a_body_above_the_limit_is_refused_in_the_form_too(small: httpx.Client) -> None:
    answer = small.post(INFER.format("motorcycle"), content=bytes(30_000))
    assert "the limit is 20,000 bytes" in refusal(answer, 413)


KSERVE = {
    "id": "85f1…",
    "model_name": "motorcycle",
    "inputs": [{"name": "x", "shape": [7, 1], "datatype": "FP64", "data": QUERIES.tolist()}],
    "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
    "parameters": KNN,
}
MLSERVER = {
    "parameters": KNN,
    "inputs": [
        {
            "name": "x",
            "shape": [7, 1],
            "datatype": "FP64",
            "parameters": {"content_type": "np"},
            "data": QUERIES.tolist(),
        }
    ],
}
PANDAS = {
    "parameters": {"content_type": "pd", **KNN},
    "inputs": [{"name": "times", "shape": [7, 1], "datatype": "FP64", "data": QUERIES.tolist()}],
}


@pytest.mark.parametrize(
    "body", [KSERVE, MLSERVER, PANDAS], ids=["KServe", "MLServer", "MLServer's pandas"]
)
def test_requests_as_other_clients_write_them(api: httpx.Client, body: dict[str, Any]) -> None:
    """KServe 0.21 and the codecs of MLServer 1.7."""
    expected = predicted(api, "motorcycle", QUERIES.tolist(), fit=KNN)["mean"]
    assert_array_equal(output(infer(api, "motorcycle", body), "y"), expected)


names = st.sampled_from(["x", "times", "y", "status"]) | anything
types = st.sampled_from(["FP64", "INT8", "BYTES", "BOOL"]) | anything
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "shape": st.lists(st.integers(-1, 6), max_size=3) | anything,
        "datatype": types,
        "data": arrays | anything,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": small}) | anything,
    },
)
wanted = st.fixed_dictionaries(
    {"name": names},
    optional={
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data": st.booleans() | anything, "classification": small}
        )
    },
)
right = st.just(
    {"name": "x", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}}
)
bodies = st.fixed_dictionaries(
    {"inputs": st.lists(right | tensors, max_size=2) | anything},
    optional={
        "id": st.text(max_size=3) | anything,
        "outputs": st.lists(wanted, max_size=2) | anything,
        "parameters": fits | st.fixed_dictionaries({"fit": fits.map(json.dumps)}) | anything,
    },
)


@settings(max_examples=100)
@given(body=bodies, data=st.binary(max_size=16), has_length=st.booleans())
def test_whatever_is_sent_the_answer_is_one_of_the_protocol(
    api: httpx.Client, body: dict[str, Any], data: bytes, has_length: bool
) -> None:
    content, headers = with_bytes(body, data)
    answer = api.post(
        INFER.format("motorcycle"), content=content, headers=headers if has_length else None
    )
    if answer.status_code != 200:
        assert answer.status_code in (400, 422), answer.text
        assert refusal(answer, answer.status_code)
    elif HEADER_LENGTH in answer.headers:
        assert read_bytes(answer)
    else:
        found = answer.json()
        assert all(output(found, each["name"]).size for each in found["outputs"])
