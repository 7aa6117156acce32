"""Every plan that the planner can choose gives the same answer, on each side of every switch."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.base import Search
from service.backends.native.backend import NativeBackend
from service.backends.native.planning import preferred_search
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Prediction
from service.engine.plan import NOTHING_FORCED, Forced
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver
from tests import strategies
from tests.laws.test_laws import cases, settled
from tests.predicting import make_task, predict_here
from tests.strategies import Sample

SEARCHES = [Forced(search=search) for search in Search]
SOLVERS = [Forced(solver=solver) for solver in Solver]


def predict(x: Floats, y: Floats, fit: Fit, q: Floats, forced: Forced) -> Prediction:
    return predict_here(make_task(x.copy(), y.copy(), fit, q, forced=forced), NativeBackend())


@given(case=cases())
def test_the_search_changes_nothing(case: tuple[Sample, Fit]) -> None:
    sample, fit = case
    through_tree, by_scan = (predict(sample.x, sample.y, fit, sample.q, way) for way in SEARCHES)
    keep = settled(through_tree) & settled(by_scan)
    if isinstance(fit, Knn):
        assert_array_equal(by_scan.mean, through_tree.mean)
    scale = np.abs(sample.y).max()
    assert_allclose(by_scan.mean[keep], through_tree.mean[keep], rtol=0, atol=rounding(fit) * scale)


def rounding(fit: Fit) -> float:
    """What the order of a sum may make of a value of size 1: near-singular systems magnify it."""
    return 1e-8 if isinstance(fit, LocalPolynomial) and fit.degree else 1e-12


@given(sample=strategies.samples(), data=st.data())
def test_the_solver_changes_nothing(sample: Sample, data: st.DataObject) -> None:
    fit = Kriging(
        data.draw(st.sampled_from(Covariance)),
        data.draw(st.floats(0.05, 1.0)),
        data.draw(st.floats(0.05, 10.0)),
    )
    direct, *others = (predict(sample.x, sample.y, fit, sample.q, way) for way in SOLVERS)
    for other in others:
        # α ≥ 0.05 and at most 40 rows: the condition number is below 1e3.
        assert_allclose(other.mean, direct.mean, rtol=0, atol=1e-12 * np.abs(sample.y).max())


def switches() -> list[tuple[int, int]]:
    """Return pairs (n, d) just below and just above each change of the search, for small n."""
    found = []
    for n in (50, 700):
        kinds = [preferred_search(n, d)[0] for d in range(1, 140)]
        for d, (here, there) in enumerate(pairwise(kinds), start=1):
            if here is not there:
                found += [(n, d), (n, d + 1)]
    return found


def test_there_is_a_switch_of_the_search() -> None:
    assert switches()


@pytest.mark.parametrize(("n", "d"), switches())
@pytest.mark.parametrize(
    "fit",
    [
        Knn(9),
        Knn(9, "distance"),
        NadarayaWatson(Kernel.TRICUBE, n_neighbors=20),
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0),
        LocalPolynomial(1, Kernel.UNIFORM, n_neighbors=45),
        Kriging(Covariance.LAPLACIAN, 1.0, 0.1, n_neighbors=20),
    ],
)
def test_on_both_sides_of_a_switch_the_answers_agree(n: int, d: int, fit: Fit) -> None:
    rng = np.random.default_rng(n + d)
    # Integers: distances tie, and a row stands at many a query.
    x = rng.integers(0, 3, size=(n, d)).astype(np.float64)
    y, q = rng.normal(size=(n, 2)), rng.integers(0, 3, size=(12, d)).astype(np.float64)
    chosen, *forced = (predict(x, y, fit, q, way) for way in (NOTHING_FORCED, *SEARCHES))
    for other in forced:
        keep = settled(chosen) & settled(other)
        assert_allclose(other.mean[keep], chosen.mean[keep], rtol=0, atol=1e-11)
        assert [issue.status for issue in other.issues] == [issue.status for issue in chosen.issues]


@pytest.mark.parametrize("forced", SEARCHES + SOLVERS, ids=str)
def test_a_query_has_the_same_bits_alone_and_in_a_batch_of_many(forced: Forced) -> None:
    rng = np.random.default_rng(0)
    x, q = rng.random((1500, 3)), rng.random((200, 3))
    y = np.sin(4 * x[:, :1]) + 0.1 * rng.normal(size=(1500, 1))
    fits: list[Fit] = [
        Knn(7, "distance"),
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.05),
        LocalPolynomial(2, n_neighbors=40),
        LocalPolynomial(1, Kernel.EPANECHNIKOV, bandwidth=0.2),
        Kriging(Covariance.MATERN32, 0.3, 0.1),
        Kriging(Covariance.GAUSSIAN, 0.3, 0.1, n_neighbors=15),
    ]
    for fit in fits:
        together = predict(x, y, fit, q, forced)
        for i in (0, 1, 63, 64, 199):
            assert_array_equal(predict(x, y, fit, q[i : i + 1], forced).mean[0], together.mean[i])
