"""Leave-one-out: what each row's prediction would be, had the row never been seen.

| method                     | f₋ᵢ(x_i)                                                        |
|----------------------------|-----------------------------------------------------------------|
| knn                        | the mean of the k nearest other rows                            |
| weighted mean, local       | the fit to the sums over the other rows, see `others`; with     |
| polynomial                 | n_neighbors, h is the distance of the k-th nearest of them      |
| kriging over the k nearest | the system of the k nearest other rows                          |
| linear regression          | y_i - (y_i - f(x_i)) / (1 - l_i(x_i)), anew where that is 0 / 0 |
| kriging over all rows      | y_i - [K_α⁻¹ y]_i / [K_α⁻¹]_ii,  K_α = K + α diag(1 / p)        |

Where rows belong to groups (years, places, patients), with a row its whole group is left out; over
all rows the fraction is then a system of the group's rows B, y_B - ([K_α⁻¹]_BB)⁻¹ [K_α⁻¹ y]_B. For
a plane it is y_B - (I - L_BB)⁻¹ (y - f)_B with L_BB = UUᵀ, U = √p (1 / √P, Wᵀ(x - x̄)) in the words
of `linear`, and (I - UUᵀ)⁻¹ = I + U (I - UᵀU)⁻¹ Uᵀ, both for the rows times √p.

Nothing is approximated: each is the prediction at x_i of the same fit to the other n - 1 rows. The
hat diagonal l_i(x_i) is the weight of y_i in the prediction of the fit to all rows; its sum, the
trace, is the number of degrees of freedom of the fit.

Over 300 lines: leave-one-out of all methods, whose closed forms are read side by side.

Sources: Allen (1974), Technometrics 16(1), 125-127; Dubrule (1983), Mathematical Geology 15(6),
687-699; Rasmussen & Williams (2006), equations 5.10-5.12.

Over 300 lines: one formula a method, beside each other as in the table.
"""

from dataclasses import dataclass

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.estimators import linear, nadaraya_watson, neighbors
from service.estimators import local_polynomial as polynomial
from service.estimators.blocks import Blocks
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
)
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import System, noise_of
from service.estimators.local_kriging import nearest_systems
from service.estimators.local_system import solve
from service.estimators.ordered import ordered_sum
from service.estimators.others import Others
from service.estimators.reach import reach_of
from service.estimators.row_bandwidths import Spreading
from service.estimators.row_weights import weights_at

GROUPS_OF_ROW_BANDWIDTHS = (
    "bandwidth_at is 'row', and the bandwidths of the other rows are not known without a whole "
    "group: leave the groups out, or send bandwidth_at 'query'."
)

