"""What robust fits obey on random data."""

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
from service.estimators import robust
from service.estimators.fits import LocalPolynomial, NadarayaWatson, Smoother, as_polynomial
from service.estimators.leave_one_out import predicted_by_others
from tests import naive, strategies
from tests.predicting import Predict, make_task, predict_here
from tests.strategies import Sample

FEW = settings(max_examples=25)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sample, Smoother]:
    """Return noisy rows, some of them far off, and a robust fit of low degree."""
    sample = draw(strategies.samples(min_rows=12, max_rows=30))
    fit = draw(strategies.smoothers(len(sample.x), max_degree=1))
    assert isinstance(fit, NadarayaWatson | LocalPolynomial)
    sample.y[:: draw(st.integers(4, 9))] += draw(st.floats(-50, 50))
    return sample, replace(fit, robust=draw(st.integers(1, 3)))


def is_settled(*predictions: Prediction) -> bool:
    """Say that no query has no support, or too little for its degree: rounding decides there."""
    return not any(
        issue.status != "extrapolated" for prediction in predictions for issue in prediction.issues
    )


def by_target(found: Prediction) -> list[Floats]:
    """Return what has the targets on the second axis."""
    assert found.deviations is not None
    assert found.intervals is not None
    assert found.gradient is not None
    parts = [found.mean, found.deviations.estimate, found.deviations.observation]
    parts += [found.intervals.lower, found.intervals.upper, found.gradient]
    return parts + (
        [] if found.slopes is None else [found.slopes.slope, found.slopes.standard_error]
    )


def obvious(sample: Sample, fit: Smoother, q: Floats, c: int) -> float | None:
    """Return the robust fit of a target at a query, fit by fit; None where some row has none."""
    line, y = as_polynomial(fit), sample.y[:, c : c + 1]
    weights = np.ones(len(y))

    def at(point: Floats) -> float:
        found = naive.local_polynomial(
            sample.x, y, point, line.kernel, line.degree,
            bandwidth=line.bandwidth, n_neighbors=line.n_neighbors, row_weights=weights,
        )  # fmt: skip
        return np.nan if found is None else float(found[0])

    for _ in range(fit.robust):
        size = np.abs(y[:, 0] - [at(row) for row in sample.x])
        scale = 6 * float(np.median(size))
        if not scale > 1e-6:
            return None
        weights = np.where(size < scale, (1 - (size / scale) ** 2) ** 2, 0.0)
    value = at(q)
    return None if np.isnan(value) else value


@FEW
@given(case=cases())
def test_it_is_the_obvious_version(
    predict_natively: Predict, case: tuple[Sample, Smoother]
) -> None:
    sample, fit = case
    got = predict_natively(sample.x, sample.y, fit, sample.q)
    at_rows = predict_natively(sample.x, sample.y, replace(fit, robust=fit.robust - 1), sample.x)
    if not is_settled(got, at_rows):
        return
    scale = 1 + np.abs(sample.y).max()
    expected = obvious(sample, fit, sample.q[0], 0)
    if expected is not None:
        assert_allclose(got.mean[0, 0], expected, rtol=1e-6, atol=1e-6 * scale)


@FEW
@given(case=cases())
def test_a_query_has_the_same_bits_alone_and_in_any_batch(
    predict_natively: Predict, case: tuple[Sample, Smoother]
) -> None:
    sample, fit = case
    together = predict_natively(sample.x, sample.y, fit, sample.q)
    in_twos = predict_natively(sample.x, sample.y, fit, sample.q, block_size=2)
    assert_array_equal(in_twos.mean, together.mean)
    for i in range(len(sample.q)):
        alone = predict_natively(sample.x, sample.y, fit, sample.q[i : i + 1])
        assert_array_equal(alone.mean[0], together.mean[i])


