"""The native reductions against plain NumPy, with ties and duplicates, and their merge laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend, NativeResident
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel
from tests import naive

BACKEND = NativeBackend()
searches = pytest.mark.parametrize("search", Search)


@st.composite
def rows_with_ties(draw: st.DrawFn) -> tuple[Floats, Floats, Floats]:
    """Points of a small integer grid: many equal distances, many duplicates."""
    n, d, m = draw(st.integers(1, 200)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    side = draw(st.integers(1, 5))
    x = rng.integers(0, side, (n, d)).astype(float)
    return x, rng.normal(size=(n, 2)), rng.integers(0, side, (m, d)) + rng.choice([0.0, 0.5])


@searches
@given(case=rows_with_ties(), data=st.data())
def test_nearest_orders_by_distance_then_row(
    search: Search, case: tuple[Floats, Floats, Floats], data: st.DataObject
) -> None:
    x, y, q = case
    k = data.draw(st.integers(1, len(x)))
    got = BACKEND.load(x, y, search).nearest(q, k)
    for i in range(len(q)):
        assert got.rows[i].tolist() == naive.nearest(x, q[i], k)
        assert_array_equal(got.distances[i], naive.distances(x, q[i])[got.rows[i]])


@searches
@given(case=rows_with_ties(), radius=st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, np.inf]))
def test_within_holds_exactly_the_rows_in_reach(
    search: Search, case: tuple[Floats, Floats, Floats], radius: float
) -> None:
    x, y, q = case
    got = BACKEND.load(x, y, search).within(q, np.full(len(q), radius))
    for i in range(len(q)):
        r = naive.distances(x, q[i])
        expected = [j for j in naive.nearest(x, q[i], len(x)) if r[j] <= radius]
        assert got.rows[got.offsets[i] : got.offsets[i + 1]].tolist() == expected


@st.composite
def hard_rows(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Rows and queries whose distances are hard to tell apart, or at the ends of the range."""
    n, d, m = draw(st.integers(200, 900)), draw(st.integers(1, 24)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(n, d))
    q = np.concatenate([rng.normal(size=(m, d)), x[:2] * (1 + 1e-9)])
    match draw(
        st.sampled_from(["moved", "huge", "tiny", "mixed", "grid", "sphere", "line", "far"])
    ):
        case "moved":
            return 1e9 + 1e-3 * x, 1e9 + 1e-3 * q
        case "huge":
            return 1e149 * x, 1e149 * q
        case "tiny":
            return 1e-160 * x, 1e-160 * q
        case "mixed":
            scale = 10.0 ** rng.integers(-100, 100, d)
            return x * scale, q * scale
        case "grid":
            return np.round(x), np.round(q)
        case "sphere":
            return x / np.sqrt((x * x).sum(axis=1, keepdims=True)), 1e-9 * q
        case "line":
            return x[:, :1] + np.zeros(d), q[:, :1] + np.zeros(d)
        case _:
            return x, 1e12 * q


def ordered(x: Floats, q: Floats) -> tuple[Rows, Floats]:
    """Return all rows of each query by (distance, row), and the distances."""
    total = np.zeros((len(q), len(x)))
    for j in range(x.shape[1]):
        total += (x[None, :, j] - q[:, None, j]) * (x[None, :, j] - q[:, None, j])
    distances = np.sqrt(total)
    order = np.argsort(distances, axis=1, kind="stable")
    return order, np.take_along_axis(distances, order, axis=1)


