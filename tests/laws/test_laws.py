"""The laws that every method obeys, on random data and on every backend."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Prediction, Status
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from tests import naive, strategies
from tests.predicting import Predict
from tests.strategies import Sample


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sample, Fit]:
    sample = draw(strategies.samples())
    return sample, draw(strategies.fits(len(sample.x)))


@st.composite
def smoother_cases(draw: st.DrawFn) -> tuple[Sample, Fit]:
    sample = draw(strategies.samples())
    return sample, draw(strategies.smoothers(len(sample.x)))


def settled(prediction: Prediction) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where a query has no issue but extrapolation: there, rounding decides nothing."""
    mask = np.ones(len(prediction.mean), dtype=np.bool_)
    for issue in prediction.issues:
        if issue.status is not Status.EXTRAPOLATED:
            mask[issue.queries] = False
    return mask


def tolerance(fit: Fit) -> float:
    """What rounding may make of a value of size 1; near-singular quadratics lose more."""
    return 1e-6 if isinstance(fit, LocalPolynomial) and fit.degree == 2 else 1e-8


def obvious(sample: Sample, fit: Fit, q: Floats) -> Floats | None:
    x, y = sample.x, sample.y
    match fit:
        case Knn():
            return naive.knn(x, y, q, fit.n_neighbors, fit.weights)
        case Kriging():
            return naive.kriging(x, y, q, fit.kernel, fit.length_scale, fit.alpha, fit.n_neighbors)
        case Linear():
            return naive.linear(x, y, q)
        case NadarayaWatson() | LocalPolynomial():
            degree = fit.degree if isinstance(fit, LocalPolynomial) else 0
            return naive.local_polynomial(
                x, y, q, fit.kernel, degree, bandwidth=fit.bandwidth, n_neighbors=fit.n_neighbors
            )


@given(case=cases())
def test_every_method_equals_its_obvious_version(
    predict: Predict, case: tuple[Sample, Fit]
) -> None:
    sample, fit = case
    got = predict(sample.x, sample.y, fit, sample.q)
    for i in np.flatnonzero(settled(got)):
        expected = obvious(sample, fit, sample.q[i])
        assert expected is not None
        scale = 1 + np.abs(sample.y).max()
        assert_allclose(got.mean[i], expected, rtol=tolerance(fit), atol=tolerance(fit) * scale)


@given(case=cases(), seed=st.integers(0, 1000))
def test_the_order_of_rows_is_irrelevant(
    predict: Predict, case: tuple[Sample, Fit], seed: int
) -> None:
    sample, fit = case
    order = np.random.default_rng(seed).permutation(len(sample.x))
    here = predict(sample.x, sample.y, fit, sample.q)
    there = predict(sample.x[order], sample.y[order], fit, sample.q)
    keep = settled(here) & settled(there)
    assert_allclose(there.mean[keep], here.mean[keep], rtol=tolerance(fit), atol=tolerance(fit))


@given(case=cases(), shift=st.integers(-64, 64))
def test_moving_rows_and_queries_together_changes_nothing(
    predict: Predict, case: tuple[Sample, Fit], shift: int
) -> None:
    sample, fit = case
    here = predict(sample.x, sample.y, fit, sample.q)
    there = predict(sample.x + shift, sample.y, fit, sample.q + shift)
    keep = settled(here) & settled(there)
    assert_allclose(there.mean[keep], here.mean[keep], rtol=1e-6, atol=1e-6)


@given(case=smoother_cases(), constant=st.floats(-1e3, 1e3))
def test_a_constant_stays_constant(
    predict: Predict, case: tuple[Sample, Fit], constant: float
) -> None:
    sample, fit = case
    got = predict(sample.x, np.full((len(sample.x), 1), constant), fit, sample.q)
    supported = ~np.isnan(got.mean[:, 0])
    assert_allclose(got.mean[supported], constant, rtol=1e-9, atol=1e-9)


