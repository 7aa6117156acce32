"""NVIDIA's client of the Open Inference Protocol, as it comes, against a dataset."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

QUERIES = np.linspace(3.0, 57.0, 40).reshape(-1, 1)
FIT = {"method": "local_linear", "n_neighbors": 20}


@pytest.fixture(scope="module")
def client(api: httpx.Client) -> Iterator[Any]:
    with triton.InferenceServerClient(f"{api.base_url.host}:{api.base_url.port}") as client:
        yield client


def points(queries: NDArray[Any], *, is_binary: bool) -> Any:
    sent = triton.InferInput("x", queries.shape, "FP64" if queries.itemsize == 8 else "FP32")
    return sent.set_data_from_numpy(queries, binary_data=is_binary)


def outputs(*names: str, is_binary: bool) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=is_binary) for name in names]


def predicted(api: httpx.Client, queries: NDArray[Any], **how: Any) -> dict[str, Any]:
    request = {"dataset_id": "motorcycle", "queries": queries.tolist(), "fit": FIT, **how}
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_client_finds_the_server_and_the_model_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("motorcycle")
    assert client.is_model_ready("motorcycle", "1")
    assert not client.is_model_ready("motorcycle", "2")
    assert not client.is_model_ready("nope")


def test_the_client_reads_what_the_model_is(client: Any) -> None:
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata("motorcycle")
    (points,) = described["inputs"]
    assert (points["name"], points["datatype"], points["shape"]) == ("x", "FP64", [-1, 1])
    configured = client.get_model_config("motorcycle", "1")
    assert [each["name"] for each in configured["output"]] == [
        each["name"] for each in described["outputs"]
    ]
    listed = client.get_model_repository_index()
    assert {each["name"]: each["state"] for each in listed}["motorcycle"] == "READY"


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answers_binary", [True, False], ids=["bytes-out", "json-out"])
@pytest.mark.parametrize("asks_binary", [True, False], ids=["bytes-in", "json-in"])
def test_the_bits_are_those_of_predict(
    api: httpx.Client,
    client: Any,
    asks_binary: bool,
    answers_binary: bool,
    compression: str | None,
) -> None:
    result = client.infer(
        "motorcycle",
        [points(QUERIES, is_binary=asks_binary)],
        model_version="1",
        outputs=outputs("y", "std", "lower", "upper", is_binary=answers_binary),
        request_id="7",
        timeout=10_000_000,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        parameters=FIT,
    )
    expected = predicted(api, QUERIES, include=["std", "interval"])
    assert_array_equal(result.as_numpy("y"), expected["mean"])
    assert_array_equal(result.as_numpy("std"), expected["std"])
    assert_array_equal(result.as_numpy("lower"), expected["interval"]["lower"])
    assert_array_equal(result.as_numpy("upper"), expected["interval"]["upper"])
    assert result.get_response()["id"] == "7"


def test_narrow_numbers_are_computed_with_as_wide_ones(api: httpx.Client, client: Any) -> None:
    narrow = QUERIES.astype(np.float32)
    expected = predicted(api, narrow.astype(np.float64))["mean"]
    for is_binary in (True, False):
        result = client.infer("motorcycle", [points(narrow, is_binary=is_binary)], parameters=FIT)
        assert_array_equal(result.as_numpy("y"), expected)


def test_a_long_answer_comes_whole(api: httpx.Client, client: Any) -> None:
    queries = np.linspace(3.0, 57.0, 60_000).reshape(-1, 1)
    knn = {"method": "knn", "n_neighbors": 3}
    sent = [points(queries, is_binary=True)]
    wanted = outputs("y", "status", is_binary=True)
    result = client.infer("motorcycle", sent, outputs=wanted, parameters=knn)
    request = {"dataset_id": "motorcycle", "queries": queries.tolist(), "fit": knn}
    assert_array_equal(result.as_numpy("y"), api.post("/predict", json=request).json()["mean"])
    assert set(result.as_numpy("status")) == {b""}


def test_classes_and_categories_are_texts_to_the_client(api: httpx.Client, client: Any) -> None:
    rows = {"x": ["oak", "fir", "oak", "fir", "ash"], "y": ["leaf", "needle"] * 2 + ["leaf"]}
    trees = api.post("/datasets", json=rows).json()["id"]
    (described,) = client.get_model_metadata(trees)["inputs"]
    texts = np.array([["fir"], ["ash"]], dtype=object)
    sent = triton.InferInput(described["name"], texts.shape, described["datatype"])
    knn = {"method": "knn", "n_neighbors": 1}
    request = {"dataset_id": trees, "queries": ["fir", "ash"], "fit": knn}
    expected = api.post("/predict", json=request).json()
    for is_binary in (True, False):
        sent.set_data_from_numpy(texts, binary_data=is_binary)
        result = client.infer(trees, [sent], parameters=knn)
        assert [text.decode() for text in result.as_numpy("label")] == expected["label"]
        assert_array_equal(result.as_numpy("probabilities"), expected["probabilities"])
    likeliest = triton.InferRequestedOutput("probabilities", class_count=1)
    result = client.infer(trees, [sent], outputs=[likeliest], parameters=knn)
    assert result.as_numpy("probabilities").tolist() == [[b"1.0:1:needle"], [b"1.0:0:leaf"]]


def test_requests_at_once_are_answered_each(api: httpx.Client, client: Any) -> None:
    waiting = [
        client.async_infer("motorcycle", [points(part, is_binary=True)], parameters=FIT)
        for part in np.split(QUERIES, 8)
    ]
    found = np.concatenate([each.get_result().as_numpy("y") for each in waiting])
    assert_array_equal(found, predicted(api, QUERIES)["mean"])


def test_refusals_reach_the_client_as_sentences(client: Any) -> None:
    sent = [points(QUERIES, is_binary=True)]
    with pytest.raises(InferenceServerException, match="no dataset with the id or name 'nope'"):
        client.infer("nope", sent)
    with pytest.raises(InferenceServerException, match="did you mean 'n_neighbors'") as refused:
        client.infer("motorcycle", sent, parameters={"n_neighbours": 3})
    assert refused.value.status() == "422"
