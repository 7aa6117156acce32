"""What holds for the uncertainty of any linear smoother and any data."""

import time
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.engine.portions import SerialBlocks
from service.estimators.fits import Fit, Kriging, Linear
from service.estimators.uncertainty import (
    ResidualVariance,
    residual_variance,
    squared_norms,
    variance_under,
)
from tests.strategies import Sample, knns, samples, smoothers


def noise_of(sample: Sample, fit: Fit) -> ResidualVariance:
    assert not isinstance(fit, Kriging | Linear)
    rows = NativeBackend().load(sample.x, sample.y)
    return residual_variance(rows, fit, None, SerialBlocks(time.monotonic() + 60))


def norms_of(sample: Sample, fit: Fit) -> Floats:
    assert not isinstance(fit, Kriging | Linear)
    return squared_norms(NativeBackend().load(sample.x, sample.y), fit, sample.q)


@given(st.data(), samples())
def test_no_prediction_is_surer_than_the_mean_of_all_rows(
    data: st.DataObject, sample: Sample
) -> None:
    n = len(sample.x)
    norms = norms_of(sample, data.draw(st.one_of(knns(n), smoothers(n))))
    # The weights sum to 1, so that by Cauchy and Schwarz their squares sum to 1 / n or more.
    assert (norms[~np.isnan(norms)] >= (1 - 1e-9) / n).all()


@given(st.data(), samples())
def test_the_same_noise_at_all_rows_factors_out(data: st.DataObject, sample: Sample) -> None:
    fit = data.draw(st.one_of(knns(len(sample.x)), smoothers(len(sample.x))))
    assert not isinstance(fit, Kriging | Linear)
    rows = NativeBackend().load(sample.x, sample.y)
    variance = variance_under(rows, fit, sample.q, np.full(sample.y.shape, 0.25))
    expected = 0.25 * norms_of(sample, fit)[:, None] * np.ones(sample.y.shape[1])
    assert_allclose(variance, expected, rtol=1e-6)


@given(st.data(), samples(), st.floats(-100, 100), st.floats(0.1, 10))
def test_the_noise_follows_the_unit_of_the_targets(
    data: st.DataObject, sample: Sample, shift: float, factor: float
) -> None:
    fit = data.draw(smoothers(len(sample.x), max_degree=1))
    here = noise_of(sample, fit)
    there = noise_of(Sample(sample.x, shift + factor * sample.y, sample.q), fit)
    assert there.freedom == here.freedom
    if here.freedom > 1:
        assert_allclose(there.variance, factor**2 * here.variance, rtol=1e-5)


@given(st.data(), samples(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_irrelevant(
    data: st.DataObject, sample: Sample, random: Random
) -> None:
    fit = data.draw(smoothers(len(sample.x), max_degree=1))
    order = list(range(len(sample.x)))
    random.shuffle(order)
    there = Sample(sample.x[order], sample.y[order], sample.q)
    assert_allclose(norms_of(there, fit), norms_of(sample, fit), rtol=1e-6)
    here, other = noise_of(sample, fit), noise_of(there, fit)
    assert_allclose(other.trace, here.trace, rtol=1e-6)
    if here.freedom > 1:
        assert_allclose(other.freedom, here.freedom, rtol=1e-5)
