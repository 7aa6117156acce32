"""The GPU benchmark without a GPU: who is asked what, and what is made of the times."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks import gpu_checks
from benchmarks.engine_calls import engine
from benchmarks.gpu import CompileClock, pairs_a_second, slug, targets_of
from benchmarks.gpu_limits import Limits
from benchmarks.gpu_questions import Question, contestants, k12
from benchmarks.racing import race
from benchmarks.records import Comparison, Samples
from service.backends.keops.formulas import Formula, formula_set
from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from tests import naive

LIMITS = Limits(bytes_per_s=1e12, fmas_per_s=1e13, exps_per_s=1e12, roots_per_s=2e12)


class NaivePeers:
    """Answers as the peers on a card do, slowly."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self._x, self._y = x, y

    def _each(self, queries: Floats, one: Callable[[Floats], Any]) -> Floats:
        return np.array([one(q) for q in queries])

    def nadaraya_watson(self, queries: Floats, bandwidth: float) -> Floats:
        return self._local(queries, 0, bandwidth)

    def local_linear(self, queries: Floats, bandwidth: float) -> Floats:
        return self._local(queries, 1, bandwidth)

    def _local(self, queries: Floats, degree: int, bandwidth: float) -> Floats:
        return self._each(
            queries,
            lambda q: naive.local_polynomial(
                self._x, self._y, q, "gaussian", degree, bandwidth=bandwidth
            ),
        )

    def knn(self, queries: Floats, k: int) -> Floats:
        return self._each(queries, lambda q: naive.knn(self._x, self._y, q, k))

    knn_cdist = knn

    def kriging(self, queries: Floats, kernel: str, length_scale: float, alpha: float) -> Floats:
        return self._each(
            queries[:5],
            lambda q: naive.kriging(self._x, self._y, q, kernel, length_scale, alpha),
        )


class NoCard:
    """Has peers, and no card."""

    def peers(self, x: Floats, y: Floats, *, is_rounded: bool) -> NaivePeers:
        return NaivePeers(x, y)


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return k12(NoCard(), n=1_000, m=4)


def test_every_row_of_the_table_is_asked(questions: list[Question]) -> None:
    assert [question.name for question in questions] == [
        "Nadaraya-Watson, n=1,000, m=4",
        "local linear, n=1,000, m=4",
        "Nadaraya-Watson, n=1,000, m=1",
        "local linear, n=1,000, m=1",
        "knn, k=32, n=1,000, m=4",
        "kriging, 1-D gaussian, n=10, solve and 1,000 queries",
        "kriging, 2-D laplacian, n=10, solve and 1,000 queries",
        "kriging, 1-D gaussian, n=1,000, solve and 1,000 queries",
    ]
    # KeOps' own solver has no cap on its iterations.
    assert not questions[-1].peers
    assert [question.has_limit for question in questions] == [True, True, False, False, True] + [
        False
    ] * 3


def test_the_peers_and_nearfit_answer_alike(questions: list[Question]) -> None:
    with engine() as calls:
        for question in questions[:7]:
            found = race("", contestants(question, calls, calls), rounds=1)
            assert set(found.samples) == {"nearfit", "nearfit, native", *question.peers}


def test_a_system_is_solved_anew_in_every_run(questions: list[Question]) -> None:
    with engine() as calls:
        contestant = contestants(questions[5], calls, calls)["nearfit"]
        assert contestant.before is not None
        first = contestant.run()
        contestant.before()
        assert_allclose(contestant.run(), first, rtol=0)


def times(**seconds: float) -> Comparison:
    return Comparison("", "s", {name: Samples((value,)) for name, value in seconds.items()})


def test_the_targets_are_ratios_and_the_fraction_of_the_limit(questions: list[Question]) -> None:
    search = questions[4]
    least_s = 8 * 1_004 * 4 / 1e12  # reading; the arithmetic takes less
    found = targets_of(search, times(nearfit=4 * least_s, KeOps=8 * least_s), LIMITS)
    assert [target.measured for target in found] == pytest.approx([2.0, 0.25])
    assert [target.is_reached for target in found] == [True, False]


def test_kriging_stands_beside_the_gallery(questions: list[Question]) -> None:
    found = targets_of(questions[6], times(nearfit=0.2, native=0.1), LIMITS)
    assert [(target.bound, target.is_reached) for target in found] == [(1, False), (0.138, False)]


def test_pairs_a_second_are_those_of_one_pass(questions: list[Question]) -> None:
    (found,) = pairs_a_second(questions[0], times(nearfit=0.5))
    assert found.samples["nearfit"].median == 1_000 * 4 / 0.5
    assert pairs_a_second(questions[5], times(nearfit=0.5)) == []


def test_a_wrong_formula_is_found_before_anything_is_timed() -> None:
    def wrong(formula: Formula, *arguments: Floats) -> Floats:
        return np.zeros((5, formula.width))

    with pytest.raises(gpu_checks.WrongAnswer, match="is off by"):
        gpu_checks.against_numpy(wrong, formula_set("cuda")[2:], bound=1e-11)


def test_a_backend_is_no_different_from_itself() -> None:
    native = NativeBackend()
    assert gpu_checks.against_native(native, native, dimensions=(1, 2)) == 0


def test_the_clock_tells_the_first_import_from_the_formulas() -> None:
    clock = CompileClock()
    for step in ("importing KeOps", "formula 1 of 2", "formula 2 of 2", "done"):
        clock(step)
    samples = clock.comparison().samples
    assert list(samples) == ["first import of KeOps", "all 2 formulas", "the slowest formula"]
    assert samples["the slowest formula"].median <= samples["all 2 formulas"].median


def test_a_card_names_its_file() -> None:
    assert slug("NVIDIA H200 (80 GB)") == "nvidia-h200-80-gb"
