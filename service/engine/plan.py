"""Where and in which portions a prediction is computed: a pure decision, with its reasons."""

from dataclasses import dataclass

from service.backends.base import monomial_count
from service.backends.keops.formulas import Device, served
from service.backends.native.tree import MAX_TREE_FEATURES
from service.domain.kernels import Kernel
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson

BLOCK_NS = 50e6
"""Computing time of one block: the clock is looked at, and other tasks get a turn, in between."""

BLOCK_BYTES = 32 * 2**20
"""Of the temporary arrays of one block."""

MAX_BLOCK = 8192
SMALLEST_SHARE = 64
"""Queries below which sharing a block among cores costs more than it gives."""


@dataclass(frozen=True)
class Plan:
    """What was decided for one prediction.

    Attributes:
        backend: "native" or "keops".
        block_size: Queries in a block.
        reasons: Why, a sentence each.
    """

    backend: str
    block_size: int
    reasons: tuple[str, ...]


def choose(
    fit: Fit, *, n: int, m: int, d: int, t: int, backend: str, device: Device, cores: int
) -> Plan:
    """Return the plan for m queries on n rows of d features and t targets.

    Args:
        fit: As resolved.
        n: Rows.
        m: Queries.
        d: Features.
        t: Targets.
        backend: What the service was started with.
        device: Where KeOps computes, "cpu" or "cuda".
        cores: Of the native engine.
    """
    if backend == "keops":
        k = fit.n_neighbors
        if isinstance(fit, LocalPolynomial):
            degree: int | None = fit.degree
        else:
            degree = 0 if isinstance(fit, NadarayaWatson) else None
        is_served, reason = served(n, d, k=k, degree=degree, device=device)
        if is_served:
            size = max(1, min(MAX_BLOCK, int(BLOCK_NS / (_KEOPS_NS * n))))
            return Plan("keops", size, ("the service runs on KeOps, which has the formulas",))
        backend_reason = f"KeOps does not serve this fit: {reason}"
    else:
        backend_reason = "the service runs on the native engine"
    by_time = BLOCK_NS / _nanoseconds_a_query(fit, n, d, t)
    by_bytes = BLOCK_BYTES / _bytes_a_query(fit, d, t)
    share = max(SMALLEST_SHARE, -(-m // (2 * cores)))
    size = max(1, int(min(by_time, by_bytes, share, MAX_BLOCK)))
    return Plan("native", size, (backend_reason, _algorithm(fit, d)))


_KEOPS_NS = 20.0
"""A pair of row and query, on a CPU core with the float64 formulas."""


def expected_seconds(fit: Fit, *, n: int, m: int, d: int, t: int) -> float:
    """Return a rough computing time of m queries, with the preparation that cannot be reused.

    A fit to all rows in kriging is a factorisation or an iteration, unless it was made before.
    """
    preparing = 0.0
    if isinstance(fit, Kriging) and fit.n_neighbors is None:
        preparing = 20.0 * n**2 + n**3 / 20
    return 1e-9 * (preparing + m * _nanoseconds_a_query(fit, n, d, t))


def _nanoseconds_a_query(fit: Fit, n: int, d: int, t: int) -> float:
    """Return a rough cost; within a factor of a few is enough to choose a block."""
    scan = n * d if d > MAX_TREE_FEATURES else 0
    search = 3e3 + 150.0 * (fit.n_neighbors or 1) + scan
    match fit:
        case Knn():
            return search
        case Kriging():
            if fit.n_neighbors is None:
                return 15.0 * n * t
            return search + 5e4 + 20.0 * fit.n_neighbors**2 + fit.n_neighbors**3 / 10
        case NadarayaWatson() | LocalPolynomial():
            a_row = 20.0 + 2.0 * monomial_count(d, _degree(fit)) ** 2
            in_reach = fit.n_neighbors if fit.n_neighbors is not None else n
            if fit.kernel is Kernel.GAUSSIAN:
                in_reach = n
            return search + in_reach * a_row


def _bytes_a_query(fit: Fit, d: int, t: int) -> float:
    match fit:
        case Knn():
            return 8.0 * fit.n_neighbors * (4 + 3 * t)
        case Kriging():
            k = fit.n_neighbors or 1
            return 24.0 * (k * k + k * t)
        case NadarayaWatson() | LocalPolynomial():
            p = monomial_count(d, _degree(fit))
            return 8.0 * p * (4 * p + 2 * t) + 16.0 * (fit.n_neighbors or 1)


def _degree(fit: NadarayaWatson | LocalPolynomial) -> int:
    return fit.degree if isinstance(fit, LocalPolynomial) else 0


def _algorithm(fit: Fit, d: int) -> str:
    if isinstance(fit, Kriging) and fit.n_neighbors is None:
        return "one product with the coefficients of all rows a query"
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.kernel is Kernel.GAUSSIAN:
        return "every row carries weight under the Gaussian kernel, so all are summed"
    if d > MAX_TREE_FEATURES:
        return f"above {MAX_TREE_FEATURES} features a scan of all rows beats a tree"
    return "the rows in reach are found through a kd-tree"
