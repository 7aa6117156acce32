"""What a card could do at most, from its rates."""

import math

import pytest

from benchmarks import gpu_limits
from benchmarks.gpu_limits import LOOPS, Limits, Work, least_seconds

LIMITS = Limits(bytes_per_s=1e12, fmas_per_s=1e13, exps_per_s=1e12, roots_per_s=2e12)


def test_the_operations_of_a_pair_take_their_times_together() -> None:
    work = Work(fmas=10, exps=2, roots=1)
    assert 1 / work.pairs_per_s(LIMITS) == pytest.approx(10 / 1e13 + 2 / 1e12 + 1 / 2e12)


@pytest.mark.parametrize(
    ("work", "fmas", "exps", "roots"),
    [
        (gpu_limits.search(3), 7, 0, 0),
        (gpu_limits.moments(3, 0), 9, 1, 0),
        # 2d + 1, Σ w and Σ w y, 3 + 3 products and sums, 6 of the triangle, 4 of Σ w y z
        (gpu_limits.moments(3, 1), 25, 1, 0),
        (gpu_limits.product(2, has_root=True), 6, 1, 1),
    ],
)
def test_each_method_has_its_operations(work: Work, fmas: int, exps: int, roots: int) -> None:
    assert (work.fmas, work.exps, work.roots) == (fmas, exps, roots)


def test_many_queries_are_bound_by_arithmetic_and_one_by_reading_the_rows() -> None:
    work, n = Work(fmas=10), 10**6
    many = least_seconds(work, LIMITS, n=n, m=10**4, d=3)
    assert many == pytest.approx(n * 10**4 * 10 / 1e13)
    one = least_seconds(work, LIMITS, n=n, m=1, d=3)
    assert one == pytest.approx(8 * (n + 1) * 4 / 1e12)


def test_the_loops_do_as_many_operations_as_they_say_and_stay_finite() -> None:
    a = b = 0.5
    functions = {"Exp": math.exp, "Sqrt": math.sqrt}
    for loop in LOOPS.values():
        value = eval(loop.text, {"__builtins__": {}, "a": a, "b": b, **functions})
        assert math.isfinite(value)
    assert LOOPS["fmas_per_s"].text.count("+b") + 1 == LOOPS["fmas_per_s"].operations
    assert LOOPS["exps_per_s"].text.count("Exp") == LOOPS["exps_per_s"].operations
    assert LOOPS["roots_per_s"].text.count("Sqrt") == LOOPS["roots_per_s"].operations
