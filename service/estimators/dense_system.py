"""The Cholesky factor of K + αI, in panels and pieces of fixed size.

A panel's diagonal block is factorised first; the rows below it follow in pieces, which several
cores may take. Between two of them the clock is looked at. If the matrix is singular to rounding,
alpha is raised in steps of ten until it is not, and the factor says by how much.

Source: Golub & Van Loan, Matrix Computations (2013), section 4.2.9.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from service.backends.native.covariances import COVARIANCE_CODES, fill_covariances
from service.domain.arrays import Floats
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks

PANEL_ROWS = 256
"""Columns factorised at once, on one core."""

PIECE_ROWS = 512
"""Rows of a panel that a core takes at once."""

LEAST_JITTER = 1e-12
LARGEST_JITTER = 1e-4


@dataclass(frozen=True, eq=False)
class Factor:
    """L with LLᵀ = K + (α + jitter)I.

    Attributes:
        lower: L in the lower triangle, (n, n); above it, nothing of meaning.
        jitter: What was added to alpha; 0 as a rule.
    """

    lower: Floats
    jitter: float

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.lower.nbytes

    def solve(self, b: Floats, blocks: Blocks) -> Floats:
        """Return the solution for each column of b, (n, c).

        Column by column: LAPACK rounds a column otherwise beside others than alone.
        """
        solution = np.empty_like(b)
        # Its transpose lies as LAPACK wants it: L itself would be copied.
        upper = self.lower.T
        for column in range(b.shape[1]):
            blocks.check()
            solution[:, column] = cho_solve((upper, False), b[:, column], check_finite=False)
        return solution


def factorise(
    x: Floats, kind: Covariance, length_scale: float, alpha: Floats | float, blocks: Blocks
) -> Factor:
    """Return the factor for the rows x (n, d); alpha is one number, or one a row, (n,).

    Cost: n³ / 3 operations, 8n² bytes.

    Raises:
        DeadlineExceeded: Between two pieces, when the time is over.
        LinAlgError: Not even the largest jitter makes the matrix positive definite.
    """
    n = len(x)
    jitter = 0.0
    matrix = np.empty((n, n))
    while True:
        _fill(x, kind, length_scale, matrix, blocks)
        matrix[np.diag_indices(n)] += alpha + jitter
        try:
            _factorise_in_panels(matrix, blocks)
            return Factor(matrix, jitter)
        except LinAlgError:
            jitter = max(10.0 * jitter, LEAST_JITTER)
            if jitter > LARGEST_JITTER:
                raise


def _fill(x: Floats, kind: Covariance, length_scale: float, matrix: Floats, blocks: Blocks) -> None:
    """Fill the lower triangle with K."""
    features = np.ascontiguousarray(x.T)
    code, precision, n = COVARIANCE_CODES[kind], 1.0 / length_scale, len(x)

    def fill(part: slice) -> None:
        fill_covariances(features, code, precision, part.start, part.stop, matrix)

    blocks(fill, n, PIECE_ROWS)


def _factorise_in_panels(matrix: Floats, blocks: Blocks) -> None:
    """Overwrite the lower triangle with the Cholesky factor, panel by panel.

    Raises:
        LinAlgError: The matrix is not positive definite to rounding.
    """
    n = len(matrix)
    for start in range(0, n, PANEL_ROWS):
        blocks.check()
        stop = min(start + PANEL_ROWS, n)
        done = matrix[start:stop, :start]
        # What lies above the diagonal was never filled.
        rest = np.tril(matrix[start:stop, start:stop])
        if start:
            rest -= np.tril(done @ done.T)
        diagonal = cholesky(rest, lower=True, overwrite_a=True, check_finite=False)
        matrix[start:stop, start:stop] = diagonal
        pieces = -(-(n - stop) // PIECE_ROWS)

        def finish(
            piece: slice,
            start: int = start,
            stop: int = stop,
            done: Floats = done,
            diagonal: Floats = diagonal,
        ) -> None:
            first = stop + piece.start * PIECE_ROWS
            below = matrix[first : first + PIECE_ROWS, start:stop]
            rest = below - matrix[first : first + PIECE_ROWS, :start] @ done.T
            below[:] = solve_triangular(diagonal, rest.T, lower=True, check_finite=False).T

        if pieces:
            blocks(finish, pieces, 1)
