"""Golden section finds a minimum, and asks for no more than it was given."""

from contextlib import suppress

import numpy as np
import pytest

from service.estimators.golden_section import GOLDEN, golden_section


@pytest.mark.parametrize("at", [0.02, 0.5, 30.0])
def test_it_closes_in_on_the_minimum(at: float) -> None:
    points = golden_section(1e-2, 1e2, 25)
    asked = [next(points)]
    with suppress(StopIteration):
        while True:
            asked.append(points.send(float(np.log(asked[-1] / at) ** 2)))
    found = min(asked, key=lambda h: abs(np.log(h / at)))
    assert len(asked) == 25
    assert min(asked) > 1e-2
    assert max(asked) < 1e2
    # The interval shrinks by the golden ratio with each value after the first.
    assert abs(np.log(found / at)) <= np.log(1e4) * GOLDEN**24


def test_it_keeps_the_part_of_the_smaller_value() -> None:
    points = golden_section(1.0, np.e, 3)
    left, right = next(points), points.send(1.0)
    assert left < right
    assert points.send(0.0) > right
