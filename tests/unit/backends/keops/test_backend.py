"""KeOps' reductions against plain NumPy: padding, ties, edges of kernels, extreme numbers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from tests import naive
from tests.unit.backends.keops.remote import RemoteKeops

pytestmark = pytest.mark.keops

FEATURES = [1, 2, 3, 7, 10]
RTOL = 1e-12
"""Of the sum of the absolute terms: the order of summation differs from NumPy's."""


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def keops(cache_folder: Path) -> Iterator[RemoteKeops]:
    remote = RemoteKeops(str(cache_folder))
    yield remote
    remote.close()


def some(seed: int, n: int, d: int, t: int = 1, m: int = 9) -> tuple[Floats, Floats, Floats]:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(n, t)), random.normal(size=(m, d))


def direct_moments(
    x: Floats, y: Floats, q: Floats, kernel: Kernel, h: float, degree: int, center: Floats
) -> tuple[Floats, Floats, Floats, Floats, int]:
    """Return the gram, the right-hand side, both in absolute terms, and the count."""
    r = naive.distances(x, q)
    if kernel is Kernel.GAUSSIAN:
        w = np.exp(-(r**2 - r.min() ** 2) / (2 * h * h))
    else:
        w = np.array([naive.KERNELS[kernel](u) for u in (r / h).tolist()])
    z = (x - center) / h
    d = x.shape[1]
    columns = [np.ones(len(x))]
    columns += list(z.T) if degree > 0 else []
    columns += [z[:, a] * z[:, b] for a in range(d) for b in range(a, d)] if degree > 1 else []
    phi = np.column_stack(columns)
    weighted = phi * w[:, None]
    scale = np.abs(weighted).T @ np.abs(np.hstack([phi, y]))
    return weighted.T @ phi, weighted.T @ y, scale, w, int((w > 0).sum())


@pytest.mark.parametrize("d", FEATURES)
@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("t", [1, 3])
def test_moments_agree_with_numpy(keops: RemoteKeops, d: int, kernel: Kernel, t: int) -> None:
    x, y, q = some(d, 150, d, t)
    keops.load(x, y)
    r = np.array([naive.distances(x, point) for point in q])
    h, nearest = np.quantile(r, 0.6, axis=1), r.min(axis=1)
    for degree in (0, 1, 2) if d <= 3 else (0, 1):
        for center in (None, q + 0.25):
            about = {} if center is None else {"center": center}
            got = keops.moments(q, kernel, h, degree, nearest_distance=nearest, **about)
            for i, point in enumerate(q):
                middle = point if center is None else center[i]
                gram, rhs, scale, w, count = direct_moments(
                    x, y, point, kernel, float(h[i]), degree, middle
                )
                p = len(gram)
                assert (np.abs(got.gram[i] - gram) <= RTOL * scale[:, :p]).all()
                assert (np.abs(got.rhs[i] - rhs) <= RTOL * scale[:, p:]).all()
                assert_allclose(got.weight_sq[i], w @ w, rtol=RTOL)
                assert got.count[i] == count
            assert_array_equal(got.gram, np.swapaxes(got.gram, 1, 2))


@pytest.mark.parametrize("d", FEATURES)
@pytest.mark.parametrize("kernel", [kernel for kernel in Kernel if kernel.is_compact])
def test_the_row_at_the_edge_is_in_reach_of_the_uniform_kernel_alone(
    keops: RemoteKeops, d: int, kernel: Kernel
) -> None:
    x, y, q = some(d, 200, d, m=50)
    keops.load(x, y)
    for k in (1, 20):
        h = np.array([np.sort(naive.distances(x, point))[k - 1] for point in q])
        got = keops.moments(q, kernel, h, 0)
        assert_array_equal(got.count, k if kernel is Kernel.UNIFORM else k - 1)
        assert_array_equal(got.gram[:, 0, 0] > 0, got.count > 0)


@pytest.mark.parametrize("d", FEATURES)
@pytest.mark.parametrize("covariance", list(Covariance))
def test_products_agree_with_numpy(keops: RemoteKeops, d: int, covariance: Covariance) -> None:
    x, y, q = some(d, 120, d)
    a = np.random.default_rng(1).normal(size=(120, 2))
    for length_scale in (0.3, 5.0):
        got = keops.load(x, y).product(q, covariance, length_scale, a)
        for i, point in enumerate(q):
            (k,) = naive.covariances(point[None], x, covariance, length_scale)
            assert (np.abs(got[i] - k @ a) <= RTOL * (k @ np.abs(a))).all()


