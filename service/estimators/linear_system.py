"""The least-squares problem of linear regression, by orthogonal factors or by gradient descent.

    b = argmin (1 / P) Σ p_i (y_i - ȳ - (x_i - x̄)ᵀb)²,     P = Σ p_i

Features are centred and divided by their deviations first, to Z, and so are targets, to Y.

Factors: √p Z = QR, with √p Y as further columns, of blocks of rows and then of their R's, one above
the other. The normal equations, whose condition number is the square, are never formed. The
singular values of R (d, d) are those of √p Z. Where some are 0 to rounding, the solution has the
minimum norm in units of the deviations.

Gradient descent: steps against the gradient g = -(2 / P) Zᵀp (Y - Zb) of the loss, from b = 0, by
the rate η given or 1 / L, with L = 2 / P times the largest eigenvalue of ZᵀpZ by power iteration.
Where no momentum μ is given they are accelerated, and start anew when the last one went uphill:

    b_{k+1} = a_k - η g(a_k),     a_{k+1} = b_{k+1} + (θ_k - 1) / θ_{k+1} (b_{k+1} - b_k)
    θ_0 = 1,     θ_{k+1} = (1 + √(1 + 4θ_k²)) / 2

which takes about √κ steps where plain descent takes κ, the condition number of ZᵀpZ. Else they are
b_{k+1} = b_k - η g(b_k) + μ (b_k - b_{k-1}). All stay in the span of the rows, and so end at the
solution of minimum norm.

Sources: Golub & Van Loan, Matrix Computations (2013), section 5.3; Demmel, Grigori, Hoemmen &
Langou (2012), SIAM J. Sci. Comput. 34(1), A206-A239, for the factors of blocks; Nesterov (1983),
Soviet Mathematics Doklady 27(2), 372-376, and O'Donoghue & Candès (2015), Foundations of
Computational Mathematics 15(3), 715-732, for the acceleration.
"""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Floats, as_floats
from service.domain.errors import InvalidInput
from service.estimators.blocks import Blocks

BLOCK_ROWS = 16_384
"""Rows factorised at once: 1.4 MB with ten features."""

LEAST_SINGULAR = 1e-12
"""Directions in which the rows vary by less than this of the most hold nothing but rounding."""

CONSTANT = 1e-14
"""A feature whose deviation is less than this of its largest value varies by rounding errors."""

POWER_STEPS = 30
"""Of the power iteration. What it gives is too small, by 20 % at the very worst that is to be
expected of 1,000 features; steps by its reciprocal are stable up to 33 %."""

DIVERGED = 1e6
"""A loss so many times the first will not come down again."""


@dataclass(frozen=True, eq=False)
class Standardized:
    """The rows as the solvers take them.

    Attributes:
        x: √p Z, (n, d).
        y: √p Y, (n, t).
        center: x̄ as the sum of two numbers, the second of which rounding has left, (2, d).
        mean: ȳ, (t,).
        x_scale: Deviations of the features, (d,); 1 where one is constant.
        y_scale: Deviations of the targets, (t,); 1 where one is constant.
        weight: P.
    """

    x: Floats
    y: Floats
    center: Floats
    mean: Floats
    x_scale: Floats
    y_scale: Floats
    weight: float

    @classmethod
    def of(cls, x: Floats, y: Floats, p: Floats) -> "Standardized":
        """Return the rows x (n, d) and targets y (n, t) with the weights p (n,)."""
        weight = float(p.sum())
        z, center, x_scale = _standardized(x, p, weight)
        targets, mean, y_scale = _standardized(y, p, weight)
        return cls(z, targets, center, mean.sum(axis=0), x_scale, y_scale, weight)

    def in_data_units(self, b: Floats) -> Floats:
        """Return the slope (d, t) in data units."""
        return np.asarray(b * self.y_scale / self.x_scale[:, None])


@dataclass(frozen=True, eq=False)
class Descended:
    """Where gradient descent has led.

    Attributes:
        b: (d, t).
        losses: For each target, the loss at each step in the squared unit of the target.
        relative_gradient: The largest entry of the gradient over that at the start, at worst.
    """

    b: Floats
    losses: tuple[Floats, ...]
    relative_gradient: float


