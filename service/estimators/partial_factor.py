"""A partial pivoted Cholesky factor of K, K ≈ LLᵀ, without forming K, and systems solved with it.

The pivot of each step is the row that the earlier ones explain least. What L, (n, r), leaves of K
is positive semi-definite, so it is known how much that is at most,

    ‖K - LLᵀ‖₂ ≤ trace(K - LLᵀ) = Σ_i (1 - Σ_k L_ik²) = τ

and the residual of any a is bounded without a product with K,

    ‖y - (K + αI)a‖ ≤ ‖y - (LLᵀ + αI)a‖ + (τ + n (r + 8) u) ‖a‖

where the last term is what rounding does to L and to covariances, in units u in the last place:
‖|L||L|ᵀ‖₂ ≤ ‖L‖_F² ≤ n. Where that is small enough the system is solved, in O(n r²). Elsewhere
(δI + LLᵀ)⁻¹, with the mean of what L leaves of the diagonal added to α in δ, is a preconditioner.

Two forms of (δI + LLᵀ)⁻¹ are used. Where δ is not small beside LLᵀ, Woodbury's,

    a = (b - L (δI + LᵀL)⁻¹ Lᵀb) / δ

and else LLᵀ = U diag(λ) Uᵀ, with an orthonormal U, which is accurate for a δ near rounding as well:

    a = U diag(1 / (λ + δ)) Uᵀb + (b - UUᵀb) / δ

Where L holds all of K to rounding and alpha is below rounding too, K + αI is singular to rounding:
alpha is raised to `SINGULAR`, and the factor says so.

Sources: Harbrecht, Peters & Schneider (2012), Applied Numerical Mathematics 62(4), 428-440, also
for the trace; Golub & Van Loan, Matrix Computations (2013), sections 2.1.4 and 4.2.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, qr

from service.backends.native.covariances import COVARIANCE_CODES, correlate, scaled_squares
from service.backends.native.exponential import use_widest_vectors
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks

MOST_FACTOR_BYTES = 256 * 2**20

WELL_CONDITIONED = 1e6
"""Up to here, n / δ, a bound of the condition number, leaves digits enough to 32-bit floats and to
Woodbury's form."""

UNIT_ROUNDOFF = 2.0**-53

SINGULAR = 1e-10
"""What alpha is raised to where the covariances are singular to rounding."""

LEAST_PIVOT = 1e-14
"""What is left of a variance of 1 below which it is rounding."""

SETTLED = 1e-13
"""Of alpha: what is left in all where columns are no longer added. It changes the solution by less
than that."""

RUN_ROWS = 512
"""Rows of a new column that are made at once: they stay in the first cache."""

Factor: TypeAlias = NDArray[np.floating[Any]]


