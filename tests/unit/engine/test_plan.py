"""The plan is a pure decision with reasons."""

import pytest

from service.domain.kernels import Kernel
from service.engine.plan import Plan, choose
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson


def plan(fit: Fit, *, n: int = 1000, m: int = 1000, d: int = 3, backend: str = "native") -> Plan:
    return choose(fit, n=n, m=m, d=d, t=1, backend=backend, device="cpu", cores=2)


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
    ],
)
def test_every_plan_has_a_block_and_reasons(fit: Fit, n: int, m: int) -> None:
    got = plan(fit, n=n, m=m)
    assert got.block_size >= 1
    assert all(got.reasons)


def test_costlier_fits_have_smaller_blocks() -> None:
    cheap = plan(Knn(5), m=10**6)
    dear = plan(Kriging(), n=10**6, m=10**6)
    assert dear.block_size < cheap.block_size


def test_keops_takes_what_its_formulas_serve_and_native_the_rest() -> None:
    assert plan(Knn(5), backend="keops").backend == "keops"
    for fit, d in ((Knn(500), 3), (Knn(5), 40), (LocalPolynomial(2, n_neighbors=90), 8)):
        got = plan(fit, d=d, backend="keops")
        assert got.backend == "native"
        assert "KeOps does not serve" in got.reasons[0]
