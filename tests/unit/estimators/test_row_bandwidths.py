"""Bandwidths of the rows: rows at one place, far from all, of weight 0, or without cells."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import make_dataset
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.domain.kernels import Kernel
from service.domain.prediction import Prediction, Status, Wanted
from service.engine.portions import SerialBlocks
from service.estimators.fits import LocalPolynomial, NadarayaWatson, resolved
from service.estimators.leave_one_out import hat_diagonal, predicted_by_others
from service.estimators.local_polynomial import predict
from service.estimators.row_bandwidths import Spreading, spread_of
from service.estimators.uncertainty import residual_variance, squared_norms
from tests import naive
from tests.predicting import make_task, predict_here

MEAN = NadarayaWatson(Kernel.TRICUBE, n_neighbors=2, bandwidth_at="row")


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def predicted(x: Floats, y: Floats, fit: NadarayaWatson, q: Floats) -> Prediction:
    wanted = Wanted(neighbor_limit=1000, diagnostics=True, gradient=True)
    return predict_here(make_task(x, y, fit, q, wanted=wanted), NativeBackend())


def column(values: list[float]) -> Floats:
    return np.array(values)[:, None]


def test_each_row_reaches_to_its_kth_nearest_other_row() -> None:
    rows = NativeBackend().load(column([0.0, 1.0, 3.0, 7.0, 7.0]), np.zeros((5, 1)))
    spread = spread_of(rows, 2, unhurried())
    assert spread.bandwidth.tolist() == [3, 2, 3, 4, 4]
    assert spread.wider.tolist() == [7, 6, 4, 6, 6]
    assert spread.typical == 3


def test_a_row_with_k_others_at_its_place_counts_there_only() -> None:
    x, y = column([0.0, 0.0, 0.0, 4.0, 6.0, 9.0]), column([1.0, 2.0, 6.0, 10.0, 10.0, 10.0])
    got = predicted(x, y, MEAN, column([0.0, 5e-9, 5.0, 50.0]))
    assert got.neighbors is not None
    assert got.diagnostics is not None
    # The row at 4 reaches 4 far: at 0 it lies at the very edge.
    assert_allclose(got.mean[0], 3)
    assert got.neighbors.rows[: got.neighbors.offsets[1]].tolist() == [0, 1, 2]
    assert_allclose(got.mean[1], 10)  # beside them, only the row at 4 is heard
    assert_allclose(got.mean[2], 10)
    assert np.isnan(got.mean[3, 0])
    assert got.diagnostics.support[3] == 0
    assert [issue.status for issue in got.issues if 3 in issue.queries] == [Status.NO_SUPPORT]
    assert got.gradient is not None
    assert np.isfinite(got.gradient[:3]).all()
    assert np.isnan(got.gradient[3]).all()


def test_where_all_rows_are_at_one_place_they_are_heard_there_only() -> None:
    x, y = np.full((5, 2), 3.0), column([1.0, 2.0, 3.0, 4.0, 5.0])
    for kernel in Kernel:
        fit = LocalPolynomial(0, kernel, n_neighbors=2, bandwidth_at="row")
        rows = NativeBackend().load(x, y)
        got = predict(
            Spreading(rows, spread_of(rows, 2, unhurried())), fit,
            np.array([[3.0, 3.0], [3.0, 4.0]]), neighbor_limit=None, diagnostics=False,
        )  # fmt: skip
        assert_allclose(got.mean[0], 3)
        assert np.isnan(got.mean[1, 0])
        assert [issue.status for issue in got.issues] == [Status.NO_SUPPORT]


def test_a_gaussian_far_from_all_rows_rests_on_the_one_that_reaches_furthest() -> None:
    x, y = column([0.0, 0.1, 0.2, 0.3, 9.0]), column([1.0, 1.0, 1.0, 1.0, 5.0])
    fit = NadarayaWatson(Kernel.GAUSSIAN, n_neighbors=2, bandwidth_at="row")
    got = predicted(x, y, fit, column([1e6]))
    assert_allclose(got.mean, 5, rtol=1e-12)
    assert [issue.status for issue in got.issues] == [Status.EXTRAPOLATED]


@pytest.mark.parametrize("kernel", [Kernel.GAUSSIAN, Kernel.EPANECHNIKOV])
def test_weights_of_the_rows_multiply_and_do_not_change_who_is_near(kernel: Kernel) -> None:
    rng = np.random.default_rng(1)
    x, y, p = rng.random((30, 2)), rng.normal(size=(30, 1)), rng.integers(0, 3, 30).astype(float)
    rows = NativeBackend().load(x, y, row_weights=p)
    view = Spreading(rows, spread_of(rows, 12, unhurried()))
    fit = LocalPolynomial(1, kernel, n_neighbors=12, bandwidth_at="row")
    q = rng.random((5, 2))
    got = predict(view, fit, q, neighbor_limit=1000, diagnostics=False)
    h = np.array([sorted(naive.distance(a, b) for b in x)[12] for a in x])
    for i, point in enumerate(q):
        expected = naive.local_polynomial(x, y, point, kernel, 1, row_bandwidths=h, row_weights=p)
        assert expected is not None
        assert_allclose(got.mean[i], expected, rtol=1e-8)
    assert got.neighbors is not None
    assert (p[got.neighbors.rows] > 0).all()


def test_hat_diagonal_norms_and_trace_are_those_of_the_listed_weights() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.random((40, 2)), rng.normal(size=(40, 1))
    rows = NativeBackend().load(x, y)
    view = Spreading(rows, spread_of(rows, 15, unhurried()))
    for kernel in (Kernel.GAUSSIAN, Kernel.TRICUBE):
        fit = LocalPolynomial(1, kernel, n_neighbors=15, bandwidth_at="row")
        hat = np.zeros((40, 40))
        listed = predict(view, fit, x, neighbor_limit=2000, diagnostics=False).neighbors
        assert listed is not None
        for i in range(40):
            near = slice(listed.offsets[i], listed.offsets[i + 1])
            hat[i, listed.rows[near]] = listed.weights[near]
        assert_allclose(hat_diagonal(view, fit, np.arange(40)), np.diag(hat), rtol=1e-9)
        assert_allclose(squared_norms(view, fit, x), np.square(hat).sum(axis=1), rtol=1e-9)
        rest = np.eye(40) - hat
        sigma_sq = np.sum((rest @ y) ** 2) / np.trace(rest @ rest.T)
        assert_allclose(residual_variance(view, fit, None, unhurried()).variance, sigma_sq)


def test_rows_that_lack_cells_are_as_far_as_the_others_say() -> None:
    x = np.array([[0.0, 0.0], [1.0, np.nan], [2.0, 1.0], [np.nan, 2.0], [4.0, 3.0], [5.0, 2.0]])
    y = column([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rows, q = NativeBackend().load(x, y), np.array([[1.5, 1.0]])
    view = Spreading(rows, spread_of(rows, 3, unhurried()))
    apart = rows.nearest(q, 6)
    u = apart.distances[0] / view.spread.bandwidth[apart.rows[0]]
    w = np.clip(1 - u * u, 0, None)
    fit = LocalPolynomial(0, Kernel.EPANECHNIKOV, n_neighbors=3, bandwidth_at="row")
    got = predict(view, fit, q, neighbor_limit=None, diagnostics=False)
    assert_allclose(got.mean[0], w @ y[apart.rows[0], 0] / w.sum(), rtol=1e-12)


def test_what_cannot_be_is_refused() -> None:
    dataset = make_dataset(np.arange(6.0)[:, None], np.zeros((6, 1)))
    most = NadarayaWatson(n_neighbors=4, bandwidth_at="row")
    assert resolved(most, dataset) == most
    with pytest.raises(InvalidInput, match="6 rows allow 4") as refused:
        resolved(NadarayaWatson(n_neighbors=5, bandwidth_at="row"), dataset)
    assert [fault.pointer for fault in refused.value.faults] == ["/fit/n_neighbors"]
    rows = NativeBackend().load(dataset.x, dataset.y)
    view = Spreading(rows, spread_of(rows, 4, unhurried()))
    with pytest.raises(InvalidInput, match="leave the groups out"):
        predicted_by_others(view, most, np.arange(6), np.array([0, 0, 1, 1, 2, 2]))
    with pytest.raises(TypeError, match="smoothers"):
        view.single_products("gaussian", 1.0)  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded):
        spread_of(rows, 2, SerialBlocks(time.monotonic() - 1))


def test_a_view_shares_its_rows() -> None:
    rows = NativeBackend().load(np.arange(6.0)[:, None], np.zeros((6, 1)))
    view = Spreading(rows, spread_of(rows, 2, unhurried()))
    assert view.nbytes == 2 * 6 * 8
    assert_array_equal(view.within(column([2.0]), np.array([1.0])).rows, [2, 1, 3])
    again = view.reweighted(np.arange(6.0))
    assert again.row_weights is not None
    assert again.spread is view.spread
