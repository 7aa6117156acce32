"""Solving (K + αI) a = b for all rows, with a cap, a true residual and a stated remedy.

Up to `DENSE_ROWS` rows: Cholesky, n³/3 operations and 8n² bytes. If the matrix is singular to
rounding, alpha is raised in steps of ten until it is not, and the report says by how much.

Beyond: conjugate gradients, preconditioned by a partial pivoted Cholesky factor K ≈ LLᵀ of rank r,

    (δI + LLᵀ)⁻¹ b = [b - L (δI_r + LᵀL)⁻¹ Lᵀ b] / δ,     δ = α + mean of what L leaves of K

which solves smooth kernels, whose numerical rank is small, in a few steps. Each step costs one
product with K, n² covariances, and never forms K. The residual in the report is computed anew from
the solution, not carried along by the recurrence.

Sources: Golub & Van Loan, Matrix Computations (2013), algorithms 4.2.1 and 11.5.1; Harbrecht,
Peters & Schneider (2012), Applied Numerical Mathematics 62(4), 428-440, for the partial factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

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
TOLERANCE = 1e-11
"""Of the iteration's own residual, three digits below what is asked of the true one."""

PAIRS_A_BLOCK = 4_000_000
"""Covariances between two looks at the clock: about 50 ms."""


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
            _factorise(matrix, blocks)
            break
        except LinAlgError:
            jitter = max(10.0 * jitter, LEAST_JITTER)
            if jitter > LARGEST_JITTER:
                raise

    def solve(b: Floats, blocks: Blocks) -> Floats:
        blocks.check()
        return np.asarray(cho_solve((matrix, True), b, check_finite=False))

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


def _factorise(matrix: Floats, blocks: Blocks) -> None:
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
    delta = max(alpha + left, LEAST_JITTER)
    inner = cholesky(
        delta * np.eye(factor.shape[1]) + factor.T @ factor, lower=True, check_finite=False
    )

    def precondition(b: Floats) -> Floats:
        return (b - factor @ cho_solve((inner, True), factor.T @ b, check_finite=False)) / delta

    def solve(b: Floats, blocks: Blocks) -> Floats:
        return _conjugate_gradients(lambda a: product(a, blocks), precondition, b)[0]

    solution, iterations = _conjugate_gradients(lambda a: product(a, blocks), precondition, rows.y)
    residual = _relative(rows.y - product(solution, blocks), rows.y)
    report = SolveReport("conjugate_gradient", iterations, residual)
    return System(solution, report, solve, solution.nbytes + factor.nbytes + inner.nbytes)


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
    which the recurrence breaks down, stands still.
    """
    solution = np.zeros_like(b)
    residual = b.copy()
    goal = TOLERANCE * np.linalg.norm(b, axis=0)
    z = precondition(residual)
    direction = z.copy()
    rho = np.einsum("nc,nc->c", residual, z)
    for step in range(MAX_ITERATIONS):
        active = (np.linalg.norm(residual, axis=0) > goal) & (rho > 0)
        if not active.any():
            return solution, step
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
    return solution, MAX_ITERATIONS


def _relative(residual: Floats, b: Floats) -> float:
    """Return the largest ‖residual‖ / ‖b‖ over the columns; a column of zeros counts as solved."""
    size = np.linalg.norm(b, axis=0)
    return float(np.max(np.linalg.norm(residual, axis=0) / np.where(size > 0, size, 1.0)))
