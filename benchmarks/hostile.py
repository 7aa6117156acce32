"""Clients that behave as clients do: they leave mid-request, hurry, and send nonsense."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httptools
import numpy as np
import orjson

from benchmarks.load import Call, post

PLAIN, LEAVES_MID_BODY, LEAVES_MID_WAIT = "plain", "leaves mid-body", "leaves mid-wait"
HURRIES, SENDS_NONSENSE, BRINGS_ROWS = "tiny timeout_s", "bad body", "rows of its own"
LIFE_OF_A_DATASET = "uploads, appends, deletes"

SHARES: Final[Mapping[str, float]] = {
    PLAIN: 0.30,
    LEAVES_MID_BODY: 0.15,
    LEAVES_MID_WAIT: 0.20,
    HURRIES: 0.15,
    SENDS_NONSENSE: 0.10,
    BRINGS_ROWS: 0.06,
    LIFE_OF_A_DATASET: 0.04,
}
"""Which part of the requests each kind of client sends."""

NONSENSE: Final = (
    b'{"dataset_id": "soak", "queries": [[0.1, NaN, 0.3]]}',
    b'{"dataset_id": "no-such-dataset", "queries": [[1]]}',
    b'{"dataset_id": "motorcycle", "queries": [[1, 2, 3, 4, 5]]}',
    b'{"dataset_id": "motorcycle", "queries": [[1], [2, 3]]}',
    b'{"dataset_id": "motorcycle", "queries": [[1]], "fit": {"method": "oracle"}}',
    b'{"dataset_id": "motorcycle", "queries": [[1]], "fit": {"method": "knn", "n_neighbors": 0}}',
    b'{"queries": [[1]]}',
    b'{"dataset_id": "motorcycle", "queries": [[1]',
    b"\xff\xfe\x00",
    b"[]",
)
"""Bodies that must be answered with 4xx."""

LARGE_M: Final = 4_000
READ_BYTES: Final = 2**16


class Misbehaved(Exception):
    """The service answered as it must not."""


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: bytes


class _Reading:
    """Collects one answer."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = True


