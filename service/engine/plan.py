"""Where, how and in which portions a prediction is computed: a pure decision, with its reasons.

What decides the answer's bits (backend, search, solver, precision) depends on the rows and the fit
alone, never on the queries, so that a query has the same bits alone and in any batch. Only the size
of the blocks looks at how many queries there are.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

from service.backends.base import Search
from service.backends.keops.formulas import Device, served
from service.backends.native.planning import preferred_search
from service.domain.kernels import Kernel
from service.engine.costs import (
    GAPPED_CELL_S,
    KEOPS_PAIR_S,
    bytes_a_query,
    finding_seconds,
    plane_seconds,
    query_seconds,
    solve_seconds,
)
from service.estimators.fits import (
    Fit,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    has_row_bandwidths,
    is_robust,
)
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
    has_gaps: bool = False,
    has_weights: bool = False,
    n_sloped: int | None = None,
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
        has_gaps: Cells of the rows are missing.
        has_weights: The rows have weights.
        n_sloped: In how many of the features polynomials have slopes; None for all.
    """
    sloped = d if n_sloped is None else n_sloped
    plan = _decided(
        fit, n, d, t, backend, device, cores, forced, has_extras, has_gaps, has_weights, sloped
    )
    is_short = m * plan.query_s <= ALONE_S
    share = m if is_short else -(-m // (2 * cores))
    if plan.backend == "keops" or share <= plan.block_size:
        return plan
    size = min(share, _most(fit, d, t, sloped))
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
    has_gaps: bool,
    has_weights: bool,
    sloped: int,
) -> Plan:
    """Return the plan for so few queries that one core computes them; see `choose`."""
    solver, solver_reason = _solver(fit, n, d, forced)
    solve_s = 0.0 if solver is None else solve_seconds(solver, n)
    if backend == "keops" and has_extras:
        backend_reason = "only the native engine has errors, intervals, slopes and quantiles"
    elif backend == "keops" and has_gaps:
        backend_reason = "only the native engine has distances that skip missing cells"
    elif backend == "keops" and sloped < d and isinstance(fit, LocalPolynomial):
        backend_reason = "only the native engine has polynomials without slopes in categories"
    elif backend == "keops" and has_weights:
        backend_reason = "only the native engine has sums with weights of the rows"
    elif backend == "keops":
        is_served, refusal = _served_by_keops(fit, n, d, device)
        if is_served:
            query_s = 0.0 if device == "cuda" else KEOPS_PAIR_S * n
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
    search, search_reason = _search(n, d, forced, has_gaps)
    query_s = query_seconds(fit, n, d, t, search, sloped) + (
        GAPPED_CELL_S * n * d if has_gaps else 0.0
    )
    if isinstance(fit, Linear):
        solve_s = plane_seconds(fit, n, d, t)
    elif isinstance(fit, NadarayaWatson | LocalPolynomial):
        solve_s = fit.robust * n * query_s  # a prediction at each row, each time
        if has_row_bandwidths(fit):
            solve_s += n * finding_seconds(fit.n_neighbors or 1, n, d, search)
    return Plan(
        backend="native",
        search=search,
        solver=solver,
        precision=Precision.SCREENED
        if search is Search.SCAN and not has_gaps
        else Precision.DOUBLE,
        block_size=min(_clipped(SHARE_S, query_s, MAX_BLOCK), _most(fit, d, t, sloped)),
        first_block=_clipped(PORTION_S, query_s, FIRST_BLOCK),
        query_s=query_s,
        solve_s=solve_s,
        reasons=(backend_reason, search_reason, *solver_reason, *_reach(fit)),
    )


def _served_by_keops(fit: Fit, n: int, d: int, device: Device) -> tuple[bool, str]:
    if isinstance(fit, Linear):
        return False, "it has no formula for linear regression"
    if is_robust(fit):
        return False, "it has no formula with weights of the rows"
    if has_row_bandwidths(fit):
        return False, "it has no formula with bandwidths of the rows"
    if isinstance(fit, LocalPolynomial):
        degree: int | None = fit.degree
    else:
        degree = 0 if isinstance(fit, NadarayaWatson) else None
    return served(n, d, k=fit.n_neighbors, degree=degree, device=device)


def _search(n: int, d: int, forced: Forced, has_gaps: bool) -> tuple[Search, str]:
    if has_gaps:
        return Search.SCAN, "no tree finds rows by distances that skip missing cells"
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
    if has_row_bandwidths(fit):
        return ("each row has its own bandwidth: all rows are looked at",)
    if isinstance(fit, NadarayaWatson | LocalPolynomial) and fit.kernel is Kernel.GAUSSIAN:
        return ("rows beyond the reach of rounding carry no Gaussian weight and are left out",)
    return ()


def _clipped(seconds: float, query_s: float, most: int) -> int:
    """Return how many queries take about so long, from 1 to `most`."""
    return most if query_s * most <= seconds else max(1, int(seconds / query_s))


def _most(fit: Fit, d: int, t: int, sloped: int) -> int:
    """Return how many queries a block may have, for its temporary arrays."""
    return max(1, min(int(BLOCK_BYTES / bytes_a_query(fit, d, t, sloped)), MAX_BLOCK))
