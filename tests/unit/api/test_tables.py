"""A CSV file or lines of JSON read in parts are what they are as a whole."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.api import tables
from service.api.formats import ndjson
from service.api.formats.ndjson import LinesReader
from service.api.tables import TableReader
from service.domain.categories import MixedRows
from service.domain.errors import InvalidInput, MalformedBody
from service.engine.limits import Limits

X = np.random.default_rng(2).normal(size=(1_000, 3))
CSV = "a,b,y\n" + "".join(f"{a!r},{b!r},{y!r}\n" for a, b, y in X.tolist())
LINES = "".join(f'{{"a": {a!r}, "b": {b!r}, "y": {y!r}}}\n' for a, b, y in X.tolist())


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in blocks of two kilobytes, so that a short file has many."""
    for module in (tables, ndjson):
        monkeypatch.setattr(module, "BLOCK_BYTES", 2**11)
    monkeypatch.setattr(tables, "SAMPLE_BYTES", 2**9)
    monkeypatch.setattr(tables, "LONGEST_HEADER_BYTES", 2**10)


def read(reader: Any, data: bytes, step: int) -> Any:
    for start in range(0, len(data), step):
        reader.feed(bytearray(data[start : start + step]))
    return reader.finish()


def made(make: Callable[[Limits], Any], text: str, encoding: str = "utf-8", step: int = 300) -> Any:
    return read(make(Limits()), text.encode(encoding), step)


@pytest.mark.parametrize("step", [7, 300, 1_999, 10**6])
@pytest.mark.parametrize(("make", "text"), [(TableReader, CSV), (LinesReader, LINES)])
def test_parts_make_the_whole(make: Callable[[Limits], Any], text: str, step: int) -> None:
    found = made(make, text, step=step).rows(("a", "b"), ("y",))
    assert np.array_equal(np.hstack([found.points, found.targets]), X)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "windows-1252"])
def test_letters_may_come_late(encoding: str) -> None:
    text = "a,c,y\n" + "1,rot,2\n" * 900 + "1,grün,2\n" * 900
    table = made(TableReader, text, encoding)
    assert table.encoding == {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    points = table.rows(("a", "c"), ("y",)).points
    assert isinstance(points, MixedRows)
    assert points.texts[1].names == ("rot", "grün")


def test_texts_after_nothing_make_a_column_of_texts() -> None:
    nothing, texts = "1,,2\n" * 900, "1,red,2\n" * 900
    points = made(TableReader, "a,c,y\n" + nothing + texts).rows(("a", "c"), ("y",)).points
    assert isinstance(points, MixedRows)
    assert points.texts[1].codes.tolist() == [-1] * 900 + [0] * 900
    rows = '{"a": 1, "c": null, "y": 2}\n' * 200 + '{"a": 1, "c": "red", "y": 2}\n' * 200
    points = made(LinesReader, rows).rows(("a", "c"), ("y",)).points
    assert isinstance(points, MixedRows)
    assert points.texts[1].codes.tolist() == [-1] * 200 + [0] * 200


@pytest.mark.parametrize(
    ("make", "text", "pointer"),
    [
        (TableReader, "a,c,y\n" + "1,2,3\n" * 900 + "1,red,3\n", "cell=902,2"),
        (TableReader, "a,c,y\n" + "1,red,3\n" * 900 + "1,2,3\n", "cell=902,2"),
        (TableReader, "a,c,y\n" + "1,2,3\n" * 900 + "1,2\n", "cell=902,1"),
        (LinesReader, '{"a": 1, "y": 2}\n' * 900 + '{"a": "b", "y": 2}\n', "line=901,a"),
        (LinesReader, '{"a": "b", "y": 2}\n' * 900 + '{"a": 1, "y": 2}\n', "line=901,a"),
    ],
)
def test_a_late_fault_is_found_in_its_line(
    make: Callable[[Limits], Any], text: str, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(make, text)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_cells_may_hold_line_ends_within_quotes() -> None:
    text = 'a,c,y\n1,"two\nlines",2\n' + '3,"and\nthree\nlines",4\n' * 500
    table = made(TableReader, text)
    points = table.rows(("a", "c"), ("y",)).points
    assert isinstance(points, MixedRows)
    assert points.texts[1].names == ("two\nlines", "and\nthree\nlines")


def test_a_quote_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONGEST_QUOTE_BYTES", 2**12)
    with pytest.raises(MalformedBody, match="opens after line"):
        made(TableReader, "a,c,y\n" + "1,2,3\n" * 400 + '1,"2,3\n' + "1,2,3\n" * 2_000)
