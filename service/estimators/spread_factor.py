"""A partial Cholesky factor of K on pivots that are chosen among a sample of the rows.

`partial_factor` looks at all rows for each pivot, on one core: n r² / 2 numbers pass through
memory. As a preconditioner a factor need not have the very best pivots. Here the pivots p are
those of a sample, where they cost little, and the rest is one triangular system for each row,

    K ≈ LLᵀ,     L_pp L_iᵀ = c(‖x_p - x_i‖),     L_pp L_ppᵀ = K_pp

in pieces of rows that several cores take. So a rank pays that is several times as large.

Source: Gittens & Mahoney (2016), JMLR 17(117), for the error of such a factor.
"""

import numpy as np
from scipy.linalg import solve_triangular

from service.backends.native.covariances import COVARIANCE_CODES, correlate_rows
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks
from service.estimators.partial_factor import MOST_FACTOR_BYTES, PartialFactor, pivoted_cholesky

RANK_SHARE = 4.0
"""Times √n: the rank. Solving took, in s of one core, with 2, 3 and 5 (n = 10,000, d = 2, l = 0.1):
laplacian with alpha = 10: 1.69, 1.62, 1.81, in 17, 14, 11 steps; matern52 with alpha = 0.1: 7.39,
4.39, 3.07, in 82, 45, 23 steps."""

LEAST_RANK = 150
"""For few rows, where a factor costs little."""

SAMPLE_SHARE = 4
"""Rows that a pivot is chosen from, for each pivot."""

PIECE_ROWS = 1024
"""Rows that a core takes at once."""


def spread_factor(
    x: Floats,
    kind: Covariance,
    length_scale: float,
    alpha: float,
    blocks: Blocks,
    scale: Floats | None = None,
) -> PartialFactor:
    """Return a partial factor of K for the rows x (n, d), of rank 4√n at most, or 150.

    With a scale of the rows, (n,), it is that of diag(S) K diag(S).

    Cost: O(n r²) operations, 8 n r bytes.

    Raises:
        DeadlineExceeded: Between two columns or pieces, when the time is over.
    """
    n = len(x)
    rank = max(LEAST_RANK, int(RANK_SHARE * n**0.5))
    capacity = max(1, min(n, rank, MOST_FACTOR_BYTES // (8 * n)))
    # The same at every call; rows in the order of a grid would not be spread by equal steps.
    chosen = np.random.default_rng(0).permutation(n)[: SAMPLE_SHARE * capacity]
    sample = np.ascontiguousarray(x[chosen])
    known, _, pivots = pivoted_cholesky(sample, kind, length_scale, alpha, capacity, blocks)
    lower = np.tril(known[:, pivots].T)
    places, features = sample[pivots], np.ascontiguousarray(x.T)
    code, precision = COVARIANCE_CODES[kind], 1.0 / length_scale
    factor, left = np.empty((len(pivots), n)), np.empty(n)

    def fill(piece: slice) -> None:
        start = piece.start * PIECE_ROWS
        stop = min(start + PIECE_ROWS, n)
        covariances = np.empty((len(pivots), stop - start))
        correlate_rows(features, start, places, code, precision, covariances)
        part = solve_triangular(lower, covariances, lower=True, check_finite=False)
        factor[:, start:stop] = part
        left[start:stop] = np.maximum(1.0 - np.einsum("rn,rn->n", part, part), 0.0)

    blocks(fill, -(-n // PIECE_ROWS), 1)
    return PartialFactor.of(factor, left, alpha, scale)
