"""K6: how fast is a kernel system of 10,000 rows solved, with nothing prepared?

Solve and predict 1,000 queries: in one dimension with the Gaussian covariance, whose matrix has a
small numerical rank, and in two with the Laplacian, whose matrix has not. Before each of its runs
nearfit's dataset is deleted and uploaded anew. The relative residual is the one that the engine
computes from its solution.

    python -m benchmarks.kriging [--quick]
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Kernel, Matern
from sklearn.kernel_ridge import KernelRidge

from benchmarks.data import Sample, sample
from benchmarks.engine_calls import EngineCalls, engine
from benchmarks.racing import Contestant, race
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.script import Options, run
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.fits import Kriging

LARGEST_RESIDUAL = 1e-8


@dataclass(frozen=True)
class Case:
    """A system of the KeOps gallery.

    Attributes:
        title: For the table.
        d: Features.
        fit: Covariance, length scale and alpha.
        same_covariance: As scikit-learn has it. (Its KernelRidge calls another covariance
            "laplacian": that of the sum of absolute differences.)
        bound: The least ratio to reach.
        gallery_s: What the gallery reports, on a GPU.
    """

    title: str
    d: int
    fit: Kriging
    same_covariance: Kernel
    bound: float
    gallery_s: float


CASES = (
    Case(
        "1-D gaussian",
        1,
        Kriging(kernel=Covariance.GAUSSIAN, length_scale=0.1, alpha=1.0),
        RBF(0.1),
        50,
        0.067,
    ),
    Case(
        "2-D laplacian",
        2,
        Kriging(kernel=Covariance.LAPLACIAN, length_scale=0.1, alpha=10.0),
        Matern(0.1, nu=0.5),
        5,
        0.138,
    ),
)


class FromNothing:
    """Solves and predicts on a dataset that the engine has not seen before."""

    def __init__(self, calls: EngineCalls, data: Sample, fit: Kriging) -> None:
        self._calls, self._data, self._fit = calls, data, fit
        self._dataset_id = calls.upload(data.x, data.y)
        self.residual = 0.0

    def forget(self) -> None:
        """Delete the dataset, with all that was prepared from it, and upload it anew."""
        self._calls.delete(self._dataset_id)
        self._dataset_id = self._calls.upload(self._data.x, self._data.y)

    def predict(self) -> Floats:
        """Return the estimates, and keep the largest residual of all runs."""
        prediction = self._calls.answer(self._dataset_id, self._data.queries, self._fit).prediction
        assert prediction.solve is not None
        self.residual = max(self.residual, prediction.solve.relative_residual)
        return prediction.mean


def by_kernel_ridge(case: Case, data: Sample) -> Floats:
    """Return scikit-learn's kernel ridge regression; its penalty is our alpha."""
    model = KernelRidge(alpha=case.fit.alpha, kernel=case.same_covariance)
    estimates: Floats = model.fit(data.x, data.y).predict(data.queries)
    return estimates


def by_gaussian_process(case: Case, data: Sample) -> Floats:
    """Return the mean of scikit-learn's Gaussian process, its covariance as given."""
    model = GaussianProcessRegressor(case.same_covariance, alpha=case.fit.alpha, optimizer=None)
    estimates: Floats = model.fit(data.x, data.y).predict(data.queries)
    return estimates


def by_cholesky(case: Case, data: Sample) -> Floats:
    """Return what NumPy and LAPACK give, the matrix factorised in its own place."""
    gaussian = case.fit.kernel is Covariance.GAUSSIAN

    def covariances(a: Floats, b: Floats) -> Floats:
        values = cdist(a, b, "sqeuclidean" if gaussian else "euclidean")
        scale = 2 * case.fit.length_scale**2 if gaussian else case.fit.length_scale
        values /= -scale
        return np.exp(values, out=values)

    system = covariances(data.x, data.x)
    system[np.diag_indices_from(system)] += case.fit.alpha
    factor = scipy.linalg.cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
    coefficients = scipy.linalg.cho_solve(factor, data.y, check_finite=False)
    estimates: Floats = covariances(data.queries, data.x) @ coefficients
    return estimates


def compare(
    calls: EngineCalls, case: Case, n: int, m: int, rounds: int
) -> tuple[Comparison, Comparison]:
    """Return the times of one case, and nearfit's largest residual."""
    data = sample(n, case.d, m)
    ours = FromNothing(calls, data, case.fit)
    contestants = {
        "nearfit": Contestant(ours.predict, before=ours.forget),
        "scikit-learn KernelRidge": Contestant(lambda: by_kernel_ridge(case, data), rtol=1e-6),
        "scikit-learn GaussianProcessRegressor": Contestant(
            lambda: by_gaussian_process(case, data), rtol=1e-6
        ),
        "NumPy, LAPACK Cholesky": Contestant(lambda: by_cholesky(case, data), rtol=1e-6),
    }
    times = race(case.title, contestants, rounds=rounds)
    residual = Samples((ours.residual,))
    return times, Comparison(case.title, "", {"largest relative residual": residual}, None)


def measure(options: Options) -> Record:
    """Return the times of both cases."""
    n, m = (1_000 if options.quick else 10_000), 1_000
    with engine() as calls:
        found = [compare(calls, case, n, m, options.rounds) for case in CASES]
    targets, notes = [], []
    for case, (times, residuals) in zip(CASES, found, strict=True):
        fastest = times.least()
        claim = f"{case.title}: time of the fastest peer, {fastest}, ÷ nearfit's"
        targets.append(Target("K6", claim, times.ratio(fastest), case.bound))
        (residual,) = residuals.samples.values()
        claim = f"{case.title}: largest relative residual"
        targets.append(Target("K6", claim, residual.median, LARGEST_RESIDUAL, True, ""))
        notes.append(
            f"{case.title}: the KeOps gallery reports {case.gallery_s} s for the solve alone on a "
            f"GPU; here solve and {m:,} queries took {times.samples['nearfit'].median:.3f} s on "
            "this CPU."
        )
    return Record(
        "kriging",
        "K6: kriging with all rows, solved from nothing",
        {"n": n, "m": m},
        (*(times for times, _ in found), *(residuals for _, residuals in found)),
        tuple(targets),
        tuple(notes),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=3)