class Inverse(Protocol):
    """(δI + LLᵀ)⁻¹."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def solve(self, b: Floats) -> Floats:
        """Return (δI + LLᵀ)⁻¹ b for b (n, c)."""


@dataclass(frozen=True, eq=False)
class Woodbury:
    """(δI + LLᵀ)⁻¹ where δ is not small.

    Attributes:
        factor: Lᵀ, (r, n), in 32 or 64 bits.
        inner: The Cholesky factor of δI + LᵀL, (r, r).
        delta: δ.
    """

    factor: Factor
    inner: Floats
    delta: float

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.factor.nbytes + self.inner.nbytes

    def in_single_precision(self) -> "Woodbury":
        """Return the same with the factor in 32-bit floats."""
        return Woodbury(self.factor.astype(np.float32), self.inner, self.delta)

    def solve(self, b: Floats) -> Floats:
        """Return (δI + LLᵀ)⁻¹ b for b (n, c)."""
        size = max(float(np.abs(b).max()), np.finfo(np.float64).tiny)
        inside = self.factor @ (b / size).astype(self.factor.dtype)
        known = cho_solve((self.inner, True), inside.astype(np.float64), check_finite=False)
        explained = self.factor.T @ known.astype(self.factor.dtype)
        return np.asarray((b - size * explained) / self.delta)


@dataclass(frozen=True, eq=False)
class Orthonormal:
    """(δI + LLᵀ)⁻¹ for any δ.

    Attributes:
        basis: U, (n, r).
        weights: 1 / (λ + δ), (r,).
        outside: 1 / δ; 0 where U spans everything.
    """

    basis: Floats
    weights: Floats
    outside: float

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
class PartialFactor:
    """K ≈ LLᵀ.

    Attributes:
        factor: Lᵀ, (r, n).
        left: τ, the trace of K - LLᵀ.
        is_all: Whether L holds all of K to rounding.
        alpha: α.
        jitter: What was added to alpha; 0 as a rule.
    """

    factor: Floats
    left: float
    is_all: bool
    alpha: float
    jitter: float

    @classmethod
    def of(
        cls, factor: Floats, left: Floats, alpha: float, scale: Floats | None = None
    ) -> "PartialFactor":
        """Return the partial factor that leaves so much of the diagonal, (n,).

        With a scale S ≤ 1 of the rows, (n,), it is that of diag(S) K diag(S).
        """
        if scale is not None:
            factor, left = factor * scale, left * (scale * scale)
        is_all = float(left.mean()) < SINGULAR
        # A factor of all rows leaves nothing, but has no rank to spare: alpha is not raised for it.
        is_singular = is_all and len(factor) < len(left)
        jitter = max(SINGULAR - alpha, 0.0) if is_singular else 0.0
        return cls(factor, float(left.sum()), is_all, alpha, jitter)

    @property
    def delta(self) -> float:
        """α with the jitter and the mean of what L leaves of the diagonal."""
        added = 0.0 if self.is_all else self.left / self.factor.shape[1]
        return self.alpha + self.jitter + added

    @property
    def is_well_conditioned(self) -> bool:
        """Whether the condition number leaves digits enough to Woodbury's form."""
        return bool(self.factor.shape[1] <= WELL_CONDITIONED * (self.alpha + self.jitter))

    def residual(self, solution: Floats, b: Floats) -> Floats:
        """Return b - (LLᵀ + (α + jitter)I) a, (n, c)."""
        explained = self.factor.T @ (self.factor @ solution)
        return np.asarray(b - explained - (self.alpha + self.jitter) * solution)

    def left_out(self, solution: Floats) -> Floats:
        """Return the most that the residual with K itself differs in the 2-norm, (c,)."""
        rank, n = self.factor.shape
        rounding = n * (rank + 8) * UNIT_ROUNDOFF
        return np.asarray((self.left + rounding) * np.linalg.norm(solution, axis=0))

    def inverse(self) -> Woodbury | Orthonormal:
        """Return (δI + LLᵀ)⁻¹. Cost: O(n r²)."""
        if self.is_well_conditioned:
            inner = self.factor @ self.factor.T
            inner[np.diag_indices_from(inner)] += self.delta
            inner = cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
            return Woodbury(self.factor, inner, self.delta)
        rank, n = self.factor.shape
        basis, triangle = qr(self.factor.T, mode="economic", check_finite=False)
        rotation, singular, _ = np.linalg.svd(triangle)
        return Orthonormal(
            basis=np.ascontiguousarray(basis @ rotation),
            weights=1.0 / (singular * singular + self.delta),
            outside=0.0 if rank == n else 1.0 / self.delta,
        )


def partial_factor(
    x: Floats,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    most_rank: int,
    blocks: Blocks,
    scale: Floats | None = None,
) -> PartialFactor:
    """Return the partial factor of K for the rows x (n, d), of rank `most_rank` at most.

    With a scale of the rows, (n,), it is that of diag(S) K diag(S).

    Cost: O(n r²) operations, 8 n r bytes.

    Raises:
        DeadlineExceeded: Between two columns, when the time is over.
    """
    n = len(x)
    capacity = max(1, min(n, most_rank, MOST_FACTOR_BYTES // (8 * n)))
    factor, left, _ = pivoted_cholesky(x, kind, length_scale, alpha, capacity, blocks)
    blocks.check()
    return PartialFactor.of(factor, left, alpha, scale)


def pivoted_cholesky(
    x: Floats, kind: Covariance, length_scale: float, alpha: float, capacity: int, blocks: Blocks
) -> tuple[Floats, Floats, list[int]]:
    """Return Lᵀ, (r, n), with K ≈ LLᵀ, what it leaves of the diagonal, (n,), and the pivots.

    It ends where all that is left, ‖K - LLᵀ‖ at most, changes the solution by less than the
    tolerance.
    """
    features = np.ascontiguousarray(x.T)
    code, precision = COVARIANCE_CODES[kind], 1.0 / length_scale
    factor, left = np.empty((capacity, len(x))), np.ones(len(x))
    pivots: list[int] = []
    for rank in range(capacity):
        blocks.check()
        pivot = int(np.argmax(left))
        is_settled = left[pivot] < LEAST_PIVOT or left.sum() < SETTLED * alpha
        if rank and is_settled:
            return factor[:rank], left, pivots
        pivots.append(pivot)
        _add_column(features, code, precision, rank, pivot, factor, left)
    return factor, left, pivots


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
