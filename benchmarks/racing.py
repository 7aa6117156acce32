"""Timing contestants against each other: same work, same answers, by turns in one run."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import Comparison, Samples

PAUSE_S = 0.05
"""Before each run: threads of the contestant before may still spin in wait for more work."""

ROUNDED_SHARE = 0.05
"""Of the queries: in float32, rows at nearly the same distance change places."""

Answer = NDArray[Any]
T = TypeVar("T")


class Disagreement(Exception):
    """A contestant's answers are not those of the others."""


@dataclass(frozen=True, eq=False)
class Contestant:
    """One way to do the work.

    Attributes:
        run: Does it and returns the answers, one a query.
        rtol: By how much an answer may differ, relative to the largest answer.
        is_rounded: Whether it computes in float32. Up to `ROUNDED_SHARE` of its answers may then
            differ; where more do, it is left out and the table says so.
        part: The part of the work that `run` does, where all of it would take too long; its time
            is divided by this.
        before: Untimed, before each run.
        note: For the table.
    """

    run: Callable[[], Answer]
    rtol: float = 1e-9
    is_rounded: bool = False
    part: float = 1.0
    before: Callable[[], object] | None = None
    note: str = ""


def race(
    title: str, contestants: Mapping[str, Contestant], *, rounds: int, baseline: str = "nearfit"
) -> Comparison:
    """Return the times of each contestant that gives the answers of the baseline.

    Raises:
        Disagreement: A contestant in float64 answers differently.
    """
    left_out = disagreeing(contestants, baseline)
    racing = {name: one for name, one in contestants.items() if name not in left_out}
    times = compared(title, racing, rounds=rounds, baseline=baseline, is_warm=True)
    return replace(times, left_out=left_out)


def compared(
    title: str,
    contestants: Mapping[str, Contestant],
    *,
    rounds: int,
    baseline: str | None = "nearfit",
    is_warm: bool = False,
) -> Comparison:
    """Return the times of contestants whose answers are checked elsewhere, or do not compare.

    Each runs once a round. The order moves on by one from round to round, so that none always
    follows the same other.

    Args:
        title: Of the comparison.
        contestants: By name.
        rounds: How often each runs.
        baseline: The contestant to divide by.
        is_warm: Whether each has run before; else each first runs once, untimed.
    """
    if not is_warm:
        for contestant in contestants.values():
            _answer(contestant)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name in turned(list(contestants), turn):
            seconds[name].append(timed(contestants[name]))
    samples = {name: Samples(tuple(seconds[name]), one.note) for name, one in contestants.items()}
    return Comparison(title, "s", samples, baseline)


def timed(contestant: Contestant) -> float:
    """Return the seconds of one run, scaled to the whole work."""
    if contestant.before is not None:
        contestant.before()
    gc.collect()
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    contestant.run()
    return (time.perf_counter() - started) / contestant.part


def turned(names: list[T], by: int) -> list[T]:
    """Return the names in the same circular order, beginning with the one at place `by`."""
    start = by % len(names)
    return names[start:] + names[:start]


def disagreeing(contestants: Mapping[str, Contestant], baseline: str) -> dict[str, str]:
    """Return which contestants in float32 answer wrongly, and how often. Runs each once.

    Raises:
        Disagreement: A contestant in float64 answers differently.
    """
    expected = _answer(contestants[baseline])
    found = {}
    for name, contestant in contestants.items():
        if name == baseline:
            continue
        share = share_wrong(_answer(contestant), expected, contestant.rtol)
        if contestant.is_rounded and share > ROUNDED_SHARE:
            found[name] = f"{100 * share:.0f} % of its answers are wrong"
        elif not contestant.is_rounded and share > 0:
            raise Disagreement(
                f"{name} answers {100 * share:.3g} % of the queries otherwise than {baseline}, "
                f"by more than {contestant.rtol:g}"
            )
    return found


def share_wrong(answer: Answer, expected: Answer, rtol: float) -> float:
    """Return the share of queries whose answer is off by more than rtol times the largest.

    Answers to the first queries alone are compared with theirs.

    Raises:
        Disagreement: The answers are of another shape.
    """
    answer = answer.reshape(len(answer), -1)
    expected = expected.reshape(len(expected), -1)[: len(answer)]
    if answer.shape != expected.shape:
        raise Disagreement(f"the answers have the shape {answer.shape}, not {expected.shape}")
    # Written so that NaN counts as wrong.
    is_right = np.abs(answer - expected) <= rtol * np.max(np.abs(expected))
    return float(np.mean(~np.all(is_right, axis=1)))


def _answer(contestant: Contestant) -> Answer:
    if contestant.before is not None:
        contestant.before()
    return contestant.run()
