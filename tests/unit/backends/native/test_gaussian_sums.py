"""Gaussian sums against the full ones: what is left out is within the bound that is proven."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Moments, Resident, Search
from service.backends.native.backend import NativeBackend
from service.backends.native.gaussian_limits import LEFT_OUT_OF_MEAN, LEFT_OUT_OF_SLOPES
from service.domain.arrays import Floats
from service.domain.kernels import Kernel

BACKEND = NativeBackend()
ROUNDING = 2e-13
"""Of sums of up to 3,000 terms and of their weights, in both ways."""


def gaussian(rows: Resident, q: Floats, h: Floats, degree: int) -> Moments:
    found = rows.nearest(q, 1)
    return rows.moments(
        q, Kernel.GAUSSIAN, h, degree, nearest_distance=found.distances[:, 0], found=found
    )


@st.composite
def scattered(draw: st.DrawFn) -> tuple[Floats, Floats, Floats, Floats]:
    """Rows in clusters and queries among and beside them, with narrow to wide bandwidths."""
    n, d, m = draw(st.integers(1, 3000)), draw(st.integers(1, 5)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clusters = rng.random((draw(st.integers(1, 6)), d))
    x = clusters[rng.integers(len(clusters), size=n)] + rng.normal(size=(n, d)) * 10.0 ** draw(
        st.floats(-3, 0)
    )
    q = np.where(rng.random((m, 1)) < 0.5, x[rng.integers(n, size=m)], 3 * rng.random((m, d)) - 1)
    return x, rng.normal(size=(n, 2)), q, 10.0 ** rng.uniform(-3, 1, m)


@given(case=scattered(), search=st.sampled_from(Search))
def test_the_mean_changes_by_no_more_than_its_share_of_the_range(
    case: tuple[Floats, Floats, Floats, Floats], search: Search
) -> None:
    x, y, q, h = case
    got = gaussian(BACKEND.load(x, y, search), q, h, 0)
    mean = got.rhs[:, 0] / got.gram[:, 0]
    for i in range(len(q)):
        squares = ((x - q[i]) ** 2).sum(axis=1)
        with np.errstate(under="ignore", over="ignore"):
            w = np.exp(-(squares - squares.min()) / (2 * h[i] ** 2))
        # Where the exponent is large, so is what a rounded distance makes of it.
        rounding = ROUNDING + 1e-15 * squares.min() / h[i] ** 2
        if rounding > 1e-9:
            continue
        bound = (LEFT_OUT_OF_MEAN + rounding) * (np.abs(y).max(axis=0) + np.ptp(y, axis=0))
        assert (np.abs(mean[i] - w @ y / w.sum()) <= bound).all()


@given(case=scattered(), degree=st.sampled_from([1, 2]))
def test_what_slopes_rest_on_changes_by_no_more_than_rounding(
    case: tuple[Floats, Floats, Floats, Floats], degree: int
) -> None:
    x, y, q, h = case
    d = x.shape[1]
    got = gaussian(BACKEND.load(x, y), q, h, degree)
    first, second = np.triu_indices(d)
    for i in range(len(q)):
        z = (x - q[i]) / h[i]
        squares = (z * z).sum(axis=1)
        rounding = ROUNDING + 1e-15 * squares.min()
        if rounding > 1e-9:
            continue
        with np.errstate(under="ignore"):
            w = np.exp(-(squares - squares.min()) / 2)
            phi = np.column_stack([np.ones(len(x)), z, z[:, first] * z[:, second]])
            phi = phi[:, : got.gram.shape[1]]
            gram = (phi * w[:, None]).T @ phi
            size = (np.abs(phi) * w[:, None]).T @ np.abs(phi)
        atol = LEFT_OUT_OF_SLOPES * w.sum() + rounding * size
        assert (np.abs(got.gram[i] - gram) <= atol).all()


def test_rows_far_away_are_left_out_and_the_radius_says_which() -> None:
    rng = np.random.default_rng(1)
    x, q = rng.random((20_000, 2)), rng.random((30, 2))
    rows = BACKEND.load(x, x)
    got = gaussian(rows, q, np.full(30, 0.01), 0)
    assert (got.count < 2000).all()
    inside = rows.within(q, got.radius)
    assert_array_equal(np.diff(inside.offsets), got.count)


def test_wide_bandwidths_take_all_rows() -> None:
    x = np.random.default_rng(2).random((500, 2))
    got = gaussian(BACKEND.load(x, x), x[:9].copy(), np.full(9, 10.0), 1)
    assert_array_equal(got.count, 500)


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("degree", [0, 1])
def test_a_query_further_away_than_can_be_squared_has_all_rows_at_one_distance(
    search: Search, degree: int
) -> None:
    y = np.array([[1.0], [2.0], [4.0]])
    rows = BACKEND.load(np.arange(3.0)[:, None], y, search)
    got = gaussian(rows, np.array([[1e100]]), np.array([1e-60]), degree)
    assert_allclose(got.gram[0, 0, 0], 3.0)
    assert_allclose(got.rhs[0, 0], [7.0])


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_query_has_the_same_sums_in_any_block(search: Search, degree: int) -> None:
    rng = np.random.default_rng(3)
    x, q, h = rng.random((5000, 3)), rng.random((70, 3)), rng.uniform(0.01, 0.3, 70)
    rows = BACKEND.load(x, x[:, :2].copy(), search)
    together = gaussian(rows, q, h, degree)
    for block in [*(slice(i, i + 1) for i in range(0, 70, 7)), slice(10, 33), slice(33, 70)]:
        part = gaussian(rows, q[block].copy(), h[block].copy(), degree)
        assert_array_equal(part.gram, together.gram[block])
        assert_array_equal(part.rhs, together.rhs[block])
        assert_array_equal(part.count, together.count[block])
    backwards = gaussian(rows, q[::-1].copy(), h[::-1].copy(), degree)
    assert_array_equal(backwards.gram[::-1], together.gram)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_appended_rows_and_a_scan_give_the_sums_of_a_tree(degree: int) -> None:
    rng = np.random.default_rng(4)
    x, q, h = rng.random((3000, 3)), rng.random((20, 3)), np.full(20, 0.1)
    y = x[:, :1].copy()
    whole = gaussian(BACKEND.load(x, y), q, h, degree)
    for rows in (BACKEND.load(x, y, indexed_rows=2000), BACKEND.load(x, y, Search.SCAN)):
        got = gaussian(rows, q, h, degree)
        assert_allclose(got.gram, whole.gram, rtol=1e-12, atol=1e-12)
        assert_allclose(got.rhs, whole.rhs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [kernel for kernel in Kernel if kernel.is_compact])
def test_rows_found_before_give_the_sums_of_a_search(kernel: Kernel) -> None:
    rng = np.random.default_rng(5)
    # A grid: rows tie at the distance to the k-th, which the uniform kernel counts.
    x = rng.integers(0, 6, (800, 2)).astype(float)
    q: Floats = rng.integers(0, 6, (40, 2)).astype(float) + 0.5
    rows = BACKEND.load(x, rng.normal(size=(800, 2)))
    found = rows.nearest(q, 30)
    h = found.distances[:, -1].copy()
    got = rows.moments(q, kernel, h, 2, found=found)
    searched = rows.moments(q, kernel, h, 2)
    assert_array_equal(got.count, searched.count)
    assert_allclose(got.gram, searched.gram, rtol=1e-12, atol=1e-12)
    assert_allclose(got.rhs, searched.rhs, rtol=1e-12, atol=1e-11)