@searches
@given(case=hard_rows(), data=st.data())
def test_nearest_has_the_bits_of_a_full_sort(
    search: Search, case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, q = case
    k = data.draw(st.sampled_from([1, 5, 32, 128, 129, len(x)]).filter(lambda k: k <= len(x)))
    rows, distances = ordered(x, q)
    got = BACKEND.load(x, x[:, :1].copy(), search).nearest(q, k)
    assert_array_equal(got.rows, rows[:, :k])
    assert_array_equal(got.distances, distances[:, :k])


@searches
@pytest.mark.parametrize("d", [1, 3, 12, 13, 30, 128])
def test_nearest_agrees_with_a_full_sort_in_any_dimension(search: Search, d: int) -> None:
    rng = np.random.default_rng(d)
    x, q = rng.random((3000, d)), rng.random((20, d))
    rows, distances = ordered(x, q)
    got = BACKEND.load(x, x[:, :1].copy(), search).nearest(q, 40)
    assert_array_equal(got.rows, rows[:, :40])
    assert_array_equal(got.distances, distances[:, :40])


@searches
def test_places_are_where_the_rows_are_kept(search: Search) -> None:
    rng = np.random.default_rng(2)
    x, q = rng.random((3000, 4)), rng.random((20, 4))
    rows = BACKEND.load(x, x[:, :1].copy(), search)
    assert isinstance(rows, NativeResident)
    for k in (7, 200):
        found = rows.nearest(q, k)
        assert found.places is not None
        assert_array_equal(rows.tree.rows[found.places], found.rows)


@searches
@given(case=hard_rows(), data=st.data())
def test_a_query_has_the_same_bits_alone_and_in_any_block(
    search: Search, case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, q = case
    rows = BACKEND.load(x, x[:, :1].copy(), search)
    together = rows.nearest(q, 6)
    i = data.draw(st.integers(0, len(q) - 1))
    alone = rows.nearest(q[i : i + 1].copy(), 6)
    assert_array_equal(alone.rows[0], together.rows[i])
    assert_array_equal(alone.distances[0], together.distances[i])


@given(case=hard_rows(), data=st.data())
def test_appended_rows_are_found_beside_the_tree(
    case: tuple[Floats, Floats], data: st.DataObject
) -> None:
    x, q = case
    y = np.random.default_rng(1).normal(size=(len(x), 2))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(x)), min_size=2, max_size=2)))
    first = BACKEND.load(x[: cuts[0]], y[: cuts[0]])
    second = BACKEND.load(x[: cuts[1]], y[: cuts[1]], indexed_rows=cuts[0], base=first)
    shared = BACKEND.load(x, y, indexed_rows=cuts[0], base=second)
    anew, whole = BACKEND.load(x, y, indexed_rows=cuts[0]), BACKEND.load(x, y)
    k = data.draw(st.sampled_from([1, 40, len(x)]))
    expected = whole.nearest(q, k)
    radius = expected.distances[:, -1].copy()
    reach = whole.within(q, radius)
    for rows in (shared, anew):
        got, found = rows.nearest(q, k), rows.within(q, radius)
        for name in ("rows", "distances"):
            assert_array_equal(getattr(got, name), getattr(expected, name))
            assert_array_equal(getattr(found, name), getattr(reach, name))
        assert_array_equal(found.offsets, reach.offsets)


@pytest.mark.parametrize("kernel", Kernel)
def test_sums_run_over_the_tree_and_the_appended_rows(kernel: Kernel) -> None:
    rng = np.random.default_rng(8)
    x, y, q = rng.random((900, 3)), rng.normal(size=(900, 2)), rng.random((20, 3))
    h = rng.uniform(0.2, 0.9, 20)
    whole = BACKEND.load(x, y)
    nearest = whole.nearest(q, 1).distances[:, 0]
    first = BACKEND.load(x[:700], y[:700])
    shared = BACKEND.load(x, y, indexed_rows=700, base=first)
    anew = BACKEND.load(x, y, indexed_rows=700)
    expected = whole.moments(q, kernel, h, 1, nearest_distance=nearest)
    product = whole.product(q, Covariance.MATERN32, 0.4, y)
    one, other = (
        rows.moments(q, kernel, h, 1, nearest_distance=nearest) for rows in (shared, anew)
    )
    for name in ("gram", "rhs", "weight_sq", "count"):
        assert_array_equal(getattr(one, name), getattr(other, name))
        # Relative to the sums of absolute values, which a gram of positive weights bounds.
        assert_allclose(getattr(one, name), getattr(expected, name), rtol=1e-12, atol=1e-11)
    got = shared.product(q, Covariance.MATERN32, 0.4, y)
    assert_array_equal(got, anew.product(q, Covariance.MATERN32, 0.4, y))
    assert_allclose(got, product, rtol=1e-12, atol=1e-11)


@searches
@pytest.mark.parametrize("kernel", Kernel)
def test_sums_over_a_scan_are_those_over_a_tree(search: Search, kernel: Kernel) -> None:
    rng = np.random.default_rng(9)
    x, y, q = rng.random((700, 4)), rng.normal(size=(700, 1)), rng.random((9, 4))
    h = np.full(9, 0.4)
    rows = BACKEND.load(x, y, search)
    got = rows.moments(q, kernel, h, 1, nearest_distance=rows.nearest(q, 1).distances[:, 0])
    for i in range(9):
        gram, rhs, weight_sq, count = direct_moments(x, y, q[i], kernel, 0.4, 1, q[i])
        assert_allclose(got.gram[i], gram, rtol=1e-11, atol=1e-11 * np.abs(gram).max())
        assert_allclose(got.rhs[i], rhs, rtol=1e-11, atol=1e-11 * np.abs(gram).max() * 4)
        assert_allclose(got.weight_sq[i], weight_sq, rtol=1e-11)
        assert got.count[i] == count


