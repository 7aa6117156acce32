"""What the rows say of a fit's errors: found once a dataset version and fit, from some of its rows.

Everything here rests on residuals at rows of the dataset, all of them or a sample drawn with a
fixed seed, so that the same version and fit always get the same. Each piece is made when it is
first asked for, and kept like other prepared parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias, TypeVar, final

import numpy as np

from service.backends.base import Backend, Resident, Search
from service.backends.native.planning import preferred_search
from service.domain.arrays import Floats, Rows
from service.domain.dataset import Dataset
from service.domain.prediction import Noise
from service.engine.plan import Plan
from service.engine.prepared import Prepared, Sized
from service.engine.residuals import LeftOut, LocalNoise, NoiseLevel, Scores, Spacing
from service.estimators import linear, robust
from service.estimators.blocks import Blocks
from service.estimators.fits import (
    Fit,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    as_polynomial,
)
from service.estimators.intervals import local_scale
from service.estimators.isolation import spacing
from service.estimators.kriging import Coefficients
from service.estimators.kriging_system import Solver, System
from service.estimators.kriging_variance import signal_variance
from service.estimators.leave_one_out import leave_one_out, predicted_by_others
from service.estimators.linear import LinearModel
from service.estimators.row_bandwidths import Spreading
from service.estimators.row_weights import counted, multiplied
from service.estimators.uncertainty import EXACT_ROWS, local_variance, residual_variance

T = TypeVar("T", bound=Sized)

Solution: TypeAlias = Coefficients | LinearModel | Floats | None
"""What is solved for once a dataset version and fit."""

SAMPLE_ROWS: Final = 5_000
"""Leave-one-out residuals that make conformal scores. The coverage that s scores give varies from
data to data by √(level (1 - level) / s): 0.4 % at a level of 90 %."""

SOLVE_WORK, LEAST_SOLVES, MOST_SOLVES = 2.5e9, 50, 1_000
"""Kriging over all n rows solves a system, of about n² operations, for each residual."""

LOCAL_NOISE_ROWS: Final = 50
"""Residuals that tell the noise about a place: its standard deviation to 10 %."""

AT_ONCE: Final = 64
"""Rows between two looks at the clock, where each takes a fit."""

ROWS_AT_ONCE: Final = 1024
"""The same, where each takes a search among the residuals."""

SEED: Final = 0


class CalibrationPart(NamedTuple):
    """A piece of what is known of a fit's errors, as a part of a dataset."""

    piece: str
    backend: str
    fit: Fit
    search: Search
    solver: Solver | None
    target: int


