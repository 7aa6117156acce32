"""The decisions of the native engine are pure and say why."""

from hypothesis import given
from hypothesis import strategies as st

from service.backends.base import Search
from service.backends.native.planning import (
    LARGEST_TAIL,
    TREE_FEATURES,
    indexed_after_append,
    preferred_search,
)


def test_few_features_have_a_tree_and_many_are_scanned() -> None:
    assert preferred_search(1000, TREE_FEATURES)[0] is Search.TREE
    assert preferred_search(1000, TREE_FEATURES + 1)[0] is Search.SCAN
    for d in (TREE_FEATURES, TREE_FEATURES + 1):
        assert f"{TREE_FEATURES} features" in preferred_search(1000, d)[1]


@given(appended=st.lists(st.integers(1, 2 * LARGEST_TAIL), min_size=1, max_size=20))
def test_the_tail_beside_a_tree_stays_short(appended: list[int]) -> None:
    n = indexed = 100
    for rows in appended:
        n += rows
        before, indexed = indexed, indexed_after_append(indexed, n)
        assert indexed in (before, n)
        assert n - indexed <= LARGEST_TAIL
        assert indexed == before or n - before > LARGEST_TAIL
