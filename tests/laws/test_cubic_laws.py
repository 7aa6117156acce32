"""What holds for local polynomials of degree 3, which only the native engine computes."""

import numpy as np
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Kernel
from service.domain.prediction import Prediction
from service.estimators import local_polynomial
from service.estimators.fits import LocalPolynomial
from service.estimators.gradients import gradient
from service.estimators.leave_one_out import leave_one_out
from tests import naive

few = options(max_examples=30)

FITS = st.builds(
    LocalPolynomial,
    st.just(3),
    st.sampled_from(Kernel),
    bandwidth=st.floats(0.8, 2.0),
) | st.builds(
    LocalPolynomial,
    st.just(3),
    st.sampled_from([kernel for kernel in Kernel if kernel is not Kernel.UNIFORM]),
    n_neighbors=st.integers(40, 60),
)
"""Of wide reach, so that the rows determine the cubics."""

SAMPLES = st.tuples(st.integers(1, 3), st.integers(0, 1000))


def sample(d: int, seed: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.random((60, d)), rng.normal(size=(60, 2)), rng.random((5, d))


def predict(
    x: Floats, y: Floats, fit: LocalPolynomial, q: Floats, *, neighbors: bool = False
) -> Prediction:
    rows = NativeBackend().load(x, y, Search.TREE)
    limit = 10**6 if neighbors else None
    return local_polynomial.predict(rows, fit, q, neighbor_limit=limit, diagnostics=True)


def settled(found: Prediction) -> Rows:
    """Return the queries whose rows determine the cubics, well inside."""
    assert found.diagnostics is not None
    return np.flatnonzero((found.diagnostics.degree == 3) & (found.diagnostics.support >= 40))


@given(case=SAMPLES, fit=FITS)
@few
def test_it_is_the_fit_of_least_squares(case: tuple[int, int], fit: LocalPolynomial) -> None:
    x, y, q = sample(*case)
    got = predict(x, y, fit, q)
    for i in settled(got):
        expected = naive.local_polynomial(
            x, y, q[i], fit.kernel, 3, bandwidth=fit.bandwidth, n_neighbors=fit.n_neighbors
        )
        assert expected is not None
        assert_allclose(got.mean[i], expected, rtol=1e-8, atol=1e-8)


@given(case=SAMPLES, fit=FITS)
@few
def test_a_cubic_is_reproduced(case: tuple[int, int], fit: LocalPolynomial) -> None:
    x, _, q = sample(*case)
    rng = np.random.default_rng(case[1])
    a, b, c = (rng.normal(size=(3, x.shape[1])) for _ in range(3))

    def surface(points: Floats) -> Floats:
        """Return products of three lines: cubics with all cross terms."""
        lines = (1 + points @ part.T for part in (a, b, c))
        return np.asarray(np.prod(list(lines), axis=0))

    got = predict(x, surface(x), fit, q)
    keep = settled(got)
    assert_allclose(got.mean[keep], surface(q)[keep], rtol=1e-8, atol=1e-8)


@given(case=SAMPLES, fit=FITS)
@few
def test_the_weights_reproduce_the_prediction(case: tuple[int, int], fit: LocalPolynomial) -> None:
    x, y, q = sample(*case)
    got = predict(x, y, fit, q, neighbors=True)
    listed = got.neighbors
    assert listed is not None
    for i in settled(got):
        part = slice(listed.offsets[i], listed.offsets[i + 1])
        weights = listed.weights[part]
        assert_allclose(weights.sum(), 1.0, rtol=1e-9)
        size = np.abs(weights).sum()
        assert_allclose(weights @ y[listed.rows[part]], got.mean[i], atol=1e-9 * size)


@given(case=SAMPLES, fit=FITS)
@few
def test_the_same_bits_alone_and_together(case: tuple[int, int], fit: LocalPolynomial) -> None:
    x, y, q = sample(*case)
    together = predict(x, y, fit, q).mean
    alone = [predict(x, y, fit, q[i : i + 1]).mean for i in range(len(q))]
    assert_array_equal(together, np.concatenate(alone))


@given(case=SAMPLES, ridge=st.sampled_from([0.0, 0.1]))
@options(max_examples=15)
def test_leave_one_out_is_the_refit_without_the_row(case: tuple[int, int], ridge: float) -> None:
    x, y, _ = sample(*case)
    fit = LocalPolynomial(3, Kernel.TRICUBE, bandwidth=2.0, ridge=ridge)
    at = np.array([0, 17, 59])
    found = leave_one_out(NativeBackend().load(x, y, Search.TREE), fit, at)
    for i, row in enumerate(at):
        rest = np.delete(np.arange(60), row)
        refit = predict(x[rest], y[rest], fit, x[row : row + 1])
        assert_allclose(found.prediction[i], refit.mean[0], rtol=1e-7, atol=1e-7)


@given(case=SAMPLES, kernel=st.sampled_from([Kernel.GAUSSIAN, Kernel.TRICUBE]))
@options(max_examples=15)
def test_the_gradient_is_the_central_difference(case: tuple[int, int], kernel: Kernel) -> None:
    x, y, q = sample(*case)
    fit = LocalPolynomial(3, kernel, bandwidth=1.9)
    got = gradient(NativeBackend().load(x, y, Search.TREE), fit, q)
    step = 1e-4
    for j in range(x.shape[1]):
        move = np.zeros(x.shape[1])
        move[j] = step
        ahead, behind = predict(x, y, fit, q + move), predict(x, y, fit, q - move)
        expected = (ahead.mean - behind.mean) / (2 * step)
        scale = 1 + np.abs(expected).max()
        assert_allclose(got.gradient[:, :, j], expected, atol=1e-5 * scale)
