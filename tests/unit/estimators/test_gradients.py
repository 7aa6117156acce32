"""Gradients and slopes against differences of the predictions and their obvious versions."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Status
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.gradients import Gradient, gradient, slope
from tests import naive
from tests.predicting import make_task, predict_here

BACKEND = NativeBackend()
STEP = 3e-5
SHARP_STEP = 1e-5
"""For surfaces with a kink at every row, away from the rows."""

STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
"""Weights of a central difference whose error goes as the fourth power of the step."""

KERNELS = [kernel for kernel in Kernel if kernel is not Kernel.UNIFORM]


def sample(d: int, n: int = 150, t: int = 2, m: int = 40) -> tuple[Floats, Floats, Floats]:
    """Return rows in the unit cube, smooth targets with noise, and queries among the rows."""
    rng = np.random.default_rng(10 * d + n)
    x = rng.random((n, d))
    y = np.column_stack([np.sin(3 * x @ np.arange(1, d + 1) + c) for c in range(t)])
    return x, y + 0.1 * rng.normal(size=y.shape), 0.2 + 0.6 * rng.random((m, d))


def mean_at(x: Floats, y: Floats, fit: Fit, q: Floats) -> Floats:
    return predict_here(make_task(x, y, fit, q), BACKEND).mean


def solved(x: Floats, y: Floats, fit: Fit) -> Floats | None:
    """Return the coefficients of kriging over all rows, or of linear regression, by NumPy."""
    if isinstance(fit, Linear):
        return naive.plane(x, y)[1:]
    if not isinstance(fit, Kriging) or fit.n_neighbors is not None:
        return None
    matrix = naive.covariances(x, x, fit.kernel, fit.length_scale)
    return np.asarray(np.linalg.solve(matrix + fit.alpha * np.eye(len(x)), y))


def gradient_at(x: Floats, y: Floats, fit: Fit, q: Floats) -> Gradient:
    return gradient(BACKEND.load(x, y), fit, q, coefficients=solved(x, y, fit))


def is_sharp(fit: Fit) -> bool:
    """Say whether the surface has a kink at every row."""
    if isinstance(fit, Knn):
        return True
    if isinstance(fit, Linear):
        return False
    return fit.kernel in (Kernel.TRIANGULAR, Covariance.LAPLACIAN, Covariance.MATERN32)


def step_of(fit: Fit) -> float:
    return SHARP_STEP if is_sharp(fit) else STEP


def differences(x: Floats, y: Floats, fit: Fit, q: Floats) -> Floats:
    """Return the central differences of the predictions, (m, t, d)."""
    result = np.zeros((len(q), y.shape[1], q.shape[1]))
    for j in range(q.shape[1]):
        for steps, weight in STENCIL.items():
            moved = q.copy()
            moved[:, j] += steps * step_of(fit)
            result[:, :, j] += weight * mean_at(x, y, fit, moved) / step_of(fit)
    return result


def rows_in_reach(rows: Resident, fit: Fit, q: Floats) -> list[tuple[int, ...]]:
    """Return the rows on which the surface rests at each query."""
    if fit.n_neighbors is not None:
        found = rows.nearest(q, fit.n_neighbors).rows
        return [(int(near[-1]), *sorted(map(int, near))) for near in found]
    if isinstance(fit, Kriging) or not isinstance(fit, NadarayaWatson | LocalPolynomial):
        return [()] * len(q)
    if not fit.kernel.is_compact or fit.bandwidth is None:
        return [()] * len(q)
    within = rows.within(q, np.full(len(q), fit.bandwidth))
    return [tuple(sorted(map(int, part))) for part in np.split(within.rows, within.offsets[1:-1])]


def smooth_nearby(x: Floats, y: Floats, fit: Fit, q: Floats) -> NDArray[np.bool_]:
    """Return where no row enters or leaves the reach within the stencil, nor has a kink, (m,)."""
    rows = BACKEND.load(x, y)
    here = rows_in_reach(rows, fit, q)
    same = rows.nearest(q, 1).distances[:, 0] > (100 * SHARP_STEP if is_sharp(fit) else 0)
    for j, side in itertools.product(range(q.shape[1]), (-2, 2)):
        moved = q.copy()
        moved[:, j] += side * step_of(fit)
        there = rows_in_reach(rows, fit, moved)
        same &= np.array([a == b for a, b in zip(here, there, strict=True)])
    return same


def check_against_differences(fit: Fit, d: int, tolerance: float = 1e-8) -> None:
    x, y, q = sample(d)
    keep = smooth_nearby(x, y, fit, q)
    assert keep.sum() >= 5
    expected = differences(x, y, fit, q[keep])
    got = gradient_at(x, y, fit, q).gradient[keep]
    supported = np.isfinite(expected[:, 0, 0])
    assert supported.sum() >= 5
    assert_allclose(
        got[supported], expected[supported], rtol=tolerance,
        atol=tolerance * np.abs(expected[supported]).max(),
    )  # fmt: skip


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fixed_bandwidth(kernel: Kernel, degree: int, d: int) -> None:
    bandwidth = 0.4 * np.sqrt(d) * (0.4 if kernel is Kernel.GAUSSIAN else 1.2)
    check_against_differences(LocalPolynomial(degree, kernel, bandwidth=bandwidth), d)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_bandwidth_that_is_the_distance_to_a_neighbor(
    kernel: Kernel, degree: int, d: int
) -> None:
    check_against_differences(LocalPolynomial(degree, kernel, n_neighbors=60), d)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("ridge", [1e-3, 0.3])
@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE, Kernel.UNIFORM])
def test_a_ridge_that_moves_with_the_rows_in_reach(
    kernel: Kernel, ridge: float, degree: int, d: int
) -> None:
    bandwidth = 0.2 * np.sqrt(d) if kernel is Kernel.GAUSSIAN else 0.5 * np.sqrt(d)
    check_against_differences(LocalPolynomial(degree, kernel, bandwidth, ridge=ridge), d)
    check_against_differences(LocalPolynomial(degree, kernel, n_neighbors=50, ridge=ridge), d)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("kernel", Covariance)
def test_kriging_over_all_rows(kernel: Covariance, d: int) -> None:
    check_against_differences(Kriging(kernel, 0.4, 0.1), d)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
@pytest.mark.parametrize("kernel", Covariance)
def test_kriging_over_the_nearest_rows(kernel: Covariance, d: int) -> None:
    check_against_differences(Kriging(kernel, 0.4, 0.1, n_neighbors=20), d)
    check_against_differences(Kriging(kernel, 0.4, 0.1, n_neighbors=20, mean="constant"), d)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_the_mean_by_inverse_distance(d: int) -> None:
    check_against_differences(Knn(10, "distance"), d, tolerance=1e-6)


@pytest.mark.parametrize("d", [1, 3, 6])
def test_linear_regression(d: int) -> None:
    check_against_differences(Linear(), d)


def naive_line_gradient(x: Floats, y: Floats, q: Floats, h: float) -> Floats:
    """Return the gradient (d,) of a tricube line with fixed h: slope + Σ g_i e_i ∂w_i."""
    u = naive.distances(x, q) / h
    w = np.where(u < 1, (1 - np.minimum(u, 1) ** 3) ** 3, 0.0)
    design = np.column_stack([np.ones(len(x)), x - q])
    inverse = np.linalg.inv(design.T @ (w[:, None] * design))
    beta = inverse @ design.T @ (w * y)
    g, e = design @ inverse[0], y - design @ beta
    weight_change = np.where(u < 1, 9 * u * (1 - np.minimum(u, 1) ** 3) ** 2, 0)[:, None] * (x - q)
    return np.asarray(beta[1:] + (g * e) @ weight_change / h**2)


def test_a_line_moves_as_the_textbook_says() -> None:
    x, y, q = sample(2, t=1)
    got = gradient_at(x, y, LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.5), q).gradient[:, 0]
    expected = [naive_line_gradient(x, y[:, 0], query, 0.5) for query in q]
    assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def naive_slopes(
    x: Floats, y: Floats, q: Floats, degree: int, h: float, ridge: float
) -> tuple[Floats, Floats]:
    """Return the slope (t, d) and its norm (d,) of a tricube fit at one query, row by row."""
    d = x.shape[1]
    z = (x - q) / h
    u = np.sqrt((z * z).sum(axis=1))
    w = np.where(u < 1, (1 - np.minimum(u, 1) ** 3) ** 3, 0.0)
    phi = [z[:, j] for j in range(d)]
    if degree == 2:
        phi += [z[:, a] * z[:, b] for a in range(d) for b in range(a, d)]
    share = w / w.sum()
    centered = np.column_stack(phi) - share @ np.column_stack(phi)
    c = centered.T @ (share[:, None] * centered)
    inverse = np.linalg.inv(c + ridge * np.trace(c) / len(c) * np.eye(len(c)))
    influence = (inverse @ centered.T * share)[:d] / h
    return (influence @ y).T, np.sqrt((influence**2).sum(axis=1))


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_slopes_and_their_norms(ridge: float, degree: int, d: int) -> None:
    x, y, q = sample(d)
    h = 0.5 * np.sqrt(d)
    fit = LocalPolynomial(degree, Kernel.TRICUBE, bandwidth=h, ridge=ridge)
    got = slope(BACKEND.load(x, y), fit, q)
    for i, query in enumerate(q):
        value, norm = naive_slopes(x, y, query, degree, h, ridge)
        assert_allclose(got.slope[i], value, rtol=1e-8, atol=1e-8)
        assert_allclose(got.norm[i], norm, rtol=1e-8)
    sigma = np.array([[2.0, 3.0]] * len(q))
    errors = got.standard_error(sigma)
    assert_array_equal(errors[:, 0], 2 * got.norm)
    assert_array_equal(errors[:, 1], 3 * got.norm)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("kernel", Kernel)
def test_where_the_truth_is_a_polynomial_slope_and_gradient_are_its_own(
    kernel: Kernel, degree: int
) -> None:
    x, _, q = sample(2)
    y = (1 + 2 * x[:, :1] - x[:, 1:]) ** degree
    inner = 1 + 2 * q[:, 0] - q[:, 1]
    truth = degree * inner[:, None] ** (degree - 1) * [2.0, -1.0]
    fit = LocalPolynomial(degree, kernel, bandwidth=0.6)
    assert_allclose(gradient_at(x, y, fit, q).gradient[:, 0], truth, rtol=1e-9)
    assert_allclose(slope(BACKEND.load(x, y), fit, q).slope[:, 0], truth, rtol=1e-9)


@pytest.mark.parametrize("degree", [1, 2])
def test_a_surface_far_from_its_rows_has_its_gradient_too(degree: int) -> None:
    # Up to 100 deviations away the polynomial is centred at the query; beyond, at the rows.
    x, y, _ = sample(2, t=1)
    q = np.array([[3.0, 2.0], [40.0, 70.0], [-300.0, 80.0]])
    fit = LocalPolynomial(degree, Kernel.GAUSSIAN, bandwidth=100.0)
    got = gradient_at(x, y, fit, q).gradient
    expected = np.empty_like(got)
    for j in range(2):
        moved = np.eye(2)[j] * 1e-2
        ahead = [mean_at(x, y, fit, q + steps * moved) for steps in (-2, -1, 1, 2)]
        expected[:, :, j] = sum(
            weight * mean for weight, mean in zip(STENCIL.values(), ahead, strict=True)
        ) / 1e-2  # fmt: skip
    assert_allclose(got, expected, rtol=1e-6 if degree == 1 else 1e-5)


def test_features_that_do_not_vary_leave_the_gradient_in_the_others() -> None:
    x, y, q = sample(1, t=1)
    constant = np.column_stack([x, np.full(len(x), 0.3)])
    line = np.column_stack([x, 2 * x])
    for wide in (constant, line):
        at = np.column_stack([q, np.full(len(q), 0.3)]) if wide is constant else q * [1.0, 2.0]
        fit = LocalPolynomial(1, Kernel.BIWEIGHT, bandwidth=1.5)
        got = gradient_at(wide, y, fit, at).gradient[:, 0]
        along = np.array([1.0, 0.0 if wide is constant else 2.0])
        step = 1e-4 * along
        change = mean_at(wide, y, fit, at + step) - mean_at(wide, y, fit, at - step)
        assert_allclose(got @ along, change[:, 0] / 2e-4, rtol=1e-5, atol=1e-7)


def test_too_few_rows_for_the_degree_give_the_gradient_of_the_lower_one() -> None:
    x = np.array([[0.0], [0.3], [1.0]])
    y = np.array([[1.0], [2.0], [0.0]])
    q = np.array([[0.12]])
    fit = LocalPolynomial(2, Kernel.EPANECHNIKOV, bandwidth=0.5)
    got = gradient_at(x, y, fit, q).gradient
    assert_allclose(got, [[[1 / 0.3]]], rtol=1e-10)  # two rows: the line through them
    alone = gradient_at(x, y, fit, np.array([[1.1]])).gradient
    assert_array_equal(alone, [[[0.0]]])


def test_without_support_there_is_no_gradient() -> None:
    x, y, _ = sample(2)
    q = np.array([[0.5, 0.5], [9.0, 9.0]])
    fit = LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.5)
    got = gradient_at(x, y, fit, q).gradient
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1]).all()
    found = slope(BACKEND.load(x, y), fit, q)
    assert np.isnan(found.slope[1]).all()
    assert np.isnan(found.norm[1]).all()
    assert np.isfinite(found.norm[0]).all()


@pytest.mark.parametrize(
    "fit",
    [
        Knn(3, "distance"),
        NadarayaWatson(Kernel.TRIANGULAR, bandwidth=0.5),
        LocalPolynomial(1, Kernel.TRIANGULAR, bandwidth=0.5),
        Kriging(Covariance.LAPLACIAN, 0.5, 0.1),
        Kriging(Covariance.LAPLACIAN, 0.5, 0.1, n_neighbors=5),
    ],
)
def test_at_a_kink_it_is_the_mean_of_all_sides_and_says_so(fit: Fit) -> None:
    x, y, q = sample(2, t=1)
    q[0] = x[3]
    got = gradient_at(x, y, fit, q)
    (issue,) = got.issues
    assert issue.status is Status.DEGENERATE
    assert issue.queries.tolist() == [0]
    sides = x[3] + 1e-7 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    around = gradient_at(x, y, fit, sides).gradient
    atol = 1e-5 * np.abs(around).max()
    assert_allclose(got.gradient[0], around.mean(axis=0), rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    ("fit", "pointer"),
    [
        (Knn(5), "/fit/weights"),
        (Knn(1, "distance"), "/fit/n_neighbors"),
        (NadarayaWatson(Kernel.UNIFORM, bandwidth=1.0), "/fit/kernel"),
        (LocalPolynomial(0, Kernel.UNIFORM, n_neighbors=9), "/fit/kernel"),
    ],
)
def test_a_surface_that_is_flat_almost_everywhere_is_refused(fit: Fit, pointer: str) -> None:
    x, y, q = sample(1)
    with pytest.raises(InvalidInput, match="almost everywhere") as refused:
        gradient_at(x, y, fit, q)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize(
    "fit", [Knn(5, "distance"), NadarayaWatson(bandwidth=1.0), LocalPolynomial(0), Kriging()]
)
def test_methods_without_a_local_slope_are_refused(fit: Fit) -> None:
    x, y, q = sample(1)
    with pytest.raises(InvalidInput, match="gradient") as refused:
        slope(BACKEND.load(x, y), fit, q)
    assert [fault.pointer for fault in refused.value.faults] == ["/include"]


@pytest.mark.parametrize(
    "fit",
    [
        Knn(7, "distance"),
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.1),
        LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.2, ridge=0.1),
        LocalPolynomial(2, Kernel.TRICUBE, n_neighbors=40),
        Kriging(Covariance.MATERN52, 0.3, 0.01),
        Kriging(Covariance.LAPLACIAN, 0.3, 0.01),
        Kriging(Covariance.GAUSSIAN, 0.3, 0.01, n_neighbors=11),
    ],
)
def test_a_query_has_the_same_bits_alone_and_in_any_batch(fit: Fit) -> None:
    x, y, q = sample(3)
    rows, a = BACKEND.load(x, y), solved(x, y, fit)
    together = gradient(rows, fit, q, coefficients=a).gradient
    for size in (1, 7):
        for start in range(0, len(q), size):
            part = q[start : start + size]
            few = gradient(rows, fit, part, coefficients=a).gradient
            assert_array_equal(few, together[start : start + size])
    if isinstance(fit, LocalPolynomial):
        whole = slope(rows, fit, q)
        for i in range(len(q)):
            alone = slope(rows, fit, q[i : i + 1])
            assert_array_equal(alone.slope[0], whole.slope[i])
            assert_array_equal(alone.norm[0], whole.norm[i])


def test_many_rows_in_reach_are_listed_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, q = sample(2)
    rows, fit = BACKEND.load(x, y), LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.5)
    whole = gradient(rows, fit, q).gradient
    monkeypatch.setattr("service.estimators.local_fits.MOST_ENTRIES", 100)
    assert_array_equal(gradient(rows, fit, q).gradient, whole)


def test_features_of_very_different_units_lose_no_digits() -> None:
    x, y, q = sample(2, t=1)
    units = np.array([1e-6, 1e3])
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3 * units[1])
    got = slope(BACKEND.load(x * units, y), fit, q * units)
    wide = np.array([1e-9, 1.0])  # the same weights and the same lines, in units near 1
    expected = slope(
        BACKEND.load(x * wide, y), LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3), q * wide
    )
    assert_allclose(got.slope * units, expected.slope * wide, rtol=1e-9)
    assert_allclose(got.norm * units, expected.norm * wide, rtol=1e-9)
