"""The empty endpoint and the hostile clients, on a live service."""

import asyncio
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from benchmarks.empty_endpoint import add_empty_endpoint
from benchmarks.hostile import SHARES, Clients, Misbehaved
from benchmarks.load import Call, prediction_calls
from benchmarks.soak import FITS
from service.serving import Server, running
from service.settings import Settings
from tests.live import wait_until_ready

QUERIES = np.array([[5.0], [20.0], [33.0]])
REQUEST = {
    "dataset_id": "motorcycle",
    "queries": [[20.0]],
    "fit": {"method": "knn", "n_neighbors": 3},
}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        make = Server.__init__

        def with_empty(self: Server, settings: Settings) -> None:
            make(self, settings)
            assert isinstance(self.config.app, FastAPI)
            add_empty_endpoint(self.config.app)

        patch.setattr(Server, "__init__", with_empty)
        with (
            running(Settings(port=0)) as url,
            httpx.Client(base_url=url, timeout=60, trust_env=False) as found,
        ):
            wait_until_ready(found)
            yield found


def test_the_empty_endpoint_reads_and_writes_but_does_not_predict(client: httpx.Client) -> None:
    first = client.post("/predict", json=REQUEST)
    assert client.post("/empty", json=REQUEST).content == first.content
    other = {**REQUEST, "queries": [[40.0]]}
    assert client.post("/predict", json=other).content != first.content
    assert client.post("/empty", json=other).content == first.content
    refused = client.post("/empty", json={**REQUEST, "queries": "none"})
    assert refused.status_code == 422


def clients(client: httpx.Client) -> Clients:
    documents = [{"dataset_id": "motorcycle", "fit": fit} for fit in FITS]
    calls = [
        call
        for document in documents
        for call in prediction_calls(client, "/predict", document, QUERIES)
    ]
    return Clients(str(client.base_url), calls, [(document, 1) for document in documents])


def test_every_kind_of_client_is_answered_as_it_may_be(client: httpx.Client) -> None:
    hostile = clients(client)
    asyncio.run(hostile.send(200, at_once=8, seed=1))
    assert sum(hostile.outcomes.values()) == 200
    assert {outcome.partition(":")[0] for outcome in hostile.outcomes} == set(SHARES)
    asyncio.run(hostile.check_plain(50, at_once=8))


def test_a_wrong_answer_is_noticed(client: httpx.Client) -> None:
    hostile = clients(client)
    wrong = Clients(hostile.url, [Call(hostile.plain[0].request, b"{}")], hostile.large)
    with pytest.raises(ExceptionGroup) as found:
        asyncio.run(wrong.check_plain(1, at_once=1))
    assert isinstance(found.value.exceptions[0], Misbehaved)
