"""What a card could do at most with a pair of row and query, from limits measured in the same run.

A method needs some operations for each pair, whatever program does it: d differences, d
multiply-adds for their squares, the weight, the sums. At the rates that bare loops reach on the
same card, they take a certain time, and reading the data once takes another; neither can be beaten.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Rates of one card in float64, each of a bare loop.

    Attributes:
        bytes_per_s: Read and written together, of a large copy.
        fmas_per_s: Multiply-adds.
        exps_per_s: Exponentials.
        roots_per_s: Square roots.
    """

    bytes_per_s: float
    fmas_per_s: float
    exps_per_s: float
    roots_per_s: float


@dataclass(frozen=True)
class Work:
    """What a method needs at least for a pair: numbers of operations.

    Attributes:
        fmas: Multiply-adds, and other operations of one instruction.
        exps: Exponentials.
        roots: Square roots.
    """

    fmas: float
    exps: float = 0.0
    roots: float = 0.0

    def pairs_per_s(self, limits: Limits) -> float:
        """Return how many pairs the card could do in a second, if it did nothing else."""
        return 1.0 / (
            self.fmas / limits.fmas_per_s
            + self.exps / limits.exps_per_s
            + self.roots / limits.roots_per_s
        )


def search(d: int) -> Work:
    """Return the work of a nearest-neighbour search: a squared distance and a comparison."""
    return Work(2 * d + 1)


def moments(d: int, degree: int) -> Work:
    """Return the work of Gaussian moments of degree 0 or 1 of one target.

    Squared distance 2d, scale and shift of the exponent 1, the exponential; then Σ w and Σ w y, and
    for degree 1 the products w z (d), Σ w z (d), the triangle of Σ w z zᵀ and Σ w y z (1 + d).
    """
    sums = 2 if degree == 0 else 2 + d + d + d * (d + 1) // 2 + 1 + d
    return Work(2 * d + 1 + sums, exps=1)


def product(d: int, *, has_root: bool) -> Work:
    """Return the work of a covariance times a coefficient; the laplacian one needs a root."""
    return Work(2 * d + 2, exps=1, roots=float(has_root))


def least_seconds(work: Work, limits: Limits, *, n: int, m: int, d: int) -> float:
    """Return the time below which no program on this card can meet n rows with m queries."""
    arithmetic = n * m / work.pairs_per_s(limits)
    reading = 8 * (n * (d + 1) + m * (d + 1)) / limits.bytes_per_s
    return max(arithmetic, reading)


def loop_text(step: str, times: int, start: str) -> str:
    """Return a KeOps formula that applies a step, with {} for its argument, over and over."""
    text = start
    for _ in range(times):
        text = step.format(text)
    return text


@dataclass(frozen=True)
class Loop:
    """A bare loop of one operation, as a KeOps formula of a (a query's) and b (a row's number).

    Attributes:
        text: The formula.
        operations: Of this kind, a pair.
    """

    text: str
    operations: int


LOOPS: Mapping[str, Loop] = {
    # |a| < 1, so that nothing overflows; the sum over the rows is one more addition.
    "fmas_per_s": Loop(loop_text("(a*{}+b)", 32, "b"), 33),
    "exps_per_s": Loop(loop_text("Exp(-{})", 8, "(a*b)"), 8),
    "roots_per_s": Loop(loop_text("Sqrt(b+{})", 8, "(a*a)"), 8),
}
