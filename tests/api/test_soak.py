"""Hundreds of clients that leave, hurry, or send nonsense: the service serves the others, and
nothing of them stays."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
import pytest

from service import main
from service.engine.engine import Engine
from service.settings import Settings
from tests.live import live_client, upload

RUDE, PLAIN = 300, 50
JSON = {"Content-Type": "application/json"}

FITS: list[dict[str, Any]] = [
    {"method": "knn", "n_neighbors": 7},
    {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.1},
    {"method": "local_linear", "kernel": "tricube", "n_neighbors": 30},
    {"method": "kriging", "kernel": "matern52", "length_scale": 0.2, "alpha": 0.1},
    {"method": "kriging", "length_scale": 0.2, "alpha": 0.1, "n_neighbors": 20},
    {"method": "auto"},
]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines of the services that the test starts."""
    started: list[Engine] = []
    build = main.build_engine

    def remembering(settings: Settings) -> Engine:
        started.append(build(settings))
        return started[-1]

    monkeypatch.setattr(main, "build_engine", remembering)
    return started


@pytest.fixture
def client(engines: list[Engine]) -> Iterator[httpx.Client]:
    with live_client(sample=False) as client:
        yield client


def body_of(chance: random.Random, dataset_id: str, **more: Any) -> bytes:
    count = chance.choice([1, 1, 1, 3, 200])
    queries = [[chance.random(), chance.random()] for _ in range(count)]
    request = {"dataset_id": dataset_id, "queries": queries, "fit": chance.choice(FITS)}
    return orjson.dumps(request | more)


async def rude_request(
    chance: random.Random, url: str, polite: httpx.AsyncClient, dataset_id: str
) -> str:
    """Ask in one of several bad manners; return the manner and what came of it."""
    manner = chance.choice(["leaves", "hurries", "stops", "babbles", "asks for no dataset", "asks"])
    body = body_of(chance, dataset_id)
    match manner:
        case "leaves" | "stops":
            address = urlsplit(url)
            assert address.port is not None
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            head = f"POST /predict HTTP/1.1\r\nHost: {address.netloc}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            sent = len(body) if manner == "leaves" else chance.randrange(len(body))
            writer.write(head.encode() + body[:sent])
            await writer.drain()
            await asyncio.sleep(chance.random() * 0.05)
            writer.close()
            return manner
        case "hurries":
            body = body_of(chance, dataset_id, timeout_s=chance.choice([1e-9, 1e-4, 1e-3, 1e-2]))
        case "babbles":
            body = body[: chance.randrange(1, len(body))]
        case "asks for no dataset":
            body = body_of(chance, "ds-nowhere")
    answer = await polite.post("/predict", content=body, headers=JSON)
    return f"{manner}: {answer.status_code}"


async def rude_requests(url: str, datasets: list[str]) -> Counter[str]:
    chance = random.Random(1)
    outcomes: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as polite:
        for _ in range(RUDE // 50):
            together = (
                rude_request(chance, url, polite, chance.choice(datasets)) for _ in range(50)
            )
            outcomes.update(await asyncio.gather(*together))
    return outcomes


def test_the_service_is_as_good_as_new_after_hundreds_of_rude_clients(
    engines: list[Engine], client: httpx.Client
) -> None:
    rng = np.random.default_rng(2)
    datasets = [
        upload(client, rng.random((rows, 2)).tolist(), rng.normal(size=rows).tolist())
        for rows in (300, 3000)
    ]
    chance = random.Random(0)
    bodies = [body_of(chance, chance.choice(datasets)) for _ in range(PLAIN)]
    before = [client.post("/predict", content=body, headers=JSON) for body in bodies]
    assert {answer.status_code for answer in before} == {200}
    outcomes = asyncio.run(rude_requests(str(client.base_url), datasets))
    assert {outcome for outcome in outcomes if not outcome.startswith("hurries")} == {
        "leaves",
        "stops",
        "babbles: 400",
        "asks for no dataset: 404",
        "asks: 200",
    }
    assert outcomes["hurries: 504"] > 0
    assert outcomes.keys() <= {"hurries: 200", "hurries: 504"} | {
        outcome for outcome in outcomes if not outcome.startswith("hurries")
    }
    for body, expected in zip(bodies, before, strict=True):
        answer = client.post("/predict", content=body, headers=JSON)
        assert answer.content == expected.content
    (engine,) = engines
    until = time.monotonic() + 10
    while engine.pending_requests and time.monotonic() < until:
        time.sleep(0.05)  # the service has yet to see that the last ones left
    assert engine.pending_requests == 0
    assert engine.waiting_requests == 0
    assert engine.prepared_bytes > 0
    for dataset_id in datasets:
        client.delete(f"/datasets/{dataset_id}").raise_for_status()
    assert (engine.memory_used_bytes, engine.prepared_bytes) == (0, 0)
