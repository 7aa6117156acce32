"""The order in which queries go through the tree. What they find is tested with the backend."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from service.backends.native import tree, tree_search
from service.domain.arrays import Floats
from tests.unit.backends.native.test_tree import row_sets


@given(x=row_sets(), data=st.data())
def test_the_order_of_the_queries_holds_each_once(x: Floats, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 50))
    q = np.random.default_rng(m).normal(size=(m, x.shape[1]))
    assert_array_equal(np.sort(tree_search.order_of(tree.build(x), q)), np.arange(m))
