"""K12: on a GPU, beside KeOps as its gallery calls it, PyTorch's cdist and topk, and native.

First every formula is checked, in float64 and in float32, against NumPy and against the native
engine. Then nearfit runs as a service would: through its engine and its KeOps worker process, with
the rows on the card and the queries from the host. Each figure stands beside what the card could
do at most (`gpu_limits.py`), from its own rates measured in the same run. Last: how few queries are
best spread over a card, what compiling takes, and what moving the rows takes.

Needs the project's `gpu` extra and a card; where either is missing it says so and ends.

    python -m benchmarks.gpu [--quick]
"""

import importlib.util
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks import gpu_checks, gpu_limits
from benchmarks.engine_calls import engine
from benchmarks.gpu_limits import Limits
from benchmarks.gpu_questions import Question, contestants, few_queries, k12, moving
from benchmarks.racing import race
from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.script import Options, run
from service.backends.keops.backend import KeopsBackend
from service.backends.keops.formulas import Device, Formula, formula_set
from service.backends.keops.library import Library, open_library
from service.backends.native.backend import NativeBackend
from service.estimators.fits import Kriging

FRACTION_OF_LIMIT = 0.5
GALLERY_S = {"gaussian": 0.067, "laplacian": 0.138}
"""What KeOps' gallery reports for its kriging solves of 10,000 rows on its GPU."""


def why_not() -> str:
    """Return why there is nothing to measure here, or nothing."""
    for package in ("torch", "pykeops"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed; the extra `gpu` has it"
    import torch

    if not torch.cuda.is_available():
        return "PyTorch sees no GPU"
    return ""


def measure(options: Options) -> Record:
    """Return all figures of the first card."""
    sizes = Sizes()
    if options.quick:
        sizes = Sizes(n=100_000, m=1_000, few=(1, 100), copied=2**25, loop_rows=2**11)
    return measure_on("cuda", sizes, options.rounds)


@dataclass(frozen=True)
class Sizes:
    """How much is computed.

    Attributes:
        n: Rows; kriging has a hundredth of them as well.
        m: Queries.
        few: Numbers of queries for which the schemes are compared.
        copied: Numbers in the large copy.
        loop_queries: Threads of the loops that measure the card's rates.
        loop_rows: Turns of each.
    """

    n: int = 1_000_000
    m: int = 10_000
    few: tuple[int, ...] = (1, 10, 100, 1_000, 10_000)
    copied: int = 2**28
    loop_queries: int = 2**18
    loop_rows: int = 2**14


def measure_on(device: Device, sizes: Sizes, rounds: int) -> Record:
    """Return all figures of a device; "cpu" is there to see that the script works."""
    with tempfile.TemporaryDirectory() as cache_folder:
        clock = CompileClock()
        library = open_library(cache_folder, device=device, report=clock)
        clock("done")
        # It imports PyTorch and KeOps, so it must come after the library has made their settings.
        from benchmarks.gpu_card import Card

        card = Card(device)
        checked = checks(card, library, formula_set(device))
        limits = card.limits(
            elements=sizes.copied, queries=sizes.loop_queries, rows=sizes.loop_rows
        )
        comparisons: list[Comparison] = []
        targets: list[Target] = []
        settings = {"cache_dir": cache_folder, "device": device}
        with engine(backend="keops", **settings) as ours, engine(backend="native") as native:
            for question in k12(card, n=sizes.n, m=sizes.m):
                times = race(question.name, contestants(question, ours, native), rounds=rounds)
                comparisons += [times, *pairs_a_second(question, times)]
                targets += targets_of(question, times, limits)
        comparisons += few_queries(card, library, n=sizes.n, few=sizes.few, rounds=rounds)
        comparisons += [moving(card, library, n=sizes.n, rounds=rounds), clock.comparison()]
        return Record(
            f"gpu-{slug(card.name)}",
            f"K12: on one {card.name}",
            {"card": card.name, "limits in float64": vars(limits), "sizes": vars(sizes)},
            tuple(comparisons),
            tuple(targets),
            (checked, TWO_PASSES),
        )


TWO_PASSES = (
    "A Gaussian fit of nearfit passes over the rows twice, for the nearest row first; its pairs a "
    "second and the limit count one pass."
)


def checks(card: Any, library: Library, formulas: Sequence[Formula]) -> str:
    """Check the formulas and return a sentence on how far off they are.

    Raises:
        WrongAnswer: One is off by more than its bound.
    """
    exact, _ = gpu_checks.against_numpy(library.reduce, formulas, bound=gpu_checks.FLOAT64_BOUND)
    rounded, swapped = gpu_checks.against_numpy(
        card.reduce_rounded,
        formulas,
        bound=gpu_checks.FLOAT32_BOUND,
        swapped=gpu_checks.FLOAT32_SWAPPED,
    )
    from_native = gpu_checks.against_native(
        KeopsBackend(library), NativeBackend(), dimensions=(1, 2, 3, 5)
    )
    return (
        f"Checked before: all {len(formulas)} formulas against NumPy, off by at most {exact:.1g} "
        f"of the sum of the absolute terms in float64 and {rounded:.1g} in float32, where "
        f"{swapped:.1%} of the neighbours changed places; against native by at most "
        f"{from_native:.1g} of the largest value."
    )


def pairs_a_second(question: Question, times: Comparison) -> list[Comparison]:
    """Return the same as pairs of row and query a second, where the work is one pass."""
    if question.work is None:
        return []
    pairs = len(question.data.x) * len(question.data.queries)
    samples = {
        name: Samples(tuple(pairs / seconds for seconds in found.values))
        for name, found in times.samples.items()
    }
    return [Comparison(f"{question.name}, pairs", "pairs/s", samples, times.baseline)]


def targets_of(question: Question, times: Comparison, limits: Limits) -> list[Target]:
    """Return what K12 asks of the question."""
    found = []
    peers = [name for name in times.samples if name != times.baseline]
    for name in peers:
        claim = f"{name}'s time ÷ nearfit's, {question.name}"
        found.append(Target("K12", claim, times.ratio(name), 1))
    ours_s = times.samples["nearfit"].median
    if question.work is not None and question.has_limit:
        n, d = question.data.x.shape
        least_s = gpu_limits.least_seconds(
            question.work, limits, n=n, m=len(question.data.queries), d=d
        )
        claim = f"of the card's limit, {question.name}"
        found.append(Target("K12", claim, least_s / ours_s, FRACTION_OF_LIMIT))
    fit = question.fit
    if isinstance(fit, Kriging) and len(question.data.x) <= 10_000:
        gallery_s = GALLERY_S[fit.kernel.value]
        claim = f"beside the gallery's reading, {question.name}"
        found.append(Target("K12", claim, ours_s, gallery_s, at_most=True, unit="s"))
    return found


class CompileClock:
    """Is told what the library does, and knows how long each step took."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, float]] = []

    def __call__(self, doing: str) -> None:
        """Note that this step begins."""
        self._steps.append((doing, time.perf_counter()))

    def comparison(self) -> Comparison:
        """Return the times of the first import and of the formulas."""
        begun = [at for _, at in self._steps]
        seconds = [later - at for at, later in pairwise(begun)]
        compiling = seconds[1:]
        samples = {
            "first import of KeOps": Samples((seconds[0],)),
            f"all {len(compiling)} formulas": Samples((sum(compiling),)),
            "the slowest formula": Samples((max(compiling),)),
        }
        return Comparison("compiling, once a card", "s", samples, baseline=None)


def slug(name: str) -> str:
    """Return a card's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"nothing to measure on a GPU: {reason}")
    else:
        run(measure, __doc__, rounds=5)
