"""Weights of rows on their way through the engine."""

import os
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.domain.prediction import Wanted
from service.engine.plan import choose
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers import messages
from service.engine.workers.base import Task
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.judging import Judge
from service.estimators.leave_one_out import leave_one_out
from service.estimators.selection import Selector, select

RNG = np.random.default_rng(3)
X = RNG.random((40, 2))
Y = np.column_stack([np.sin(4 * X[:, 0]), X[:, 1] + RNG.normal(size=40)])
P = np.where(np.arange(40) % 8 == 0, 0.0, 0.5 + RNG.random(40))
PLANE = LocalPolynomial(1, n_neighbors=20)
MEAN = NadarayaWatson(Kernel.TRICUBE, n_neighbors=20)


def unhurried() -> SerialBlocks:
    return SerialBlocks(time.monotonic() + 60)


def judge(p: Floats | None, x: Floats = X, y: Floats = Y) -> Judge:
    def load(z: Floats) -> Resident:
        return NativeBackend().load(z, y, row_weights=p)

    return Judge(x, y, load, unhurried(), row_weights=p, seconds=60)


def planned(fit: Fit, backend: str, *, has_weights: bool) -> tuple[str, str]:
    plan = choose(
        fit, n=1000, m=10, d=3, t=1, backend=backend, device="cpu", cores=2, has_weights=has_weights
    )
    return plan.backend, plan.reasons[0]


def test_keops_does_not_serve_rows_with_weights() -> None:
    assert planned(Knn(5), "keops", has_weights=False)[0] == "keops"
    backend, reason = planned(Knn(5), "keops", has_weights=True)
    assert backend == "native"
    assert "weights of the rows" in reason


def test_weights_travel_to_a_process() -> None:
    for dataset in (make_dataset(X, Y, row_weights=P), make_dataset(X, Y)):
        descriptor = messages.numbers_of(dataset)
        try:
            got = messages.with_rows(messages.without_rows(dataset), len(X), descriptor)
        finally:
            os.close(descriptor)
        assert_array_equal(got.x, X)
        assert_array_equal(got.y, Y)
        if dataset.row_weights is None:
            assert got.row_weights is None
        else:
            assert got.row_weights is not None
            assert_array_equal(got.row_weights, P)


def answered(dataset: Dataset, fit: Fit, cache: PreparedCache) -> Floats:
    plan = choose(fit, n=dataset.n_rows, m=5, d=2, t=2, backend="native", device="cpu", cores=2)
    task = Task(dataset, fit, X[:5] + 0.01, plan, Wanted())
    return run_task(task, NativeBackend(), cache.lease(), unhurried()).mean


def test_what_was_prepared_of_an_earlier_version_keeps_no_weights() -> None:
    cache = PreparedCache(10**8)
    first = make_dataset(X[:30], Y[:30], row_weights=P[:30])
    object.__setattr__(first, "id", "ds_1")
    answered(first, PLANE, cache)
    grown = first.appended(X[30:], Y[30:], P[30:])
    fresh = answered(make_dataset(X, Y, row_weights=P), PLANE, PreparedCache(10**8))
    assert_allclose(answered(grown, PLANE, cache), fresh, rtol=1e-12)


def test_an_append_without_weights_is_refused_and_one_of_zeros_is_not() -> None:
    dataset = make_dataset(X, Y, row_weights=P)
    with pytest.raises(InvalidInput, match="send weights"):
        dataset.appended(X[:2], Y[:2])
    grown = dataset.appended(X[:2], Y[:2], np.zeros(2))
    assert grown.row_weights is not None
    assert_array_equal(grown.row_weights, [*P, 0.0, 0.0])
    assert grown.digest != dataset.digest
    assert grown.nbytes == 42 * 8 * 5


@pytest.mark.parametrize(
    "fit", [Knn(6), PLANE, Kriging(alpha=0.3, n_neighbors=12), Linear()], ids=repr
)
def test_the_search_judges_by_weighted_errors(fit: Fit) -> None:
    found = judge(P).score(fit, "grid")
    counts = np.flatnonzero(P)
    assert found.rows == len(counts)
    rows = NativeBackend().load(X, Y, row_weights=P)
    residual = leave_one_out(rows, fit, counts, blocks=unhurried()).residual
    expected = np.sqrt(P[counts] @ residual**2 / P.sum())
    assert_allclose(found.rmse, expected, rtol=1e-9)
    deviation = np.sqrt(P @ (Y - P @ Y / P.sum()) ** 2 / P.sum())
    assert_allclose(found.error, np.sqrt(np.mean((expected / deviation) ** 2)), rtol=1e-9)


@pytest.mark.parametrize("selector", ["cv_ls", "gcv", "aicc"])
def test_selectors_do_not_look_at_how_weights_are_scaled(selector: Selector) -> None:
    one, other = (
        [(score.fit, score.criterion or 0.0) for score in select(judge(p), MEAN, selector)]
        for p in (P, 100 * P)
    )
    assert [fit for fit, _ in one] == [fit for fit, _ in other]
    assert_allclose([c for _, c in one], [c for _, c in other], rtol=1e-9)
