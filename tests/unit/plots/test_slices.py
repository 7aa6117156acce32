"""Slices: what varies, what is held, which rows are drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.domain.categories import MixedRows
from service.domain.dataset import Dataset, make_dataset
from service.domain.labels import Labels
from service.plots.slices import (
    LINE_POINTS,
    MOST_ROWS,
    PLANE_POINTS,
    drawn_rows,
    numeric_features,
    slice_through,
)


def of_numbers(n: int, d: int) -> Dataset:
    rng = np.random.default_rng(7)
    return make_dataset(rng.normal(size=(n, d)), rng.normal(size=n))


def of_woods() -> Dataset:
    """Widths, woods (oak twice as often as the others) and grades (fair < good < ideal)."""
    numbers = np.array([[1.0, np.nan, np.nan], [2, np.nan, np.nan], [4, np.nan, np.nan]] * 2)
    woods = Labels(("fir", "oak", "pine"), np.array([0, 1, 2, 1, 1, 0]))
    grades = Labels(("good", "ideal", "fair"), np.array([0, 1, 1, 1, 2, 2]))
    return make_dataset(
        MixedRows(numbers, {1: woods, 2: grades}),
        np.arange(6.0),
        feature_names=("width", "wood", "grade"),
        categories={"grade": ("fair", "good", "ideal")},
    )


def test_a_line_goes_over_the_range_and_holds_the_others_at_their_medians() -> None:
    dataset = of_numbers(50, 3)
    found = slice_through(dataset, (1,))
    queries = found.queries
    assert isinstance(queries, np.ndarray)
    assert queries.shape == (LINE_POINTS, 3)
    x = dataset.x
    assert (queries[0, 1], queries[-1, 1]) == (x[:, 1].min(), x[:, 1].max())
    assert (np.diff(queries[:, 1]) > 0).all()
    assert_array_equal(queries[:, [0, 2]], np.tile(np.median(x[:, [0, 2]], axis=0), (401, 1)))
    assert found.held == (("x1", np.median(x[:, 0])), ("x3", np.median(x[:, 2])))


def test_a_plane_lists_the_first_feature_fastest() -> None:
    dataset = of_numbers(50, 2)
    found = slice_through(dataset, (1, 0))
    queries = found.queries
    assert isinstance(queries, np.ndarray)
    grid = queries.reshape(PLANE_POINTS, PLANE_POINTS, 2)
    assert_array_equal(grid[5, :, 1], found.axes[0])
    assert_array_equal(grid[:, 5, 0], found.axes[1])
    assert found.held == ()


def test_categories_are_held_at_levels_and_are_no_axis() -> None:
    dataset = of_woods()
    assert numeric_features(dataset) == (0,)
    found = slice_through(dataset, (0,))
    # The lower median of fair, fair, good, ideal, ideal, ideal is good.
    assert found.held == (("wood", "oak"), ("grade", "good"))
    inside = dataset.coordinates(found.queries, "/queries")
    encoding = dataset.encoding
    assert encoding is not None
    assert set(encoding.levels_of(inside, 1)) == {1}
    assert set(encoding.levels_of(inside, 2)) == {1}


def test_missing_cells_count_neither_in_the_range_nor_in_the_median() -> None:
    x = np.array([[1.0, np.nan], [2, 5], [np.nan, 6], [3, 7]])
    dataset = make_dataset(x, np.arange(4.0))
    found = slice_through(dataset, (0,))
    assert (found.axes[0][0], found.axes[0][-1]) == (1.0, 3.0)
    assert found.held == (("x2", 6.0),)
    assert_array_equal(drawn_rows(dataset, (0,)), [0, 1, 3])
    assert_array_equal(drawn_rows(dataset, (0, 1)), [1, 3])


@pytest.mark.parametrize("value", [0.0, 3.0, -1e150, 1e-300])
def test_a_feature_of_one_value_still_has_a_range_about_it(value: float) -> None:
    dataset = make_dataset(np.full(3, value), np.arange(3.0))
    (axis,) = slice_through(dataset, (0,)).axes
    assert axis[0] < value < axis[-1]


def test_of_many_rows_the_same_ones_are_drawn_each_time() -> None:
    dataset = of_numbers(MOST_ROWS + 500, 1)
    rows = drawn_rows(dataset, (0,))
    assert len(set(rows.tolist())) == MOST_ROWS
    assert (np.diff(rows) > 0).all()
    assert_array_equal(rows, drawn_rows(dataset, (0,)))
    few = of_numbers(MOST_ROWS, 1)
    assert_array_equal(drawn_rows(few, (0,)), np.arange(MOST_ROWS))
