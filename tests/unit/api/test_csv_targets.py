"""What the target of a CSV file is, against the rule of the guide applied cell by cell."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.tables import read_table
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
from service.engine.limits import Limits

CELLS = ["", "NA", "nan", "1", "2.5", "-3e2", "a", " b ", "b", "?", "a1", "inf", "1e999", '"1,5"']


def as_number(cell: str) -> float | None:
    """Return the number in a cell, NaN where it is missing, None where it is a text."""
    if cell in ("", "NA"):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None


def is_number(cell: str) -> bool:
    """Return whether a cell among texts is one that must be a number gone wrong."""
    return cell in ('"1,5"', "inf") or (as_number(cell) is not None and cell[-1:].isdigit())


@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=6))
@example(["", ""])
@example(["NA", "a"])
@example(["nan", "inf"])
@example(["a", '"1,5"'])
def test_a_target_is_numbers_or_texts(cells: list[str]) -> None:
    text = "x,y\n" + "".join(f"{j},{cell}\n" for j, cell in enumerate(cells))
    numbers = [as_number(cell) for cell in cells]
    if all(number is not None and not math.isinf(number) for number in numbers):
        found = read_table(text.encode(), Limits()).rows(("x",), ("y",)).targets
        assert not isinstance(found, Labels)
        for read, number in zip(found[:, 0].tolist(), numbers, strict=True):
            assert read == number or (math.isnan(read) and number is not None)
    elif any(is_number(cell) for cell in cells):
        with pytest.raises(InvalidInput) as refused:
            read_table(text.encode(), Limits())
        assert refused.value.faults[0].pointer.endswith(",2")
    else:
        found = read_table(text.encode(), Limits()).rows(("x",), ("y",)).targets
        assert isinstance(found, Labels)
        names = [None if code < 0 else found.names[code] for code in found.codes]
        assert names == [cell.strip() or None for cell in cells]
