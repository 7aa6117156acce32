"""Intervals about a prediction, from a variance or from leave-one-out residuals.

From the variance, with s the standard error of f(x), σ² that of the noise, t Student's quantile:

    confidence    f(x) ± t s                      holds E f(x); the bias of f is not in it
    prediction    f(x) ± t √(s² + σ²)             holds a new y, as far as the noise is normal

Conformal intervals assume no distribution, only that the new row is drawn like the others. With
scores r_i = |e_i| / (σ(x_i) + β), e_i the leave-one-out residuals and σ(x) a local scale,

    conformal     f(x) ± r (σ(x) + β),     r the ⌈level (s + 1)⌉-th smallest of s scores

infinite where s is too small for the level: s + 1 ≥ 1 / (1 - level) rows are needed. β keeps places
without residuals from answering with a width of 0; the scores are divided by what they are
multiplied with, so any β leaves the coverage where it is.

Since e_i belongs to the fit without row i and f(x) to that with it, the level holds as far as the
fit is stable; `jackknife` has the variant with a guarantee for any fit.

Sources: Loader, Local Regression and Likelihood (1999), section 2.3.3; Papadopoulos, Vovk &
Gammerman (2011), JAIR 40, 815-840, for scores over a local scale; Barber, Candès, Ramdas &
Tibshirani (2021), Annals of Statistics 49(1), 486-507.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.estimators.ordered import ordered_sum

LOCAL_SCALE_ROWS = 20
"""Residuals that make a local scale. More follow the scale less closely, fewer know it less well;
from 10 to 30 the intervals of leave-one-out differ in their score by 2 %."""

OVERALL_SHARE = 0.1
"""β, as a share of the mean size of all residuals; from 0.02 to 0.25 it matters less than that."""

UNBOUNDED = (
    "Too few rows for this level: an interval that holds whatever the distribution needs "
    "1 / (1 - level) rows at least. Ask for a lower level, or for interval_kind prediction."
)
"""Advice where an interval is infinite."""


@dataclass(frozen=True, eq=False)
class Interval:
    """An interval about each prediction.

    Attributes:
        lower: (m, t); -∞ where nothing bounds it, NaN where there is no prediction.
        upper: (m, t).
        level: How often it is meant to hold, between 0 and 1.
    """

    lower: Floats
    upper: Floats
    level: float


def t_interval(mean: Floats, variance: Floats, freedom: float, level: float) -> Interval:
    """Return mean ± t √variance.

    Args:
        mean: (m, t).
        variance: (m, t): that of f(x) for a confidence interval, plus that of the noise for a
            prediction interval.
        freedom: Degrees of freedom of the variance; infinity where it is taken as known.
        level: Between 0 and 1.
    """
    half = float(stdtrit(freedom, 0.5 + 0.5 * level)) * np.sqrt(variance)
    return Interval(mean - half, mean + half, level)


def rank_of(level: float, count: int) -> int:
    """Return which of `count` scores, from 1, bounds a new one in `level` of all cases.

    ⌈level (count + 1)⌉; count + 1 where no score does.
    """
    exact = level * (count + 1)
    # A level like 0.55 is not exact in binary, and must not take the next score for that.
    return int(np.ceil(exact - 1e-12 * exact))


def conformal_quantiles(scores: Floats, level: float) -> Floats:
    """Return the ⌈level (s + 1)⌉-th smallest of the scores (s, …), for each of what follows, (…).

    Infinity where the scores are too few for the level. A score that is infinite or NaN (a row
    whose prediction without itself does not exist) counts as larger than all others.
    """
    rank = rank_of(level, len(scores))
    if rank > len(scores):
        return np.full(scores.shape[1:], np.inf)
    known = np.where(np.isnan(scores), np.inf, scores)
    return np.asarray(np.partition(known, rank - 1, axis=0)[rank - 1])


def conformal_interval(mean: Floats, scale: Floats, quantiles: Floats, level: float) -> Interval:
    """Return mean ± quantile · scale.

    Args:
        mean: (m, t).
        scale: σ(x) + β, (m, t), positive.
        quantiles: What `conformal_quantiles` gave for |e_i| / (σ(x_i) + β), (t,).
        level: That of the quantiles.
    """
    half = quantiles * scale
    return Interval(mean - half, mean + half, level)


@dataclass(frozen=True, eq=False)
class LocalScale:
    """σ(x) + β: how large residuals are about a place, as the mean of |e_i| over the nearest.

    Attributes:
        errors: The rows whose leave-one-out residuals are known, in the metric of the fit, with
            |e_i| as targets.
        k: Over how many rows σ averages.
        floor: β of each target, (t,).
    """

    errors: Resident
    k: int
    floor: Floats

    def at(self, q: Floats) -> Floats:
        """Return σ(x) + β at each query, (m, t)."""
        found = self.errors.nearest(q, self.k)
        return ordered_sum(self.errors.y[found.rows]) / self.k + self.floor

    def at_rows(self) -> Floats:
        """Return σ(x_i) + β at each row, from the k nearest others, (s, t).

        Without the row itself: what a new query's scale rests on does not know its own residual
        either.
        """
        count = len(self.errors.x)
        found = self.errors.nearest(self.errors.x, self.k + 1)
        own = found.rows == np.arange(count)[:, None]
        # Among many rows at one place a row may not be among its own nearest: then the last goes.
        own[:, -1] |= ~own.any(axis=1)
        others = found.rows[~own].reshape(count, self.k)
        return ordered_sum(self.errors.y[others]) / self.k + self.floor

    def scores(self) -> Floats:
        """Return |e_i| / (σ(x_i) + β), (s, t)."""
        return self.errors.y / self.at_rows()


def local_scale(errors: Resident) -> LocalScale:
    """Return σ(x) + β for two rows or more, whose targets are |e_i|, finite.

    Where all residuals are 0, β is the smallest number: intervals then have a width of 0.
    """
    k = min(LOCAL_SCALE_ROWS, len(errors.x) - 1)
    size = errors.y.mean(axis=0)
    floor = np.maximum(OVERALL_SHARE * size, np.finfo(np.float64).tiny)
    return LocalScale(errors, k, floor)