@given(sample=strategies.samples(min_rows=20), data=st.data(), degree=st.integers(1, 2))
def test_a_polynomial_of_the_degree_is_reproduced(
    predict: Predict, sample: Sample, data: st.DataObject, degree: int
) -> None:
    d = sample.x.shape[1]
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    linear, quadratic = rng.normal(size=d), rng.normal(size=(d, d)) * (degree == 2)

    def surface(x: Floats) -> Floats:
        values = 1 + x @ linear + np.einsum("ia,ab,ib->i", x, quadratic, x)
        return np.asarray(values[:, None])

    fit = LocalPolynomial(
        degree, data.draw(st.sampled_from(Kernel)), bandwidth=data.draw(st.floats(0.8, 2.0))
    )
    got = predict(sample.x, surface(sample.x), fit, sample.q)
    keep = settled(got)
    assert_allclose(got.mean[keep], surface(sample.q)[keep], rtol=1e-6, atol=1e-6)


@given(case=cases())
def test_the_weights_reproduce_the_prediction(predict: Predict, case: tuple[Sample, Fit]) -> None:
    sample, fit = case
    got = predict(sample.x, sample.y, fit, sample.q, neighbors=True)
    listed = got.neighbors
    assert listed is not None
    for i, mean in enumerate(got.mean):
        entries = slice(listed.offsets[i], listed.offsets[i + 1])
        rows, weights = listed.rows[entries], listed.weights[entries]
        if np.isnan(mean).any():
            assert rows.size == 0
            continue
        scale = float(np.abs(weights) @ np.abs(sample.y[rows]).max(axis=1))
        assert_allclose(weights @ sample.y[rows], mean, rtol=0, atol=1e-12 * max(scale, 1e-300))
        assert_array_equal(np.lexsort((rows, listed.distances[entries])), np.arange(len(rows)))
        if not isinstance(fit, Kriging):
            assert_allclose(weights.sum(), 1, rtol=0, atol=1e-12 * np.abs(weights).sum())


@given(
    sample=strategies.samples(),
    kernel=st.sampled_from(Covariance),
    length_scale=st.floats(0.02, 0.1),
)
def test_kriging_without_noise_passes_through_the_rows(
    predict: Predict, sample: Sample, kernel: Covariance, length_scale: float
) -> None:
    got = predict(sample.x, sample.y, Kriging(kernel, length_scale, 0.0), sample.x)
    assume(all(issue.status is not Status.NOT_CONVERGED for issue in got.issues))
    assume(got.solve is not None and got.solve.jitter == 0)
    assert_allclose(got.mean, sample.y, rtol=1e-5, atol=1e-5)


@given(case=smoother_cases(), doubled=st.integers(0, 5))
def test_a_row_that_stands_twice_has_twice_the_weight(
    predict: Predict, case: tuple[Sample, Fit], doubled: int
) -> None:
    sample, fit = case
    assert isinstance(fit, NadarayaWatson | LocalPolynomial)
    assume(fit.bandwidth is not None)
    twice = [*range(len(sample.x)), doubled]
    got = predict(sample.x[twice], sample.y[twice], fit, sample.q)
    row_weights = np.ones(len(sample.x))
    row_weights[doubled] = 2
    degree = fit.degree if isinstance(fit, LocalPolynomial) else 0
    for i in np.flatnonzero(settled(got)):
        expected = naive.local_polynomial(
            sample.x, sample.y, sample.q[i], fit.kernel, degree,
            bandwidth=fit.bandwidth, row_weights=row_weights,
        )  # fmt: skip
        assert expected is not None
        atol = tolerance(fit) * (1 + np.abs(sample.y).max())
        assert_allclose(got.mean[i], expected, rtol=tolerance(fit), atol=atol)


@given(case=cases())
def test_a_query_has_the_same_bits_alone_and_in_any_batch(
    predict: Predict, case: tuple[Sample, Fit]
) -> None:
    sample, fit = case
    together = predict(sample.x, sample.y, fit, sample.q)
    in_twos = predict(sample.x, sample.y, fit, sample.q, block_size=2)
    assert_array_equal(in_twos.mean, together.mean)
    for i in range(len(sample.q)):
        alone = predict(sample.x, sample.y, fit, sample.q[i : i + 1])
        assert_array_equal(alone.mean[0], together.mean[i])
