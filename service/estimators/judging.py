"""What candidate fits are worth, by leave-one-out over the same rows, with all others as data.

    error = √ mean over targets of  Σ_i p_i (y_i - f₋ᵢ(x_i))² / Σ_i p_i,  in variances of the target

with p_i the weights of the rows, 1 as a rule; rows of weight 0 do not judge. In these units
1 is the error of the mean. Classes are judged by their probabilities: the error is the mean
of -log P(true class) over that of the classes' frequencies, so that 1 is again what needs no
features. A sample of rows judges; a few of them judge first.

Sources: Stone (1974), JRSS B 36(2), 111-147, for choice by leave-one-out; Jamieson & Talwalkar
(2016), AISTATS, for judging many candidates by few rows and few by many.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.linalg import LinAlgError

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows, column_extremes
from service.estimators.blocks import Blocks
from service.estimators.classes import Classified, classified
from service.estimators.fits import (
    Fit,
    Linear,
    LocalPolynomial,
    Metric,
    NadarayaWatson,
    as_polynomial,
    has_row_bandwidths,
    is_robust,
)
from service.estimators.leave_one_out import leave_one_out, predicted_by_others
from service.estimators.metric import check_apart, metric_map
from service.estimators.robust import robustness_weights, weighed
from service.estimators.row_bandwidths import Spreading, spread_of
from service.estimators.row_weights import mean_of

FEW_ROWS, MANY_ROWS = 250, 1500
"""That judge: the standard error of an error over s rows is about 1 / √(2s) of it, but candidates
share the rows, so that their differences are known far better."""

JUDGED_AT_ONCE = 64
RESIDENTS_KEPT = 3

Step: TypeAlias = Literal["grid", "slopes", "metric", "refinement", "plug_in"]


@dataclass(frozen=True)
class Score:
    """What a candidate is worth.

    Attributes:
        fit: The candidate, ready to be used.
        error: Leave-one-out error in standard deviations of the targets, or of classes the log-loss
            over that of their frequencies; infinite where a row has no prediction.
        rmse: Root of the mean squared leave-one-out residual of each target, in its unit.
        rows: How many rows were predicted: only scores over as many compare.
        step: Where in the search it was found.
        elapsed_s: When, from the start of the search.
        criterion: What is minimised instead of the error, by a selector of another name.
        classified: How well the classes are predicted, where the targets are their indicators.
    """

    fit: Fit
    error: float
    rmse: tuple[float, ...]
    rows: int
    step: Step
    elapsed_s: float
    criterion: float | None = None
    classified: Classified | None = None


def error_of(score: Score) -> float:
    """Return what is minimised: the error, or another criterion."""
    return score.error if score.criterion is None else score.criterion


def best_of(scores: list[Score]) -> Score:
    """Return the score with the least error among those over the most rows, the first of equals."""
    most = max(score.rows for score in scores)
    return min((score for score in scores if score.rows == most), key=error_of)


def best_of_each_method(scores: list[Score]) -> list[Score]:
    """Return the best score of each method, best first."""
    best: dict[type, Score] = {}
    for score in scores:
        known = best.get(type(score.fit))
        if known is None or score.error < known.error:
            best[type(score.fit)] = score
    return sorted(best.values(), key=error_of)


class Judge:
    """Scores fits to a dataset, and knows the time.

    Args:
        x: Rows, (n, d), n ≥ 3, in data units.
        y: Targets, (n, t).
        load: Makes the rows resident in a metric, with their targets.
        blocks: Runs pieces of the work.
        groups: The group of each row, (n,), from 0, if a row's whole group is left out with it.
        of_classes: Whether the targets are the indicators of classes.
        row_weights: What each row counts, (n,), as `load` has it; None where all count 1.
        seconds: The time of the search.
        seed: Of the choice of rows.
        clock: Tells the time in seconds.
        features: The feature of each column of x, (D,), where some are categories.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        load: Callable[[Floats], Resident],
        blocks: Blocks,
        *,
        groups: Rows | None = None,
        of_classes: bool = False,
        row_weights: Floats | None = None,
        seconds: float,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        features: Rows | None = None,
    ) -> None:
        self.features = features
        self.x, self.y, self.load, self.blocks, self.groups = x, y, load, blocks, groups
        self._of_classes = of_classes
        self.row_weights = row_weights
        frequency = mean_of(y, row_weights)
        self._entropy = -float(frequency @ np.log(frequency)) if of_classes else 0.0
        self._clock, self._start, self._seconds = clock, clock(), seconds
        order = np.random.default_rng(seed).permutation(len(x))
        if row_weights is not None:
            order = order[row_weights[order] > 0]
        self.judges = np.sort(order[:MANY_ROWS])
        self.few = np.sort(order[:FEW_ROWS])
        # Others than the judges, where there are enough: what learns must not judge.
        self.learners = order[MANY_ROWS:] if len(order) >= 2 * MANY_ROWS else order
        deviation = y.std(axis=0)
        if row_weights is not None:
            deviation = np.sqrt(mean_of(np.square(y - mean_of(y, row_weights)), row_weights))
        self.deviation = np.where(deviation > 0, deviation, 1.0)
        self.scores: list[Score] = []  # over all the judges
        self._residents: dict[Metric, Resident] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def most_neighbors(self) -> int:
        """How many rows are left at least when a row is left out."""
        left_out = 1 if self.groups is None else int(np.bincount(self.groups).max())
        return len(self.x) - left_out

    def share_of_rest(self, share: float) -> float:
        """Return when this share of the time left will be over, in seconds from the start."""
        return self.elapsed_s + share * max(self._seconds - self.elapsed_s, 0.0)

    def is_over(self, until_s: float | None = None, needed_s: float = 0.0) -> bool:
        """Return whether what needs so many seconds would end after a time, or after the end."""
        return self.elapsed_s + needed_s >= (self._seconds if until_s is None else until_s)

    def resident(self, metric: Metric) -> Resident:
        """Return the rows in the metric, made now or kept from the last few metrics."""
        if metric not in self._residents:
            while len(self._residents) >= RESIDENTS_KEPT:
                del self._residents[next(iter(self._residents))]
            mapped = metric_map(metric, self.x, self.features).of(self.x)
            (low, high), (lowest, highest) = column_extremes(self.x), column_extremes(mapped)
            check_apart(high - low, highest - lowest)
            self._residents[metric] = self.load(np.ascontiguousarray(mapped))
        return self._residents[metric]

    def views(self, fit: Fit) -> tuple[Resident, ...]:
        """Return the rows as they are fitted; for a robust fit of several targets, as each is.

        Raises:
            DeadlineExceeded: The time of the blocks is over.
        """
        rows = self.resident(fit.metric)
        if not isinstance(fit, NadarayaWatson | LocalPolynomial):
            return (rows,)
        if has_row_bandwidths(fit):
            rows = Spreading(rows, spread_of(rows, fit.n_neighbors or 0, self.blocks))
        if not is_robust(fit):
            return (rows,)
        weights = robustness_weights(rows, as_polynomial(fit), fit.robust, self.blocks)
        return weighed(rows, weights)

    def score(self, fit: Fit, step: Step, at: Rows | None = None) -> Score:
        """Return the score of a fit over the rows `at`, or all the judges.

        Raises:
            DeadlineExceeded: The time of the blocks is over.
        """
        at = self.judges if at is None else at
        rows, *others = self.views(fit)

        def residuals(part: slice) -> Floats:
            mean = predicted_by_others(rows, fit, at[part], self.groups)[0]
            for c, view in enumerate(others, 1):
                mean[:, c] = predicted_by_others(view, fit, at[part], self.groups)[0][:, c]
            return self.y[at[part]] - mean

        try:
            if isinstance(fit, Linear):  # one plane for all of them, in closed form
                residual = leave_one_out(
                    rows, fit, at, groups=self.groups, blocks=self.blocks
                ).residual
            else:
                residual = np.concatenate(self.blocks(residuals, len(at), JUDGED_AT_ONCE))
        except LinAlgError:
            residual = np.full((len(at), self.y.shape[1]), np.nan)
        p = None if self.row_weights is None else self.row_weights[at]
        rmse = np.sqrt(mean_of(residual * residual, p))
        rmse = np.where(np.isnan(rmse), np.inf, rmse)
        error = float(np.sqrt(np.mean((rmse / self.deviation) ** 2)))
        told = classified(self.y[at], self.y[at] - residual, p) if self._of_classes else None
        if told is not None and np.isfinite(error):
            error = told.log_loss / self._entropy
        score = Score(
            fit, error, tuple(rmse.tolist()), len(at), step, self.elapsed_s, classified=told
        )
        if len(at) == len(self.judges):
            self.scores.append(score)
        return score

    def best(self, method: type[Fit]) -> Score | None:
        """Return the best score of a method over all the judges."""
        found = (score for score in self.scores if isinstance(score.fit, method))
        return min(found, key=error_of, default=None)
