"""Lists of numbers and texts, against Python's own reader of JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.api import json_mixed
from service.api.json_numbers import parse_document
from service.domain.categories import MixedRows
from service.domain.errors import InvalidInput, MalformedBody

X = frozenset({"/x"})
TEXTS = st.sampled_from(["a", "b", 'quo"te', "back\\slash", "comma,", "]", "ünï", "{", "\n", ""])
CELLS = st.none() | st.integers(-5, 5) | st.floats(-1e3, 1e3) | TEXTS


def parse(body: str) -> Any:
    found = parse_document(body.encode(), array_pointers=X, gap_pointers=X, mixed_pointers=X)
    return found["x"]


def cells_of(found: MixedRows | NDArray[np.float64]) -> list[list[Any]]:
    """Return the cells as JSON has them."""
    numbers = found.numbers if isinstance(found, MixedRows) else found
    texts = found.texts if isinstance(found, MixedRows) else {}
    rows: list[list[Any]] = [[None if np.isnan(v) else v for v in row] for row in numbers.tolist()]
    for j, labels in texts.items():
        for i, code in enumerate(labels.codes):
            if code >= 0:
                assert rows[i][j] is None
                rows[i][j] = labels.names[code]
    return rows


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), st.booleans())
def test_cells_are_those_of_python(rows: list[tuple[Any, ...]], is_spread: bool) -> None:
    body = json.dumps({"x": rows}, indent=2 if is_spread else None, ensure_ascii=is_spread)
    assert cells_of(parse(body)) == [list(row) for row in rows]


def test_stretches_make_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_mixed, "STRETCH_BYTES", 7)
    rows = [[i, f"t{i % 3}"] for i in range(50)]
    assert cells_of(parse(json.dumps({"x": rows}))) == rows
    flat = parse(json.dumps({"x": ["a", None, "b", 3.5, "a"]}))
    assert (flat.is_flat, cells_of(flat)) == (True, [["a"], [None], ["b"], [3.5], ["a"]])


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('[["a", 1], ["b"]]', "/x/1"),
        ('[["a", 1], 5]', "/x/1"),
        ('[["a", 1], ["b", true]]', "/x/1/1"),
        ('[["a", 1], ["b", [2]]]', "/x/1/1"),
        ('["a", {"b": 1}]', "/x/1"),
    ],
)
def test_the_fault_is_named(text: str, pointer: str) -> None:
    with pytest.raises(InvalidInput, match=r"Row 1|Element 1") as refused:
        parse(f'{{"x": {text}}}')
    assert refused.value.faults[0].pointer == pointer


def test_too_many_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_mixed, "MOST_TEXTS", 2)
    with pytest.raises(InvalidInput, match="more than 2"):
        parse('{"x": [["a"], ["b"], ["c"]]}')


@pytest.mark.parametrize("text", ['["a",', '["a"', '[["a"]', '["a" "b"]', '["a",]', '["\\x"]'])
def test_what_is_not_json_is_malformed(text: str) -> None:
    with pytest.raises(MalformedBody, match="not JSON"):
        parse(f'{{"x": {text}')
