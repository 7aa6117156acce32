"""Many clients at once: every answer is the one its request gets alone, bit for bit."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import orjson

from tests.live import upload

CLIENTS = 500
SPREAD_S = 1.0
POOLS = 25  # one pool of 500 connections would spend its time on itself

FITS: list[dict[str, Any]] = [
    {"method": "knn", "n_neighbors": 7},
    {"method": "knn", "n_neighbors": 20, "weights": "distance"},
    {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.1},
    {"method": "local_linear", "kernel": "tricube", "n_neighbors": 30},
    {"method": "local_polynomial", "degree": 2, "kernel": "epanechnikov", "bandwidth": 0.4},
    {"method": "kriging", "kernel": "matern52", "length_scale": 0.2, "alpha": 0.1},
    {"method": "kriging", "length_scale": 0.2, "alpha": 0.1, "n_neighbors": 20},
]


def requests(dataset_id: str) -> list[bytes]:
    """Return a request for each client, each with queries of its own."""
    rng = np.random.default_rng(0)
    return [
        orjson.dumps(
            {
                "dataset_id": dataset_id,
                "queries": rng.random((int(rng.integers(1, 9)), 2)).tolist(),
                "fit": FITS[i % len(FITS)],
            }
        )
        for i in range(CLIENTS)
    ]


def test_five_hundred_clients_get_their_own_answers(client: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    dataset_id = upload(client, rng.random((300, 2)).tolist(), rng.normal(size=300).tolist())
    bodies = requests(dataset_id)
    json_type = {"Content-Type": "application/json"}
    alone = [client.post("/predict", content=body, headers=json_type) for body in bodies]
    assert {answer.status_code for answer in alone} == {200}

    async def all_at_once() -> list[httpx.Response]:
        async with AsyncExitStack() as stack:
            many = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=client.base_url, timeout=120, trust_env=False)
                )
                for _ in range(POOLS)
            ]
            started = time.monotonic()

            async def one(i: int) -> httpx.Response:
                due = started + SPREAD_S * i / CLIENTS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                return await many[i % POOLS].post("/predict", content=bodies[i], headers=json_type)

            return await asyncio.gather(*(one(i) for i in range(CLIENTS)))

    together = asyncio.run(all_at_once())
    for answer, expected in zip(together, alone, strict=True):
        assert answer.status_code == 200, answer.text
        # JSON has the shortest digits that give the number back: equal text, equal bits.
        assert answer.content == expected.content


def test_a_prediction_under_way_keeps_its_version_while_rows_are_appended(
    client: httpx.Client,
) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((20_000, 2))
    dataset_id = upload(client, x.tolist(), x[:, 0].tolist())
    fit = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 0.3}
    body = {"dataset_id": dataset_id, "queries": rng.random((2_000, 2)).tolist(), "fit": fit}

    def ask() -> httpx.Response:
        return client.post("/predict", json=body)

    started = time.monotonic()
    before = ask()
    took = time.monotonic() - started
    assert before.json()["dataset_version"] == 1
    with ThreadPoolExecutor(1) as aside:
        under_way = aside.submit(ask)
        time.sleep(0.4 * took)  # it has arrived, and is not done
        appended = client.post(
            f"/datasets/{dataset_id}/rows", json={"x": [[0.5, 0.5]] * 1000, "y": [9.0] * 1000}
        )
        assert appended.json()["version"] == 2
        assert not under_way.done()
        assert under_way.result().content == before.content
    few = {**body, "queries": body["queries"][:10]}
    after = client.post("/predict", json=few).json()
    assert after["dataset_version"] == 2
    assert after["mean"] != before.json()["mean"][:10]
    client.delete(f"/datasets/{dataset_id}").raise_for_status()


def test_a_prediction_sees_the_rows_that_were_appended_before_it(
    client: httpx.Client,
) -> None:
    rng = np.random.default_rng(2)
    dataset_id = upload(client, rng.random((50, 1)).tolist(), [1.0] * 50)
    body = {"dataset_id": dataset_id, "queries": [[0.5]], "fit": {"method": "knn"}}
    for version in range(1, 6):
        answer = client.post("/predict", json=body).json()
        assert answer["dataset_version"] == version
        appended = client.post(
            f"/datasets/{dataset_id}/rows",
            json={"x": [[0.5]] * 5, "y": [float(version + 1)] * 5},
        )
        assert appended.json()["version"] == version + 1
        # The five new rows lie at the query, and the last five of such win no tie; the mean of the
        # five nearest by row index is the first value that was appended there.
        assert client.post("/predict", json=body).json()["mean"] == [2.0]
    client.delete(f"/datasets/{dataset_id}").raise_for_status()
