"""The exponential that loops are vectorised with."""

import math
import platform
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from service.backends.native.exponential import (
    LEAST_ARGUMENT,
    exp_nonpositive,
    use_widest_vectors,
)
from service.domain.arrays import Floats

TWO_UNITS = 2.0


@njit(error_model="numpy")
def fill(x: Floats, result: Floats) -> None:
    use_widest_vectors()
    for i in range(x.shape[0]):
        result[i] = exp_nonpositive(x[i])


def units_off(x: Floats) -> Floats:
    """Return the error in units of the last place, against 80-bit numbers where there are such."""
    result = np.empty_like(x)
    fill(x, result)
    exact = np.exp(x.astype(np.longdouble))
    error = np.abs(result.astype(np.longdouble) - exact)
    return np.asarray(error / np.spacing(exact.astype(np.float64)), dtype=np.float64)


def test_it_is_exact_to_two_units_all_over_its_range() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            LEAST_ARGUMENT * rng.random(500_000),
            -40.0 * rng.random(500_000),
            -(10.0 ** rng.uniform(-300, 0, 10_000)),
            # Where n changes, r is largest.
            -(np.arange(1000) + 0.5) * math.log(2.0),
        ]
    )
    assert units_off(x).max() < TWO_UNITS


@given(x=st.floats(LEAST_ARGUMENT, 0.0))
def test_it_is_exact_to_two_units_at_any_number(x: float) -> None:
    assert units_off(np.array([x]))[0] < TWO_UNITS


def test_the_exponential_of_zero_is_exactly_one() -> None:
    assert exp_nonpositive(0.0) == 1.0
    assert exp_nonpositive(-0.0) == 1.0


def test_it_is_as_exact_where_the_machine_does_not_fuse_products_and_sums() -> None:
    unfused = njit(error_model="numpy")(exp_nonpositive.py_func)
    for x in np.linspace(LEAST_ARGUMENT, 0.0, 20_011):
        assert abs(unfused(x) - math.exp(x)) <= 3 * np.spacing(math.exp(x))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 instructions")
def test_a_loop_of_exponentials_is_vectorised() -> None:
    fill(np.zeros(1), np.zeros(1))
    code = "\n".join(fill.inspect_asm().values())
    packed = re.findall(r"v?(?:fn?m(?:add|sub)\d+|mul)pd\b.*", code)
    scalar = re.findall(r"v?(?:fn?m(?:add|sub)\d+|mul)sd\b.*", code)
    # One vector loop at least, as long as the one for the rows left over.
    assert len(packed) >= len(scalar) > 0
