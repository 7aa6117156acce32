"""Linear regression over all rows.

    f(x) = ȳ + (x - x̄)ᵀb = Σ l_i y_i,     l_i = p_i u(x)ᵀu(x_i),     u(x) = (1 / √P, Wᵀ(x - x̄))

with weights p_i, 1 as a rule, P = Σ p_i, the weighted means x̄ and ȳ, and b and W from
`linear_system`, by least squares or by gradient descent on the squared loss. The noise of a row is
σ² / p_i, and Σ p_i u(x_i) u(x_i)ᵀ = I, so that Var f(x) / σ² = Σ l_i² / p_i = ‖u(x)‖² needs no list
of all rows.

Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), section 3.2.
"""

from dataclasses import dataclass, replace

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.prediction import (
    Diagnostics,
    Neighbors,
    Prediction,
    SolveReport,
    Status,
    issues_where,
)
from service.estimators.blocks import Blocks
from service.estimators.determined import told_by
from service.estimators.fits import Linear
from service.estimators.linear_system import Standardized, by_descent, by_factors
from service.estimators.local_derivatives import Slope
from service.estimators.ordered import ordered_sum
from service.estimators.reach import check_entries
from service.estimators.uncertainty import ResidualVariance

DEGENERATE = (
    "Some features are combinations of the others or constant, so that the coefficients are not "
    "determined: those of minimum norm, in units of the features' deviations, were taken."
)
NOT_CONVERGED = (
    "Gradient descent ended at max_steps with a relative gradient of {:.1e} (asked: {:.1e}): raise "
    "max_steps, or choose least_squares."
)
NO_FACTORS = (
    "Gradient descent knows no weights of single rows, and so no standard errors and no "
    "leave-one-out: send the solver least_squares, or ask for the mean, the gradient and "
    "diagnostics only."
)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A fitted hyperplane.

    Attributes:
        center: x̄ as the sum of two numbers, the second of which rounding has left, (2, d).
        mean: ȳ, (t,).
        slope: b, (d, t), in data units.
        root: W, (d, rank); None from gradient descent, which does not factorise.
        row_weights: p, (n,).
        null: Directions in which the rows do not vary, (d, d - rank), of unit length in units of
            the features' deviations; None without W.
        deviation: Those deviations, (d,); 1 where a feature is constant.
        loss_history: For each target, the weighted mean of the squared residuals at each step of
            gradient descent, the first at the mean; else nothing.
        relative_gradient: Where gradient descent ended, the largest entry over that at the start,
            the largest of all targets; 0 for least squares.
    """

    center: Floats
    mean: Floats
    slope: Floats
    root: Floats | None
    row_weights: Floats
    null: Floats | None
    deviation: Floats
    loss_history: tuple[Floats, ...] = ()
    relative_gradient: float = 0.0

    @property
    def is_degenerate(self) -> bool:
        """True where fewer directions are determined than there are features, if known."""
        return self.root is not None and self.root.shape[1] < len(self.slope)

    @property
    def rank(self) -> int:
        """The number of directions in which the rows determine the plane, by least squares only."""
        if self.root is None:
            raise InvalidInput.at("/include", NO_FACTORS)
        return int(self.root.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = (
            self.slope, self.root, self.row_weights, self.null, *self.loss_history
        )  # fmt: skip
        return sum(part.nbytes for part in held if part is not None)

    @property
    def weight(self) -> float:
        """P = Σ p_i."""
        return float(self.row_weights.sum())

    def basis(self, q: Floats) -> Floats:
        """Return u of the points (m, d), (m, 1 + rank), by least squares only."""
        constant = np.full(len(q), self.weight**-0.5)
        return np.column_stack([constant, self.coordinates(q)])

    def at(self, q: Floats) -> Floats:
        """Return f at the points (m, d), (m, t)."""
        offset = q - self.center[0] - self.center[1]
        return np.asarray(self.mean + ordered_sum(offset[:, :, None] * self.slope))

    def coordinates(self, q: Floats) -> Floats:
        """Return Wᵀ(x - x̄) of the points (m, d), (m, rank), by least squares only."""
        if self.root is None:
            raise InvalidInput.at("/include", NO_FACTORS)
        offset = q - self.center[0] - self.center[1]
        found = np.zeros((len(q), self.root.shape[1]))
        # Feature by feature, since a matrix product rounds by the number of its rows.
        for j in range(offset.shape[1]):
            found += offset[:, j, None] * self.root[j]
        return found


def prepare(rows: Resident, fit: Linear, blocks: Blocks) -> LinearModel:
    """Return the hyperplane through the rows, see `plane`."""
    return plane(rows.x, rows.y, fit, blocks, rows.row_weights)


def plane(
    x: Floats, y: Floats, fit: Linear, blocks: Blocks, row_weights: Floats | None = None
) -> LinearModel:
    """Return the hyperplane through the rows x (n, d) with targets y (n, t), weighted by p (n,).

    Raises:
        InvalidInput: Gradient descent diverges at the rate given.
        DeadlineExceeded: Between two blocks or steps, when the time is over.

    Cost: a copy of the rows, and O(n d (d + t)) for least squares, O(n d) a step and target for
    gradient descent.
    """
    p = np.ones(len(x)) if row_weights is None else row_weights
    data = Standardized.of(x, y, p)
    if fit.solver == "least_squares":
        b, inverse = by_factors(data, blocks)
        root = inverse / data.x_scale[:, None]
        null = np.linalg.svd(inverse)[0][:, inverse.shape[1] :]
        return LinearModel(
            data.center, data.mean, data.in_data_units(b), root, p, null, data.x_scale
        )
    found = by_descent(
        data,
        rate=fit.rate,
        momentum=fit.momentum,
        tolerance=fit.tolerance,
        max_steps=fit.max_steps,
        blocks=blocks,
    )
    return LinearModel(
        data.center, data.mean, data.in_data_units(found.b), None, p, None, data.x_scale,
        found.losses, found.relative_gradient,
    )  # fmt: skip


def predict(
    rows: Resident,
    fit: Linear,
    model: LinearModel,
    q: Floats,
    *,
    neighbor_limit: int | None,
    diagnostics: bool,
) -> Prediction:
    """Return the hyperplane's value at each query.

    Args:
        rows: The rows that it was fitted to.
        fit: How.
        model: What `prepare` returned.
        q: Queries, (m, d).
        neighbor_limit: List all rows with their weights, unless None.
        diagnostics: Fill `Prediction.diagnostics`; gradient descent has no effective rows.

    Raises:
        InvalidInput: Weights are asked of gradient descent, which has none.

    Cost: O(d) a query and target; O(n d) with the weights.
    """
    m, n = len(q), len(rows.x)
    everywhere = np.ones(m, dtype=np.bool_)
    issues = issues_where(everywhere & model.is_degenerate, Status.DEGENERATE, DEGENERATE)
    if fit.solver == "gradient_descent" and model.relative_gradient > fit.tolerance:
        advice = NOT_CONVERGED.format(model.relative_gradient, fit.tolerance)
        issues += issues_where(everywhere, Status.NOT_CONVERGED, advice)
    listed: Neighbors | None = None
    if neighbor_limit is not None:
        check_entries(m * n, neighbor_limit)
        found = rows.within(q, np.full(m, np.inf))
        weights = np.take_along_axis(_weights(rows.x, model, q), found.rows.reshape(m, n), axis=1)
        listed = Neighbors(found.offsets, found.rows, found.distances, weights.reshape(-1))
    told: Diagnostics | None = None
    if diagnostics:
        has_factors = model.root is not None
        norms = squared_norms(model, q) if has_factors else np.full(m, np.nan)
        told = Diagnostics(
            support=np.full(m, np.count_nonzero(model.row_weights), dtype=np.int64),
            effective_rows=1.0 / norms,
            bandwidth=np.full(m, np.nan),
            degree=np.full(m, min(model.rank, 1) if has_factors else 1, dtype=np.int64),
        )
    return Prediction(model.at(q), issues, listed, told, _report(fit, model))


def squared_norms(model: LinearModel, q: Floats) -> Floats:
    """Return Σ l_i² / p_i at each query, (m,): Var f(x) / σ².

    Raises:
        InvalidInput: The model comes from gradient descent.
    """
    u, total = model.coordinates(q), np.full(len(q), 1.0 / model.weight)
    for j in range(u.shape[1]):
        total += u[:, j] * u[:, j]
    return total


def slope_norm(model: LinearModel) -> Floats:
    """Return the slopes' standard errors for noise of deviation 1 over √p, (d,).

    Raises:
        InvalidInput: The model comes from gradient descent.
    """
    if model.root is None:
        raise InvalidInput.at("/include", NO_FACTORS)
    return np.sqrt(ordered_sum(model.root * model.root))


def slopes(model: LinearModel, m: int, matrix: Floats | None = None) -> Slope:
    """Return the slope b at m queries, which is the same at all, with its standard errors.

    With a matrix A (d, d) it is by x, where the rows are z = Ax: Aᵀb.

    Raises:
        InvalidInput: The model comes from gradient descent.
    """
    if model.root is None or model.null is None:
        raise InvalidInput.at("/include", NO_FACTORS)
    is_told = told_by(model.null, model.deviation, matrix)
    if matrix is not None:
        model = replace(model, slope=matrix.T @ model.slope, root=matrix.T @ model.root)
    d, t = model.slope.shape
    return Slope(
        np.broadcast_to(model.slope.T, (m, t, d)).copy(),
        np.broadcast_to(slope_norm(model), (m, d)).copy(),
        np.broadcast_to(is_told, (m, d)).copy(),
    )


def residual_variance(rows: Resident, model: LinearModel) -> ResidualVariance:
    """Return what the residuals say of the noise, with n - rank - 1 degrees of freedom.

    Σ p_i e_i² over them, n the rows with p_i > 0.

    Raises:
        InvalidInput: The model comes from gradient descent.
    """
    p = model.row_weights
    n, parameters = int(np.count_nonzero(p)), model.rank + 1
    freedom = n - parameters
    variance = np.full(rows.y.shape[1], np.nan)
    if freedom > 0:
        variance = (p[:, None] * np.square(rows.y - model.at(rows.x))).sum(axis=0) / freedom
    return ResidualVariance(variance, float(freedom), float(parameters), float(parameters), n, n)


def _report(fit: Linear, model: LinearModel) -> SolveReport | None:
    """Return how gradient descent went; least squares has nothing to say."""
    if fit.solver == "least_squares":
        return None
    return SolveReport(
        method=fit.solver,
        iterations=max(len(losses) for losses in model.loss_history) - 1,
        relative_residual=model.relative_gradient,
        loss_history=tuple(tuple(losses.tolist()) for losses in model.loss_history),
    )


def _weights(x: Floats, model: LinearModel, q: Floats) -> Floats:
    """Return the weight of each row for each query, (m, n)."""
    here, there = model.coordinates(q), model.coordinates(x)
    weights = np.full((len(q), len(x)), 1.0 / model.weight)
    for a in range(here.shape[1]):
        weights += here[:, a, None] * there[:, a]
    return weights * model.row_weights
