"""Classes in place of numbers: what the targets of a classification are.

A dataset of C classes holds a column for each, 1 where a row is of that class and 0 elsewhere: the
weights of any smoother then sum those of each class, which are its probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput

Class: TypeAlias = str | int
"""A text, or a whole number."""

MOST_INDICATORS = 2**27
"""Rows times classes: 1 GiB, which is what a body of numbers may come to."""

LARGEST_WHOLE = 2**53
"""Up to here each whole number is a float64 of its own."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of each row.

    Attributes:
        names: The classes, all different, in any order.
        codes: Of each row the place of its class in `names`, (n,); -1 where it is missing.
    """

    names: tuple[Class, ...]
    codes: Rows


def whole_labels(values: Floats, pointer: str, most: int) -> Labels:
    """Return whole numbers as classes.

    Args:
        values: (n,) or (n, 1); NaN where the class is missing.
        pointer: JSON pointer to them.
        most: How many classes there may be.

    Raises:
        InvalidInput: There are several columns, a number is not whole, or there are more classes.

    Cost: O(n log n), for sorting.
    """
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise InvalidInput.at(
            pointer,
            "Classes stand in one column; send a flat list with the class of each row, or leave "
            "out task for several columns of numbers.",
        )
    numbers = values.reshape(-1)
    missing = np.isnan(numbers)
    _check_whole(numbers, pointer, "class", ", or leave out task to predict numbers")
    found, codes = np.unique(numbers[~missing], return_inverse=True)
    check_number_of_classes(len(found), pointer, most)
    places = np.full(len(numbers), -1, dtype=np.int64)
    places[~missing] = codes.reshape(-1)
    return Labels(tuple(int(number) for number in found), places)


def group_codes(values: Floats | Labels, pointer: str) -> Rows:
    """Return the group of each row as a number from 0, (n,), from labels of either kind.

    Raises:
        InvalidInput: There are none, several columns of them, a row has none, or a number is not
            whole.

    Cost: O(n log n), for sorting.
    """
    if isinstance(values, Labels):
        codes, missing = values.codes, values.codes < 0
    else:
        if values.ndim != 1 or not values.size:
            raise InvalidInput.at(
                pointer,
                "Labels stand in one flat list of at least 1; send one for each row, strings or "
                "whole numbers.",
            )
        missing = np.isnan(values)
        _check_whole(values, pointer, "label", "")
        codes = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64, copy=False)
    if missing.any():
        row = int(np.argmax(missing))
        raise InvalidInput.at(
            f"{pointer}/{row}",
            f"Row {row} has no label; send one for each row, a string or a whole number.",
        )
    return codes


def _check_whole(numbers: Floats, pointer: str, kind: str, otherwise: str) -> None:
    """Check that the numbers (n,) are whole, as far as they are there.

    Raises:
        InvalidInput: One is not, or too large to be told from the next.
    """
    with np.errstate(invalid="ignore"):  # infinity less itself is no whole number either
        is_whole = np.isnan(numbers) | (np.rint(numbers) - numbers == 0.0)
        is_told = is_whole & ~(np.abs(numbers) > LARGEST_WHOLE)
    if is_told.all():
        return
    row = int(np.argmin(is_told))
    said = f"Row {row} has the {kind} {numbers[row]:g}"
    if is_whole[row]:
        raise InvalidInput.at(
            f"{pointer}/{row}",
            f"{said}, and beyond {LARGEST_WHOLE:,} whole numbers are not told apart: send it as "
            f"a text, with all others{otherwise}.",
        )
    raise InvalidInput.at(
        f"{pointer}/{row}",
        f"{said}; it must be a string or a whole number: correct it{otherwise}.",
    )


def check_number_of_classes(number: int, pointer: str, most: int) -> None:
    """Check that there are no more classes than `most`.

    Raises:
        InvalidInput: There are.
    """
    if number > most:
        raise InvalidInput.at(
            pointer,
            f"There are {number:,} different classes, and the limit is {most:,} (max_targets in "
            "/limits); send fewer classes, or numbers to predict.",
        )


def sorted_classes(names: Sequence[Class]) -> tuple[Class, ...]:
    """Return the classes in the order of their columns: numbers by size, texts by code points."""
    return tuple(sorted(names, key=lambda name: (isinstance(name, str), name)))


def indicators(labels: Labels, classes: tuple[Class, ...], pointer: str) -> Floats:
    """Return a column for each class, (n, C): 1 where the row is of it, NaN where it is missing.

    Raises:
        InvalidInput: A row is of none of the classes, or rows times classes are too many.
    """
    places = {name: place for place, name in enumerate(classes)}
    place_of = np.array([places.get(name, -1) for name in labels.names], dtype=np.int64)
    known = np.append(place_of >= 0, True)  # the code -1 is the last
    if not known[labels.codes].all():
        row = int(np.argmin(known[labels.codes]))
        name = labels.names[int(labels.codes[row])]
        raise InvalidInput.at(
            f"{pointer}/{row}",
            f"Row {row} has the class {name!r:.60}, and the dataset has only "
            f"{', '.join(repr(known) for known in classes[:8])}{', …' * (len(classes) > 8)}; "
            "correct it, or upload a dataset with all classes.",
        )
    n = len(labels.codes)
    if n * len(classes) > MOST_INDICATORS:
        raise InvalidInput.at(
            pointer,
            f"{n:,} rows of {len(classes)} classes make {n * len(classes):,} numbers, and the "
            f"limit is {MOST_INDICATORS:,}; send fewer rows.",
        )
    columns = np.zeros((n, len(classes)))
    missing = labels.codes < 0
    columns[missing] = np.nan
    rows = np.flatnonzero(~missing)
    columns[rows, place_of[labels.codes[rows]]] = 1.0
    return columns
