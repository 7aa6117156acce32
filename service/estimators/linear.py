"""Linear regression over all rows.

    f(x) = ȳ + (x - x̄)ᵀb = Σ l_i y_i,     l_i = p_i [1 / P + (x - x̄)ᵀ W Wᵀ (x_i - x̄)]

with weights p_i, 1 as a rule, P = Σ p_i, the weighted means x̄ and ȳ, and b and W from
`linear_system`, by least squares or by gradient descent on the squared loss.

Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2009), section 3.2.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.prediction import Diagnostics, Neighbors, Prediction, Status, issues_where
from service.estimators.blocks import Blocks
from service.estimators.linear_system import Standardized, by_descent, by_factors
from service.estimators.ordered import ordered_sum
from service.estimators.reach import check_entries

DEGENERATE = (
    "Some features are combinations of the others or constant, so that the coefficients are not "
    "determined: those of minimum norm, in units of the features' deviations, were taken."
)
NOT_CONVERGED = (
    "Gradient descent ended at max_steps with a relative gradient of {:.1e} (asked: {:.1e}): raise "
    "max_steps, or choose least_squares."
)


@final
@dataclass(frozen=True)
class Linear:
    """Linear regression over all rows.

    Attributes:
        solver: How it is solved.
        rate: Of gradient descent, for features and targets in units of their deviations; None
            takes the largest that is safe.
        momentum: Of gradient descent, 0 ≤ μ < 1; None accelerates.
        tolerance: Gradient descent ends when no entry of the gradient is larger than this times
            the largest at the start.
        max_steps: Of gradient descent.
    """

    solver: Literal["least_squares", "gradient_descent"] = "least_squares"
    rate: float | None = None
    momentum: float | None = None
    tolerance: float = 1e-12
    max_steps: int = 10_000


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A fitted hyperplane.

    Attributes:
        center: x̄ as the sum of two numbers, the second of which rounding has left, (2, d).
        mean: ȳ, (t,).
        slope: b, (d, t), in data units.
        root: W, (d, rank); None from gradient descent, which does not factorise.
        row_weights: p, (n,).
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
    loss_history: tuple[Floats, ...] = ()
    relative_gradient: float = 0.0

    @property
    def is_degenerate(self) -> bool:
        """True where fewer directions are determined than there are features, if known."""
        return self.root is not None and self.root.shape[1] < len(self.slope)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return (
            self.slope.nbytes + self.row_weights.nbytes + sum(h.nbytes for h in self.loss_history)
        )


def prepare(
    rows: Resident, fit: Linear, blocks: Blocks, row_weights: Floats | None = None
) -> LinearModel:
    """Return the hyperplane through the rows, weighted by `row_weights` (n,) > 0.

    Raises:
        InvalidInput: Gradient descent diverges at the rate given.
        DeadlineExceeded: Between two blocks or steps, when the time is over.

    Cost: a copy of the rows, and O(n d (d + t)) for least squares, O(n d) a step and target for
    gradient descent.
    """
    p = np.ones(len(rows.x)) if row_weights is None else row_weights
    data = Standardized.of(rows.x, rows.y, p)
    if fit.solver == "least_squares":
        b, inverse = by_factors(data, blocks)
        return LinearModel(
            data.center, data.mean, data.in_data_units(b), inverse / data.x_scale[:, None], p
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
        data.center, data.mean, data.in_data_units(found.b), None, p,
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
        diagnostics: Fill `Prediction.diagnostics`.

    Raises:
        InvalidInput: Weights or diagnostics are asked of gradient descent, which has none.

    Cost: O(d) a query and target; O(n d) with the weights.
    """
    m, n = len(q), len(rows.x)
    offset = q - model.center[0] - model.center[1]
    mean = model.mean + ordered_sum(offset[:, :, None] * model.slope)
    everywhere = np.ones(m, dtype=np.bool_)
    issues = issues_where(everywhere & model.is_degenerate, Status.DEGENERATE, DEGENERATE)
    if fit.solver == "gradient_descent" and model.relative_gradient > fit.tolerance:
        advice = NOT_CONVERGED.format(model.relative_gradient, fit.tolerance)
        issues += issues_where(everywhere, Status.NOT_CONVERGED, advice)
    if neighbor_limit is None and not diagnostics:
        return Prediction(mean, issues=issues)
    if model.root is None:
        raise InvalidInput.at(
            "/include",
            "Gradient descent knows no weights of single rows: choose the solver least_squares, or "
            "include no neighbors and no diagnostics.",
        )
    check_entries(m * n, n * m if neighbor_limit is None else neighbor_limit)
    weights = _weights(rows.x, model, model.root, offset)
    found = rows.within(q, np.full(m, np.inf)) if neighbor_limit is not None else None
    return Prediction(
        mean,
        issues=issues,
        neighbors=None
        if found is None
        else Neighbors(
            found.offsets,
            found.rows,
            found.distances,
            np.take_along_axis(weights, found.rows.reshape(m, n), axis=1).reshape(-1),
        ),
        diagnostics=Diagnostics(
            support=np.full(m, n, dtype=np.int64),
            effective_rows=1.0 / ordered_sum(weights * weights),
            bandwidth=np.full(m, np.nan),
            degree=np.full(m, min(model.root.shape[1], 1), dtype=np.int64),
        )
        if diagnostics
        else None,
    )


def slope_norm(model: LinearModel) -> Floats:
    """Return the slopes' standard errors for noise of deviation 1 over √p, (d,).

    Raises:
        InvalidInput: The model comes from gradient descent.
    """
    if model.root is None:
        raise InvalidInput.at(
            "/include",
            "Gradient descent knows no standard errors: choose the solver least_squares.",
        )
    return np.sqrt(ordered_sum(model.root * model.root))


def _weights(x: Floats, model: LinearModel, root: Floats, offset: Floats) -> Floats:
    """Return the weight of each row for each query, (m, n)."""
    m, n = len(offset), len(x)
    there, here = (x - model.center[0] - model.center[1]) @ root, np.zeros((m, root.shape[1]))
    for j in range(offset.shape[1]):
        here += offset[:, j, None] * root[j]
    weights = np.full((m, n), 1.0 / float(model.row_weights.sum()))
    for a in range(root.shape[1]):
        weights += here[:, a, None] * there[:, a]
    return weights * model.row_weights
