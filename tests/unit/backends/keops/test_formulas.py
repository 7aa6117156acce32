"""The closed set as data: what is served, and why the rest is not."""

import numpy as np
import pytest

from service.backends.base import monomial_count
from service.backends.keops import formulas
from service.backends.keops.formulas import Device


@pytest.mark.parametrize(
    ("n", "d", "k", "degree", "device", "reason"),
    [
        (100, 3, None, 2, "cpu", ""),
        (100, 10, 127, 1, "cpu", ""),
        (100, 11, None, None, "cpu", "d = 11 is above 10, the widest formula compiled"),
        (100, 17, None, 0, "cuda", ""),
        (100, 33, None, 0, "cuda", "d = 33 is above 32, the widest formula compiled"),
        (100, 17, None, 1, "cuda", "d = 17 is above 16, the widest formula of degree 1 compiled"),
        (100, 4, None, 2, "cpu", "d = 4 is above 3, the widest formula of degree 2 compiled"),
        (100, 1, None, 3, "cuda", "no formula of degree 3 is compiled"),
        (500, 3, 128, None, "cpu", "k = 128 is above 127, the most neighbours compiled"),
        (10**9, 3, None, None, "cpu", "1000000000 rows of 3 features are more than 2147483647"),
    ],
)
def test_a_fit_is_served_or_the_reason_is_given(
    n: int, d: int, k: int | None, degree: int | None, device: Device, reason: str
) -> None:
    is_served, why = formulas.served(n, d, k=k, degree=degree, device=device)
    assert is_served == (reason == "")
    assert why.startswith(reason)


def test_the_set_for_a_cpu_is_small_and_each_formula_differs() -> None:
    found = formulas.formula_set("cpu")
    assert len(found) <= 12
    assert len(set(found)) == len({formula.name for formula in found}) == len(found)


def test_every_degree_that_is_served_has_its_formula() -> None:
    devices: tuple[Device, ...] = ("cpu", "cuda")
    for device in devices:
        compiled = set(formulas.formula_set(device))
        for d in range(1, 33):
            for degree in (0, 1, 2):
                if formulas.served(10, d, k=None, degree=degree, device=device)[0]:
                    width = formulas.padded_features(d, device)
                    assert formulas.moments_formula(width, degree) in compiled


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_kept_monomials_are_those_without_a_padded_feature(d: int, degree: int) -> None:
    padded = 3
    z = np.zeros(padded)
    z[:d] = [2.0, 3.0, 5.0][:d]
    every = [1.0]
    if degree >= 1:
        every += z.tolist()
    if degree == 2:
        every += [z[i] * z[j] for i in range(padded) for j in range(i, padded)]
    kept = formulas.kept_monomials(d, padded, degree)
    assert len(kept) == monomial_count(d, degree)
    assert np.array(every)[kept].all()
    assert np.count_nonzero(every) == len(kept)
