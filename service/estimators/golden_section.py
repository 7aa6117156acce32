"""Golden section on a logarithmic scale.

A function with one minimum on [a, b] is known at two inner points that divide it in the golden
ratio; the part beyond the worse one cannot hold the minimum and is cut off, and one of the points
divides the rest in the golden ratio again: each further value cuts the interval by 0.618.

Source: Kiefer (1953), Proceedings of the AMS 4(3), 502-506.
"""

from collections.abc import Generator

import numpy as np

GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


def golden_section(low: float, high: float, evaluations: int) -> Generator[float, float, None]:
    """Yield points between low and high > 0, and take the function's value at each."""
    a, b = float(np.log(low)), float(np.log(high))
    left, right = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    at_left = yield float(np.exp(left))
    at_right = yield float(np.exp(right))
    for _ in range(evaluations - 2):
        if at_left <= at_right:
            b, right, at_right = right, left, at_left
            left = b - GOLDEN * (b - a)
            at_left = yield float(np.exp(left))
        else:
            a, left, at_left = left, right, at_right
            right = a + GOLDEN * (b - a)
            at_right = yield float(np.exp(right))
