"""Sums whose bits do not depend on how many queries are summed beside."""

import numpy as np

from service.domain.arrays import Floats


def ordered_sum(values: Floats) -> Floats:
    """Return the sum over axis 1, added strictly from first to last.

    `numpy.sum` groups the terms by the shape of the whole array, so that a query alone and the same
    query in a batch would differ in the last bit; `accumulate` has one order. No terms sum to 0.
    """
    if values.shape[1] == 0:
        return np.zeros(values.shape[:1] + values.shape[2:])
    return np.ascontiguousarray(np.add.accumulate(values, axis=1)[:, -1])
