"""The studio: one picture at a time, not too many waiting, none for ever."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.domain.errors import DeadlineExceeded, Overloaded
from service.plots import studio as module
from service.plots.picture import Curves, Dots, Frame, Line, PictureFormat
from service.plots.studio import MOST_WAITING, Studio

X = np.linspace(0.0, 1.0, 5)
PICTURE = Curves(
    Frame(320, 270, "light", "", "", (), ""), X, (Line("line", X),), Dots(X, X), "x", "y"
)
TIME_S = 30.0


def with_slow_drawing(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Studio, threading.Event], Any]
) -> list[str]:
    """Run with drawings that wait for the event; return the threads that drew."""
    go, threads = threading.Event(), []

    def drawn(picture: object, written_as: object) -> bytes:
        threads.append(threading.current_thread().name)
        assert go.wait(TIME_S)
        return b"drawn"

    monkeypatch.setattr(module, "_drawn", drawn)
    studio = Studio(lambda: None)
    try:
        asyncio.run(run(studio, go))
    finally:
        go.set()
        studio.close()
    return threads


async def ask(studio: Studio, timeout_s: float = TIME_S) -> bytes:
    return await studio.drawn(PICTURE, PictureFormat.SVG, timeout_s)


def test_pictures_are_drawn_one_after_the_other_in_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(studio: Studio, go: threading.Event) -> None:
        tasks = [asyncio.create_task(ask(studio)) for _ in range(3)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*tasks) == [b"drawn"] * 3

    threads = with_slow_drawing(monkeypatch, run)
    assert len(threads) == 3
    assert len(set(threads)) == 1


def test_a_picture_that_is_late_is_told_and_one_not_begun_is_never_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(studio: Studio, go: threading.Event) -> None:
        first = asyncio.create_task(ask(studio))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match="timeout_s"):
            await ask(studio, timeout_s=0.01)
        go.set()
        assert await first == b"drawn"

    assert len(with_slow_drawing(monkeypatch, run)) == 1


def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(studio: Studio, go: threading.Event) -> None:
        tasks = [asyncio.create_task(ask(studio)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=f"{MOST_WAITING} pictures"):
            await ask(studio)
        go.set()
        await asyncio.gather(*tasks)
        assert await ask(studio) == b"drawn"

    with_slow_drawing(monkeypatch, run)


def test_closed_before_its_first_picture_it_has_no_thread() -> None:
    before = threading.active_count()
    studio = Studio(lambda: None)
    assert threading.active_count() == before
    studio.close()
