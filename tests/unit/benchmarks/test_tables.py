import pytest

from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.tables import (
    aligned,
    comparison_rows,
    figure,
    groups,
    markdown,
    matrix_rows,
    overview_rows,
    tables,
    target_rows,
    terminal,
)


def comparison(title: str, unit: str = "s", **medians: float) -> Comparison:
    return Comparison(title, unit, {name: Samples((value,)) for name, value in medians.items()})


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.0, "s", "1.00 s"),
        (0.0999, "s", "99.9 ms"),
        (0.9999, "s", "1.00 s"),
        (12e-6, "s", "12.0 µs"),
        (3e-12, "s", "0.00300 ns"),
        (123.4, "s", "123 s"),
        (12345.6, "requests/s", "12,346 requests/s"),
        (2.0, "×", "2.00×"),
        (99.96, "×", "100×"),
        (0.0, "MB", "0 MB"),
        (3.2e-9, "", "3.2e-09"),
    ],
)
def test_a_figure_has_three_digits_and_a_unit_that_suits(
    value: float, unit: str, shown: str
) -> None:
    assert figure(value, unit) == shown


def test_a_row_has_the_median_the_spread_and_the_ratio() -> None:
    times = Comparison(
        "knn", "s", {"nearfit": Samples((2.0, 1.0, 3.0)), "peer": Samples((5.0, 4.0, 9.0), "part")}
    )
    assert comparison_rows(times) == [
        ["knn", "median", "least to most", "÷ nearfit"],
        ["nearfit", "2.00 s", "1.00 s to 3.00 s", "1.00×"],
        ["peer (part)", "5.00 s", "4.00 s to 9.00 s", "2.50×"],
    ]


def test_single_values_have_no_spread() -> None:
    alone = Comparison("memory", "MB", {"all": Samples((3.0,))}, None)
    assert comparison_rows(alone) == [["memory", ""], ["all", "3.00 MB"]]


def test_who_was_left_out_is_told_with_the_reason() -> None:
    times = Comparison("", "s", {"nearfit": Samples((1.0,))}, left_out={"FAISS": "9 % are wrong"})
    assert comparison_rows(times)[-1][0] == "FAISS: 9 % are wrong"
    column = comparison("d = 2", nearfit=1.0, FAISS=2.0)
    assert matrix_rows([times, column])[-1] == ["FAISS", "wrong", "2.00 s (2.00×)"]


def test_a_matrix_leaves_the_cell_of_an_absentee_empty() -> None:
    columns = [comparison("d = 1", nearfit=1.0, tree=2.0), comparison("d = 2", nearfit=4.0)]
    assert matrix_rows(columns) == [
        ["median (÷ nearfit)", "d = 1", "d = 2"],
        ["nearfit", "1.00 s", "4.00 s"],
        ["tree", "2.00 s (2.00×)", ""],
    ]


def test_comparisons_share_a_table_if_they_share_unit_and_contestants() -> None:
    one, two = comparison("1", nearfit=1, peer=1), comparison("2", nearfit=1, peer=1)
    other_unit = comparison("3", "MB", nearfit=1, peer=1)
    strangers = comparison("4", "MB", nearfit=1, another=1)
    grouped = [[c.title for c in group] for group in groups([one, two, other_unit, strangers])]
    assert grouped == [["1", "2"], ["3"], ["4"]]


def test_under_a_matrix_stands_how_far_the_rounds_lie_apart() -> None:
    steady = Comparison("1", "s", {"a": Samples((10.0, 10.0, 10.0))}, None)
    loose = Comparison("2", "s", {"a": Samples((8.0, 10.0, 11.0, 10.0, 12.0))}, None)
    record = Record("r", "", {}, (steady, loose))
    ((_, below),) = tables(record)
    assert below == "In every cell, half of the rounds lie within 10 % of the median."


def test_a_target_that_falls_short_is_shown_as_such() -> None:
    rows = target_rows([Target("K1", "ratio", 1.5, 2), Target("K9", "adds", 9e-3, 0.01, True, "s")])
    assert rows[1:] == [
        ["K1", "ratio", "1.50×", "≥ 2.00×", "**falls short**"],
        ["K9", "adds", "9.00 ms", "≤ 10.0 ms", "reached"],
    ]


def test_the_overview_has_every_question_in_order() -> None:
    records = {
        "b": Record("b", "", {}, (), (Target("K10", "late", 1, 1), Target("K2", "x", 1, 1))),
        "a": Record("a", "", {}, (), (Target("K2", "y", 1, 1), Target("fairness", "z", 1, 1))),
    }
    rows = overview_rows(records)[1:]
    assert [row[0] for row in rows] == [
        *("K1", "K2", "K2"),
        *(f"K{question}" for question in range(3, 13)),
    ]
    assert [row[1] for row in rows[:3]] == ["not measured on this machine", "x", "y"]


def test_text_is_aligned_and_has_no_markup() -> None:
    rows = [["", "a"], ["left", "1.00 s"], ["x", "**2 s**"]]
    assert aligned(rows) == "           a\nleft  1.00 s\nx        2 s"


def test_markdown_aligns_figures_to_the_right() -> None:
    assert markdown([["a", "b"], ["c", "1"]]) == "| a | b |\n| --- | ---: |\n| c | 1 |"


def test_the_terminal_gets_the_tables_the_targets_and_the_notes() -> None:
    record = Record(
        "r",
        "K1: title",
        {"n": 10},
        (comparison("knn", nearfit=1.0, peer=3.0),),
        (Target("K1", "ratio", 3.0, 2),),
        ("A note.",),
    )
    text = terminal(record)
    for part in ("K1: title\nn 10", "3.00×", "reached", "A note."):
        assert part in text
