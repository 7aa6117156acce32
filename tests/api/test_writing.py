"""Long answers are written in pieces, and the pieces are the answer."""

from typing import Any

import numpy as np
import orjson
import pytest

from service.api import writing
from service.api.schemas.base import Items
from service.api.writing import json_pieces


def items(length: int) -> Items[Any]:
    def stretch(start: int, stop: int) -> list[Any]:
        return [{"rows": np.arange(i % 4), "i": i} for i in range(start, stop)]

    return Items(length, 3 * length, stretch)


DOCUMENTS: list[Any] = [
    {"mean": np.linspace(0, 1, 1000), "name": 'a"b'},
    {"mean": np.ones((333, 3)), "issues": [{"queries": np.arange(500), "status": "no_support"}]},
    {"neighbors": items(700), "mean": np.array([np.nan, np.inf, 1.0])},
    {"a": {"b": {"c": np.arange(1000)}}, "empty": [], "none": None},
    [np.arange(300), np.arange(0), [1, 2], {}],
    {"skewed": Items(9, 200, lambda low, high: [np.arange(i**2) for i in range(low, high)])},
    {"wide": np.ones((3, 1000)), "zero": np.ones((0, 5)), "strided": np.ones((400, 4))[:, 1]},
]


def plain(value: Any) -> Any:
    if isinstance(value, Items):
        return plain(value.stretch(0, value.length))
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


@pytest.mark.parametrize("piece_numbers", [1, 7, 100, 10_000])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_pieces_are_the_whole(
    document: Any, piece_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PIECE_NUMBERS", piece_numbers)
    assert orjson.loads(b"".join(json_pieces(document))) == plain(document)


def test_no_call_of_orjson_is_long_whatever_one_item_holds() -> None:
    def stretch(start: int, stop: int) -> list[Any]:
        return [{"rows": np.arange(1_000_000 if i == 1 else 3)} for i in range(start, stop)]

    for length in (2, 5_000):
        pieces = list(json_pieces(Items(length, 1_000_000 + 3 * length, stretch)))
        assert max(map(len, pieces)) < 25 * writing.PIECE_NUMBERS
        assert orjson.loads(b"".join(pieces)) == plain(stretch(0, length))


def test_no_piece_is_more_than_its_share() -> None:
    pieces = list(json_pieces({"mean": np.full(1_000_000, 0.123456789012345678)}))
    assert len(pieces) > 20
    assert max(map(len, pieces)) < 25 * writing.PIECE_NUMBERS
