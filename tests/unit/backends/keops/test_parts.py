"""How a reduction is spread over a GPU."""

import pytest

from service.backends.keops import parts
from service.backends.keops.formulas import Formula, formula_set, moments_formula, nearest_formula
from service.backends.keops.parts import choose_parts

SIZES = (1, 2, 191, 1_000, 8_192, 100_000)


@pytest.mark.parametrize("n", [1, 1_920, 1_921, 1_000_000])
def test_the_parts_of_a_sum_depend_on_the_rows_alone(n: int) -> None:
    formula = moments_formula(3, 1)
    assert {choose_parts(formula, m, n).parts for m in SIZES} == {-(-n // parts.SUMMED_ROWS)}


def test_a_search_fills_the_card_without_empty_parts() -> None:
    formula = nearest_formula(3, 128)
    for m in SIZES:
        for n in (128, 4_096, 50_000, 1_000_000):
            chosen = choose_parts(formula, m, n)
            assert n // chosen.parts >= formula.neighbors
            assert chosen.parts == 1 or (chosen.parts - 1) * m < parts.THREADS
    assert choose_parts(formula, 1, 1_000_000).parts == 1_000_000 // parts.SEARCHED_ROWS


@pytest.mark.parametrize("formula", formula_set("cuda"), ids=lambda formula: formula.name)
def test_what_is_held_before_merging_is_bounded(formula: Formula) -> None:
    for m in SIZES:
        chosen = choose_parts(formula, m, 1_000_000)
        columns = 2 * formula.neighbors or formula.width
        held = 8 * chosen.parts * chosen.queries * columns
        assert held <= max(parts.PARTIAL_BYTES, 8 * chosen.parts * columns)
        assert chosen.queries >= 1


def test_blocks_cover_the_queries_once() -> None:
    chosen = parts.Parts(parts=3, queries=7)
    covered = [i for block in chosen.blocks(20) for i in range(block.start, block.stop)]
    assert covered == list(range(20))
