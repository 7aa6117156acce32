"""What robust fits obey on random data."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.arrays import Floats
from service.domain.prediction import Prediction
from service.estimators.fits import LocalPolynomial, NadarayaWatson, Smoother, as_polynomial
from tests import naive, strategies
from tests.predicting import Predict
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
