"""How the rows of a dataset version are best found: pure decisions, and what was measured."""

from typing import Final

from service.backends.base import Search

TREE_FEATURES: Final = 12
"""Features up to which a tree is preferred. At 12, blocks of queries on uniform rows, the hardest
for a tree, are faster by a scan, and queries that come alone by the tree; at 14 both by a scan.
Measured with k = 32 and uniform rows, in microseconds a query:

| d  | n   | tree | scan | tree, query alone | scan, query alone |
|----|-----|------|------|-------------------|-------------------|
| 8  | 10⁶ | 151  | 278  | 83                | 5,272             |
| 12 | 10⁵ | 408  | 65   | 221               | 719               |
| 14 | 10⁵ | 938  | 99   | 2,169             | 1,146             |
"""

LARGEST_TAIL: Final = 4096
"""Appended rows that are searched beside a tree. So many add a third to the time of a query: at
n = 10⁶, d = 3, k = 32 it is 10.6 microseconds, and 7.9 without a tail. Rows of one feature are
sorted, and have no tail."""


def preferred_search(n: int, d: int) -> tuple[Search, str]:
    """Return how to find the nearest of n rows with d features, and why, in a sentence."""
    if d > TREE_FEATURES:
        return (
            Search.SCAN,
            f"above {TREE_FEATURES} features nearly every leaf of a tree is visited: all {n} rows "
            "are screened in 32-bit floats, and what can be nearest is compared in 64 bits",
        )
    return (
        Search.TREE,
        f"up to {TREE_FEATURES} features a kd-tree finds the rows in reach without looking at all",
    )


def indexed_after_append(indexed: int, n: int) -> int:
    """Return how many of the n rows of a new version its tree covers: all, or as many as before.

    Args:
        indexed: The rows that the tree of the version before covers.
        n: The rows of the new version.
    """
    return indexed if n - indexed <= LARGEST_TAIL else n
