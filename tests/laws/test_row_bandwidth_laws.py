"""What fits with a bandwidth for each row obey on random data."""

import time
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Kernel
from service.domain.prediction import Prediction, Wanted
from service.engine.portions import SerialBlocks
from service.estimators.fits import LocalPolynomial
from service.estimators.leave_one_out import predicted_by_others
from service.estimators.row_bandwidths import Spreading, spread_of
from tests import naive, strategies
from tests.predicting import Predict, make_task, predict_here
from tests.strategies import Sample

FEW = settings(max_examples=40)


@st.composite
def cases(draw: st.DrawFn, max_degree: int = 2) -> tuple[Sample, LocalPolynomial]:
    """Return random rows, and a fit of low degree whose rows reach many others."""
    sample = draw(strategies.samples(min_rows=14, max_rows=30, max_d=2))
    k = draw(st.integers(6, len(sample.x) - 2))
    kernel, degree = draw(st.sampled_from(Kernel)), draw(st.integers(0, max_degree))
    return sample, LocalPolynomial(degree, kernel, n_neighbors=k, bandwidth_at="row")


def bandwidths(x: Floats, k: int) -> Floats:
    """Return the distance of each row to its k-th nearest other row."""
    return np.array([sorted(naive.distance(row, other) for other in x)[k] for row in x])


def is_settled(*predictions: Prediction) -> bool:
    """Say that every query has the support that its degree needs: else rounding decides."""
    return not any(issue.status != "extrapolated" for each in predictions for issue in each.issues)


def spreading(sample: Sample, k: int) -> Spreading:
    rows = NativeBackend().load(sample.x, sample.y)
    return Spreading(rows, spread_of(rows, k, SerialBlocks(time.monotonic() + 60)))


@FEW
@given(case=cases())
def test_it_is_the_obvious_version_and_its_weights_say_so(
    predict_natively: Predict, case: tuple[Sample, LocalPolynomial]
) -> None:
    sample, fit = case
    got = predict_natively(sample.x, sample.y, fit, sample.q, neighbors=True, diagnostics=True)
    listed, told = got.neighbors, got.diagnostics
    assert listed is not None
    assert told is not None
    assert np.isnan(told.bandwidth).all()
    for i, q in enumerate(sample.q):
        near = slice(listed.offsets[i], listed.offsets[i + 1])
        if near.start == near.stop:
            assert np.isnan(got.mean[i]).all()
            continue
        weights, y = listed.weights[near], sample.y[listed.rows[near]]
        scale = float(np.abs(weights) @ np.abs(y).max(axis=1))
        assert_allclose(weights.sum(), 1, rtol=1e-12, atol=1e-12 * np.abs(weights).sum())
        assert_allclose(weights @ y, got.mean[i], rtol=1e-12, atol=1e-12 * scale)
        if told.degree[i] == fit.degree and told.support[i] >= 12:
            expected = naive.local_polynomial(
                sample.x, sample.y, q, fit.kernel, fit.degree,
                row_bandwidths=bandwidths(sample.x, fit.n_neighbors or 0),
            )  # fmt: skip
            assert expected is not None
            assert_allclose(got.mean[i], expected, rtol=1e-7, atol=1e-7 * scale)


@FEW
@given(case=cases(max_degree=1))
def test_leave_one_out_is_the_fit_to_the_other_rows(
    predict_natively: Predict, case: tuple[Sample, LocalPolynomial]
) -> None:
    sample, fit = case
    k = min(fit.n_neighbors or 0, len(sample.x) - 3)
    fit = replace(fit, n_neighbors=k)
    at = np.arange(0, len(sample.x), 4)
    got, _ = predicted_by_others(spreading(sample, k), fit, at)
    for i, row in enumerate(at):
        x, y = np.delete(sample.x, row, axis=0), np.delete(sample.y, row, axis=0)
        anew = predict_natively(x, y, fit, sample.x[row : row + 1], diagnostics=True)
        assert anew.diagnostics is not None
        if anew.diagnostics.support[0] >= 8 * (1 + fit.degree):  # else rounding may be all there is
            scale = 1 + np.abs(anew.mean).max()
            assert_allclose(got[i], anew.mean[0], rtol=1e-9, atol=1e-9 * scale)


