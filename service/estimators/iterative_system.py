"""Solving (K + αI) a = b from a partial factor of K, without forming K.

Where the factor holds K to less than is asked of the answer, it gives the solution. Elsewhere it
preconditions conjugate gradients. Those need few digits of the products, since

    a ← a + change,     change ≈ (K + αI)⁻¹ r,     r = b - (K + αI) a

takes the residual away again and again: the changes are found with products in 32-bit floats where
the condition number allows it, the residual r always with 64-bit ones. Where a change does not take
away nine tenths of the residual, the next ones are found with 64-bit products too.

Source: Golub & Van Loan, Matrix Computations (2013), sections 3.5.3 and 11.5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.domain.arrays import Floats
from service.estimators.blocks import Blocks
from service.estimators.partial_factor import UNIT_ROUNDOFF, Inverse, PartialFactor, Woodbury

MAX_ITERATIONS = 500
MAX_RESTARTS = 4

TOLERANCE = 1e-13
"""Of the relative residual. A residual r changes an answer by ‖r‖ / (2√α) at most, since the
weights l of a query have ‖l‖ ≤ 1 / (2√α): kkᵀ ≤ K, so that ‖l‖² ≤ ‖(K + αI)⁻²K‖."""

ROUNDINGS = 2.0
"""How many units in the last place of |K + αI| |a| a residual may be, where that is more: about
what rounding leaves of it, whatever the solver."""

LEAST_TOLERANCE = 1e-10
"""What is sought all the same, two digits below what is asked of an answer."""

GOAL = 0.2
"""Of the tolerance: where the iteration ends, whose residual differs from the true one."""

BOUND_TOLERANCE = 1e-9
"""The same for the proven bound of it, where a product costs more than the factor, n > r²."""

SINGLE_GOAL = 4e-6
"""Of the residual: what 32-bit products take it down to at most."""

LEAST_GAIN = 0.1
"""Of the residual before: what a change with 32-bit products has to leave less than."""

PATIENCE = 60
"""Steps without a smaller residual, after which rounding rules and the iteration ends."""

Product: TypeAlias = Callable[[Floats, Blocks], Floats]
"""Returns (K + αI) b for b (n, c)."""


@dataclass(frozen=True, eq=False)
class Means:
    """What a system is solved with.

    Attributes:
        partial: K ≈ LLᵀ.
        product: With (K + αI).
        inverse: Of δI + LLᵀ.
        single: The same two in 32-bit floats, where those help.
    """

    partial: PartialFactor
    product: Product
    inverse: Inverse
    single: tuple[Product, Inverse] | None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        inverses = self.inverse.nbytes + (0 if self.single is None else self.single[1].nbytes)
        is_shared = isinstance(self.inverse, Woodbury)
        return inverses + (0 if is_shared else self.partial.factor.nbytes)


@dataclass(frozen=True, eq=False)
class Solved:
    """What was found.

    Attributes:
        solution: (n, c).
        relative_residual: Of (K + αI) a = b, the largest of the columns, computed anew: where
            there are no steps and the partial factor holds K, a proven upper bound of it.
        steps: Of conjugate gradients.
    """

    solution: Floats
    relative_residual: float
    steps: int


def solve(means: Means, b: Floats, blocks: Blocks) -> Solved:
    """Return the best solution by the true residual; zero, the start, has the residual 1.

    Raises:
        DeadlineExceeded: When the time is over.
    """
    partial = means.partial
    solution, residual, steps = np.zeros_like(b), b, 0
    single = means.single
    if partial.is_all:
        solution = means.inverse.solve(b)
        blocks.check()
        solution += means.inverse.solve(partial.residual(solution, b))
        rank, n = partial.factor.shape
        enough = BOUND_TOLERANCE if n > rank * rank else LEAST_TOLERANCE
        if _bound(partial, solution, b, 0.0) <= enough:
            return Solved(solution, _bound(partial, solution, b, partial.jitter), 0)
        residual = b - _multiply(means.product, partial, solution, blocks)
        if not relative_residual(residual, b) < 1.0:
            solution, residual = np.zeros_like(b), b
        single = None
    for restart in range(MAX_RESTARTS + 1):
        before = relative_residual(residual, b)
        tolerance = _tolerance(partial, solution, b)
        if before <= tolerance or steps >= MAX_ITERATIONS:
            break
        product, inverse = single if single is not None else (means.product, means.inverse)

        def multiply(a: Floats, product: Product = product) -> Floats:
            return _multiply(product, partial, a, blocks)

        share = 0.0 if single is None else _share(before, tolerance)
        goal = GOAL * tolerance * np.linalg.norm(b, axis=0)
        change, more = _conjugate_gradients(multiply, inverse.solve, residual, goal, share)
        steps += more
        candidate = solution + change
        left_over = b - _multiply(means.product, partial, candidate, blocks)
        after = relative_residual(left_over, b)
        if after < before:
            solution, residual = candidate, left_over
        elif single is None and restart:
            break
        if single is not None and not after < LEAST_GAIN * before:
            single = None
    # Of the system that was asked for, without the jitter.
    true = relative_residual(residual + partial.jitter * solution, b)
    return Solved(solution, true, steps)


def _tolerance(partial: PartialFactor, solution: Floats, b: Floats) -> float:
    """Return the relative residual to reach; K |a| is near LLᵀ|a|, since no covariance is below 0.

    Of the columns, the least: one that rounding keeps above it ends by itself.
    """
    sizes = np.abs(solution)
    terms = partial.factor.T @ (partial.factor @ sizes) + partial.alpha * sizes
    size = np.linalg.norm(b, axis=0)
    rounding = np.linalg.norm(terms, axis=0) / np.where(size > 0, size, 1.0)
    least = ROUNDINGS * UNIT_ROUNDOFF * float(np.min(rounding))
    return min(max(TOLERANCE, least), LEAST_TOLERANCE)


def _share(before: float, tolerance: float) -> float:
    """Return what a change leaves of the residual: the tolerance is reached in as few as can be."""
    whole = tolerance / before
    changes = max(1, math.ceil(math.log(whole) / math.log(SINGLE_GOAL)))
    return float(whole ** (1.0 / changes))


def _multiply(product: Product, partial: PartialFactor, a: Floats, blocks: Blocks) -> Floats:
    return product(a, blocks) + partial.jitter * a


def _bound(partial: PartialFactor, solution: Floats, b: Floats, jitter: float) -> float:
    """Return a bound of the relative residual, with so much of the jitter taken off alpha again."""
    residual = partial.residual(solution, b) + jitter * solution
    most = np.linalg.norm(residual, axis=0) + partial.left_out(solution)
    size = np.linalg.norm(b, axis=0)
    return float(np.max(most / np.where(size > 0, size, 1.0)))


def _conjugate_gradients(
    multiply: Callable[[Floats], Floats],
    precondition: Callable[[Floats], Floats],
    residual: Floats,
    goal: Floats,
    share: float,
) -> tuple[Floats, int]:
    """Return the change that takes the residual away from each column, and the steps taken.

    Columns have steps of their own; the products are shared. A column that has converged, that is,
    whose residual is within its goal, (c,), or this share of what it was, or on which the
    recurrence breaks down, stands still. Of each, the iterate with the smallest residual is
    returned.
    """
    solution = np.zeros_like(residual)
    best, best_norm, best_step = solution.copy(), np.linalg.norm(residual, axis=0), 0
    residual = residual.copy()
    goal = np.maximum(goal, share * best_norm)
    z = precondition(residual)
    direction = z.copy()
    rho = np.einsum("nc,nc->c", residual, z)
    for step in range(MAX_ITERATIONS):
        norm = np.linalg.norm(residual, axis=0)
        better = norm < best_norm
        if better.any():
            best[:, better], best_norm[better], best_step = (
                solution[:, better], norm[better], step,
            )  # fmt: skip
        active = (norm > goal) & (rho > 0)
        if not active.any() or step - best_step > PATIENCE:
            return best, step
        image = multiply(direction)
        curvature = np.einsum("nc,nc->c", direction, image)
        active &= curvature > 0
        length = np.where(active, rho / np.where(active, curvature, 1.0), 0.0)
        solution += length * direction
        residual -= length * image
        z = precondition(residual)
        rho_next = np.einsum("nc,nc->c", residual, z)
        momentum = np.where(active, rho_next / np.where(rho > 0, rho, 1.0), 0.0)
        direction = z + momentum * direction
        rho = np.where(active, rho_next, 0.0)
    return best, MAX_ITERATIONS


def relative_residual(residual: Floats, b: Floats) -> float:
    """Return the largest ‖residual‖ / ‖b‖ over the columns; a column of zeros counts as solved."""
    size = np.linalg.norm(b, axis=0)
    return float(np.max(np.linalg.norm(residual, axis=0) / np.where(size > 0, size, 1.0)))
