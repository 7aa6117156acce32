"""Every solver of a kriging system gives the same answers, on each side of every switch.

What a solver leaves of the system, r, changes an answer by ‖r‖ / (2√α) at most. Beside 1e-12 of the
largest target, what rounding makes of a system is allowed: a few units in the last place times its
condition number, of which ‖K + αI‖∞ / α is a bound.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.domain.prediction import Prediction, Status
from service.engine.plan import NOTHING_FORCED, Forced
from service.estimators.fits import Kriging
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import (
    DENSE_ROWS,
    LEAST_SMOOTH_ALPHA,
    MILD_ALPHA,
    MILD_ROWS,
    MOST_RANK,
    SMOOTH_ROWS,
    Solver,
    preferred_solver,
)
from service.estimators.spread_factor import LEAST_RANK
from tests.predicting import make_task, predict_here

UNITS = 4
"""Units in the last place, times the condition number."""


@dataclass(frozen=True)
class System:
    """Rows with targets of size 1, queries and a fit."""

    x: Floats
    y: Floats
    q: Floats
    fit: Kriging

    @classmethod
    def of(cls, n: int, d: int, fit: Kriging) -> "System":
        """Return a smooth surface with noise, seen at n places."""
        rng = np.random.default_rng(n + d)
        x, q = rng.random((n, d)), rng.uniform(0.1, 0.9, (50, d))
        y = np.sin(5 * x[:, :1]) + 0.1 * rng.normal(size=(n, 1))
        return cls(x, y / np.abs(y).max(), q, fit)

    def predict(self, forced: Forced) -> Prediction:
        """Return the answers of a plan."""
        task = make_task(self.x.copy(), self.y.copy(), self.fit, self.q, forced=forced)
        return predict_here(task, NativeBackend())

    def allowance(self) -> float:
        """Return by how much two answers may differ."""
        matrix = covariance(self.fit.kernel, distances(self.x, self.x), self.fit.length_scale)
        condition = 1.0 + float(matrix.sum(axis=1).max()) / self.fit.alpha
        return max(1e-12, UNITS * condition * np.finfo(np.float64).eps)


def forced(solver: Solver) -> Forced:
    return Forced.named(solver.value)


def fit(kernel: Covariance, alpha: float) -> Kriging:
    return Kriging(kernel, 0.2, alpha)


BELOW_AND_ABOVE = [
    *(
        ((n, d, fit(Covariance.GAUSSIAN, 0.1)), (n + 1, d, fit(Covariance.GAUSSIAN, 0.1)))
        for d, n in SMOOTH_ROWS.items()
    ),
    *(
        ((n, 2, fit(Covariance.LAPLACIAN, alpha)), (n + 1, 2, fit(Covariance.LAPLACIAN, alpha)))
        for n, alpha in ((MILD_ROWS, MILD_ALPHA), (DENSE_ROWS, 0.1))
    ),
    (
        (MILD_ROWS + 1, 5, fit(Covariance.MATERN32, 0.99 * MILD_ALPHA)),
        (MILD_ROWS + 1, 5, fit(Covariance.MATERN32, MILD_ALPHA)),
    ),
    (
        (MILD_ROWS, 5, fit(Covariance.GAUSSIAN, MILD_ALPHA)),
        (MILD_ROWS + 1, 5, fit(Covariance.GAUSSIAN, MILD_ALPHA)),
    ),
    (
        (600, 1, fit(Covariance.GAUSSIAN, 0.99 * LEAST_SMOOTH_ALPHA)),
        (600, 1, fit(Covariance.GAUSSIAN, LEAST_SMOOTH_ALPHA)),
    ),
]
"""(n, d, fit) on both sides of each change of the solver."""


@pytest.mark.parametrize(("below", "above"), BELOW_AND_ABOVE)
def test_on_both_sides_of_a_switch_both_solvers_answer_alike(
    below: tuple[int, int, Kriging], above: tuple[int, int, Kriging]
) -> None:
    solvers = [preferred_solver(n, d, f.kernel, f.alpha)[0] for n, d, f in (below, above)]
    assert solvers[0] is not solvers[1], "no switch is here"
    for at in (below, above):
        system = System.of(*at)
        chosen = system.predict(NOTHING_FORCED)
        first, second = (system.predict(forced(solver)) for solver in solvers)
        ours = (first, second)[at is above]
        assert_array_equal(chosen.mean, ours.mean)
        assert np.abs(first.mean - second.mean).max() <= system.allowance()
        assert first.issues == second.issues == ()


@pytest.mark.parametrize("n", [LEAST_RANK, LEAST_RANK + 1, MOST_RANK, MOST_RANK + 1])
@pytest.mark.parametrize("kernel", Covariance)
def test_on_both_sides_of_the_largest_rank_all_solvers_answer_alike(
    n: int, kernel: Covariance
) -> None:
    system = System.of(n, 5, fit(kernel, 0.1))
    direct, *others = (system.predict(forced(solver)) for solver in Solver)
    for other in others:
        assert np.abs(other.mean - direct.mean).max() <= system.allowance()


@pytest.mark.parametrize("alpha", [10.0, 0.1, 1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("kernel", Covariance)
def test_solvers_differ_by_no_more_than_rounding(alpha: float, d: int, kernel: Covariance) -> None:
    """Where the steps do not lead to the solution, the answers say so."""
    system = System.of(500, d, fit(kernel, alpha))
    direct, *others = (system.predict(forced(solver)) for solver in Solver)
    assert not direct.issues
    for other in others:
        if alpha < 1e-4 and [issue.status for issue in other.issues] == [Status.NOT_CONVERGED]:
            continue
        assert np.abs(other.mean - direct.mean).max() <= system.allowance()
