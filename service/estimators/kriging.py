"""Simple kriging, over all rows or over the k nearest of each query; ordinary over the nearest.

    f(x) = k(x)ᵀ (K + αI)⁻¹ y,     K_ij = c(‖x_i - x_j‖),  k(x)_i = c(‖x_i - x‖)

which is also kernel ridge regression and kernel interpolation; where rows have weights p_i, α / p_i
takes the place of α, and a row of weight 0 is left out. Over all rows the coefficients
a = (K + αI)⁻¹ y are solved for once a dataset version and fit; a prediction is then one product.
Far from every row the answer decays to 0: centre y, or use a length scale that reaches. Ordinary
kriging estimates a constant mean from the nearest rows, to which the answer decays, see
`local_kriging`.

Sources: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), equations 2.23, 2.25;
Vecchia (1988), JRSS B 50(2), 297-312, for the nearest rows alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Expansion, Resident
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.domain.prediction import (
    Diagnostics,
    Issue,
    Neighbors,
    Prediction,
    Status,
    issues_where,
)
from service.estimators.blocks import Blocks
from service.estimators.fits import Kriging
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import Solver, System, solve_system
from service.estimators.local_kriging import nearest_weights
from service.estimators.neighbors import NO_SUPPORT
from service.estimators.ordered import ordered_sum
from service.estimators.reach import nearest_that_counts
from service.estimators.row_weights import counted, weights_at

FAINT_CORRELATION = 0.01
"""Below this correlation with the nearest row an answer is little more than the mean."""

NEAR_LENGTH_SCALES = 3.0
"""Up to here every correlation is above `FAINT_CORRELATION`; the least, the Gaussian one, is
0.0111."""

RESIDUAL_TOLERANCE = 1e-8

FAR = (
    "The nearest row has a correlation below 0.01 with these queries, so the answers decay to 0: "
    "raise length_scale or ask nearer to the data."
)
FAR_FROM_MEAN = (
    "The nearest row has a correlation below 0.01 with these queries, so the answers are little "
    "more than the mean of the nearest rows: raise length_scale or ask nearer to the data."
)
JITTERED = (
    "The covariances of the rows in reach are singular to rounding, so {:.0e} was added to alpha: "
    "send an alpha of that size, or a smaller length_scale."
)
WEIGHTS_OFF = (
    "The weights of these queries reproduce the prediction to less than 8 digits, since their "
    "systems are nearly singular: raise alpha or shorten length_scale."
)
NOT_SOLVED = (
    "The linear system was solved to a relative residual of {:.1e} only (asked: 1e-08): raise "
    "alpha, shorten length_scale, or use n_neighbors."
)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What a fit keeps between predictions.

    Attributes:
        solved: The system of a fit over all rows and the surface that it gives, K(·, x) a; None
            for a fit over the nearest rows.
    """

    solved: tuple[System, Expansion] | None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in self.solved) if self.solved is not None else 0


def prepare(rows: Resident, fit: Kriging, solver: Solver | None, blocks: Blocks) -> Coefficients:
    """Return the coefficients of the fit; a fit over the nearest rows has no solver.

    Raises:
        InvalidInput: alpha is 0 and two rows lie at one place: no surface passes through both.
        DeadlineExceeded: The system is too large for the time given.

    Cost: see `kriging_system`.
    """
    if fit.alpha == 0:
        _check_duplicates(rows.x, counted(rows))
    if fit.n_neighbors is not None:
        return Coefficients(None)
    if solver is None:
        raise TypeError("a fit over all rows needs a solver")
    system = solve_system(rows, fit.kernel, fit.length_scale, fit.alpha, solver, blocks)
    return Coefficients((system, rows.expansion(fit.kernel, fit.length_scale, system.solution)))


def predict(
    rows: Resident,
    fit: Kriging,
    coefficients: Coefficients,
    q: Floats,
    *,
    neighbor_limit: int | None,
    diagnostics: bool,
    blocks: Blocks,
) -> Prediction:
    """Return the kriging mean at each query.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What to fit.
        coefficients: What `prepare` returned.
        q: Queries, (m, d), in the metric of the fit.
        neighbor_limit: List the rows and their weights, unless None.
        diagnostics: Fill `Prediction.diagnostics`.
        blocks: For the weights of single rows, which need a solve a query.

    Cost a query: O(n) over all rows; O(k³) over k neighbours.
    """
    if coefficients.solved is None:
        return _predict_nearest(
            rows, fit, q, neighbor_limit=neighbor_limit, diagnostics=diagnostics
        )
    system, surface = coefficients.solved
    m = len(q)
    report = system.report
    sums = surface.at(q)
    mean = sums.values
    nearest = sums.nearest_distance
    if rows.row_weights is not None and not rows.row_weights.all():
        nearest = nearest_that_counts(rows, q, rows.nearest(q, 1))
    issues = _far_issue(fit, nearest)
    neighbors = None
    if neighbor_limit is not None:
        neighbors = _weights_of_all(rows, fit, system, q, blocks)
        off = _is_off(neighbors, rows.y, mean)
        issues += issues_where(off, Status.NOT_CONVERGED, WEIGHTS_OFF)
    everywhere = np.ones(m, dtype=np.bool_)
    if report.jitter > 0:
        issues += issues_where(everywhere, Status.DEGENERATE, JITTERED.format(report.jitter))
    if not report.relative_residual <= RESIDUAL_TOLERANCE:
        advice = NOT_SOLVED.format(report.relative_residual)
        issues += issues_where(everywhere, Status.NOT_CONVERGED, advice)
    return Prediction(
        mean,
        issues=issues,
        neighbors=neighbors,
        diagnostics=_diagnostics(np.full(m, len(counted(rows)))) if diagnostics else None,
        solve=report,
    )


