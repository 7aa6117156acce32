"""How far queries lie from the data, beside how far rows lie from each other."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.estimators.isolation import isolation, spacing


def test_ranks_are_the_share_of_rows_that_lie_nearer_to_another() -> None:
    x = np.array([[0.0], [1.0], [3.0], [3.5]])
    rows = NativeBackend().load(x, x)
    spaces = spacing(rows, np.arange(4))
    assert_array_equal(spaces, [0.5, 0.5, 1.0, 1.0])
    got = isolation(rows, np.array([[0.0], [0.75], [2.0], [2.5], [9.0]]), spaces)
    assert_allclose(got.distance, [0.0, 0.25, 1.0, 0.5, 5.5])
    assert_allclose(got.rank, [0.0, 0.0, 0.5, 0.0, 1.0])


def test_rows_at_one_place_lie_at_no_distance() -> None:
    x = np.array([[2.0], [2.0], [2.0], [5.0]])
    rows = NativeBackend().load(x, x)
    assert_array_equal(spacing(rows, np.array([0, 2, 3])), [0.0, 0.0, 3.0])


def test_queries_drawn_like_the_rows_have_even_ranks() -> None:
    rng = np.random.default_rng(4)
    x, q = rng.normal(size=(3000, 2)), rng.normal(size=(2000, 2))
    rows = NativeBackend().load(x, x)
    at = np.sort(rng.choice(3000, 1000, replace=False))
    rank = isolation(rows, q, spacing(rows, at)).rank
    assert_allclose(np.quantile(rank, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.04)
