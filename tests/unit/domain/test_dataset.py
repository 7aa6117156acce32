"""A dataset is checked when it is made, and cannot change after."""

import numpy as np
import pytest

from service.domain.dataset import make_dataset
from service.domain.errors import InvalidInput


def test_a_flat_array_is_one_column() -> None:
    dataset = make_dataset(np.arange(3.0), np.arange(3.0))
    assert dataset.x.shape == (3, 1)
    assert dataset.feature_names == ("x1",)
    assert dataset.target_names == ("y",)


def test_its_arrays_cannot_be_written() -> None:
    dataset = make_dataset(np.arange(3.0), np.arange(3.0))
    with pytest.raises(ValueError, match="read-only"):
        dataset.x[0, 0] = 1.0


@pytest.mark.parametrize(
    ("x", "y", "pointer", "words"),
    [
        (np.empty((0, 2)), np.empty(0), "/x", "no rows"),
        (np.empty((3, 0)), np.empty(3), "/x", "rows are empty"),
        (np.ones((1, 1)), np.ones(1), "/x", "at least 2 rows"),
        (np.ones((3, 1)), np.ones(2), "/y", "3 rows and y has 2"),
        (np.array([[1.0], [np.nan]]), np.ones(2), "/x", "all of x"),
        (np.array([[1.0], [np.inf]]), np.ones(2), "/x/1/0", "row 1, column 0"),
        (np.ones((2, 1)), np.array([[1.0], [np.inf]]), "/y/1/0", "not a finite number"),
        (np.array([[1.0], [1e200]]), np.ones(2), "/x/1/0", "1e+150"),
        (np.ones((2, 1, 1)), np.ones(2), "/x", "3 levels"),
    ],
)
def test_wrong_arrays_are_refused_by_pointer(
    x: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    y: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    pointer: str,
    words: str,
) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_dataset(x, y)
    assert refused.value.faults[0].pointer == pointer
    assert words in refused.value.detail


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a",), "1 names for 2 features"),
        (("a", "a"), "stands twice"),
        (("a", "b\0"), "cannot be printed"),
        (("a", "b" * 10_000), "10000 characters"),
        (("a", ""), "0 characters"),
    ],
)
def test_wrong_names_are_refused(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match="name") as refused:
        make_dataset(np.ones((3, 2)), np.ones(3), feature_names=names)
    assert words in refused.value.detail


def test_names_may_be_in_any_script() -> None:
    dataset = make_dataset(np.ones((3, 2)), np.ones(3), feature_names=("温度", "größe"), name="Ω")
    assert dataset.feature_names == ("温度", "größe")


def test_appended_rows_must_have_the_same_columns() -> None:
    dataset = make_dataset(np.ones((3, 2)), np.ones(3))
    assert dataset.appended(np.zeros((1, 2)), np.zeros(1)).n_rows == 4
    with pytest.raises(InvalidInput, match="1 features, but"):
        dataset.appended(np.zeros((1, 1)), np.zeros(1))
    with pytest.raises(InvalidInput, match="2 targets, but"):
        dataset.appended(np.zeros((1, 2)), np.zeros((1, 2)))
