"""What the layers share about arrays."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from service.domain import arrays
from service.domain.arrays import column_extremes


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (100, 1), (101, 5), (64, 40), (3, 33)])
def test_the_extremes_of_columns_are_those_of_numpy(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "NUMBERS_AT_ONCE", 50)  # several blocks, the last one short
    x = np.random.default_rng(0).standard_normal(shape)
    low, high = column_extremes(x)
    assert_array_equal(low, x.min(axis=0))
    assert_array_equal(high, x.max(axis=0))
