"""How a reduction is spread over a GPU: the rows in parts, each reduced on its own, then merged.

KeOps runs one thread a query, in blocks of 192. A card of 132 multiprocessors that holds 2,048
threads on each would be filled by 270,000 queries; one query alone would use one thread of it. So
the rows are cut into parts, and each pair of a query and a part is a thread.

A sum is rounded differently when its rows are cut differently, so its parts depend on the rows
alone: the same query gives the same bits in any block. Neighbours are found exactly whatever the
parts, so theirs are as many as fill the card.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from service.backends.keops.formulas import Formula

SUMMED_ROWS = 1920
"""Rows in a part of a sum: ten of KeOps' blocks of 192, so that no block is loaded for a few rows.
One query on a million rows then runs in 521 threads, each on a block of its own."""

SEARCHED_ROWS = 4096
"""The least rows in a part of a search. Each part fills a list of K of its own, which takes about
K ln(rows / K) insertions, so small parts cost more than they spread."""

THREADS = 2**18
"""What fills a large card."""

PARTIAL_BYTES = 2**28
"""Of the results of all parts, held before they are merged."""


@dataclass(frozen=True)
class Parts:
    """How one reduction is cut.

    Attributes:
        parts: Of the rows; part b begins at row b n // parts.
        queries: At most so many at a time.
    """

    parts: int
    queries: int

    def blocks(self, m: int) -> Iterator[slice]:
        """Yield the slices of m queries."""
        for start in range(0, m, self.queries):
            yield slice(start, min(start + self.queries, m))


def choose_parts(formula: Formula, m: int, n: int) -> Parts:
    """Return how to cut m queries and n rows.

    Every part has at least K rows where a search asks for K, so that none fills up its list with
    rows that do not exist.
    """
    if formula.neighbors:
        most = max(1, n // max(SEARCHED_ROWS, formula.neighbors))
        parts = min(most, -(-THREADS // m))
        columns = 2 * formula.neighbors  # distances and rows
    else:
        parts = -(-n // SUMMED_ROWS)
        columns = formula.width
    return Parts(parts, max(1, PARTIAL_BYTES // (8 * parts * columns)))
