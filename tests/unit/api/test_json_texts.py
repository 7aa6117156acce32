"""Targets in JSON, numbers or texts with gaps, against json.loads."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.json_numbers import parse_document
from service.api.label_columns import MOST_TEXTS
from service.domain.errors import InvalidInput, MalformedBody, RequestRefused
from service.domain.labels import Labels

POINTERS = frozenset({"/x", "/y"})


def parse(body: bytes) -> Any:
    return parse_document(body, array_pointers=POINTERS, target_pointers=frozenset({"/y"}))


def values(found: Any) -> list[Any]:
    """Return targets as JSON has them."""
    if isinstance(found, Labels):
        return [None if code < 0 else found.names[code] for code in found.codes]
    return [None if math.isnan(number) else number for number in found.tolist()]


def is_of_texts(sent: Any) -> bool:
    is_flat = isinstance(sent, list) and all(text is None or isinstance(text, str) for text in sent)
    return is_flat and any(text is not None for text in sent)


def is_of_numbers(sent: Any) -> bool:
    return isinstance(sent, list) and all(
        number is None or (type(number) in (int, float) and math.isfinite(float(number)))
        for number in sent
    )


texts = st.none() | st.text(max_size=4) | st.sampled_from(["a", "b", "\\", '"', "[", "é", "\n"])
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
anything = texts | numbers | st.booleans() | st.lists(numbers, max_size=2)


@given(st.lists(texts) | st.lists(numbers) | st.lists(anything), st.booleans(), st.booleans())
@example([None, None], True, False)
@example([], True, False)
@example([None, "a", None, "A", "a"], True, False)
def test_targets_are_what_json_has(sent: list[Any], escaped: bool, spaced: bool) -> None:
    body = json.dumps(
        {"x": [1], "y": sent, "name": "n"}, ensure_ascii=escaped, indent=1 if spaced else None
    ).encode()
    if is_of_texts(sent) or is_of_numbers(sent):
        found = parse(body)
        assert isinstance(found["y"], Labels) == is_of_texts(sent)
        assert values(found["y"]) == sent
        assert found["name"] == "n"
    elif not (sent and all(isinstance(row, list) for row in sent)):
        with pytest.raises(InvalidInput):
            parse(body)


@given(st.binary(max_size=12) | st.text(alphabet='"\\au0,] [nl', max_size=12).map(str.encode))
@example(b'"a",]')
@example(b'"a" "b"]')
@example(b'"\\ud800"]')
@example(b'"a\\')
@example(b'"a", nul')
@example(b'"\xff"]')
def test_any_bytes_are_refused_as_json_loads_refuses_them(tail: bytes) -> None:
    body = b'{"y": ["k", ' + tail + b"}"
    try:
        found = values(parse(body)["y"])
    except MalformedBody:
        with pytest.raises(ValueError):  # noqa: PT011  # JSON, and UTF-8 in it
            json.dumps(json.loads(body), ensure_ascii=False).encode()
    except RequestRefused:
        assert not is_of_texts(_loaded(body))
    else:
        assert found == json.loads(body)["y"]


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)["y"]
    except ValueError:
        return None  # refused at its first fault, which was one of meaning


def test_too_many_texts_are_refused_before_they_are_read() -> None:
    names = [f"k{j}" for j in range(MOST_TEXTS + 1)]
    with pytest.raises(InvalidInput, match="10,001 different texts"):
        parse(json.dumps({"y": names}).encode())
    kept = parse(json.dumps({"y": names[:-1] * 2}).encode())["y"]
    assert len(kept.names) == MOST_TEXTS


def test_texts_stay_texts_elsewhere() -> None:
    with pytest.raises(InvalidInput, match="Element 0 of x"):
        parse(b'{"x": ["a"]}')
    with pytest.raises(InvalidInput, match="Element 1 of x is null"):
        parse(b'{"x": [1, null]}')
