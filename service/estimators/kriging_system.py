"""Solving (K + αI) a = b for all rows, with a cap, a true residual and a stated remedy.

Up to `DENSE_ROWS` rows: Cholesky, n³/3 operations and 8n² bytes. If the matrix is singular to
rounding, alpha is raised in steps of ten until it is not, and the report says by how much.

Beyond: conjugate gradients, preconditioned by a partial pivoted Cholesky factor K ≈ LLᵀ of rank r,

    (δI + LLᵀ)⁻¹ b,     δ = α + mean of what L leaves of the diagonal of K

which solves smooth kernels, whose numerical rank is small, in a few steps. Each step costs one
product with K, n² covariances, and never forms K. The residual in the report is computed anew from
the solution, not carried along by the recurrence.

Sources: Golub & Van Loan, Matrix Computations (2013), sections 4.2 and 11.5; Harbrecht,
Peters & Schneider (2012), Applied Numerical Mathematics 62(4), 428-440, for the partial factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.domain.prediction import SolveReport
from service.estimators.blocks import Blocks
from service.estimators.kernels import covariance, distances

DENSE_ROWS = 4000
"""128 MB of matrix and about a second on two cores."""

PANEL_ROWS = 512
"""Columns factorised between two looks at the clock."""

LEAST_JITTER = 1e-12
LARGEST_JITTER = 1e-4

MAX_RANK = 300
MAX_ITERATIONS = 500
MAX_RESTARTS = 4
TOLERANCE = 1e-11
"""Of the relative residual, three digits below what is asked of an answer."""

PATIENCE = 60
"""Steps without a smaller residual, after which rounding rules and the iteration ends."""

SINGULAR = 1e-10
"""What alpha is raised to where the covariances are singular to rounding."""

PAIRS_A_BLOCK = 4_000_000
"""Covariances between two looks at the clock: about 50 ms."""


class Solver(StrEnum):
    """How a system is solved; decided by the planner.

    `LOW_RANK` goes on to conjugate gradients, with what it has found as their preconditioner,
    where the rank turns out to be large.
    """

    CHOLESKY = "cholesky"
    LOW_RANK = "low_rank"
    CONJUGATE_GRADIENT = "conjugate_gradient"


@dataclass(frozen=True, eq=False)
class System:
    """A solved system.

    Attributes:
        solution: (n, t).
        report: How it was solved.
        solve: Solves it for other right-hand sides (n, c).
        nbytes: Bytes held in all.
    """

    solution: Floats
    report: SolveReport
    solve: Callable[[Floats, Blocks], Floats] = field(repr=False)
    nbytes: int


def solve_system(
    rows: Resident, kind: Covariance, length_scale: float, alpha: float, blocks: Blocks
) -> System:
    """Return the solution of (K + αI) a = y.

    Raises:
        DeadlineExceeded: Between two panels or blocks, when the time is over.
    """

    def product(b: Floats, blocks: Blocks) -> Floats:
        block_size = max(1, PAIRS_A_BLOCK // len(rows.x))
        parts = blocks(
            lambda part: rows.product(rows.x[part], kind, length_scale, b), len(rows.x), block_size
        )
        return np.concatenate(parts) + alpha * b

    if len(rows.x) <= DENSE_ROWS:
        return _solve_dense(rows, kind, length_scale, alpha, product, blocks)
    return _solve_iteratively(rows, kind, length_scale, alpha, product, blocks)


def _solve_dense(
    rows: Resident,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    product: Callable[[Floats, Blocks], Floats],
    blocks: Blocks,
) -> System:
    n = len(rows.x)
    jitter = 0.0
    while True:
        matrix = _covariances(rows.x, kind, length_scale, blocks)
        matrix[np.diag_indices(n)] += alpha + jitter
        try:
            _factorise_in_panels(matrix, blocks)
            break
        except LinAlgError:
            jitter = max(10.0 * jitter, LEAST_JITTER)
            if jitter > LARGEST_JITTER:
                raise

    def solve(b: Floats, blocks: Blocks) -> Floats:
        # Column by column: LAPACK rounds a column otherwise beside others than alone.
        solution = np.empty_like(b)
        for column in range(b.shape[1]):
            blocks.check()
            solution[:, column] = cho_solve((matrix, True), b[:, column], check_finite=False)
        return solution

    solution = solve(rows.y, blocks)
    # One step of refinement, where it helps: with a jitter it brings the solution of the system
    # that was asked for nearer.
    residual = rows.y - product(solution, blocks)
    refined = solution + solve(residual, blocks)
    refined_residual = rows.y - product(refined, blocks)
    if _relative(refined_residual, rows.y) < _relative(residual, rows.y):
        solution, residual = refined, refined_residual
    report = SolveReport("cholesky", 0, _relative(residual, rows.y), jitter)
    return System(solution, report, solve, solution.nbytes + matrix.nbytes)


def _covariances(x: Floats, kind: Covariance, length_scale: float, blocks: Blocks) -> Floats:
    """Return K, (n, n), filled by rows."""
    matrix = np.empty((len(x), len(x)))

    def fill(part: slice) -> None:
        matrix[part] = covariance(kind, distances(x[part], x), length_scale)

    blocks(fill, len(x), max(1, PAIRS_A_BLOCK // len(x)))
    return matrix


def _factorise_in_panels(matrix: Floats, blocks: Blocks) -> None:
    """Overwrite the lower triangle with the Cholesky factor, panel by panel.

    Raises:
        LinAlgError: The matrix is not positive definite to rounding.
    """
    n = len(matrix)
    for start in range(0, n, PANEL_ROWS):
        blocks.check()
        stop = min(start + PANEL_ROWS, n)
        if start:
            matrix[start:, start:stop] -= matrix[start:, :start] @ matrix[start:stop, :start].T
        diagonal = cholesky(matrix[start:stop, start:stop], lower=True, check_finite=False)
        matrix[start:stop, start:stop] = diagonal
        if stop < n:
            below = solve_triangular(
                diagonal, matrix[stop:, start:stop].T, lower=True, check_finite=False
            )
            matrix[stop:, start:stop] = below.T


def _solve_iteratively(
    rows: Resident,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    product: Callable[[Floats, Blocks], Floats],
    blocks: Blocks,
) -> System:
    factor, left = _partial_cholesky(rows.x, kind, length_scale, blocks)
    # Where L holds all of K to rounding, K is singular to rounding.
    jitter = max(SINGULAR - alpha, 0.0) if left < SINGULAR else 0.0
    precondition = _preconditioner(factor, alpha + jitter + left)

    def refined(b: Floats, blocks: Blocks) -> tuple[Floats, int]:
        def multiply(a: Floats) -> Floats:
            return product(a, blocks) + jitter * a

        # The best solution by the true residual; zero, the start, has the residual 1.
        solution, residual, steps = np.zeros_like(b), b, 0
        for _ in range(MAX_RESTARTS):
            change, more = _conjugate_gradients(multiply, precondition, residual)
            steps += more
            candidate = solution + change
            left_over = b - multiply(candidate)
            if not _relative(left_over, b) < _relative(residual, b):
                break
            solution, residual = candidate, left_over
            if _relative(residual, b) <= TOLERANCE or steps >= MAX_ITERATIONS:
                break
        return solution, steps

    def solve(b: Floats, blocks: Blocks) -> Floats:
        # Column by column: a column's rounding would else depend on those beside it.
        columns = [refined(b[:, c : c + 1], blocks)[0] for c in range(b.shape[1])]
        return np.concatenate(columns, axis=1)

    solution, steps = refined(rows.y, blocks)
    residual = _relative(rows.y - product(solution, blocks), rows.y)
    report = SolveReport("conjugate_gradient", steps, residual, jitter)
    return System(solution, report, solve, solution.nbytes + factor.nbytes)


def _preconditioner(factor: Floats, delta: float) -> Callable[[Floats], Floats]:
    """Return b ↦ (δI + LLᵀ)⁻¹ b, from LLᵀ = U diag(λ) Uᵀ.

        b ↦ U [diag(1/(λ + δ)) - I/δ] Uᵀb + b/δ

    The orthonormal U keeps this accurate for a δ near rounding; the Woodbury formula on L does not.
    """
    if not factor.shape[1]:
        return lambda b: b / delta
    basis, triangle = np.linalg.qr(factor)
    rotation, singular, _ = np.linalg.svd(triangle)
    basis = basis @ rotation
    weight = 1.0 / (singular * singular + delta)

    def apply(b: Floats) -> Floats:
        inside = basis.T @ b
        return np.asarray(basis @ (weight[:, None] * inside) + (b - basis @ inside) / delta)

    return apply


def _partial_cholesky(
    x: Floats, kind: Covariance, length_scale: float, blocks: Blocks
) -> tuple[Floats, float]:
    """Return L, (n, r), with K ≈ LLᵀ, and the mean of the diagonal that it leaves.

    The pivot is the row that the earlier ones explain least.
    """
    n = len(x)
    left = np.ones(n)
    factor = np.zeros((n, min(n, MAX_RANK)))
    rank = 0
    for rank in range(factor.shape[1]):
        blocks.check()
        pivot = int(np.argmax(left))
        if left[pivot] < 1e-14:
            break
        column = covariance(kind, distances(x, x[pivot : pivot + 1])[:, 0], length_scale)
        column -= factor[:, :rank] @ factor[pivot, :rank]
        column /= np.sqrt(left[pivot])
        factor[:, rank] = column
        left = np.maximum(left - column * column, 0.0)
        left[pivot] = 0.0
    else:
        rank = factor.shape[1]
    return np.ascontiguousarray(factor[:, :rank]), float(left.mean())


def _conjugate_gradients(
    multiply: Callable[[Floats], Floats], precondition: Callable[[Floats], Floats], b: Floats
) -> tuple[Floats, int]:
    """Return the solution for each column of b, (n, c), and the steps taken, at most the cap.

    Columns have steps of their own; the products are shared. A column that has converged, or on
    which the recurrence breaks down, stands still. Of each, the iterate with the smallest residual
    is returned.
    """
    solution = np.zeros_like(b)
    best, best_norm, best_step = solution.copy(), np.linalg.norm(b, axis=0), 0
    residual = b.copy()
    goal = TOLERANCE * best_norm
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


def _relative(residual: Floats, b: Floats) -> float:
    """Return the largest ‖residual‖ / ‖b‖ over the columns; a column of zeros counts as solved."""
    size = np.linalg.norm(b, axis=0)
    return float(np.max(np.linalg.norm(residual, axis=0) / np.where(size > 0, size, 1.0)))