LEAST_REST = 1e-4
"""Of a row's weight in the plane, or a group's: below, a fraction has lost too many digits."""


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Predictions of some rows by the fit to the other ones.

    Attributes:
        rows: The rows predicted, (s,).
        prediction: f₋ᵢ(x_i), (s, t); NaN where no other row carries weight.
        residual: y_i - f₋ᵢ(x_i), (s, t).
        hat_diagonal: l_i(x_i) of the fit to all rows, (s,).
        variance: Of the residual by the kriging model with signal variance 1, (s,), with the
            noise: 1 / [K_α⁻¹]_ii over all rows. None for other methods. Infinite for rows of
            weight 0, whose noise has no bound.
    """

    rows: Rows
    prediction: Floats
    residual: Floats
    hat_diagonal: Floats
    variance: Floats | None


def leave_one_out(
    rows: Resident,
    fit: Fit,
    at: Rows,
    *,
    groups: Rows | None = None,
    system: System | None = None,
    blocks: Blocks | None = None,
) -> LeaveOneOut:
    """Return the leave-one-out predictions of the rows `at` (s,), with all others as data.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What to fit; n_neighbors < n.
        at: Which rows to predict.
        groups: The group of each row, (n,), from 0, if a row's whole group is left out with it.
        system: The solved system of kriging over all rows.
        blocks: For its solves, one a row of `at`, and for the factors of linear regression.

    Cost: twice a prediction at s queries; over all rows, s solves of the system; linear regression
    is fitted once, and anew for each row that decides a direction alone, at most d + 1.

    Raises:
        InvalidInput: The fit asks for more neighbours than there are other rows, or is
            linear regression by gradient descent.
        DeadlineExceeded: Between two solves, when the time is over.
    """
    if isinstance(fit, Kriging) and fit.n_neighbors is None:
        if system is None or blocks is None:
            raise TypeError("kriging over all rows has a system")
        return _of_all_rows(rows, fit, at, groups, system, blocks)
    if isinstance(fit, Linear):
        if blocks is None:
            raise TypeError("linear regression is fitted in blocks")
        return _of_plane(rows, fit, at, groups, blocks)
    prediction, variance = predicted_by_others(rows, fit, at, groups)
    return LeaveOneOut(
        rows=at,
        prediction=prediction,
        residual=rows.y[at] - prediction,
        hat_diagonal=hat_diagonal(rows, fit, at),
        variance=variance,
    )


def predicted_by_others(
    rows: Resident, fit: Fit, at: Rows, groups: Rows | None = None
) -> tuple[Floats, Floats | None]:
    """Return f₋ᵢ(x_i), (s, t), and for kriging the variance of y_i - f₋ᵢ(x_i), (s,).

    Arguments, cost and errors as for `leave_one_out`, for all methods but those over all rows.
    """
    n, q = len(rows.x), np.ascontiguousarray(rows.x[at])
    most = n - (1 if groups is None else int(np.bincount(groups).max()))
    if fit.n_neighbors is not None and fit.n_neighbors > most:
        raise InvalidInput.at(
            "/fit/n_neighbors",
            f"n_neighbors is {fit.n_neighbors}, but of the {n} rows only {most} are left when a "
            f"row is left out, with its group: send at most {most}.",
        )
    others: Resident = Others(rows, at, groups)
    if isinstance(rows, Spreading):
        if groups is not None:
            raise InvalidInput.at("/fit/bandwidth_at", GROUPS_OF_ROW_BANDWIDTHS)
        others = rows.without(at)
    match fit:
        case Knn():
            found = neighbors.predict(others, fit, q, neighbor_limit=None, diagnostics=False)
        case NadarayaWatson():
            found = nadaraya_watson.predict(others, fit, q, neighbor_limit=None, diagnostics=False)
        case LocalPolynomial():
            found = polynomial.predict(others, fit, q, neighbor_limit=None, diagnostics=False)
        case Kriging():
            if fit.n_neighbors is None:
                raise TypeError("kriging over all rows has a closed form")
            nearest = others.nearest(q, fit.n_neighbors)
            systems = nearest_systems(rows.x, q, nearest.rows, fit, rows.row_weights)
            mean = ordered_sum(systems.weights[:, :, None] * rows.y[nearest.rows])
            return mean, systems.variance + noise_of(rows, fit.alpha, at)
        case Linear():
            raise TypeError("linear regression has a closed form")
    return found.mean, None


def hat_diagonal(rows: Resident, fit: Fit, at: Rows) -> Floats:
    """Return l_i(x_i), the weight of y_i in the prediction at x_i, of the rows `at`, (s,).

    Arguments and cost as for `predicted_by_others`.
    """
    q = np.ascontiguousarray(rows.x[at])
    match fit:
        case Knn():
            listed = neighbors.predict(
                rows, fit, q, neighbor_limit=len(at) * fit.n_neighbors, diagnostics=False
            ).neighbors
            if listed is None:
                raise TypeError("the neighbours were asked for")
            queries = np.repeat(np.arange(len(at)), np.diff(listed.offsets))
            own = listed.rows == at[queries]
            diagonal = np.zeros(len(at))
            diagonal[queries[own]] = listed.weights[own]
            return diagonal
        case NadarayaWatson():
            return _smoother_diagonal(rows, fit, at, degree=0, ridge=0.0)
        case LocalPolynomial():
            return _smoother_diagonal(rows, fit, at, degree=fit.degree, ridge=fit.ridge)
        case Kriging():
            if fit.n_neighbors is None:
                raise TypeError("kriging over all rows has a closed form")
            nearest = rows.nearest(q, fit.n_neighbors).rows
            weights = nearest_systems(rows.x, q, nearest, fit, rows.row_weights).weights
            return ordered_sum(np.where(nearest == at[:, None], weights, 0.0))
        case Linear():
            raise TypeError("linear regression has a closed form")


def _smoother_diagonal(
    rows: Resident, fit: NadarayaWatson | LocalPolynomial, at: Rows, degree: int, ridge: float
) -> Floats:
    """Return w̃ (1 - vᵀφ̄) of the own row, where w = K(0) p_i and φ = 0; 0 where p_i = 0."""
    q = np.ascontiguousarray(rows.x[at])
    reach = reach_of(rows, fit, q)
    moments = reach.moments(rows, q, degree)
    v = solve(moments, rows.n_sloped, degree, ridge).v
    weight = moments.gram[:, 0, 0]
    if rows.row_weights is None:
        mean = moments.gram[:, 0, 1:] / weight[:, None]
        return np.asarray((1.0 - np.sum(v * mean, axis=1)) / weight)
    p, diagonal = rows.row_weights[at], np.zeros(len(at))
    counts = p > 0
    mean = moments.gram[counts, 0, 1:] / weight[counts, None]
    diagonal[counts] = p[counts] * (1.0 - np.sum(v[counts] * mean, axis=1)) / weight[counts]
    return diagonal


def _of_all_rows(
    rows: Resident, fit: Kriging, at: Rows, groups: Rows | None, system: System, blocks: Blocks
) -> LeaveOneOut:
    """Return the closed form from the columns of K_α⁻¹ that belong to each row's group."""
    s, n = len(at), len(rows.x)
    residual, diagonal, variance = np.empty((s, rows.y.shape[1])), np.zeros(s), np.empty(s)
    counts = weights_at(rows, np.arange(n)) > 0
    for i, row in enumerate(at):
        group = at[i : i + 1] if groups is None else np.flatnonzero(groups == groups[row])
        if not counts[row]:  # the system has no such row: it is predicted like any point
            own_place = rows.x[row : row + 1]
            goal = covariance(fit.kernel, distances(rows.x, own_place), fit.length_scale)
            weights = _without(system, goal, group[counts[group]], blocks)
            residual[i], variance[i] = rows.y[row] - weights @ rows.y, np.inf
            continue
        group = group[counts[group]]
        unit = np.zeros((n, len(group)))
        unit[group, np.arange(len(group))] = 1.0
        inverse = system.solve(unit, blocks)[group]
        place = int(np.searchsorted(group, row))
        own = np.linalg.solve(inverse, np.eye(len(group))[:, [place]])[:, 0]
        residual[i] = own @ system.solution[group]
        variance[i], diagonal[i] = own[place], inverse[place, place]
    alpha = np.where(counts[at], noise_of(rows, fit.alpha, at), 0.0) + system.report.jitter
    return LeaveOneOut(
        rows=at,
        prediction=rows.y[at] - residual,
        residual=residual,
        hat_diagonal=np.where(counts[at], 1.0 - alpha * diagonal, 0.0),
        variance=variance,
    )


