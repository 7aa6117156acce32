"""Consecutive queries, cut so that what is listed for them fits in memory together."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from service.backends.base import Moments
from service.domain.arrays import Rows


def parts(counts: Rows, most: int) -> Iterator[slice]:
    """Yield slices of queries whose counts (m,) add up to `most` at most, a query at least each."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def moments_of(moments: Moments, queries: Rows) -> Moments:
    """Return the sums of some of the queries."""
    return Moments(*(getattr(moments, field.name)[queries] for field in fields(Moments)))
