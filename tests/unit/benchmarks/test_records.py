import json
from pathlib import Path

import pytest

from benchmarks.records import Comparison, Record, Samples, Target, read_record, read_records

TIMES = Comparison(
    "knn",
    "s",
    {
        "nearfit": Samples((2.0, 1.0, 3.0)),
        "slow": Samples((9.0, 8.0, 10.0), "scaled"),
        "slower": Samples((20.0,)),
    },
    left_out={"rounded": "73 % of its answers are wrong"},
)
RECORD = Record(
    "neighbors",
    "K1: neighbours",
    {"n": 1000, "k": 5},
    (TIMES, Comparison("memory", "MB", {"all": Samples((1.5,))}, None)),
    (Target("K1", "ratio", 4.5, 2), Target("K10", "seconds", 16.0, 15, at_most=True, unit="s")),
    ("A note.",),
)


def test_a_ratio_is_that_of_the_medians() -> None:
    assert TIMES.ratio("slow") == 4.5
    assert TIMES.ratio("nearfit") == 1.0


def test_a_comparison_without_a_baseline_has_no_ratio() -> None:
    with pytest.raises(ValueError, match="memory"):
        RECORD.comparisons[1].ratio("all")


def test_the_least_is_the_fastest_beside_the_baseline() -> None:
    assert TIMES.least() == "slow"
    assert TIMES.least("slow") == "slower"


@pytest.mark.parametrize(
    ("measured", "at_most", "is_reached"),
    [(2.0, False, True), (1.99, False, False), (2.0, True, True), (2.01, True, False)],
)
def test_a_target_is_reached_at_its_bound(measured: float, at_most: bool, is_reached: bool) -> None:
    assert Target("K1", "", measured, 2.0, at_most).is_reached is is_reached


def test_a_figure_that_is_not_a_number_reaches_nothing() -> None:
    assert not Target("K1", "", float("nan"), 2.0).is_reached
    assert not Target("K1", "", float("nan"), 2.0, at_most=True).is_reached


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = RECORD.write(tmp_path / "results")
    assert path.name == "neighbors.json"
    assert read_record(path) == RECORD
    assert read_records(path.parent) == {"neighbors": RECORD}


def test_a_file_says_where_and_when_it_was_measured(tmp_path: Path) -> None:
    stored = json.loads(RECORD.write(tmp_path).read_text("utf-8"))
    assert stored["machine"]["cores"] >= 1
    assert stored["machine"]["processor"]
    assert {"python", "numpy", "numba"} <= stored["versions"].keys()
    assert stored["date"].endswith("+00:00")
    assert stored["comparisons"][0]["samples"]["nearfit"]["values"] == [2.0, 1.0, 3.0]
