"""The plan is a pure decision with reasons."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.backends.base import Search
from service.backends.keops.formulas import Device
from service.domain.kernels import Kernel
from service.engine.plan import BLOCK_BYTES, MAX_BLOCK, NOTHING_FORCED, Forced, Plan, choose
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson
from service.estimators.kriging_system import Solver
from service.settings import SEARCHES, SOLVERS


def plan(
    fit: Fit,
    *,
    n: int = 1000,
    m: int = 1000,
    d: int = 3,
    backend: str = "native",
    device: Device = "cpu",
    forced: Forced = NOTHING_FORCED,
) -> Plan:
    return choose(fit, n=n, m=m, d=d, t=1, backend=backend, device=device, cores=2, forced=forced)


@pytest.mark.parametrize("n", [10, 10**4, 10**7])
@pytest.mark.parametrize("m", [1, 100, 10**6])
@pytest.mark.parametrize(
    "fit",
    [
        Knn(5),
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0),
        LocalPolynomial(2, n_neighbors=10),
        Kriging(),
        Kriging(n_neighbors=10),
        Linear(),
    ],
)
def test_every_plan_has_a_block_and_reasons(fit: Fit, n: int, m: int) -> None:
    got = plan(fit, n=n, m=m)
    assert got.block_size >= 1
    assert all(got.reasons)


def test_costlier_fits_begin_with_fewer_queries() -> None:
    cheap = plan(Knn(5), m=10**6)
    dear = plan(Kriging(), n=10**8, m=10**6)
    assert dear.first_block < cheap.first_block
    assert dear.query_s > cheap.query_s


def test_a_block_stays_within_its_bytes() -> None:
    wide = plan(LocalPolynomial(2, n_neighbors=900), d=40, m=10**6)
    assert 8 * 861**2 * wide.block_size < 2 * BLOCK_BYTES


def test_costly_queries_are_shared_among_the_cores_and_cheap_ones_stay_together() -> None:
    assert plan(Kriging(n_neighbors=200), m=40).block_size == 10
    assert plan(Knn(5), m=40).block_size >= 40


@given(
    n=st.integers(2, 10**8),
    d=st.integers(1, 1000),
    m=st.integers(1, 10**6),
    other=st.integers(1, 10**6),
    backend=st.sampled_from(["native", "keops"]),
)
def test_what_decides_the_bits_does_not_depend_on_the_queries(
    n: int, d: int, m: int, other: int, backend: str
) -> None:
    for fit in (Knn(5), NadarayaWatson(bandwidth=1.0), Kriging(), Kriging(n_neighbors=5)):
        one, two = (plan(fit, n=n, m=count, d=d, backend=backend) for count in (m, other))
        assert replace(one, block_size=0, first_block=0) == replace(
            two, block_size=0, first_block=0
        )


def test_only_a_fit_to_all_rows_has_a_solver() -> None:
    assert plan(Kriging()).solver is not None
    assert plan(Kriging(n_neighbors=5)).solver is None
    assert plan(Knn(5)).solver is None


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("solver", Solver)
def test_an_operator_can_force_each_part(search: Search, solver: Solver) -> None:
    forced = Forced.named(f"{search}, {solver}")
    assert forced == Forced(search, solver)
    for n, d in ((10, 1), (10**6, 100)):
        got = plan(Kriging(), n=n, d=d, forced=forced)
        assert (got.search, got.solver) == (search, solver)
        assert f"NEARFIT_PLAN forces the search '{search}'" in got.reasons
        assert f"NEARFIT_PLAN forces the solver '{solver}'" in got.reasons


def test_nothing_is_forced_by_an_empty_name() -> None:
    assert Forced.named("") == Forced()
    assert Forced.named("scan") == Forced(search=Search.SCAN)


def test_the_names_that_the_settings_take_are_those_of_the_planner() -> None:
    assert tuple(Search) == SEARCHES
    assert tuple(Solver) == SOLVERS


def test_keops_takes_what_its_formulas_serve_and_native_the_rest() -> None:
    assert plan(Knn(5), backend="keops").backend == "keops"
    for fit, d in (
        (Knn(500), 3),
        (Knn(5), 40),
        (LocalPolynomial(2, n_neighbors=90), 8),
        (LocalPolynomial(1, n_neighbors=9, robust=1), 3),
        (NadarayaWatson(n_neighbors=9, bandwidth_at="row"), 3),
        (Linear(), 3),
    ):
        got = plan(fit, d=d, backend="keops")
        assert got.backend == "native"
        assert "KeOps does not serve" in got.reasons[0]


def test_what_is_solved_once_a_fit_is_expected_to_take_its_time() -> None:
    plain = plan(NadarayaWatson(n_neighbors=9))
    weighed = plan(NadarayaWatson(n_neighbors=9, robust=3))
    assert plain.solve_s == 0
    assert weighed.solve_s >= 3 * 1000 * plain.query_s
    of_rows = plan(NadarayaWatson(Kernel.TRICUBE, n_neighbors=9, bandwidth_at="row"))
    assert of_rows.solve_s > 0
    assert "all rows" in of_rows.reasons[-1]
    assert plan(Linear("gradient_descent")).solve_s > plan(Linear()).solve_s > 0


def test_a_graphics_card_finds_its_portions_by_the_clock() -> None:
    fit = NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0)
    on_card = plan(fit, n=10**6, m=10**4, backend="keops", device="cuda")
    on_cores = plan(fit, n=10**6, m=10**4, backend="keops")
    assert on_card.block_size == on_cores.block_size == MAX_BLOCK
    assert on_card.first_block == MAX_BLOCK
    assert on_cores.first_block < 16


def test_what_keops_has_no_formula_for_is_computed_natively() -> None:
    def planned(*, has_extras: bool) -> Plan:
        return choose(
            Knn(5),
            n=1000,
            m=10,
            d=3,
            t=1,
            backend="keops",
            device="cpu",
            cores=2,
            has_extras=has_extras,
        )

    assert planned(has_extras=False).backend == "keops"
    native = planned(has_extras=True)
    assert native.backend == "native"
    assert "only the native engine" in native.reasons[0]
    assert native.search == plan(Knn(5)).search


def test_polynomials_over_categories_are_for_the_native_engine() -> None:
    line = LocalPolynomial(1, n_neighbors=20)
    for n_sloped, backend in ((4, "keops"), (2, "native")):
        plan = choose(
            line,
            n=100_000,
            m=10,
            d=4,
            t=1,
            backend="keops",
            device="cuda",
            cores=2,
            n_sloped=n_sloped,
        )
        assert plan.backend == backend
