"""Sorted rows: their nodes, the windows found in them, and ties at the ends of a window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from service.backends.native import sorted_rows
from service.domain.arrays import Floats, Rows
from tests.unit.backends.native.test_tree import arrays, check_nodes


@st.composite
def lines(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Rows and queries of one feature: with many ties, or with distances that rounding makes equal.

    Of the queries, some are rows, and some lie beyond all of them.
    """
    n, m = draw(st.integers(1, 400)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(n, 1))
    q = np.concatenate([rng.normal(size=(m, 1)), x[:2], [[-9.0], [9.0]]])
    match draw(st.sampled_from(["random", "grid", "equal", "two", "zeros", "far", "tiny"])):
        case "grid":
            return np.round(4 * x), np.round(8 * q) / 2
        case "equal":
            return np.ones((n, 1)), np.round(q)
        case "two":
            return rng.integers(0, 2, (n, 1)).astype(float), np.round(4 * q) / 4
        case "zeros":
            return np.where(x > 0, 0.0, -0.0), np.round(q)
        case "far":
            return x, 10.0 ** rng.integers(8, 18, q.shape) * q
        case "tiny":  # squares below the range of floats
            return 10.0 ** rng.uniform(-165, -155) * x, 10.0 ** rng.uniform(-165, -155) * q
    return x, q


def nearest(x: Floats, q: Floats, k: int, order: Rows) -> tuple[Floats, Rows, Rows]:
    kept = sorted_rows.build(x)
    distances = np.empty((len(q), k))
    places, rows = np.empty((len(q), k), dtype=np.int64), np.empty((len(q), k), dtype=np.int64)
    sorted_rows.nearest(kept.x, kept.rows, q, order, distances, places, rows)
    assert_array_equal(kept.rows[places], rows)
    return distances, places, rows


@given(case=lines(), data=st.data())
def test_the_nearest_rows_are_those_of_a_full_sort(
    case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, q = case
    k = data.draw(st.integers(1, len(x)))
    distances, _, rows = nearest(x, q, k, sorted_rows.order_of(q))
    with np.errstate(under="ignore"):
        every = np.sqrt((x.T - q) * (x.T - q))
    expected = np.argsort(every, axis=1, kind="stable")[:, :k]
    assert_array_equal(rows, expected)
    assert_array_equal(distances, np.take_along_axis(every, expected, axis=1))


@given(case=lines(), data=st.data())
def test_no_result_depends_on_the_order_of_the_queries(
    case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, q = case
    k = data.draw(st.integers(1, len(x)))
    order = np.array(data.draw(st.permutations(range(len(q)))))
    along = nearest(x, q, k, sorted_rows.order_of(q))
    for got, expected in zip(nearest(x, q, k, order), along, strict=True):
        assert_array_equal(got, expected)


@given(case=lines())
def test_the_rows_are_sorted_and_every_node_holds_its_range(case: tuple[Floats, Floats]) -> None:
    x, _ = case
    kept = sorted_rows.build(x)
    check_nodes(kept, x)
    assert_array_equal(kept.rows, np.lexsort((np.arange(len(x)), x[:, 0])))


@given(case=lines(), data=st.data())
def test_a_known_order_of_the_first_rows_changes_nothing(
    case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, _ = case
    known = sorted_rows.build(x[: data.draw(st.integers(1, len(x)))]).rows
    pairs = zip(arrays(sorted_rows.build(x, known)), arrays(sorted_rows.build(x)), strict=True)
    for got, expected in pairs:
        assert_array_equal(got, expected)


@pytest.mark.parametrize("k", [1, 31, 500, 10_000])
def test_of_many_rows_at_one_distance_the_first_are_taken(k: int) -> None:
    x = np.repeat([[1.0], [3.0]], 5000, axis=0)
    x = np.ascontiguousarray(x[np.random.default_rng(5).permutation(len(x))])
    _, _, rows = nearest(x, np.array([[2.0]]), k, np.zeros(1, dtype=np.int64))
    assert_array_equal(rows[0], np.arange(k))
