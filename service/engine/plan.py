"""Where, how and in which portions a prediction is computed: a pure decision, with its reasons.

What decides the answer's bits (backend, search, solver, precision) depends on the rows and the fit
alone, never on the queries, so that a query has the same bits alone and in any batch. Only the size
of the blocks looks at how many queries there are.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from service.backends.base import Search, monomial_count
from service.backends.keops.formulas import Device, served
from service.backends.native.planning import preferred_search
from service.domain.kernels import Kernel
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver, preferred_solver

PORTION_S: Final = 0.05
"""Computing time of one portion: the clock is looked at, and other tasks get a turn, in between."""

SHARE_S: Final = 1e-3
"""A block of less is not worth handing to another core: that takes a tenth of it."""

BLOCK_BYTES: Final = 32 * 2**20
"""Of the temporary arrays of one block."""

MAX_BLOCK: Final = 8192
FIRST_BLOCK: Final = 16
"""Queries in the first portion of a fit with a bandwidth, at most: how many rows are in reach, and
so what a query costs, depends on the data."""

ALONE_S: Final = 0.01
"""Computing time up to which one core does it all: waking the others, which have slept, costs more
than they take over. 1,000 queries (knn, k = 32, n = 200,000, d = 3), each call after a pause, took
8.1 ms on one core, 11.5 in two halves, and 13.8 in smaller blocks."""


class Precision(StrEnum):
    """The numbers that are computed with; answers are float64 in any case."""

    DOUBLE = "float64"
    SCREENED = "float64, after a screening in float32"


@dataclass(frozen=True)
class Forced:
    """The parts of every plan that the operator has decided, with NEARFIT_PLAN.

    Attributes:
        search: How rows are found, or None where the planner decides.
        solver: How the system of a kriging fit over all rows is solved, or None.
    """

    search: Search | None = None
    solver: Solver | None = None

    @classmethod
    def named(cls, names: str) -> "Forced":
        """Return what the names say, such as "scan" or "tree,low_rank"; "" forces nothing.

        Raises:
            ValueError: A name is unknown.
        """
        search, solver = None, None
        for name in filter(None, (part.strip() for part in names.split(","))):
            if name in set(Search):
                search = Search(name)
            else:
                solver = Solver(name)
        return cls(search, solver)


NOTHING_FORCED: Final = Forced()


@dataclass(frozen=True)
class Plan:
    """What was decided for one prediction.

    Attributes:
        backend: "native" or "keops".
        search: How rows are found.
        solver: How the system of a kriging fit over all rows is solved; None for any other fit.
        precision: What is computed with.
        block_size: The most queries between two looks at the clock.
        first_block: The most queries in the first portion.
        query_s: Expected computing time of one query, once all is prepared, in seconds.
        solve_s: Expected time of what is solved once a fit, in seconds; its result is kept.
        reasons: Why, a sentence each.
    """

    backend: str
    search: Search
    solver: Solver | None
    precision: Precision
    block_size: int
    first_block: int
    query_s: float
    solve_s: float
    reasons: tuple[str, ...]


def choose(
    fit: Fit,
    *,
    n: int,
    m: int,
    d: int,
    t: int,
    backend: str,
    device: Device,
    cores: int,
    forced: Forced = NOTHING_FORCED,
    has_extras: bool = False,
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
        forced: What the operator has decided.
        has_extras: More is wanted than the mean, neighbours and diagnostics.
    """
    plan = _decided(fit, n, d, t, backend, device, cores, forced, has_extras)
    is_short = m * plan.query_s <= ALONE_S
    share = m if is_short else -(-m // (2 * cores))
    if plan.backend == "keops" or share <= plan.block_size:
        return plan
    size = min(share, _most(fit, d, t))
    first = plan.first_block if fit.n_neighbors is None else min(size, MAX_BLOCK)
    return replace(plan, block_size=size, first_block=first if is_short else plan.first_block)


@lru_cache(maxsize=4096)
def _decided(
    fit: Fit,
    n: int,
    d: int,
    t: int,
    backend: str,
    device: Device,
    cores: int,
    forced: Forced,
    has_extras: bool,
) -> Plan:
    """Return the plan for so few queries that one core computes them; see `choose`."""
    solver, solver_reason = _solver(fit, n, d, forced)
    solve_s = 0.0 if solver is None else _solve_s(solver, n)
    if backend == "keops" and has_extras:
        backend_reason = "only the native engine has errors, intervals, slopes and quantiles"
    elif backend == "keops":
        is_served, refusal = _served_by_keops(fit, n, d, device)
        if is_served:
            query_s = 0.0 if device == "cuda" else _KEOPS_PAIR_S * n
            return Plan(
                backend="keops",
                search=Search.SCAN,
                solver=solver,
                precision=Precision.DOUBLE,
                block_size=MAX_BLOCK,
                first_block=_clipped(PORTION_S, query_s, MAX_BLOCK),
                query_s=query_s,
                solve_s=solve_s,
                reasons=("the service runs on KeOps, which has the formulas", *solver_reason),
            )
        backend_reason = f"KeOps does not serve this fit: {refusal}"
    else:
        backend_reason = "the service runs on the native engine"
    search, search_reason = _search(n, d, forced)
    query_s = _query_s(fit, n, d, t, search)
    if isinstance(fit, Linear):
        solve_s = _plane_s(fit, n, d, t)
    elif isinstance(fit, NadarayaWatson | LocalPolynomial):
        solve_s = fit.robust * n * query_s  # a prediction at each row, each time
    return Plan(
        backend="native",
        search=search,
        solver=solver,
        precision=Precision.DOUBLE if search is Search.TREE else Precision.SCREENED,
        block_size=min(_clipped(SHARE_S, query_s, MAX_BLOCK), _most(fit, d, t)),
        first_block=_clipped(PORTION_S, query_s, FIRST_BLOCK),
        query_s=query_s,
        solve_s=solve_s,
        reasons=(backend_reason, search_reason, *solver_reason, *_reach(fit)),
    )


def _served_by_keops(fit: Fit, n: int, d: int, device: Device) -> tuple[bool, str]:
    if isinstance(fit, Linear):
        return False, "it has no formula for linear regression"
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.robust:
        return False, "it has no formula with weights of the rows"
    if isinstance(fit, LocalPolynomial):
        degree: int | None = fit.degree
    else:
        degree = 0 if isinstance(fit, NadarayaWatson) else None
    return served(n, d, k=fit.n_neighbors, degree=degree, device=device)


def _search(n: int, d: int, forced: Forced) -> tuple[Search, str]:
    if forced.search is not None:
        return forced.search, f"NEARFIT_PLAN forces the search '{forced.search}'"
    return preferred_search(n, d)


def _solver(fit: Fit, n: int, d: int, forced: Forced) -> tuple[Solver | None, tuple[str, ...]]:
    if not isinstance(fit, Kriging) or fit.n_neighbors is not None:
        return None, ()
    if forced.solver is not None:
        return forced.solver, (f"NEARFIT_PLAN forces the solver '{forced.solver}'",)
    solver, reason = preferred_solver(n, d, fit.kernel, fit.alpha)
    return solver, (reason,)


def _reach(fit: Fit) -> tuple[str, ...]:
    """Return what is said about the rows that a query looks at, where that is not the search."""
    if isinstance(fit, Kriging) and fit.n_neighbors is None:
        return ("one product with the coefficients of all rows a query",)
    if isinstance(fit, Linear):
        return ("one plane for all queries",)
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.kernel is Kernel.GAUSSIAN:
        return ("rows beyond the reach of rounding carry no Gaussian weight and are left out",)
    return ()


def _clipped(seconds: float, query_s: float, most: int) -> int:
    """Return how many queries take about so long, from 1 to `most`."""
    return most if query_s * most <= seconds else max(1, int(seconds / query_s))


_KEOPS_PAIR_S = 20e-9
"""A pair of row and query, on a CPU core with the float64 formulas."""


def _query_s(fit: Fit, n: int, d: int, t: int, search: Search) -> float:
    """Return the rough cost of a query on one core; within a factor of a few is enough.

    The constants are fits to prepared predictions of 200 queries, n from 1e4 to 1e6, d from 3 to
    32, on a Xeon at 2.5 GHz with AVX-512.
    """
    match fit:
        case Knn():
            return _finding_s(fit.n_neighbors, n, d, search)
        case Kriging():
            if fit.n_neighbors is None:
                return 2.5e-9 * n * t
            k = fit.n_neighbors
            return _finding_s(k, n, d, search) + 15e-9 * k**2 + 0.25e-9 * k**3
        case Linear():
            return 10e-9 * d * t
        case NadarayaWatson() | LocalPolynomial():
            p = monomial_count(d, _degree(fit))
            k = fit.n_neighbors or 1
            # How many rows a bandwidth reaches, only the data know: this counts on all of them.
            in_reach = k if fit.n_neighbors and fit.kernel is not Kernel.GAUSSIAN else n
            a_row = 15e-9 + 0.5e-9 * p**2
            return _finding_s(k, n, d, search) + in_reach * a_row + 0.2e-9 * p**3


def _finding_s(k: int, n: int, d: int, search: Search) -> float:
    """Return the rough cost of finding the k nearest rows of a query.

    A tree opens the leaf of the query and about one beyond each of its 2ᵈ corners.
    """
    if search is Search.SCAN:
        return 3e-6 * k + 0.1e-9 * n * d
    return 2e-6 + 0.1e-6 * k + 6e-9 * min(float(n), 64 * 2.0**d)


def _solve_s(solver: Solver, n: int) -> float:
    """Return the rough cost of solving for the coefficients of all rows."""
    return 20e-9 * n**2 + (n**3 / 20e9 if solver is Solver.CHOLESKY else 0.0)


def _plane_s(fit: Linear, n: int, d: int, t: int) -> float:
    """Return the rough cost of the plane of all rows; of gradient descent, of all its steps."""
    if fit.solver == "least_squares":
        return 1e-9 * n * (d + t) ** 2
    return 1e-9 * n * d * t * fit.max_steps


def _most(fit: Fit, d: int, t: int) -> int:
    """Return how many queries a block may have, for its temporary arrays."""
    return max(1, min(int(BLOCK_BYTES / _bytes_a_query(fit, d, t)), MAX_BLOCK))


def _bytes_a_query(fit: Fit, d: int, t: int) -> float:
    match fit:
        case Knn():
            return 8.0 * fit.n_neighbors * (4 + 3 * t)
        case Kriging():
            k = fit.n_neighbors or 1
            return 24.0 * (k * k + k * t)
        case Linear():
            return 8.0 * d * (t + 4)
        case NadarayaWatson() | LocalPolynomial():
            p = monomial_count(d, _degree(fit))
            return 8.0 * p * (4 * p + 2 * t) + 16.0 * (fit.n_neighbors or 1)


def _degree(fit: NadarayaWatson | LocalPolynomial) -> int:
    return fit.degree if isinstance(fit, LocalPolynomial) else 0