@pytest.mark.parametrize("d", FEATURES)
@pytest.mark.parametrize("n", [1, 5, 16, 17, 128, 129, 400])
def test_nearest_is_exact(keops: RemoteKeops, d: int, n: int) -> None:
    x, y, q = some(n, n, d)
    keops.load(x, y)
    for k in {1, min(n, 15), min(n, 16), min(n, 127)}:
        got = keops.nearest(q, k)
        for i, point in enumerate(q):
            assert got.rows[i].tolist() == naive.nearest(x, point, k)
            assert_array_equal(got.distances[i], naive.distances(x, point)[got.rows[i]])


@pytest.mark.parametrize("seed", range(12))
def test_equal_distances_are_ordered_by_row(keops: RemoteKeops, seed: int) -> None:
    random = np.random.default_rng(seed)
    n, d, side = int(random.integers(20, 600)), int(random.integers(1, 11)), seed % 4 + 1
    x = random.integers(0, side, (n, d)).astype(float) * 0.1
    q = random.integers(0, side, (6, d)) * 0.1 + random.choice([0.0, 0.05])
    keops.load(x, x[:, :1].copy())
    k = int(random.integers(1, min(n, 127) + 1))
    got = keops.nearest(q, k)
    for i, point in enumerate(q):
        assert got.rows[i].tolist() == naive.nearest(x, point, k)


def test_within_holds_exactly_the_rows_in_reach(keops: RemoteKeops) -> None:
    x, y, q = some(3, 300, 2)
    x[50:60] = x[0]
    radius = np.array([0.0, 0.5, 1.0, np.inf, 0.2, 0.0, 2.0, 1.5, 0.7])
    radius[2] = naive.distance(x[7], q[2])
    got = keops.load(x, y).within(q, radius)
    for i, point in enumerate(q):
        found = slice(got.offsets[i], got.offsets[i + 1])
        r = naive.distances(x, point)
        expected = [j for j in naive.nearest(x, point, len(x)) if r[j] <= radius[i]]
        assert got.rows[found].tolist() == expected
        assert_array_equal(got.distances[found], r[expected])


@pytest.mark.parametrize("d", [2, 10])
def test_a_query_gives_the_same_bits_in_any_block(keops: RemoteKeops, d: int) -> None:
    x, y, q = some(4, 333, d, m=31)
    keops.load(x, y)
    h = np.full(31, 2.0)
    moments = keops.moments(q, Kernel.TRICUBE, h, 1)
    product = keops.product(q, Covariance.MATERN32, 1.0, y)
    nearest = keops.nearest(q, 40)
    for block in (slice(0, 1), slice(30, 31), slice(3, 12)):
        part = np.ascontiguousarray(q[block])
        alone = keops.moments(part, Kernel.TRICUBE, h[block], 1)
        assert_array_equal(alone.gram, moments.gram[block])
        assert_array_equal(alone.rhs, moments.rhs[block])
        assert_array_equal(keops.product(part, Covariance.MATERN32, 1.0, y), product[block])
        assert_array_equal(keops.nearest(part, 40).distances, nearest.distances[block])


def test_nothing_turns_into_nan_at_extreme_scales(keops: RemoteKeops) -> None:
    x, y, _ = some(5, 60, 2)
    q = np.array([[1e9, 0.0], [0.0, 0.0], [3e4, -3e4]])
    keops.load(x, y)
    nearest = keops.nearest(q, 1).distances[:, 0].copy()
    for h in (1e-150, 1e-9, 1.0, 1e150):
        bandwidth = np.full(3, h)
        for kernel in Kernel:
            center = x[keops.nearest(q, 1).rows[:, 0]]
            got = keops.moments(q, kernel, bandwidth, 2, center=center, nearest_distance=nearest)
            assert np.isfinite(got.gram).all()
            if kernel is Kernel.GAUSSIAN:
                # The nearest row always weighs 1, however far it is.
                assert (got.gram[:, 0, 0] >= 1 - 1e-12).all()
        for covariance in Covariance:
            assert np.isfinite(keops.product(q, covariance, h, y)).all()


def test_coordinates_whose_squares_overflow_still_have_an_order(keops: RemoteKeops) -> None:
    x = np.array([[0.0], [1e200], [3.0], *([[-1e200]] * 200)])
    got = keops.load(x, x).nearest(np.array([[1.0]]), 5)
    assert got.rows.tolist() == [[0, 2, 1, 3, 4]]
    assert got.distances[0, :2].tolist() == [1.0, 2.0]


