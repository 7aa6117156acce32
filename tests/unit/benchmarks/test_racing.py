import time
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import racing
from benchmarks.racing import Answer, Contestant, Disagreement, compared, race, share_wrong, turned

RIGHT = np.arange(1.0, 101.0)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "PAUSE_S", 0.0)


def giving(answer: Answer) -> Callable[[], Answer]:
    return lambda: answer


def with_wrong(count: int) -> Answer:
    answer = RIGHT.copy()
    answer[:count] += 1.0
    return answer


def test_who_agrees_is_timed_once_a_round() -> None:
    runs: list[str] = []

    def logged(name: str) -> Callable[[], Answer]:
        def run() -> Answer:
            runs.append(name)
            return RIGHT

        return run

    contestants = {name: Contestant(logged(name)) for name in ("nearfit", "a", "b")}
    times = race("title", contestants, rounds=3)
    assert {name: len(samples.values) for name, samples in times.samples.items()} == {
        "nearfit": 3,
        "a": 3,
        "b": 3,
    }
    first, *rounds = ["".join(runs[i : i + 3]) for i in range(0, len(runs), 3)]
    assert first == "nearfitab"
    assert rounds == ["nearfitab", "abnearfit", "bnearfita"]


def test_a_wrong_answer_in_float64_stops_the_race() -> None:
    contestants = {"nearfit": Contestant(giving(RIGHT)), "peer": Contestant(giving(with_wrong(1)))}
    with pytest.raises(Disagreement, match="peer answers 1 % of the queries otherwise"):
        race("", contestants, rounds=1)


@pytest.mark.parametrize(("wrong", "is_left_out"), [(5, False), (6, True)])
def test_a_contestant_in_float32_may_be_wrong_for_a_few_queries(
    wrong: int, is_left_out: bool
) -> None:
    peer = Contestant(giving(with_wrong(wrong)), is_rounded=True)
    times = race("", {"nearfit": Contestant(giving(RIGHT)), "peer": peer}, rounds=1)
    assert ("peer" in times.left_out) is is_left_out
    assert ("peer" in times.samples) is not is_left_out


def test_a_part_of_the_work_is_checked_alone_and_scaled() -> None:
    some = Contestant(giving(RIGHT[:10]), part=1e-6)
    times = race("", {"nearfit": Contestant(giving(RIGHT)), "peer": some}, rounds=1)
    assert times.ratio("peer") > 1000


def test_what_comes_before_a_run_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def spend(seconds: float) -> Answer:
        nonlocal now
        now += seconds
        return RIGHT

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    contestant = Contestant(lambda: spend(1.0), before=lambda: spend(100.0))
    times = compared("", {"nearfit": contestant}, rounds=2)
    assert times.samples["nearfit"].values == (1.0, 1.0)
    assert now == 303.0  # once more before, untimed


def test_an_answer_is_judged_relative_to_the_largest() -> None:
    expected = np.array([1.0, 1000.0])
    assert share_wrong(np.array([1.0009, 1000.0]), expected, 1e-6) == 0
    assert share_wrong(np.array([1.0011, 1000.0]), expected, 1e-6) == 0.5


def test_no_number_is_a_wrong_answer() -> None:
    assert share_wrong(np.array([np.nan, 1.0]), np.array([1.0, 1.0]), 1e-6) == 0.5


def test_one_column_is_the_same_as_none() -> None:
    assert share_wrong(RIGHT[:, None], RIGHT, 0.0) == 0


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(Disagreement, match="shape"):
        share_wrong(np.ones((3, 2)), np.ones(3), 1e-6)


def test_turning_goes_round() -> None:
    assert [turned(list("abc"), by) for by in range(4)] == [
        list("abc"),
        list("bca"),
        list("cab"),
        list("abc"),
    ]