@FEW
@given(case=cases(), unit=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_it_follows_the_unit_of_the_targets(
    predict_natively: Predict, case: tuple[Sample, Smoother], unit: float, shift: float
) -> None:
    sample, fit = case
    here = predict_natively(sample.x, sample.y, fit, sample.q)
    there = predict_natively(sample.x, shift + unit * sample.y, fit, sample.q)
    if is_settled(here, there):
        scale = unit * (1 + np.abs(sample.y).max()) + abs(shift)
        assert_allclose(there.mean, shift + unit * here.mean, rtol=1e-6, atol=1e-6 * scale)


@FEW
@given(case=cases())
def test_its_weights_sum_to_one_and_say_the_prediction(
    predict_natively: Predict, case: tuple[Sample, Smoother]
) -> None:
    sample, fit = case
    y = sample.y[:, :1]
    got = predict_natively(sample.x, y, fit, sample.q, neighbors=True)
    listed = got.neighbors
    assert listed is not None
    for i in range(len(sample.q)):
        near = slice(listed.offsets[i], listed.offsets[i + 1])
        weights, targets = listed.weights[near], y[listed.rows[near], 0]
        if np.isnan(got.mean[i, 0]):
            assert weights.size == 0
            continue
        size = np.abs(weights)
        assert_allclose(weights.sum(), 1, rtol=1e-12, atol=1e-12 * size.sum())
        said = weights @ targets
        assert_allclose(said, got.mean[i, 0], rtol=1e-12, atol=1e-12 * (size @ np.abs(targets)))


@FEW
@given(case=cases())
def test_each_target_has_all_that_it_has_alone(case: tuple[Sample, Smoother]) -> None:
    sample, fit = case
    fit = replace(fit, kernel=Kernel.GAUSSIAN)
    has_slope = as_polynomial(fit).degree > 0
    wanted = Wanted(
        std=True, interval="conformal", slope=has_slope, gradient=True, quantiles=(0.5,)
    )

    def predicted(y: Floats) -> Prediction:
        return predict_here(make_task(sample.x, y, fit, sample.q, wanted=wanted), NativeBackend())

    together = predicted(np.column_stack([sample.y[:, 0], -(sample.y[:, 0] ** 2)]))
    alone = predicted(-(sample.y[:, :1] ** 2))
    if not is_settled(together, alone):
        return
    scale = 1 + np.square(sample.y).max()
    for one, both in zip(by_target(alone), by_target(together), strict=True):
        assert_allclose(both[:, 1], one[:, 0], rtol=1e-9, atol=1e-9 * scale)
    assert alone.quantiles is not None
    assert together.quantiles is not None
    assert_array_equal(together.quantiles.values[:, :, 1], alone.quantiles.values[:, :, 0])
    assert alone.noise is not None
    assert together.noise is not None
    assert_allclose(together.noise.scale[1], alone.noise.scale[0], rtol=1e-9)


@FEW
@given(case=cases())
def test_leave_one_out_is_the_fit_to_the_other_rows_with_their_weights(
    case: tuple[Sample, Smoother],
) -> None:
    sample, fit = case
    line, y = replace(as_polynomial(fit), robust=0), sample.y[:, :1]
    if line.n_neighbors is not None:
        line = replace(line, n_neighbors=min(line.n_neighbors, len(y) - 1))
    rows, blocks = NativeBackend().load(sample.x, y), SerialBlocks(time.monotonic() + 60)
    weights = robust.robustness_weights(rows, line, fit.robust, blocks)
    (view,) = robust.weighed(rows, weights)
    at = np.arange(0, len(y), 3)
    got, _ = predicted_by_others(view, line, at)
    for i, row in enumerate(at):
        others = np.delete(np.arange(len(y)), row)
        expected = naive.local_polynomial(
            sample.x[others], y[others], sample.x[row], line.kernel, line.degree,
            bandwidth=line.bandwidth, n_neighbors=line.n_neighbors,
            row_weights=weights[others, 0],
        )  # fmt: skip
        if expected is not None and np.isfinite(got[i, 0]):
            scale = 1 + np.abs(y).max()
            assert_allclose(got[i, 0], expected[0], rtol=1e-6, atol=1e-6 * scale)


@FEW
@given(case=cases())
def test_the_gradient_is_the_limit_of_differences(
    predict_natively: Predict, case: tuple[Sample, Smoother]
) -> None:
    sample, fit = case
    fit = replace(fit, kernel=Kernel.GAUSSIAN)
    task = make_task(sample.x, sample.y, fit, sample.q, wanted=Wanted(gradient=True))
    got = predict_here(task, NativeBackend())
    assert got.gradient is not None
    if not is_settled(got):
        return
    for j, unit in enumerate(np.eye(sample.x.shape[1])):
        slopes = []
        for step in (1e-4, 5e-5):
            ahead, behind = (
                predict_natively(sample.x, sample.y, fit, sample.q + side * step * unit).mean
                for side in (1, -1)
            )
            slopes.append((ahead - behind) / (2 * step))
        error = np.abs(slopes[0] - slopes[1])
        found = got.gradient[:, :, j]
        bound = 2 * error + 1e-6 * (1 + np.abs(slopes[1]))
        near = error < 1e-3 * (1 + np.abs(slopes[1]))  # else another row becomes the k-th
        assert (np.abs(found - slopes[1]) <= bound)[near].all()
