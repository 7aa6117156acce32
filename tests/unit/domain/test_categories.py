"""Levels that are read, fixed at upload, and found again."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.domain.arrays import Floats
from service.domain.categories import Category, Encoding, MixedRows, encoding_of
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
from service.engine.workers.messages import numbers_of, with_rows, without_rows

NONE = np.full((4, 1), np.nan)
LETTERS = MixedRows(NONE, {0: Labels(("b", "a", "unused"), np.array([0, 1, 1, 0]))})
Y: Floats = np.arange(4.0)


def test_levels_are_those_that_occur_sorted() -> None:
    encoding = encoding_of(LETTERS, {}, ("x",))
    assert encoding == Encoding((Category(("a", "b"), is_ordered=False),))
    numbers = encoding_of(np.array([[10.0], [2.5], [10.0]]), {0: "unordered"}, ("x",))
    assert numbers == Encoding((Category((2.5, 10), is_ordered=False),))
    assert encoding_of(np.zeros((3, 2)), {}, ("x", "z")) is None


def test_levels_that_are_listed_need_not_occur() -> None:
    encoding = encoding_of(LETTERS, {0: ["c", "b", "a"]}, ("x",))
    assert encoding is not None
    assert_array_equal(encoding.encoded(LETTERS, ("x",), "/x"), [[1, 0], [1, 1], [1, 1], [1, 0]])
    assert encoding.decoded(encoding.encoded(LETTERS, ("x",), "/x")) == [["b"], ["a"], ["a"], ["b"]]


def test_one_level_is_one_place() -> None:
    rows = MixedRows(NONE, {0: Labels(("a",), np.zeros(4, dtype=np.int64))})
    dataset = make_dataset(rows, Y)
    assert_array_equal(dataset.x, np.zeros((4, 1)))


def test_missing_numbers_stay_missing_beside_categories() -> None:
    numbers = np.array([[np.nan, 1.0], [np.nan, np.nan], [np.nan, 2.0], [np.nan, 0.0]])
    dataset = make_dataset(MixedRows(numbers, LETTERS.texts), Y)
    assert_array_equal(dataset.x[:, 0], numbers[:, 1])
    assert not np.isnan(dataset.x[:, 1]).any()


def test_the_digest_knows_the_levels() -> None:
    plain = make_dataset(np.array([[1.0], [0.0], [0.0], [1.0]]), Y)
    lettered, other = make_dataset(LETTERS, Y), Labels(("c", "a"), np.array([0, 1, 1, 0]))
    renamed = make_dataset(MixedRows(NONE, {0: other}), Y)
    assert_array_equal(lettered.x, plain.x)
    assert len({dataset.digest for dataset in (plain, lettered, renamed)}) == 3
    assert lettered.appended(LETTERS, Y).encoding == lettered.encoding


def test_a_compute_process_gets_the_levels() -> None:
    dataset = make_dataset(LETTERS, Y)
    sent = with_rows(without_rows(dataset), dataset.n_rows, numbers_of(dataset))
    assert_array_equal(sent.x, dataset.x)
    assert (sent.encoding, sent.n_sloped, sent.digest) == (dataset.encoding, 0, dataset.digest)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (LETTERS, "the text"),
        (np.zeros((1, 1)), "is the number 0"),
        (MixedRows(NONE[:1], {0: Labels(("z",), np.array([0]))}), 'the text "z"'),
        (MixedRows(NONE[:1], {0: Labels((), np.array([-1]))}), "is missing"),
    ],
)
def test_what_is_no_level_is_refused(rows: Any, says: str) -> None:
    dataset: Dataset = make_dataset(LETTERS, Y)
    if rows is LETTERS:  # texts where numbers should stand
        dataset = make_dataset(np.zeros((4, 1)), Y)
    with pytest.raises(InvalidInput, match=says) as refused:
        dataset.coordinates(rows, "/queries")
    assert refused.value.faults[0].pointer == "/queries/0/0"


def test_too_many_coordinates_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.domain.categories.MOST_COORDINATES", 3)
    with pytest.raises(InvalidInput, match="join rare levels"):
        make_dataset(LETTERS, Y)
