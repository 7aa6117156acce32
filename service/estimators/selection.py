"""The reach of a smoother by a classical selector: its curve, and the least point of it.

The criteria of `bandwidths` are looked at on a logarithmic grid, from the few next rows to all of
them, and between the neighbours of its best point by golden section: such curves may have more than
one minimum. `dpill` is a formula, and its curve a single point. Each reach is judged by
leave-one-out as well, so that it compares with what other selectors and the search have chosen.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from service.domain.arrays import Floats, column_extremes
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.estimators import local_polynomial, nadaraya_watson
from service.estimators.bandwidths import aicc, gcv, plug_in_bandwidth
from service.estimators.fits import (
    Fit,
    LocalPolynomial,
    NadarayaWatson,
    Smoother,
    has_row_bandwidths,
    is_robust,
)
from service.estimators.golden_section import golden_section
from service.estimators.judging import JUDGED_AT_ONCE, Judge, Score, Step
from service.estimators.leave_one_out import hat_diagonal
from service.estimators.reach import furthest
from service.estimators.row_weights import counted

Selector: TypeAlias = Literal["cv_ls", "gcv", "aicc", "dpill"]
AnySelector: TypeAlias = Literal["search", "cv_ls", "gcv", "aicc", "dpill"]

GRID_POINTS = 15
GOLDEN_POINTS = 12
"""After them the reach is known to a hundredth of the grid's step."""

MOST_PLUG_IN_ROWS = 5_000
"""The time and the memory of dpill go with their square."""


def check_selectable(
    fit: Fit, selector: Selector, n: int, d: int, t: int, *, has_weights: bool = False
) -> Smoother:
    """Return the fit, whose reach the selector can choose for n rows, d features and t targets.

    Raises:
        InvalidInput: It cannot.
    """
    if not isinstance(fit, NadarayaWatson | LocalPolynomial):
        raise InvalidInput.at(
            "/fit/method",
            f"The selector '{selector}' chooses the reach of a kernel, and this method has none: "
            "send nadaraya_watson, local_polynomial or local_linear, or the selector 'search'.",
        )
    if is_robust(fit) and t > 1 and selector in ("gcv", "aicc"):
        raise InvalidInput.at(
            "/selector",
            f"The selector '{selector}' weighs the residuals by one trace, and a robust fit has "
            f"another for each of the {t} targets: send cv_ls, robust 0, or a dataset of one.",
        )
    if selector != "dpill":
        return fit
    is_line = isinstance(fit, LocalPolynomial) and fit.degree == 1
    if not is_line or fit.kernel is not Kernel.GAUSSIAN or fit.bandwidth is None:
        raise InvalidInput.at(
            "/selector",
            "dpill is a formula for the bandwidth of a local line with the Gaussian kernel: send "
            "local_linear with the kernel gaussian and a bandwidth, or another selector.",
        )
    if d != 1 or t != 1:
        raise InvalidInput.at(
            "/selector",
            f"dpill is a formula for one feature and one target, and the dataset has {d} and {t}: "
            "send another selector.",
        )
    if has_weights:
        raise InvalidInput.at(
            "/selector",
            "dpill is a formula for rows that all count alike, and the dataset has weights: send "
            "another selector.",
        )
    if n > MOST_PLUG_IN_ROWS:
        raise InvalidInput.at(
            "/selector",
            f"dpill takes time with the square of the rows, at most {MOST_PLUG_IN_ROWS}, and the "
            f"dataset has {n}: send another selector.",
        )
    return fit


