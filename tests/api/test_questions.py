"""Waiting for an answer as long as the client does."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.api import questions


def test_a_client_that_leaves_cancels_its_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "WATCHED_AFTER_S", 0.001)
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def leave() -> None:
        with pytest.raises(ClientDisconnect):
            await questions.unless_disconnected(Request({"type": "http"}, receive), endless())

    asyncio.run(leave())
    assert ended == ["cancelled"]


def test_a_client_that_stays_gets_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "WATCHED_AFTER_S", 0.001)

    async def slow() -> int:
        await asyncio.sleep(0.02)
        return 7

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError("the wait ends before")

    async def stay() -> int:
        return await questions.unless_disconnected(Request({"type": "http"}, receive), slow())

    assert asyncio.run(stay()) == 7