def direct_moments(
    x: Floats, y: Floats, q: Floats, kernel: Kernel, h: float, degree: int, center: Floats
) -> tuple[Floats, Floats, float, int]:
    distances = naive.distances(x, q)
    if kernel is Kernel.GAUSSIAN:
        w = np.exp(-(distances**2 - distances.min() ** 2) / (2 * h * h))
    else:
        w = np.array([naive.KERNELS[kernel](u) for u in (distances / h).tolist()])
    z = (x - center) / h
    columns = [np.ones(len(x))]
    if degree > 0:
        columns += list(z.T)
    if degree > 1:
        d = x.shape[1]
        columns += [z[:, a] * z[:, b] for a in range(d) for b in range(a, d)]
    phi = np.column_stack(columns)
    return (phi * w[:, None]).T @ phi, (phi * w[:, None]).T @ y, float(w @ w), int((w > 0).sum())


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("is_centered_elsewhere", [False, True])
def test_moments_are_the_weighted_sums(
    kernel: Kernel, degree: int, d: int, is_centered_elsewhere: bool
) -> None:
    rng = np.random.default_rng(7)
    x, y, q = rng.random((600, d)), rng.normal(size=(600, 2)), rng.random((7, d))
    h = rng.uniform(0.2, 0.9, 7)
    center = q + 0.1 if is_centered_elsewhere else q
    rows = BACKEND.load(x, y)
    got = rows.moments(
        q, kernel, h, degree,
        center=center if is_centered_elsewhere else None,
        nearest_distance=rows.nearest(q, 1).distances[:, 0],
    )  # fmt: skip
    for i in range(7):
        gram, rhs, weight_sq, count = direct_moments(x, y, q[i], kernel, h[i], degree, center[i])
        assert_allclose(got.gram[i], gram, rtol=1e-11, atol=1e-11 * np.abs(gram).max())
        assert_allclose(got.rhs[i], rhs, rtol=1e-11, atol=1e-11 * np.abs(gram).max() * 4)
        assert_allclose(got.weight_sq[i], weight_sq, rtol=1e-11)
        assert got.count[i] == count


@pytest.mark.parametrize("kind", Covariance)
def test_product_is_the_covariances_times_the_coefficients(kind: Covariance) -> None:
    rng = np.random.default_rng(3)
    x, q, a = rng.random((300, 3)), rng.random((9, 3)), rng.normal(size=(300, 2))
    matrix = naive.covariances(q, x, kind, 0.3)
    assert_allclose(BACKEND.load(x, a).product(q, kind, 0.3, a), matrix @ a, rtol=1e-11, atol=1e-12)


@given(case=rows_with_ties(), data=st.data())
def test_any_split_of_the_rows_gives_the_same_reductions(
    case: tuple[Floats, Floats, Floats], data: st.DataObject
) -> None:
    x, y, q = case
    if len(x) < 2:
        return
    cut = data.draw(st.integers(1, len(x) - 1))
    whole, parts = (
        BACKEND.load(x, y),
        [BACKEND.load(x[:cut], y[:cut]), BACKEND.load(x[cut:], y[cut:])],
    )
    h = np.full(len(q), 1.7)

    k = data.draw(st.integers(1, min(cut, len(x) - cut)))
    both = [part.nearest(q, k) for part in parts]
    distances = np.concatenate([both[0].distances, both[1].distances], axis=1)
    rows = np.concatenate([both[0].rows, both[1].rows + cut], axis=1)
    merged = np.lexsort((rows, distances), axis=1)[:, :k]
    assert_array_equal(whole.nearest(q, k).rows, np.take_along_axis(rows, merged, axis=1))

    sums = [part.moments(q, Kernel.TRICUBE, h, 1) for part in parts]
    moments = whole.moments(q, Kernel.TRICUBE, h, 1)
    assert_allclose(sums[0].gram + sums[1].gram, moments.gram, rtol=1e-12, atol=1e-12)
    assert_allclose(sums[0].rhs + sums[1].rhs, moments.rhs, rtol=1e-12, atol=1e-12)
    assert_array_equal(sums[0].count + sums[1].count, moments.count)

    products = [
        part.product(q, Covariance.MATERN32, 0.8, a)
        for part, a in zip(parts, [y[:cut], y[cut:]], strict=True)
    ]
    product = whole.product(q, Covariance.MATERN32, 0.8, y)
    assert_allclose(products[0] + products[1], product, rtol=1e-12, atol=1e-12)


def test_a_far_query_under_the_gaussian_rests_on_the_nearest_row() -> None:
    rows = BACKEND.load(np.array([[0.0], [1.0]]), np.array([[5.0], [7.0]]))
    q = np.array([[1e6]])
    nearest = rows.nearest(q, 1).distances[:, 0]
    got = rows.moments(q, Kernel.GAUSSIAN, np.array([1e-3]), 0, nearest_distance=nearest)
    assert got.rhs[0, 0, 0] / got.gram[0, 0, 0] == 7.0
