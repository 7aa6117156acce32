"""What holds where cells of the rows are missing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.backends.native.gaps import GappedResident
from service.domain.arrays import Floats
from service.domain.dataset import make_dataset
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.domain.prediction import Prediction
from service.estimators import local_polynomial, nadaraya_watson, neighbors
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    resolved,
)
from service.estimators.leave_one_out import leave_one_out
from tests import naive
from tests.predicting import make_task, predict_here
from tests.strategies import Sample, knns, smoothers

few = options(max_examples=30)


@st.composite
def gapped(draw: st.DrawFn) -> Sample:
    """Return rows and queries of which cells are missing, in no row all."""
    n, d, m = draw(st.integers(6, 30)), draw(st.integers(2, 4)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, q = rng.random((n, d)), rng.random((m, d))
    for points in (x, q):
        missing = rng.random(points.shape) < draw(st.floats(0.0, 0.6))
        missing[missing.all(axis=1), 0] = False
        points[missing] = np.nan
    x[0, 1] = np.nan  # one at least
    x[0, 0] = 0.5
    return Sample(x, rng.normal(size=(n, 2)), q)


def predict(
    x: Floats, y: Floats, fit: Fit, q: Floats, *, neighbors_too: bool = False
) -> Prediction:
    rows, limit = NativeBackend().load(x, y), 10**6 if neighbors_too else None
    match fit:
        case Knn():
            return neighbors.predict(rows, fit, q, neighbor_limit=limit, diagnostics=True)
        case NadarayaWatson():
            return nadaraya_watson.predict(rows, fit, q, neighbor_limit=limit, diagnostics=True)
        case LocalPolynomial():
            return local_polynomial.predict(rows, fit, q, neighbor_limit=limit, diagnostics=True)
    raise TypeError


SMOOTH_OR_NEAREST = smoothers(6, max_degree=1) | knns(6)


@given(sample=gapped(), fit=smoothers(6, max_degree=0) | knns(6))
def test_means_are_those_of_the_obvious_version(sample: Sample, fit: Fit) -> None:
    for query, got in zip(sample.q, predict(sample.x, sample.y, fit, sample.q).mean, strict=True):
        if isinstance(fit, Knn):
            found = [i for i in range(len(sample.x)) if naive.distance(sample.x[i], query) < np.inf]
            expected: Floats | None = None
            if found:
                expected = naive.knn(sample.x, sample.y, query, fit.n_neighbors, fit.weights)
        else:
            assert isinstance(fit, NadarayaWatson | LocalPolynomial)
            expected = naive.local_polynomial(
                sample.x, sample.y, query, fit.kernel, 0,
                bandwidth=fit.bandwidth, n_neighbors=fit.n_neighbors,
            )  # fmt: skip
        if expected is None:
            assert np.isnan(got).all()
        else:
            assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("degree", [1, 2])
def test_polynomials_are_those_of_the_obvious_version(kernel: Kernel, degree: int) -> None:
    rng = np.random.default_rng(degree)
    x, y, q = rng.random((200, 3)), rng.normal(size=(200, 2)), rng.random((6, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    x[np.isnan(x).all(axis=1), 0] = 0.5
    found = predict(x, y, LocalPolynomial(degree, kernel, bandwidth=0.9), q)
    assert not found.issues
    for query, got in zip(q, found.mean, strict=True):
        expected = naive.local_polynomial(x, y, query, kernel, degree, bandwidth=0.9)
        assert expected is not None
        assert_allclose(got, expected, rtol=1e-8, atol=1e-9)


@given(sample=gapped(), fit=SMOOTH_OR_NEAREST, seed=st.integers(0, 1000))
@few
def test_the_order_of_the_rows_is_irrelevant(sample: Sample, fit: Fit, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(sample.x))
    here = predict(sample.x, sample.y, fit, sample.q).mean
    there = predict(sample.x[order].copy(), sample.y[order].copy(), fit, sample.q).mean
    assert_allclose(there, here, rtol=1e-7, atol=1e-8)


@given(sample=gapped(), fit=SMOOTH_OR_NEAREST)
@few
def test_a_query_has_the_same_bits_alone_and_in_a_batch(sample: Sample, fit: Fit) -> None:
    together = predict(sample.x, sample.y, fit, sample.q).mean
    for i, got in enumerate(together):
        alone = predict(sample.x, sample.y, fit, sample.q[i : i + 1].copy()).mean[0]
        assert_array_equal(alone, got)


@given(sample=gapped(), fit=SMOOTH_OR_NEAREST)
@few
def test_the_weights_sum_to_one_and_reproduce_the_prediction(sample: Sample, fit: Fit) -> None:
    found = predict(sample.x, sample.y, fit, sample.q, neighbors_too=True)
    assert found.neighbors is not None
    for i, got in enumerate(found.mean):
        near = slice(found.neighbors.offsets[i], found.neighbors.offsets[i + 1])
        weights, rows = found.neighbors.weights[near], found.neighbors.rows[near]
        assert np.isfinite(found.neighbors.distances[near]).all()
        if np.isnan(got).any():
            assert not len(weights)
        else:
            assert_allclose(weights.sum(), 1.0, rtol=1e-9)
            assert_allclose(weights @ sample.y[rows], got, rtol=1e-9, atol=1e-9)


@given(sample=gapped(), fit=SMOOTH_OR_NEAREST)
@few
def test_leaving_a_row_out_is_fitting_without_it(sample: Sample, fit: Fit) -> None:
    n = len(sample.x)
    at = np.arange(n)
    if not isinstance(fit, Kriging | Linear) and fit.n_neighbors is not None:
        fit = replace(fit, n_neighbors=min(fit.n_neighbors, n - 1))
    got = leave_one_out(NativeBackend().load(sample.x, sample.y), fit, at)
    for i in at:
        rest = at != i
        if np.isnan(sample.x[rest]).any():
            x, y = sample.x[rest].copy(), sample.y[rest].copy()
            anew = predict(x, y, fit, sample.x[i : i + 1].copy()).mean[0]
            assert_allclose(got.prediction[i], anew, rtol=1e-6, atol=1e-7)


@given(sample=gapped(), fit=SMOOTH_OR_NEAREST, value=st.sampled_from([-3.0, 0.0, 7.5]))
@few
def test_a_constant_stays_constant(sample: Sample, fit: Fit, value: float) -> None:
    mean = predict(sample.x, np.full((len(sample.x), 1), value), fit, sample.q).mean
    assert_allclose(mean[~np.isnan(mean)], value, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 1000), kernel=st.sampled_from(Kernel), degree=st.integers(0, 3))
@few
def test_without_a_gap_it_is_what_the_tree_finds(seed: int, kernel: Kernel, degree: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, q = rng.random((300, 2)), rng.normal(size=(300, 2)), rng.random((4, 2))
    gaps, tree = GappedResident(x, y), NativeBackend().load(x, y)
    here, there = gaps.nearest(q, 9), tree.nearest(q, 9)
    assert_array_equal(here.rows, there.rows)
    assert_array_equal(here.distances, there.distances)
    h = np.full(4, 0.4)
    ours, theirs = gaps.within(q, h), tree.within(q, h)
    for name in ("offsets", "rows", "distances"):
        assert_array_equal(getattr(ours, name), getattr(theirs, name))
    nearest = None if kernel.is_compact else here.distances[:, 0].copy()
    by_gaps = gaps.moments(q, kernel, h, degree, nearest_distance=nearest)
    by_tree = tree.moments(q, kernel, h, degree, nearest_distance=nearest)
    for name in ("gram", "rhs", "weight_sq"):
        assert_allclose(getattr(by_gaps, name), getattr(by_tree, name), rtol=1e-9, atol=1e-9)
    if kernel.is_compact:
        assert_array_equal(by_gaps.count, by_tree.count)


def test_a_row_of_weight_two_is_worth_two() -> None:
    rng = np.random.default_rng(5)
    x, y, q = rng.random((40, 3)), rng.normal(size=(40, 1)), rng.random((5, 3))
    x[rng.random(x.shape) < 0.2] = np.nan
    x[np.isnan(x).all(axis=1), 0] = 0.5
    copies = rng.integers(0, 3, 40)
    weighted = NativeBackend().load(x, y, row_weights=copies.astype(np.float64))
    written = NativeBackend().load(np.repeat(x, copies, axis=0), np.repeat(y, copies, axis=0))
    fit = LocalPolynomial(1, Kernel.TRICUBE, bandwidth=1.0)
    got, expected = (
        local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False).mean
        for rows in (weighted, written)
    )
    assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("fit", "pointer"),
    [
        (Kriging(), "/fit/method"),
        (Kriging(n_neighbors=3), "/fit/method"),
        (Linear(), "/fit/method"),
        (Knn(2, metric=((1.0, 0.0), (0.0, 1.0))), "/fit/metric/matrix"),
    ],
)
def test_a_fit_that_needs_all_cells_is_refused(fit: Fit, pointer: str) -> None:
    dataset = make_dataset(np.array([[0.0, np.nan], [1.0, 1.0], [2.0, 0.0]]), np.arange(3.0))
    with pytest.raises(InvalidInput) as refused:
        resolved(fit, dataset)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_standardized_distances_are_over_the_deviations_of_the_cells_there() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 2)) * [1.0, 1000.0]
    x[::3, 1] = np.nan
    y = rng.normal(size=(50, 1))
    q = np.array([[0.1, 200.0]])
    present = x[~np.isnan(x[:, 1]), 1]
    deviation = np.array([x[:, 0].std(ddof=1), present.std(ddof=1)])
    got = predict_here(make_task(x, y, Knn(7, metric="standardized"), q), NativeBackend())
    scaled = predict_here(make_task(x / deviation, y, Knn(7), q / deviation), NativeBackend())
    assert_allclose(got.mean, scaled.mean, rtol=1e-12)