@final
@dataclass(frozen=True, eq=False)
class Calibration:
    """What the rows of a version say of a fit's errors, piece by piece.

    A call may run blocks of work, so it is not for use inside of a block. All of them raise
    `DeadlineExceeded` when the time of the task is over.

    Attributes:
        dataset: The version.
        fit: What is fitted.
        rows: The rows in the metric of the fit.
        solution: What is solved for once.
        plan: How rows are found and systems solved.
        backend: Where the reductions run.
        cache: Keeps the pieces.
        blocks: Runs the work.
        target: Of a robust fit, the target whose robustness weights are meant.
    """

    dataset: Dataset
    fit: Fit
    rows: Resident
    solution: Solution
    plan: Plan
    backend: Backend
    cache: Prepared
    blocks: Blocks
    target: int = 0

    @property
    def robustness(self) -> Floats | None:
        """The weights of the rows by their residuals, (n,); None where the fit is not robust."""
        return self.solution[:, self.target] if isinstance(self.solution, np.ndarray) else None

    @cached_property
    def fitted(self) -> Resident:
        """The rows as they are fitted: those of a robust fit weighed by their residuals."""
        return self.rows if self.robustness is None else multiplied(self.rows, self.robustness)

    @property
    def system(self) -> System | None:
        """The solved system of kriging over all rows."""
        if not isinstance(self.solution, Coefficients) or self.solution.solved is None:
            return None
        return self.solution.solved[0]

    @property
    def plane(self) -> LinearModel | None:
        """The plane of a linear regression."""
        return self.solution if isinstance(self.solution, LinearModel) else None

    def left_out(self) -> LeftOut:
        """Return the leave-one-out residuals of a sample of the rows that count."""
        return self._kept("left_out", self._leave_out)

    def noise(self) -> NoiseLevel:
        """Return the variance that those of estimates are multiples of."""
        return self._kept("noise", self._find_noise)

    def local_noise(self) -> LocalNoise:
        """Return the variance of the noise about each place."""
        return self._kept("local_noise", self._find_local_noise)

    def scores(self) -> Scores:
        """Return the scores of conformal intervals, and the scale that they are in."""
        return self._kept("scores", self._score)

    def spacing(self) -> Spacing:
        """Return how far the rows of a sample are from their nearest others."""
        return self._kept("spacing", self._space)

    def _kept(self, piece: str, make: Callable[[], T]) -> T:
        part = CalibrationPart(
            piece, self.backend.name, self.fit, self.plan.search, self.plan.solver, self.target
        )
        return self.cache.get(self.dataset, part, make, self.blocks.check)

    def _leave_out(self) -> LeftOut:
        n, system = len(self.rows.x), self.system
        if system is not None:
            most = int(np.clip(SOLVE_WORK / n**2, LEAST_SOLVES, MOST_SOLVES))
            at = _sample(self.rows, most)
            found = leave_one_out(self.rows, self.fit, at, system=system, blocks=self.blocks)
            return self._left_out(at, found.residual, found.variance)
        at = _sample(self.rows, SAMPLE_ROWS)
        if self.plane is not None:
            found = leave_one_out(self.rows, self.fit, at, blocks=self.blocks)
            return self._left_out(at, found.residual, None)
        fit = self.fit
        if fit.n_neighbors == n:  # there are no more without the row
            fit = replace(fit, n_neighbors=n - 1)

        def predict(part: slice) -> tuple[Floats, Floats | None]:
            return predicted_by_others(self.fitted, fit, at[part])

        found_parts = self.blocks(predict, len(at), AT_ONCE)
        means = [mean for mean, _ in found_parts]
        variances = [variance for _, variance in found_parts if variance is not None]
        return self._left_out(
            at,
            self.rows.y[at] - np.concatenate(means),
            np.concatenate(variances) if variances else None,
        )

    def _left_out(self, at: Rows, residual: Floats, variance: Floats | None) -> LeftOut:
        """Return the residuals with what makes them like those of rows of weight 1.

        A residual of the kriging model has the variance v + α / p, any other one that of its row's
        noise, σ² / p, as far as it knows.
        """
        if self.rows.row_weights is None:
            return LeftOut(at, residual, variance)
        p = self.rows.row_weights[at]
        square = p
        if isinstance(self.fit, Kriging) and variance is not None:
            more = self.fit.alpha - self.fit.alpha / p
            square = np.ones_like(p)
            np.divide(variance + more, variance, out=square, where=variance > 0)
        return LeftOut(at, residual, variance, p, np.sqrt(np.maximum(square, 0.0)))

    def _find_noise(self) -> NoiseLevel:
        if isinstance(self.fit, Kriging):
            return self._signal(self.fit)
        if self.plane is not None:
            found = linear.residual_variance(self.rows, self.plane)
        elif isinstance(self.fit, Linear):
            raise TypeError("a linear regression has a plane")
        else:
            at = None if len(self.rows.x) <= EXACT_ROWS else _sample(self.rows, EXACT_ROWS)
            found = residual_variance(self._as_observed(), self.fit, at, self.blocks)
            if self.robustness is not None:  # one target's, in the place of all
                every = np.repeat(found.variance, self.rows.y.shape[1])
                found = replace(found, variance=every)
        report = Noise(
            scale=np.sqrt(found.variance),
            signal_scale=None,
            trace=found.trace,
            freedom=found.freedom,
            rows=found.sampled,
        )
        return NoiseLevel(found.variance, found.freedom, report)

    def _as_observed(self) -> Resident:
        """Return the rows whose residuals tell the noise: of a robust fit with pseudovalues."""
        fit, r, c = self.fit, self.robustness, self.target
        if r is None or not isinstance(fit, NadarayaWatson | LocalPolynomial):
            return self.rows
        mean = robust.means_at_rows(self.fitted, as_polynomial(fit), self.blocks)[:, c]
        y, counts = self.rows.y[:, c], counted(self.rows)
        mean = np.where(np.isnan(mean), y, mean)
        pseudo, p = y.copy(), self.rows.row_weights
        pseudo[counts] = robust.pseudovalues(
            mean[counts], (y - mean)[counts], r[counts], None if p is None else p[counts]
        )
        plain = self.rows.rows if isinstance(self.rows, Spreading) else self.rows
        observed = self.backend.load(
            plain.x,
            pseudo[:, None],
            self.plan.search,
            base=plain,
            row_weights=p,
            n_sloped=plain.n_sloped,
        )
        return replace(self.rows, rows=observed) if isinstance(self.rows, Spreading) else observed

    def _signal(self, fit: Kriging) -> NoiseLevel:
        left_out = self.left_out()
        if left_out.variance is None:
            raise TypeError("kriging knows the variance of its residuals")
        is_known = left_out.is_known & (left_out.variance > 0)
        signal = np.full(left_out.residual.shape[1], np.nan)
        if is_known.any():
            signal = signal_variance(left_out.residual[is_known], left_out.variance[is_known])
        report = Noise(
            scale=np.sqrt(fit.alpha * signal),
            signal_scale=np.sqrt(signal),
            trace=None,
            freedom=None,
            rows=int(is_known.sum()),
        )
        return NoiseLevel(signal, np.inf, report)

    def _find_local_noise(self) -> LocalNoise:
        left_out = self.left_out()
        if not left_out.is_known.any():
            return LocalNoise(None, 0, np.full(self.rows.y.shape, np.nan))
        errors = self._errors(left_out, left_out.of_weight_1)
        k = min(LOCAL_NOISE_ROWS, len(errors.x))
        x = np.ascontiguousarray(self.rows.x)
        found = self.blocks(lambda part: local_variance(errors, x[part], k), len(x), ROWS_AT_ONCE)
        return LocalNoise(errors, k, np.concatenate(found))

    def _score(self) -> Scores:
        left_out = self.left_out()
        is_known = left_out.is_known
        if is_known.sum() < 2:
            return Scores(None, np.full(left_out.residual.shape, np.inf))
        scale = local_scale(self._errors(left_out, np.abs(left_out.of_weight_1)))
        unknown = np.full((int((~is_known).sum()), left_out.residual.shape[1]), np.inf)
        return Scores(scale, np.concatenate([scale.scores(), unknown]))

    def _errors(self, left_out: LeftOut, targets: Floats) -> Resident:
        """Return the rows whose residuals are known, with these targets (s, t)."""
        x = np.ascontiguousarray(self.rows.x[left_out.at[left_out.is_known]])
        search, _ = preferred_search(*x.shape)
        return self.backend.load(x, np.ascontiguousarray(targets[left_out.is_known]), search)

    def _space(self) -> Spacing:
        at = _sample(self.rows, SAMPLE_ROWS)
        found = self.blocks(lambda part: spacing(self.rows, at[part]), len(at), AT_ONCE)
        return Spacing(np.sort(np.concatenate(found)))


def _sample(rows: Resident, most: int) -> Rows:
    """Return the rows to look at, ascending: all that count, or some of them drawn at random."""
    every = counted(rows)
    if len(every) <= most:
        return every
    chosen = np.random.default_rng(SEED).choice(len(every), most, replace=False)
    return every[np.sort(chosen)]
