"""What a prediction costs, roughly: seconds on one core, and bytes of temporary arrays.

A plan needs no more than the order of size: which lane a task takes, and how many queries a block
has. `portions` corrects both by what blocks have taken.
"""

from typing import Final

from service.backends.base import Search, monomial_count
from service.domain.kernels import Kernel
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    has_row_bandwidths,
)
from service.estimators.kriging_system import Solver
from service.estimators.local_kriging import MOST_SIDE_BY_SIDE

KEOPS_PAIR_S: Final = 20e-9
"""A pair of row and query, on a CPU core with the float64 formulas."""

GAPPED_CELL_S: Final = 4e-9
"""A cell of a row, where each is looked at for whether it is missing."""


def query_seconds(fit: Fit, n: int, d: int, t: int, search: Search, sloped: int) -> float:
    """Return the rough cost of a query on one core; within a factor of a few is enough.

    The constants are fits to prepared predictions of 200 queries, n from 1e4 to 1e6, d from 3 to
    32, on a Xeon at 2.5 GHz with AVX-512.
    """
    match fit:
        case Knn():
            return finding_seconds(fit.n_neighbors, n, d, search)
        case Kriging():
            if fit.n_neighbors is None:
                return 2.5e-9 * n * t
            k = fit.n_neighbors
            an_operation_s = 0.25e-9 if k <= MOST_SIDE_BY_SIDE else 0.1e-9
            return finding_seconds(k, n, d, search) + 15e-9 * k**2 + an_operation_s * k**3
        case Linear():
            return 10e-9 * d * t
        case NadarayaWatson() | LocalPolynomial():
            p = monomial_count(sloped, _degree(fit))
            k = fit.n_neighbors or 1
            # How many rows a bandwidth reaches, only the data know: this counts on all of them.
            in_reach = k if fit.n_neighbors and fit.kernel is not Kernel.GAUSSIAN else n
            a_row = 15e-9 + 0.5e-9 * p**2
            finding_s = finding_seconds(k, n, d, search)
            if has_row_bandwidths(fit):
                finding_s = GAPPED_CELL_S * n * d
            return finding_s + in_reach * a_row + 0.2e-9 * p**3


def finding_seconds(k: int, n: int, d: int, search: Search) -> float:
    """Return the rough cost of finding the k nearest rows of a query.

    A tree opens the leaf of the query and about one beyond each of its 2ᵈ corners.
    """
    if search is Search.SCAN:
        return 3e-6 * k + 0.1e-9 * n * d
    return 2e-6 + 0.1e-6 * k + 6e-9 * min(float(n), 64 * 2.0**d)


def solve_seconds(solver: Solver, n: int) -> float:
    """Return the rough cost of solving for the coefficients of all rows."""
    return 20e-9 * n**2 + (n**3 / 20e9 if solver is Solver.CHOLESKY else 0.0)


def plane_seconds(fit: Linear, n: int, d: int, t: int) -> float:
    """Return the rough cost of the plane of all rows; of gradient descent, of all its steps."""
    if fit.solver == "least_squares":
        return 1e-9 * n * (d + t) ** 2
    return 1e-9 * n * d * t * fit.max_steps


def bytes_a_query(fit: Fit, d: int, t: int, sloped: int) -> float:
    """Return the rough size of the temporary arrays of a query."""
    match fit:
        case Knn():
            return 8.0 * fit.n_neighbors * (4 + 3 * t)
        case Kriging():
            k = fit.n_neighbors or 1
            return 24.0 * (k * k + k * t)
        case Linear():
            return 8.0 * d * (t + 4)
        case NadarayaWatson() | LocalPolynomial():
            p = monomial_count(sloped, _degree(fit))
            return 8.0 * p * (4 * p + 2 * t) + 16.0 * (fit.n_neighbors or 1)


def _degree(fit: NadarayaWatson | LocalPolynomial) -> int:
    return fit.degree if isinstance(fit, LocalPolynomial) else 0
