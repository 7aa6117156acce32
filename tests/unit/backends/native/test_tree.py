"""The tree itself: what its nodes hold, and that building it is reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from service.backends.native import tree
from service.backends.native.tree import LEAF_ROWS, Tree
from service.domain.arrays import Floats


@st.composite
def row_sets(draw: st.DrawFn) -> Floats:
    """Rows of every order and with many ties."""
    n, d = draw(st.integers(1, 5000)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(n, d))
    match draw(st.sampled_from(["random", "sorted", "reversed", "grid", "equal"])):
        case "sorted":
            return np.sort(x, axis=0)
        case "reversed":
            return np.ascontiguousarray(np.sort(x, axis=0)[::-1])
        case "grid":
            return np.floor(x)
        case "equal":
            return np.ones((n, d))
    return x


def check_nodes(rows: Tree, x: Floats) -> None:
    indexed, nodes = rows.indexed_rows, len(rows.bounds)
    assert_array_equal(np.sort(rows.rows), np.arange(len(x)))
    assert_array_equal(rows.x, x[rows.rows].T)
    for node in range(nodes):
        start, stop = rows.bounds[node]
        assert_array_equal(rows.boxes[node, 0], rows.x[:, start:stop].min(axis=1))
        assert_array_equal(rows.boxes[node, 1], rows.x[:, start:stop].max(axis=1))
        if not tree.is_leaf(node, nodes):
            left, right = rows.bounds[2 * node + 1], rows.bounds[2 * node + 2]
            assert (left[0], left[1], right[1]) == (start, right[0], stop)
            # Halves of the widest feature.
            widest = np.argmax(rows.boxes[node, 1] - rows.boxes[node, 0])
            lower, upper = rows.x[widest, left[0] : left[1]], rows.x[widest, right[0] : right[1]]
            assert lower.max() <= upper.min()
        elif start < indexed:
            assert stop - start <= LEAF_ROWS


@given(x=row_sets())
def test_the_nodes_hold_all_rows_in_halves_with_their_boxes(x: Floats) -> None:
    check_nodes(tree.build(x), x)


@given(x=row_sets(), data=st.data())
def test_a_tail_is_one_more_node(x: Floats, data: st.DataObject) -> None:
    indexed = data.draw(st.integers(1, len(x)))
    rows = tree.with_tail(tree.build(x[:indexed]), x)
    check_nodes(rows, x)
    assert rows.indexed_rows == indexed
    assert len(rows.bounds) % 2 == (1 if indexed == len(x) else 0)


@given(x=row_sets(), data=st.data())
def test_a_longer_tail_takes_the_place_of_a_shorter_one(x: Floats, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, len(x)), min_size=2, max_size=2)))
    shorter = tree.with_tail(tree.build(x[: cuts[0]]), x[: cuts[1]])
    again, once = tree.with_tail(shorter, x), tree.with_tail(tree.build(x[: cuts[0]]), x)
    for got, expected in zip(arrays(again), arrays(once), strict=True):
        assert_array_equal(got, expected)


def arrays(rows: Tree) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    return [rows.x, rows.rows, rows.bounds, rows.boxes]


@given(x=row_sets())
def test_two_threads_build_the_same_tree_as_one(x: Floats) -> None:
    alone = tree.build(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "SHARED_ROWS", 0)
        shared = tree.build(x)
    for got, expected in zip(arrays(shared), arrays(alone), strict=True):
        assert_array_equal(got, expected)


def test_an_unindexed_set_of_rows_is_one_node_in_its_own_order() -> None:
    x = np.random.default_rng(1).normal(size=(500, 3))
    rows = tree.unindexed(x)
    assert_array_equal(rows.x, x.T)
    assert_array_equal(rows.rows, np.arange(500))
    assert_array_equal(rows.bounds, [[0, 500]])