def _without(system: System, goal: Floats, group: Rows, blocks: Blocks) -> Floats:
    """Return the weights (n,) for the covariances goal (n, 1) of the system without a group.

    l - K_α⁻¹U (UᵀK_α⁻¹U)⁻¹ Uᵀl with U the columns of I that belong to the group.
    """
    weights = system.solve(goal, blocks)[:, 0]
    if not len(group):
        return np.asarray(weights)
    unit = np.zeros((len(goal), len(group)))
    unit[group, np.arange(len(group))] = 1.0
    columns = system.solve(unit, blocks)
    return np.asarray(weights - columns @ np.linalg.solve(columns[group], weights[group]))


def _of_plane(
    rows: Resident, fit: Linear, at: Rows, groups: Rows | None, blocks: Blocks
) -> LeaveOneOut:
    """Return the closed form from the weights among the rows of each row's group."""
    if fit.solver != "least_squares":
        raise InvalidInput.at(
            "/fit/solver",
            "Leave-one-out needs the factors of least squares, which gradient descent does not "
            "have: choose the solver least_squares.",
        )
    model = linear.prepare(rows, fit, blocks)
    u, p = model.basis(rows.x[at]), weights_at(rows, at)
    diagonal, error = p * ordered_sum(u * u), rows.y[at] - model.at(rows.x[at])
    rest = 1.0 - diagonal
    if groups is None:
        residual = error / np.where(rest < LEAST_REST, 1.0, rest)[:, None]
        lost = rest < LEAST_REST
    else:
        residual, lost = error, np.zeros(len(at), dtype=np.bool_)
        for i, row in enumerate(at):
            blocks.check()
            group = np.flatnonzero(groups == groups[row])
            residual[i], lost[i] = _of_group(rows, model, group, int(np.searchsorted(group, row)))
    for place in np.flatnonzero(lost):
        row = at[place]
        group = at[place : place + 1] if groups is None else np.flatnonzero(groups == groups[row])
        others = np.delete(np.arange(len(rows.x)), group)
        residual[place] = rows.y[row] - _plane_of(rows, fit, others, int(row), blocks)
    prediction = rows.y[at] - residual
    return LeaveOneOut(at, prediction, rows.y[at] - prediction, diagonal, None)


def _of_group(
    rows: Resident, model: linear.LinearModel, group: Rows, place: int
) -> tuple[Floats, bool]:
    """Return the residual (t,) of one row of a group, and whether too few digits of it are left."""
    x = rows.x[group]
    u, error = model.basis(x), rows.y[group] - model.at(x)
    weighted = u * weights_at(rows, group)[:, None]
    rest = np.eye(u.shape[1]) - weighted.T @ u
    if np.linalg.eigvalsh(rest)[0] < LEAST_REST:
        return error[place], True
    return np.asarray(error[place] + u[place] @ np.linalg.solve(rest, weighted.T @ error)), False


def _plane_of(rows: Resident, fit: Linear, others: Rows, row: int, blocks: Blocks) -> Floats:
    """Return the plane of other rows at a row, (t,); NaN where none of them counts."""
    own = None if rows.row_weights is None else rows.row_weights[others]
    if not len(others) or (own is not None and not own.any()):
        return np.full(rows.y.shape[1], np.nan)
    model = linear.plane(rows.x[others], rows.y[others], fit, blocks, own)
    return np.asarray(model.at(rows.x[row : row + 1])[0])