def by_factors(data: Standardized, blocks: Blocks) -> tuple[Floats, Floats]:
    """Return b (d, t) and V S⁻¹ (d, rank), whose product with its transpose is (ZᵀpZ)⁻¹.

    Cost: O(n (d + t)²).
    """
    n, d = data.x.shape

    def factor(piece: slice) -> Floats:
        part = slice(piece.start * BLOCK_ROWS, (piece.start + 1) * BLOCK_ROWS)
        return _triangle(np.concatenate([data.x[part], data.y[part]], axis=1))

    r = np.concatenate(blocks(factor, -(-n // BLOCK_ROWS), 1))
    if n > BLOCK_ROWS:
        r = _triangle(r)
    left, singular, right = np.linalg.svd(r[:, :d], full_matrices=False)
    rank = int(np.sum(singular > LEAST_SINGULAR * max(np.sqrt(data.weight), singular[0])))
    inverse = as_floats(right[:rank].T / singular[:rank])
    return as_floats(inverse @ (left[:, :rank].T @ r[:, d:])), inverse


def by_descent(
    data: Standardized,
    *,
    rate: float | None,
    momentum: float | None,
    tolerance: float,
    max_steps: int,
    blocks: Blocks,
) -> Descended:
    """Return where gradient descent leads, each target by itself.

    It ends when no entry of the gradient is larger than `tolerance` times the largest at the start,
    or after `max_steps`.

    Raises:
        InvalidInput: It diverges.

    Cost: O(n d) a step and target.
    """
    eta = 1.0 / _lipschitz(data) if rate is None else rate
    solved = [
        _descend(data, target, eta, momentum, tolerance, max_steps, blocks)
        for target in range(data.y.shape[1])
    ]
    return Descended(
        np.stack([b for b, _, _ in solved], axis=1),
        tuple(losses for _, losses, _ in solved),
        max(relative for _, _, relative in solved),
    )


def _standardized(values: Floats, p: Floats, weight: float) -> tuple[Floats, Floats, Floats]:
    """Return √p (values - mean) / deviation, the weighted mean and the deviation."""
    center = p @ values / weight
    centered = values - center
    # What rounding has left of the mean: far from the origin, more than the result may lose.
    rest = p @ centered / weight
    centered -= rest
    scale = np.sqrt(p @ np.square(centered) / weight)
    scale[scale <= CONSTANT * np.max(np.abs(values), axis=0)] = 1.0
    centered *= np.sqrt(p)[:, None] / scale
    return centered, np.stack([center, rest]), scale


def _triangle(columns: Floats) -> Floats:
    return as_floats(np.linalg.qr(columns, mode="r"))


def _lipschitz(data: Standardized) -> float:
    """Return L."""
    direction = as_floats(np.random.default_rng(0).normal(size=(data.x.shape[1],)))
    largest = 0.0
    for _ in range(POWER_STEPS):
        direction = as_floats((data.x @ (direction / np.sqrt(direction @ direction))) @ data.x)
        largest = float(np.sqrt(direction @ direction))
        if largest == 0:
            return 1.0  # no feature varies, and the gradient is 0
    return 2.0 * largest / data.weight


def _descend(
    data: Standardized,
    target: int,
    rate: float,
    momentum: float | None,
    tolerance: float,
    max_steps: int,
    blocks: Blocks,
) -> tuple[Floats, Floats, float]:
    """Return b (d,) of one target, its losses and the relative gradient."""
    y, unit = data.y[:, target], float(data.y_scale[target]) ** 2 / data.weight
    b, step = np.zeros(data.x.shape[1]), np.zeros(data.x.shape[1])
    ahead, theta, first = b, 1.0, 0.0
    losses: list[float] = []
    while True:
        blocks.check()
        residual = y - data.x @ ahead
        gradient = -2.0 / data.weight * (residual @ data.x)
        losses.append(float(np.dot(residual, residual)) * unit)
        size = float(np.max(np.abs(gradient)))
        first = first if losses[1:] else size
        if size <= tolerance * first or len(losses) > max_steps:
            return ahead, np.array(losses), size / first if first > 0 else 0.0
        if not losses[-1] <= DIVERGED * losses[0]:
            raise InvalidInput.at(
                "/fit/rate",
                f"Gradient descent diverges at the rate {rate:g}: send a smaller one, or none.",
            )
        if momentum is not None:
            step = momentum * step - rate * gradient
            b = ahead = b + step
            continue
        step = ahead - rate * gradient - b
        b = b + step
        theta = 1.0 if float(np.dot(gradient, step)) > 0 else theta
        following = float(1.0 + np.sqrt(1.0 + 4.0 * theta * theta)) / 2.0
        ahead, theta = b + (theta - 1.0) / following * step, following
