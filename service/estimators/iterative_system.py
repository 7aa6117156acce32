"""Solving (K + αI) a = b from a partial pivoted Cholesky factor of K, without forming K.

The pivot of each step is the row that the earlier ones explain least. Where the factor L, (n, r),
leaves nothing of K, K = LLᵀ = U diag(λ) Uᵀ gives the solution at once,

    a = U diag(1 / (λ + δ)) Uᵀb + (b - UUᵀb) / δ,     δ = α

and where it leaves something, this is the preconditioner of conjugate gradients, with the mean of
what L leaves of the diagonal of K added to δ. The orthonormal U keeps it accurate for a δ near
rounding; the Woodbury formula on L does not.

Where L holds all of K to rounding and alpha is below rounding too, K + αI is singular to rounding:
alpha is raised to `SINGULAR`, and the factor says so.

Sources: Harbrecht, Peters & Schneider (2012), Applied Numerical Mathematics 62(4), 428-440;
Golub & Van Loan, Matrix Computations (2013), sections 2.1.4 and 11.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numba import njit
from scipy.linalg import qr

from service.backends.native.covariances import COVARIANCE_CODES, correlate, scaled_squares
from service.backends.native.exponential import use_widest_vectors
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks

MOST_FACTOR_BYTES = 256 * 2**20
MAX_ITERATIONS = 500
MAX_RESTARTS = 4
TOLERANCE = 1e-11
"""Of the relative residual, three digits below what is asked of an answer."""

PATIENCE = 60
"""Steps without a smaller residual, after which rounding rules and the iteration ends."""

SINGULAR = 1e-10
"""What alpha is raised to where the covariances are singular to rounding."""

LEAST_PIVOT = 1e-14
"""What is left of a variance of 1 below which it is rounding."""

RUN_ROWS = 512
"""Rows of a new column that are made at once: they stay in the first cache."""

SETTLED = 0.01
"""Of the tolerance: what the rest of K may do to the solution where columns are no longer added."""

Product: TypeAlias = Callable[[Floats, Blocks], Floats]
"""Returns (K + αI) b for b (n, c)."""


@dataclass(frozen=True, eq=False)
class PartialFactor:
    """(δI + LLᵀ)⁻¹ in the form above.

    Attributes:
        basis: U, (n, r).
        weights: 1 / (λ + δ), (r,).
        outside: 1 / δ; 0 where U spans everything.
        jitter: What was added to alpha; 0 as a rule.
    """

    basis: Floats
    weights: Floats
    outside: float
    jitter: float

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.basis.nbytes

    def solve(self, b: Floats) -> Floats:
        """Return (δI + LLᵀ)⁻¹ b for b (n, c)."""
        inside = self.basis.T @ b
        known = self.basis @ ((self.weights - self.outside)[:, None] * inside)
        return np.asarray(known + self.outside * b)


@dataclass(frozen=True, eq=False)
class Solved:
    """What an iteration found.

    Attributes:
        solution: (n, c).
        residual: b - (K + (α + jitter)I) a, computed anew, (n, c).
        steps: Of conjugate gradients.
    """

    solution: Floats
    residual: Floats
    steps: int


def partial_factor(
    x: Floats, kind: Covariance, length_scale: float, alpha: float, most_rank: int, blocks: Blocks
) -> PartialFactor:
    """Return the partial factor of K for the rows x (n, d), of rank `most_rank` at most.

    Cost: O(n r²) operations, 16 n r bytes.

    Raises:
        DeadlineExceeded: Between two columns, when the time is over.
    """
    n = len(x)
    capacity = max(1, min(n, most_rank, MOST_FACTOR_BYTES // (8 * n)))
    factor, left = _pivoted_cholesky(x, kind, length_scale, alpha, capacity, blocks)
    rank = len(factor)
    unexplained = float(left.mean())
    is_all = rank < n and unexplained < SINGULAR
    jitter = max(SINGULAR - alpha, 0.0) if is_all else 0.0
    delta = alpha + jitter + (0.0 if is_all else unexplained)
    blocks.check()
    basis, triangle = qr(factor.T, mode="economic", overwrite_a=True, check_finite=False)
    rotation, singular, _ = np.linalg.svd(triangle)
    return PartialFactor(
        basis=np.ascontiguousarray(basis @ rotation),
        weights=1.0 / (singular * singular + delta),
        outside=0.0 if rank == n else 1.0 / delta,
        jitter=jitter,
    )


def solve(partial: PartialFactor, product: Product, b: Floats, blocks: Blocks) -> Solved:
    """Return the best solution by the true residual; zero, the start, has the residual 1.

    Raises:
        DeadlineExceeded: When the time is over.
    """

    def multiply(a: Floats) -> Floats:
        return product(a, blocks) + partial.jitter * a

    solution, residual, steps = np.zeros_like(b), b, 0
    change = partial.solve(b)
    for _ in range(MAX_RESTARTS + 1):
        candidate = solution + change
        left_over = b - multiply(candidate)
        if relative_residual(left_over, b) < relative_residual(residual, b):
            solution, residual = candidate, left_over
        elif steps:
            break
        if relative_residual(residual, b) <= TOLERANCE or steps >= MAX_ITERATIONS:
            break
        change, more = _conjugate_gradients(multiply, partial.solve, residual, b)
        steps += more
    return Solved(solution, residual, steps)


def _pivoted_cholesky(
    x: Floats, kind: Covariance, length_scale: float, alpha: float, capacity: int, blocks: Blocks
) -> tuple[Floats, Floats]:
    """Return Lᵀ, (r, n), with K ≈ LLᵀ, and what it leaves of the diagonal, (n,).

    It ends where all that is left, ‖K - LLᵀ‖ at most, changes the solution by less than the
    tolerance.
    """
    features = np.ascontiguousarray(x.T)
    code, precision = COVARIANCE_CODES[kind], 1.0 / length_scale
    factor, left = np.empty((capacity, len(x))), np.ones(len(x))
    for rank in range(capacity):
        blocks.check()
        pivot = int(np.argmax(left))
        is_settled = left[pivot] < LEAST_PIVOT or left.sum() < SETTLED * TOLERANCE * alpha
        if rank and is_settled:
            return factor[:rank], left
        _add_column(features, code, precision, rank, pivot, factor, left)
    return factor, left


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add_column(
    x: Floats,
    covariance: int,
    precision: float,
    rank: int,
    pivot: int,
    factor: Floats,
    left: Floats,
) -> None:
    """Fill row `rank` of the factor (r, n) and take it from what is left of the diagonal (n,)."""
    use_widest_vectors()
    n = x.shape[1]
    point = np.empty(x.shape[0])
    for j in range(x.shape[0]):
        point[j] = x[j, pivot]
    scale = 1.0 / np.sqrt(left[pivot])
    earlier = factor[:rank, pivot].copy()
    for start in range(0, n, RUN_ROWS):
        stop = min(start + RUN_ROWS, n)
        column = factor[rank, start:stop]
        scaled_squares(x, start, point, precision, column)
        correlate(covariance, column)
        for k in range(rank):
            _subtract(column, earlier[k], factor[k, start:stop])
        for i in range(stop - start):
            column[i] *= scale
            left[start + i] = max(left[start + i] - column[i] * column[i], 0.0)
    left[pivot] = 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _subtract(column: Floats, factor: float, other: Floats) -> None:
    use_widest_vectors()
    for i in range(column.shape[0]):
        column[i] -= factor * other[i]


def _conjugate_gradients(
    multiply: Callable[[Floats], Floats],
    precondition: Callable[[Floats], Floats],
    residual: Floats,
    b: Floats,
) -> tuple[Floats, int]:
    """Return the change that takes the residual away from each column, and the steps taken.

    Columns have steps of their own; the products are shared. A column that has converged, that is,
    whose residual is within the tolerance of b, or on which the recurrence breaks down, stands
    still. Of each, the iterate with the smallest residual is returned.
    """
    solution = np.zeros_like(residual)
    best, best_norm, best_step = solution.copy(), np.linalg.norm(residual, axis=0), 0
    residual = residual.copy()
    goal = TOLERANCE * np.linalg.norm(b, axis=0)
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
