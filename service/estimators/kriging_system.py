"""Solving (K + αI) a = b for all rows, with a cap, a true residual and a stated remedy.

| solver             | for                            | work                | memory     |
|--------------------|--------------------------------|---------------------|------------|
| CHOLESKY           | few rows                       | n³ / 3              | 8n² bytes  |
| LOW_RANK           | smooth covariances             | n r²                | 8nr bytes  |
| CONJUGATE_GRADIENT | rough covariances of many rows | a product a step    | 12nr bytes |

The last two start from a partial pivoted Cholesky factor K ≈ LLᵀ of rank r, see `partial_factor`
and `spread_factor`.
Where rows have weights p_i, α / p_i takes the place of α, and rows of weight 0 have no place in the
system. CHOLESKY takes it as it is. The others take, with S² = p / max p and α' = α / max p,

    (S K S + α'I) S⁻¹a = S y

A product is n² / 2 covariances; K is never formed for it. Whatever the solver, the residual in the
report is computed anew from the solution: with all covariances, or, where the partial factor holds
K, as the proven upper bound that the factor gives.

Sources: Golub & Van Loan, Matrix Computations (2013), sections 4.2 and 11.5; Harbrecht,
Peters & Schneider (2012), Applied Numerical Mathematics 62(4), 428-440, for the partial factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from service.backends.base import Resident, SingleProducts
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance
from service.domain.prediction import SolveReport
from service.estimators import iterative_system
from service.estimators.blocks import Blocks
from service.estimators.dense_system import Factor, factorise
from service.estimators.iterative_system import Means, Product, relative_residual
from service.estimators.partial_factor import Woodbury, partial_factor
from service.estimators.row_weights import counted, weights_at
from service.estimators.spread_factor import spread_factor

DENSE_ROWS = 4000
"""128 MB of matrix. Solved with it and without, in ms of one core (laplacian, d = 2, l = 0.1,
alpha = 0.1): n = 1,000: 43, 116; 2,000: 191, 350; 4,000: 1141, 1296. A smaller alpha takes longer
without: 4,000 rows, matern32, d = 3, l = 0.3, alpha = 0.001: 1208, 13,418."""

MILD_ALPHA, MILD_ROWS = 1.0, 2000
"""From this alpha on few steps are needed, so that fewer rows are better solved without the matrix.
In ms of one core, with and without (laplacian, d = 2, l = 0.1, alpha = 10): n = 1,000: 45, 39;
2,000: 239, 108; 4,000: 1113, 336. With alpha = 1 (gaussian, d = 3): 1,000: 42, 69; 2,000: 204, 222;
4,000: 1266, 794."""

SMOOTH_ROWS = {1: 250, 2: 1500, 3: 2000}
"""By features: up to here the whole matrix is factorised in less time than a partial factor takes,
whose rank grows like the power d of the reach over the length scale; with more features it is not
small. In ms of one core, whole and partial (alpha = 0.1, l = 0.1): d = 1, n = 250: 2, 1; 500: 10,
2; d = 2, n = 1,000: 45, 56; 2,000: 220, 122; d = 3, n = 2,000: 180, 482, with l = 0.3 206, 98."""

LEAST_SMOOTH_ALPHA = 1e-6
"""Below, a few digits of the solution rest on what a partial factor leaves out."""

SHARES_AT_ONCE = 16
"""Shares of a product that wait to be added up; each holds a number a row."""

MOST_RANK = 300

REFINED = 1e-14
"""Of the relative residual: rounding, which a refinement cannot make smaller."""


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


def preferred_solver(n: int, d: int, kernel: Covariance, alpha: float) -> tuple[Solver, str]:
    """Return the solver that is expected to be fastest for n rows of d features, and why."""
    if (
        kernel is Covariance.GAUSSIAN
        and d in SMOOTH_ROWS
        and n > SMOOTH_ROWS[d]
        and alpha >= LEAST_SMOOTH_ALPHA
    ):
        return Solver.LOW_RANK, (
            "a gaussian covariance in few features has a small numerical rank, so a partial "
            "Cholesky factor holds all of it"
        )
    dense_rows = DENSE_ROWS if alpha < MILD_ALPHA else MILD_ROWS
    if n <= dense_rows:
        return Solver.CHOLESKY, f"up to {dense_rows} rows the whole matrix is formed and factorised"
    if kernel is Covariance.GAUSSIAN:
        return Solver.LOW_RANK, (
            f"beyond {dense_rows} rows the matrix is not formed: conjugate gradients, with a "
            "partial Cholesky factor of the largest rank, since the covariance is smooth"
        )
    return Solver.CONJUGATE_GRADIENT, (
        f"beyond {dense_rows} rows the matrix is not formed: conjugate gradients, with a partial "
        "Cholesky factor of small rank, since the covariance is rough"
    )


def solve_system(
    rows: Resident,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    solver: Solver,
    blocks: Blocks,
) -> System:
    """Return the solution of (K + αI) a = y, or with α / p_i where rows have weights.

    Raises:
        DeadlineExceeded: Between two panels or shares, when the time is over.
        LinAlgError: No jitter makes the matrix positive definite.
    """
    if rows.row_weights is not None:
        return _with_weights(rows, rows.row_weights, kind, length_scale, alpha, solver, blocks)

    def product(b: Floats, blocks: Blocks) -> Floats:
        return alpha * b + _multiplied(rows, kind, length_scale, b, blocks)

    if solver is Solver.CHOLESKY:
        factor = factorise(rows.x, kind, length_scale, alpha, blocks)
        return _solved_densely(rows.y, factor, product, blocks)
    if solver is Solver.LOW_RANK:
        partial = partial_factor(rows.x, kind, length_scale, alpha, MOST_RANK, blocks)
    else:
        partial = spread_factor(rows.x, kind, length_scale, alpha, blocks)
    inverse, single = partial.inverse(), None
    if isinstance(inverse, Woodbury) and not partial.is_all:
        singles = rows.single_products(kind, length_scale)
        if singles is not None:
            single = _single_product(singles, alpha), inverse.in_single_precision()
    return _solved_iteratively(rows.y, Means(partial, product, inverse, single), blocks)


def noise_of(rows: Resident, alpha: float, at: Rows) -> Floats:
    """Return α / p_i of some rows, (s,); infinite for those of weight 0."""
    p = weights_at(rows, at)
    noise = np.full(len(at), np.inf)
    return np.asarray(np.divide(alpha, p, out=noise, where=p > 0))


def _with_weights(
    rows: Resident,
    row_weights: Floats,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    solver: Solver,
    blocks: Blocks,
) -> System:
    """Return the solution over the rows that count, 0 at the others."""
    kept, n = counted(rows), len(rows.x)
    x, y, p = np.ascontiguousarray(rows.x[kept]), rows.y[kept], row_weights[kept]

    def in_full(b: Floats) -> Floats:
        full = np.zeros((n, b.shape[1]))
        full[kept] = b
        return full

    def covariances(b: Floats, blocks: Blocks) -> Floats:
        return _multiplied(rows, kind, length_scale, in_full(b), blocks)[kept]

    def placed(system: System, scale: Floats, unit: float) -> System:
        def solve(b: Floats, blocks: Blocks) -> Floats:
            return in_full(scale * system.solve(scale * b[kept], blocks))

        report = replace(system.report, jitter=unit * system.report.jitter)
        return System(in_full(scale * system.solution), report, solve, system.nbytes)

    if solver is Solver.CHOLESKY:
        noise = alpha / p
        factor = factorise(x, kind, length_scale, noise, blocks)

        def product(b: Floats, blocks: Blocks) -> Floats:
            return noise[:, None] * b + covariances(b, blocks)

        return placed(_solved_densely(y, factor, product, blocks), np.ones((len(kept), 1)), 1.0)
    most = float(p.max())
    least_alpha, scale = alpha / most, np.sqrt(p / most)
    if solver is Solver.LOW_RANK:
        partial = partial_factor(x, kind, length_scale, least_alpha, MOST_RANK, blocks, scale)
    else:
        partial = spread_factor(x, kind, length_scale, least_alpha, blocks, scale)
    column = scale[:, None]

    def scaled_product(b: Floats, blocks: Blocks) -> Floats:
        return least_alpha * b + column * covariances(column * b, blocks)

    means = Means(partial, scaled_product, partial.inverse(), None)
    return placed(_solved_iteratively(column * y, means, blocks), column, most)


def _multiplied(
    rows: Resident, kind: Covariance, length_scale: float, b: Floats, blocks: Blocks
) -> Floats:
    """Return K b."""
    expansion = rows.expansion(kind, length_scale, b)
    return _sum_of_shares(expansion.share, expansion.share_count, blocks)


def _sum_of_shares(share: Callable[[int], Floats], count: int, blocks: Blocks) -> Floats:
    """Return the sum of the shares in their order, some of them at a time."""
    total: Floats | None = None
    for start in range(0, count, SHARES_AT_ONCE):

        def one(part: slice, start: int = start) -> Floats:
            return share(start + part.start)

        for added in blocks(one, min(SHARES_AT_ONCE, count - start), 1):
            if total is None:
                total = added
            else:
                total += added
    if total is None:
        raise ValueError("a product has a share at least")
    return total


def _single_product(singles: SingleProducts, alpha: float) -> Product:
    """Return the product with K + αI in 32-bit floats."""

    def product(b: Floats, blocks: Blocks) -> Floats:
        size = max(float(np.abs(b).max()), np.finfo(np.float64).tiny)
        tiled = singles.tiled(b / size)
        sums = _sum_of_shares(
            lambda index: singles.share(index, tiled), singles.share_count, blocks
        )
        return np.asarray(alpha * b + size * singles.untiled(sums))

    return product


def _solved_densely(y: Floats, factor: Factor, product: Product, blocks: Blocks) -> System:
    solution = factor.solve(y, blocks)
    # One step of refinement, where it helps: with a jitter it brings the solution of the system
    # that was asked for nearer.
    residual = y - product(solution, blocks)
    if relative_residual(residual, y) > REFINED:
        refined = solution + factor.solve(residual, blocks)
        refined_residual = y - product(refined, blocks)
        if relative_residual(refined_residual, y) < relative_residual(residual, y):
            solution, residual = refined, refined_residual
    report = SolveReport("cholesky", 0, relative_residual(residual, y), factor.jitter)
    return System(solution, report, factor.solve, solution.nbytes + factor.nbytes)


def _solved_iteratively(y: Floats, means: Means, blocks: Blocks) -> System:
    def solve(b: Floats, blocks: Blocks) -> Floats:
        # Column by column: a column's rounding would else depend on those beside it.
        columns = [
            iterative_system.solve(means, b[:, c : c + 1], blocks).solution
            for c in range(b.shape[1])
        ]
        return np.concatenate(columns, axis=1)

    found = iterative_system.solve(means, y, blocks)
    report = SolveReport(
        "conjugate_gradient" if found.steps else "low_rank",
        found.steps,
        found.relative_residual,
        means.partial.jitter,
    )
    return System(found.solution, report, solve, found.solution.nbytes + means.nbytes)