def select(judge: Judge, fit: Smoother, selector: Selector) -> Iterator[Score]:
    """Yield the points of the curve as they are found; the best is `best_of` them.

    Args:
        judge: Of the dataset.
        fit: Which smoother; where it has n_neighbors, that is chosen, else its bandwidth.
        selector: What is minimised, over the targets in their units and the rows that judge; the
            trace is that of all rows, from the sum over these.

    Raises:
        InvalidInput: All rows are at one place; dpill finds too few places, or no curvature.
        DeadlineExceeded: The time of the blocks is over.

    Cost: some 30 predictions of the rows that judge, and for gcv and aicc twice as many.
    """
    if selector == "dpill":
        rows = judge.resident(fit.metric)
        h = plug_in_bandwidth(rows.x[:, 0], rows.y[:, 0])
        yield judge.score(replace(fit, bandwidth=h), "plug_in")
        return
    curve: dict[Smoother, float] = {}
    seconds = 0.0

    def look(candidate: Smoother, step: Step) -> Score:
        nonlocal seconds
        start_s = judge.elapsed_s
        score = judge.score(candidate, step)
        curve[candidate] = _criterion(judge, candidate, score, selector)
        seconds = judge.elapsed_s - start_s
        return replace(score, criterion=curve[candidate])

    low, high = _range_of_reach(judge, fit)
    grid = [_reaching(fit, float(reach)) for reach in np.geomspace(low, high, GRID_POINTS)]
    for candidate in grid:
        if curve and judge.is_over(needed_s=seconds):
            return
        if candidate not in curve:
            yield look(candidate, "grid")
    best = int(np.argmin([curve[candidate] for candidate in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, GRID_POINTS - 1)]
    points = golden_section(_reach(ends[0]), _reach(ends[1]), GOLDEN_POINTS)
    reach = next(points)
    while True:
        candidate = _reaching(fit, reach)
        if candidate not in curve:
            if judge.is_over(needed_s=seconds):
                return
            yield look(candidate, "refinement")
        try:
            reach = points.send(curve[candidate])
        except StopIteration:
            return


def _criterion(judge: Judge, fit: Smoother, score: Score, selector: Selector) -> float:
    """Return what is minimised; infinite where a row has no prediction."""
    if selector == "cv_ls":
        return float(np.mean(np.square(score.rmse)))
    (rows, *_), at = judge.views(fit), judge.judges

    def smoothed(part: slice) -> tuple[Floats, Floats]:
        q = np.ascontiguousarray(rows.x[at[part]])
        if isinstance(fit, NadarayaWatson):
            found = nadaraya_watson.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)
        else:
            found = local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)
        return rows.y[at[part]] - found.mean, hat_diagonal(rows, fit, at[part])

    parts = judge.blocks(smoothed, len(at), JUDGED_AT_ONCE)
    residual = np.concatenate([part[0] for part in parts])
    n = len(counted(judge.resident(fit.metric)))
    p = None if judge.row_weights is None else judge.row_weights[at]
    trace = sum(float(part[1].sum()) for part in parts) * n / len(at)
    value = (gcv if selector == "gcv" else aicc)(residual, trace, n, p)
    return value if np.isfinite(value) else float("inf")


def _reach(fit: Smoother) -> float:
    if fit.n_neighbors is not None:
        return float(fit.n_neighbors)
    if fit.bandwidth is None:
        raise TypeError("a smoother has a reach")
    return fit.bandwidth


def _reaching(fit: Smoother, reach: float) -> Smoother:
    if fit.n_neighbors is not None:
        return replace(fit, n_neighbors=int(np.rint(reach)))
    return replace(fit, bandwidth=reach)


def _range_of_reach(judge: Judge, fit: Smoother) -> tuple[float, float]:
    """Return between which reaches is searched: from the few next rows to all of them."""
    rows, most = judge.resident(fit.metric), judge.most_neighbors
    d = rows.n_sloped
    if has_row_bandwidths(fit):
        most -= 1
    few = min(most, 2 + (d if isinstance(fit, LocalPolynomial) and fit.degree else 0))
    if fit.n_neighbors is not None:
        return float(few), float(most)
    low, high = column_extremes(rows.x)
    extent = float(np.linalg.norm(high - low))
    if extent == 0:
        raise InvalidInput.at(
            "/fit/bandwidth",
            "All rows lie at one place, where every bandwidth is alike: send a fit with "
            "n_neighbors, or knn.",
        )
    near = rows.nearest(np.ascontiguousarray(rows.x[judge.judges]), few + 1).distances
    return max(float(np.median(furthest(near))), 1e-6 * extent), extent
