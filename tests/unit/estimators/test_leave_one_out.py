"""Leave-one-out against the fit to the other rows, row by row."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.engine.portions import SerialBlocks
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver, solve_system
from service.estimators.leave_one_out import LeaveOneOut, leave_one_out
from tests.predicting import make_task, predict_here

SMOOTHERS = [
    smoother
    for kernel in Kernel
    for smoother in (
        NadarayaWatson(kernel, bandwidth=0.4),
        NadarayaWatson(kernel, n_neighbors=7),
        LocalPolynomial(1, kernel, bandwidth=0.8),
        LocalPolynomial(1, kernel, n_neighbors=15),
        LocalPolynomial(1, kernel, n_neighbors=12, ridge=0.1),
        LocalPolynomial(2, kernel, n_neighbors=30),
        LocalPolynomial(2, kernel, bandwidth=1.1, ridge=0.01),
    )
]
FITS: list[Fit] = [
    Knn(1),
    Knn(5),
    Knn(5, "distance"),
    *SMOOTHERS,
    Linear(),
    *(
        Kriging(kernel, 0.5, 0.03, n_neighbors=12, mean=mean)
        for kernel in Covariance
        for mean in ("zero", "constant")
    ),
]


def rows_of(d: int, n: int = 60, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    return x, np.column_stack([np.sin(4 * x).sum(axis=1), rng.normal(size=n)])


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def loo(x: Floats, y: Floats, fit: Fit, at: Rows) -> LeaveOneOut:
    return leave_one_out(NativeBackend().load(x, y), fit, at, blocks=unhurried())


def predict_natively(x: Floats, y: Floats, fit: Fit, q: Floats) -> Floats:
    return predict_here(make_task(x, y, fit, q), NativeBackend()).mean


def refitted(x: Floats, y: Floats, fit: Fit, at: Rows) -> Floats:
    return np.concatenate(
        [
            predict_natively(np.delete(x, i, axis=0), np.delete(y, i, axis=0), fit, x[i : i + 1])
            for i in at
        ]
    )


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("fit", FITS, ids=str)
def test_it_is_the_fit_without_the_row(fit: Fit, d: int) -> None:
    x, y = rows_of(d)
    at = np.arange(0, 60, 7)
    got = loo(x, y, fit, at)
    assert_allclose(got.prediction, refitted(x, y, fit, at), rtol=0, atol=1e-10)
    assert_allclose(got.residual, y[at] - got.prediction, rtol=0, atol=0)


def hat_by_differences(x: Floats, y: Floats, fit: Fit, i: int) -> float:
    """How much the prediction at row i moves when its target moves by 1."""
    moved = y.copy()
    moved[i] += 1.0
    q = x[i : i + 1]
    return float((predict_natively(x, moved, fit, q) - predict_natively(x, y, fit, q))[0, 0])


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_the_hat_diagonal_is_what_the_own_target_weighs(fit: Fit) -> None:
    x, y = rows_of(2)
    at = np.arange(0, 60, 11)
    expected = np.array([hat_by_differences(x, y, fit, int(i)) for i in at])
    assert_allclose(loo(x, y, fit, at).hat_diagonal, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "fit",
    # Elsewhere the weights of the other rows, or their ridge, depend on the row left out.
    [fit for fit in SMOOTHERS if fit.n_neighbors is None and getattr(fit, "ridge", 0.0) == 0],
    ids=str,
)
def test_with_a_fixed_bandwidth_it_follows_from_the_hat_diagonal(fit: Fit) -> None:
    x, y = rows_of(2)
    at = np.arange(60)
    got = loo(x, y, fit, at)
    determined = got.hat_diagonal < 0.9
    direct = y - predict_natively(x, y, fit, x)
    shortcut = direct / (1.0 - got.hat_diagonal[:, None])
    assert determined.any()
    assert_allclose(got.residual[determined], shortcut[determined], rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", Covariance)
def test_kriging_with_all_rows_has_the_closed_form(kernel: Covariance) -> None:
    x, y = rows_of(2)
    at, fit = np.arange(0, 60, 7), Kriging(kernel, 0.5, 0.03)
    rows = NativeBackend().load(x, y)
    blocks = SerialBlocks(time.monotonic() + 60)
    system = solve_system(rows, kernel, 0.5, 0.03, Solver.CHOLESKY, blocks)
    got = leave_one_out(rows, fit, at, system=system, blocks=blocks)
    assert_allclose(got.prediction, refitted(x, y, fit, at), rtol=0, atol=1e-10)
    assert_allclose(
        got.hat_diagonal,
        np.array([hat_by_differences(x, y, fit, int(i)) for i in at]),
        rtol=0,
        atol=1e-9,
    )
    # All other rows as the nearest are all other rows.
    nearest = leave_one_out(rows, Kriging(kernel, 0.5, 0.03, n_neighbors=59), at)
    assert got.variance is not None
    assert nearest.variance is not None
    assert_allclose(got.variance, nearest.variance, rtol=1e-9)


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.TRICUBE, Kernel.UNIFORM])
@pytest.mark.parametrize("degree", [0, 1])
@pytest.mark.parametrize("offset", [0.05, 1.0, 30.0])
def test_a_row_far_from_all_others_rests_on_them_alone(
    kernel: Kernel, degree: int, offset: float
) -> None:
    x, y = rows_of(2)
    x[13] += offset
    at = np.array([13, 14])
    fits: list[Fit] = [
        LocalPolynomial(degree, kernel, n_neighbors=9),
        LocalPolynomial(degree, kernel, bandwidth=0.5 + offset),
        # Lines would rest on two or three rows here, and all their digits be rounding.
        NadarayaWatson(kernel, bandwidth=0.5),
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.02),
    ]
    for fit in fits:
        got, expected = loo(x, y, fit, at).prediction, refitted(x, y, fit, at)
        scale = np.maximum(np.abs(expected), 1.0)
        assert_allclose(got / scale, expected / scale, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "fit",
    [
        Knn(3),
        Knn(3, "distance"),
        NadarayaWatson(Kernel.TRICUBE, n_neighbors=9),
        LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3),
        Kriging(n_neighbors=8),
    ],
    ids=str,
)
def test_of_rows_at_one_place_only_the_own_is_left_out(fit: Fit) -> None:
    x, y = rows_of(2)
    x[[3, 21, 22, 23, 24, 25]] = x[3]
    at = np.array([3, 4, 21, 25])
    assert_allclose(loo(x, y, fit, at).prediction, refitted(x, y, fit, at), rtol=0, atol=1e-10)


def test_no_other_row_in_reach_is_no_number() -> None:
    x, y = np.array([[0.0], [1.0], [1.1]]), np.array([[1.0], [2.0], [3.0]])
    got = loo(x, y, NadarayaWatson(Kernel.TRICUBE, bandwidth=0.5), np.arange(3))
    assert np.isnan(got.prediction[0, 0])
    assert_allclose(got.prediction[1:, 0], [3.0, 2.0], rtol=1e-14)
    assert_allclose(got.hat_diagonal[0], 1.0)


def test_a_plane_without_the_row_that_decides_a_direction_is_fitted_anew() -> None:
    x, y = rows_of(2)
    # Only row 7 has the third feature, and the fourth is the sum of the first two.
    x = np.column_stack([x, np.zeros(60), x.sum(axis=1)])
    x[7, 2] = 1.0
    at = np.arange(0, 60, 7)
    got = loo(x, y, Linear(), at)
    assert_allclose(got.prediction, refitted(x, y, Linear(), at), rtol=0, atol=1e-10)
    assert_allclose(got.hat_diagonal[1], 1.0)


def test_the_trace_of_a_plane_is_the_number_of_its_coefficients() -> None:
    x, y = rows_of(4)
    assert_allclose(loo(x, y, Linear(), np.arange(60)).hat_diagonal.sum(), 5.0)


def test_a_plane_without_its_only_row_is_no_number() -> None:
    x, y = rows_of(2, n=1)
    assert np.isnan(loo(x, y, Linear(), np.arange(1)).prediction).all()


@pytest.mark.parametrize(
    ("fit", "pointer"),
    [
        (Linear("gradient_descent"), "/fit/solver"),
    ],
    ids=str,
)
def test_fits_without_weights_of_rows_are_refused(fit: Fit, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        loo(*rows_of(1), fit, np.arange(5))
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_as_many_neighbours_as_rows_are_refused() -> None:
    x, y = rows_of(1, n=5)
    with pytest.raises(InvalidInput, match="only 4 are left"):
        loo(x, y, Knn(5), np.arange(5))


GROUPS = np.repeat(np.arange(20), 3)


def without_group(x: Floats, y: Floats, fit: Fit, at: Rows) -> Floats:
    kept = [GROUPS != GROUPS[i] for i in at]
    return np.concatenate(
        [
            predict_natively(x[rows], y[rows], fit, x[i : i + 1])
            for i, rows in zip(at, kept, strict=True)
        ]
    )


@pytest.mark.parametrize("fit", FITS, ids=str)
def test_with_groups_it_is_the_fit_without_the_group(fit: Fit) -> None:
    x, y = rows_of(2)
    x[1::3] = x[::3] + 0.01
    at = np.arange(0, 60, 7)
    got = leave_one_out(NativeBackend().load(x, y), fit, at, groups=GROUPS, blocks=unhurried())
    assert_allclose(got.prediction, without_group(x, y, fit, at), rtol=0, atol=1e-10)


def test_kriging_with_all_rows_leaves_groups_out_in_closed_form() -> None:
    x, y = rows_of(2)
    at, fit = np.arange(0, 60, 7), Kriging(Covariance.MATERN32, 0.5, 0.03)
    rows = NativeBackend().load(x, y)
    blocks = SerialBlocks(time.monotonic() + 60)
    system = solve_system(rows, fit.kernel, 0.5, 0.03, Solver.CHOLESKY, blocks)
    got = leave_one_out(rows, fit, at, groups=GROUPS, system=system, blocks=blocks)
    assert_allclose(got.prediction, without_group(x, y, fit, at), rtol=0, atol=1e-10)
    nearest = Kriging(Covariance.MATERN32, 0.5, 0.03, n_neighbors=57)
    expected = leave_one_out(rows, nearest, at, groups=GROUPS).variance
    assert got.variance is not None
    assert expected is not None
    assert_allclose(got.variance, expected, rtol=1e-9)
