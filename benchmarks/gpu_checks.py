"""Are the formulas right on this card? Asked before anything is timed."""

from collections.abc import Callable, Iterable

import numpy as np

from service.backends.base import Backend, Resident
from service.backends.keops import known_answers
from service.backends.keops.formulas import Formula
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel

FLOAT64_BOUND = known_answers.TOLERANCE
FLOAT32_BOUND = 1e-5
"""Relative to the sum of the absolute terms: a few hundred terms, each of some twenty operations
that are rounded to 6e-8."""
FLOAT32_SWAPPED = 0.05
"""The share of neighbours that may change places in float32."""
NATIVE_BOUND = 1e-11
"""Relative to the largest of its kind: both are rounded, in different orders."""

ROWS, QUERIES, NEIGHBORS = 5_000, 200, 10


class WrongAnswer(Exception):
    """A formula does not answer what it should."""


def against_numpy(
    reduce: Callable[..., Floats], formulas: Iterable[Formula], *, bound: float, swapped: float = 0
) -> tuple[float, float]:
    """Return the largest error of the sums and the largest share of wrong rows of the searches.

    Args:
        reduce: Evaluates a formula.
        formulas: Which.
        bound: On the error of a sum.
        swapped: On the share of wrong rows.

    Raises:
        WrongAnswer: A formula is off by more.
    """
    worst_sum = worst_search = 0.0
    for formula in formulas:
        error = known_answers.largest_error(reduce, formula)
        if not error <= (swapped if formula.neighbors else bound):
            raise WrongAnswer(f"'{formula.name}' is off by {error:.2g}")
        if formula.neighbors:
            worst_search = max(worst_search, error)
        else:
            worst_sum = max(worst_sum, error)
    return worst_sum, worst_search


def against_native(backend: Backend, native: Backend, dimensions: Iterable[int]) -> float:
    """Return the largest difference between the reductions of two backends, see `NATIVE_BOUND`.

    Raises:
        WrongAnswer: They differ by more, or find other neighbours.
    """
    worst = 0.0
    for d in dimensions:
        random = np.random.default_rng(d)
        x, y, q = (
            random.random((ROWS, d)),
            random.normal(size=(ROWS, 1)),
            random.random((QUERIES, d)),
        )
        for name, error in _differences(backend.load(x, y), native.load(x, y), q):
            if not error <= NATIVE_BOUND:
                raise WrongAnswer(f"{name} in {d} features differs from native by {error:.2g}")
            worst = max(worst, error)
    return worst


def _differences(rows: Resident, native: Resident, q: Floats) -> Iterable[tuple[str, float]]:
    found, expected = rows.nearest(q, NEIGHBORS), native.nearest(q, NEIGHBORS)
    is_same = np.array_equal(found.rows, expected.rows) and np.array_equal(
        found.distances, expected.distances
    )
    yield "nearest", 0.0 if is_same else np.inf
    h = 3 * expected.distances[:, -1]
    nearest = np.ascontiguousarray(expected.distances[:, 0])
    for kernel in Kernel:
        for degree in (0, 1):
            ours = rows.moments(q, kernel, h, degree, nearest_distance=nearest)
            theirs = native.moments(q, kernel, h, degree, nearest_distance=nearest)
            name = f"moments of degree {degree} with the kernel {kernel}"
            yield name, _relative(ours.gram, theirs.gram)
            yield name, _relative(ours.rhs, theirs.rhs)
            if kernel.is_compact:  # native leaves out Gaussian weights that are worth nothing
                yield name, 0.0 if np.array_equal(ours.count, theirs.count) else np.inf
    a = np.random.default_rng(0).normal(size=(len(rows.x), 1))
    for covariance in Covariance:
        ours_product = rows.product(q, covariance, 0.3, a)
        theirs_product = native.product(q, covariance, 0.3, a)
        yield f"product with {covariance}", _relative(ours_product, theirs_product)


def _relative(found: Floats, expected: Floats) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