def _predict_nearest(
    rows: Resident, fit: Kriging, q: Floats, *, neighbor_limit: int | None, diagnostics: bool
) -> Prediction:
    """Solve the k × k system of each query's nearest rows for its weights."""
    found = rows.nearest(q, fit.n_neighbors or 0)
    weights, jitters = nearest_weights(rows.x, q, found.rows, fit, rows.row_weights)
    mean = ordered_sum(weights[:, :, None] * rows.y[found.rows])
    issues = _far_issue(fit, nearest_that_counts(rows, q, found))
    if jitters.any():
        for jitter in sorted(set(jitters[jitters > 0])):
            issues += issues_where(jitters == jitter, Status.DEGENERATE, JITTERED.format(jitter))
    counts = weights_at(rows, found.rows) > 0
    support = counts.sum(axis=1)
    issues += issues_where(support == 0, Status.NO_SUPPORT, NO_SUPPORT)
    return Prediction(
        mean,
        issues=issues,
        neighbors=None
        if neighbor_limit is None
        else Neighbors(
            offsets=np.concatenate([[0], np.cumsum(support)]).astype(np.int64),
            rows=found.rows[counts],
            distances=found.distances[counts],
            weights=weights[counts],
        ),
        diagnostics=_diagnostics(support) if diagnostics else None,
    )


def _weights_of_all(
    rows: Resident, fit: Kriging, system: System, q: Floats, blocks: Blocks
) -> Neighbors:
    """Return the weight of every row for each query, (K + αI)⁻¹ k(x), nearest row first."""
    m, n = len(q), len(rows.x)
    found = rows.within(q, np.full(m, np.inf))
    order = found.rows.reshape(m, n)
    goal = covariance(fit.kernel, distances(rows.x, q), fit.length_scale)
    weights = system.solve(goal, blocks).T
    return Neighbors(
        found.offsets,
        found.rows,
        found.distances,
        np.take_along_axis(weights, order, axis=1).reshape(-1),
    )


def _is_off(neighbors: Neighbors, y: Floats, mean: Floats) -> NDArray[np.bool_]:
    """Return where Σ l_i y_i is not the prediction, (m,)."""
    m, n = len(mean), len(y)
    weights, targets = neighbors.weights.reshape(m, n), y[neighbors.rows.reshape(m, n)]
    sums = ordered_sum(weights[:, :, None] * targets)
    sizes = ordered_sum(np.abs(weights[:, :, None] * targets))
    return np.asarray(np.any(np.abs(sums - mean) > RESIDUAL_TOLERANCE * sizes, axis=1))


def _far_issue(fit: Kriging, nearest_distance: Floats) -> tuple[Issue, ...]:
    if nearest_distance.max() <= NEAR_LENGTH_SCALES * fit.length_scale:
        return ()
    nearest = covariance(fit.kernel, nearest_distance, fit.length_scale)
    advice = FAR if fit.mean == "zero" else FAR_FROM_MEAN
    return issues_where(nearest < FAINT_CORRELATION, Status.EXTRAPOLATED, advice)


def _diagnostics(support: Rows) -> Diagnostics:
    m = len(support)
    return Diagnostics(
        support=support.astype(np.int64, copy=False),
        effective_rows=np.full(m, np.nan),
        bandwidth=np.full(m, np.nan),
        degree=np.full(m, -1, dtype=np.int64),
    )


def _check_duplicates(x: Floats, rows: Rows) -> None:
    """Refuse two of the rows at one place."""
    order = rows[np.lexsort(x[rows].T)]
    same = (x[order[1:]] == x[order[:-1]]).all(axis=1)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        first, second = sorted((int(order[at]), int(order[at + 1])))
        raise InvalidInput.at(
            "/fit/alpha",
            f"alpha is 0, but rows {first} and {second} lie at the same place, and no surface "
            "passes through both: send an alpha above 0, or merge such rows.",
        )