@dataclass
class Clients:
    """Random clients of one service; the same seed, the same requests.

    Attributes:
        url: Of the service.
        plain: Calls with the answers that must come back.
        large: Documents of requests that take some time, without their queries, and the number of
            features of each.
        outcomes: How often each kind ended how.
    """

    url: str
    plain: Sequence[Call]
    large: Sequence[tuple[Mapping[str, Any], int]]
    outcomes: Counter[str] = field(default_factory=Counter)

    async def send(self, requests: int, at_once: int, seed: int) -> None:
        """Send so many requests, so many at once.

        Raises:
            Misbehaved: An answer was wrong, or of a status that it must not have.
        """
        chance = random.Random(seed)
        kinds = iter(chance.choices(list(SHARES), list(SHARES.values()), k=requests))

        async def client(seed: int) -> None:
            mine = random.Random(seed)
            for kind in kinds:
                self.outcomes[f"{kind}: {await self._one(kind, mine)}"] += 1

        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(client(1_000 * seed + number))

    async def check_plain(self, requests: int, at_once: int) -> None:
        """Send plain requests only; every one must get its right answer.

        Raises:
            Misbehaved: One did not.
        """
        numbers = iter(range(requests))

        async def client() -> None:
            for number in numbers:
                await self._plain(self.plain[number % len(self.plain)])

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(client())

    async def _one(self, kind: str, chance: random.Random) -> str:
        if kind == PLAIN:
            return await self._plain(chance.choice(self.plain))
        if kind == SENDS_NONSENSE:
            answer = await self._ask("/predict", chance.choice(NONSENSE))
            return _of_status(answer, 400, 404, 413, 415, 422)
        if kind == HURRIES:
            document = {**self._large_document(chance), "timeout_s": 10 ** chance.uniform(-5, -2)}
            return _of_status(await self._ask("/predict", orjson.dumps(document)), 200, 503, 504)
        if kind == BRINGS_ROWS:
            return _of_status(await self._ask("/predict", _with_rows(chance)), 200, 503)
        if kind == LIFE_OF_A_DATASET:
            return await self._life_of_a_dataset(chance)
        request = post(f"{self.url}/predict", orjson.dumps(self._large_document(chance)))
        if kind == LEAVES_MID_BODY:
            await self._leave(request[: chance.randrange(1, len(request))], chance)
        else:
            await self._leave(request, chance)
        return "left"

    async def _plain(self, call: Call) -> str:
        started = time.perf_counter()
        answer = await self._exchange(call.request)
        if answer.status == 503:
            return "503"
        if answer.status != 200 or answer.body != call.answer:
            request, seconds = call.request[-300:], time.perf_counter() - started
            raise Misbehaved(
                f"{answer.status} after {seconds:.3f} s: {answer.body[:300]!r} to {request!r}"
            )
        return "200"

    def _large_document(self, chance: random.Random) -> dict[str, Any]:
        document, features = chance.choice(self.large)
        points = np.random.default_rng(chance.getrandbits(32)).random((LARGE_M, features))
        return {**document, "queries": points[: chance.randrange(1, LARGE_M)].tolist()}

    async def _life_of_a_dataset(self, chance: random.Random) -> str:
        """Upload, predict and append, and delete while predictions may still be under way."""
        rows = np.random.default_rng(chance.getrandbits(32)).random(
            (chance.randrange(50, 20_000), 3)
        )
        uploaded = await self._ask("/datasets", _rows(rows))
        _of_status(uploaded, 200, 201)
        dataset_id = orjson.loads(uploaded.body)["id"]
        document = {"dataset_id": dataset_id, "queries": rows[:20, :2].tolist()}
        predicting = asyncio.gather(
            *(self._ask("/predict", orjson.dumps(document)) for _ in range(3)),
            self._ask(f"/datasets/{dataset_id}/rows", _rows(rows[:10] + 1)),
        )
        deleting = f"DELETE /datasets/{dataset_id} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()
        await asyncio.sleep(chance.random() / 50)
        deleted = _of_status(await self._exchange(deleting), 204, 404)
        for answer in await predicting:
            _of_status(answer, 200, 404, 503)
        return deleted

    async def _ask(self, path: str, body: bytes) -> Answered:
        return await self._exchange(post(self.url + path, body))

    async def _exchange(self, request: bytes) -> Answered:
        reader, writer = await self._connect()
        try:
            writer.write(request)
            reading = _Reading()
            while not reading.is_complete:
                data = await reader.read(READ_BYTES)
                if not data:
                    raise Misbehaved("the service hung up instead of answering")
                reading.parser.feed_data(data)
            return Answered(reading.parser.get_status_code(), b"".join(reading.pieces))
        finally:
            writer.close()

    async def _leave(self, request: bytes, chance: random.Random) -> None:
        """Send this and go, sooner or later, with a farewell or without."""
        _, writer = await self._connect()
        writer.write(request)
        await asyncio.sleep(chance.choice((0, 0, chance.random() / 20, chance.random() / 2)))
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        return await asyncio.open_connection(parts.hostname, parts.port)


def _of_status(answer: Answered, *allowed: int) -> str:
    if answer.status not in allowed:
        raise Misbehaved(f"status {answer.status}, not of {allowed}: {answer.body[:300]!r}")
    return str(answer.status)


def _rows(rows: np.ndarray[Any, Any]) -> bytes:
    """Return rows as a body: the last column is the target."""
    return orjson.dumps({"x": rows[:, :-1].tolist(), "y": rows[:, -1].tolist()})


def _with_rows(chance: random.Random) -> bytes:
    rows = np.random.default_rng(chance.getrandbits(32)).random((chance.randrange(20, 500), 3))
    dataset = {"x": rows[:, :2].tolist(), "y": rows[:, 2].tolist()}
    return orjson.dumps({"dataset": dataset, "queries": rows[:10, :2].tolist()})