def test_what_is_not_compiled_is_refused(keops: RemoteKeops) -> None:
    x, y, q = some(6, 300, 4)
    keops.load(x, y)
    with pytest.raises(ValueError, match="k = 128 is not served"):
        keops.nearest(q, 128)
    with pytest.raises(ValueError, match="No KeOps formula of degree 2 has 4 features"):
        keops.moments(q, Kernel.TRICUBE, np.ones(9), 2)
    with pytest.raises(TypeError, match="needs nearest_distance"):
        keops.moments(q, Kernel.GAUSSIAN, np.ones(9), 1)
    with pytest.raises(ValueError, match="No KeOps formula has 11 features"):
        keops.load(*some(7, 20, 11)[:2])


def test_wrong_arrays_never_reach_keops(keops: RemoteKeops) -> None:
    x, y, q = some(8, 300, 3)
    keops.load(x, y)
    with pytest.raises(ValueError, match=r"shape \(9, 2\) do not have 3 features"):
        keops.product(q[:, :2], Covariance.GAUSSIAN, 1.0, y)
    with pytest.raises(ValueError, match="There are 299 values for 300 rows"):
        keops.product(q, Covariance.GAUSSIAN, 1.0, y[1:])
    with pytest.raises(ValueError, match="cannot take 0 queries"):
        keops.product(np.empty((0, 3)), Covariance.GAUSSIAN, 1.0, y)
    with pytest.raises(ValueError, match=r"takes h as 1 columns .* \(8, 1\)|cannot reshape"):
        keops.moments(q, Kernel.TRICUBE, np.ones(8), 1)


def test_sums_that_overflow_are_an_error_and_not_an_answer(keops: RemoteKeops) -> None:
    x, _, q = some(9, 20, 1)
    keops.load(x, np.full((20, 1), 1e308))
    with pytest.raises(FloatingPointError, match="overflows"):
        keops.moments(q, Kernel.UNIFORM, np.full(9, 1e3), 0)


def test_only_its_own_process_imports_keops(keops: RemoteKeops) -> None:
    assert any(name.startswith("keopscore") for name in keops.modules())
    assert not any(name.startswith(("pykeops", "keopscore", "torch")) for name in sys.modules)


def test_the_progress_names_each_formula(keops: RemoteKeops) -> None:
    assert keops.reports[0] == "importing KeOps"
    assert keops.reports[-1] == f"compiling KeOps formulas ({len(keops.reports) - 1} of 11)"


def test_a_damaged_cache_is_mended(keops: RemoteKeops, cache_folder: Path) -> None:
    (folder,) = (path for path in (cache_folder / "keops").iterdir() if path.is_dir())
    compiled = sorted(folder.glob("nearfit_*.so"))
    assert len(compiled) == 11
    (folder / "get_keops_dll_impl_cache.pkl").write_bytes(b"\x80\x04cut short")
    compiled[0].unlink()
    compiled[0].write_bytes(b"")
    compiled[1].unlink()
    compiled[1].write_bytes(b"\x7fELF and nothing that can be loaded")
    source = next(folder.glob("*.cpp"))
    source.write_text("cut sh")
    source.with_suffix(".nfo").unlink()
    (folder / "nearfit_x.123.part").write_bytes(b"half")
    again = RemoteKeops(str(cache_folder))
    try:
        x, y, q = some(10, 200, 3)
        got = again.load(x, y).nearest(q, 3)
        assert got.rows[0].tolist() == naive.nearest(x, q[0], 3)
    finally:
        again.close()
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in folder.glob("*.so"))
    assert not list(folder.glob("*.part")) + list(folder.glob("*.pkl"))


def test_a_wrong_formula_is_found_and_removed(cache_folder: Path, keops: RemoteKeops) -> None:
    (folder,) = (path for path in (cache_folder / "keops").iterdir() if path.is_dir())
    compiled = {}
    for path in folder.glob("*.nfo"):
        if "ArgKMin_Reduction(SqDist(q,x),16" in path.read_text():
            features = int(path.read_text().rpartition("dimy=")[2])
            compiled[features] = folder / f"nearfit_{path.stem}.so"
    compiled[10].unlink()
    compiled[10].write_bytes(compiled[3].read_bytes())
    with pytest.raises(RuntimeError, match="KeOps computes '16 nearest in 10 features' wrongly"):
        RemoteKeops(str(cache_folder))
    assert not compiled[10].exists()