@FEW
@given(case=cases())
def test_a_query_has_the_same_bits_alone_and_in_any_batch(
    case: tuple[Sample, LocalPolynomial],
) -> None:
    sample, fit = case
    wanted = Wanted(std=True, slope=fit.degree > 0, gradient=fit.kernel is not Kernel.UNIFORM)

    def predicted(q: Floats, block_size: int) -> Prediction:
        task = make_task(sample.x, sample.y, fit, q, wanted=wanted, block_size=block_size)
        return predict_here(task, NativeBackend())

    together = predicted(sample.q, 1000)
    assert together.deviations is not None
    for i in range(len(sample.q)):
        alone = predicted(sample.q[i : i + 1], 1)
        assert_array_equal(alone.mean[0], together.mean[i])
        assert alone.deviations is not None
        assert_array_equal(alone.deviations.estimate[0], together.deviations.estimate[i])
        if wanted.gradient:
            assert alone.gradient is not None
            assert together.gradient is not None
            assert_array_equal(alone.gradient[0], together.gradient[i])
        if wanted.slope:
            assert alone.slopes is not None
            assert together.slopes is not None
            assert_array_equal(alone.slopes.slope[0], together.slopes.slope[i])
            error = together.slopes.standard_error[i]
            assert_array_equal(alone.slopes.standard_error[0], error)


@FEW
@given(
    case=cases(max_degree=1),
    kernel=st.sampled_from([Kernel.GAUSSIAN, Kernel.TRICUBE, Kernel.BIWEIGHT, Kernel.TRIWEIGHT]),
    ridge=st.sampled_from([0.0, 0.3]),
)
def test_the_gradient_is_the_limit_of_differences(
    predict_natively: Predict, case: tuple[Sample, LocalPolynomial], kernel: Kernel, ridge: float
) -> None:
    """Where differences of two steps agree, since rows come into reach between others."""
    sample, fit = case
    fit = replace(fit, kernel=kernel, ridge=ridge)
    task = make_task(sample.x, sample.y, fit, sample.q, wanted=Wanted(gradient=True))
    got = predict_here(task, NativeBackend())
    assert got.gradient is not None
    if not is_settled(got):
        return
    for j, unit in enumerate(np.eye(sample.x.shape[1])):
        slopes = []
        for step in (1e-4, 5e-5):
            sides = [
                predict_natively(sample.x, sample.y, fit, sample.q + side * step * unit)
                for side in (1, -1)
            ]
            if not is_settled(*sides):
                return
            slopes.append((sides[0].mean - sides[1].mean) / (2 * step))
        error = np.abs(slopes[0] - slopes[1])
        found = got.gradient[:, :, j]
        assert (np.abs(found - slopes[1]) <= 2 * error + 1e-5 * (1 + np.abs(slopes[1]))).all()


@FEW
@given(case=cases(max_degree=1), shift=st.floats(-100, 100), unit=st.floats(1e-3, 1e3))
def test_moving_and_stretching_rows_and_queries_together_changes_nothing(
    predict_natively: Predict, case: tuple[Sample, LocalPolynomial], shift: float, unit: float
) -> None:
    sample, fit = case
    if fit.kernel is Kernel.UNIFORM:  # whose weights jump at the edge
        fit = replace(fit, kernel=Kernel.EPANECHNIKOV)
    here = predict_natively(sample.x, sample.y, fit, sample.q, diagnostics=True)
    there = predict_natively(shift + unit * sample.x, sample.y, fit, shift + unit * sample.q)
    assert here.diagnostics is not None
    settled = here.diagnostics.support >= 8 * (1 + fit.degree)
    # Beside the shift the rows may lose 5 digits.
    scale = 1 + np.abs(here.mean[settled]).max(initial=0.0)
    assert_allclose(there.mean[settled], here.mean[settled], rtol=1e-6, atol=1e-6 * scale)
