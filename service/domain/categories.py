"""Categorical features: how their levels become coordinates, and back.

Rows and queries hold levels as texts or numbers; every method below sees coordinates, in which two
levels are as far apart as they are different:

| kind      | c levels are                                       | squared distance of two levels |
|-----------|----------------------------------------------------|--------------------------------|
| unordered | the corners of a regular simplex of c - 1          | 1                              |
|           | dimensions with edges of length 1                  |                                |
| ordered   | c - 1 zeros and ones, level a with a ones in front | the steps between them         |

The Gaussian kernel of bandwidth h then multiplies the weight of a row by λ = exp(-1 / 2h²) for an
unordered feature in which it differs, and by λ^s for an ordered one, s steps away: the kernels of
Racine and Li (2004), J. Econometrics 119(1), 99-130. That of Aitchison and Aitken (1976),
Biometrika 63(3), 413-420, is the same up to a factor of all weights, with λ = l / ((c - 1)(1 - l));
so is that of Wang and van Ryzin (1981), Biometrika 68(1), 301-309, between levels that differ.

In local polynomials categories take part by these weights alone; there is no slope from one level
to another.

Over 300 lines: what levels are, and all that may be wrong with them, is in one place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

Level: TypeAlias = str | int | float
Declared: TypeAlias = Literal["unordered"] | Sequence[Level]
"""What is said of a feature: that its levels have no order, or all of them in their order."""

MOST_LEVELS: Final = 256
"""Of one feature. Each beyond the first is a coordinate of every row."""

MOST_COORDINATES: Final = 2**27
"""Rows times coordinates: 1 GiB, which is what a body of numbers may come to."""


@dataclass(frozen=True, eq=False)
class MixedRows:
    """Rows as they were sent, some of whose cells are texts.

    Attributes:
        numbers: (n, d); NaN where a text stands, or nothing.
        texts: By the column: which text stands in each row, -1 for none.
        is_flat: They were sent as a flat list of the cells of one feature.
    """

    numbers: Floats
    texts: Mapping[int, Labels]
    is_flat: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        n, d = self.numbers.shape
        return n, d

    @property
    def ndim(self) -> int:
        """The levels of brackets that they were sent in."""
        return 1 if self.is_flat else 2

    @property
    def size(self) -> int:
        """The number of cells."""
        return self.numbers.size

    def __len__(self) -> int:
        return len(self.numbers)


Points: TypeAlias = Floats | MixedRows
"""Rows or queries as they were sent."""


@dataclass(frozen=True)
class Category:
    """A categorical feature.

    Attributes:
        levels: All different; texts, or numbers.
        is_ordered: Whether they stand in an order that counts.
    """

    levels: tuple[Level, ...]
    is_ordered: bool

    @property
    def width(self) -> int:
        """How many coordinates a level has. One at least, so that no row is without any."""
        return max(1, len(self.levels) - 1)

    @property
    def has_texts(self) -> bool:
        """True where levels are texts, False where they are numbers."""
        return isinstance(self.levels[0], str)

    def vertices(self) -> Floats:
        """Return the coordinates of each level, (c, width).

        The corners of the simplex with edges of length 1, of which the first is 0: those from it
        have the scalar products (1 + δ_ij) / 2, of which these are the rows of the Cholesky factor.
        """
        c, width = len(self.levels), self.width
        found = np.zeros((c, width))
        below = np.arange(1, c)
        if c == 1:
            return found
        if self.is_ordered:
            found[1:] = below[:, None] >= below
        else:
            found[1:] = np.where(
                below[:, None] > below,
                1.0 / np.sqrt(2.0 * below * (below + 1.0)),
                np.diag(np.sqrt((below + 1.0) / (2.0 * below))),
            )
        return found


@dataclass(frozen=True)
class Encoding:
    """Which features of a dataset are categories, in their order; None for one of numbers."""

    categories: tuple[Category | None, ...]

    @property
    def levels(self) -> Iterator[Level]:
        """Those of all categories."""
        return chain.from_iterable(c.levels for c in self.categories if c is not None)

    @property
    def n_coordinates(self) -> int:
        """The coordinates of a row, all features together."""
        return len(self.features)

    @cached_property
    def features(self) -> Rows:
        """The feature that each coordinate is of, (D,): those of numbers first."""
        numbers = [j for j, category in enumerate(self.categories) if category is None]
        levels = [j for j, c in enumerate(self.categories) if c is not None for _ in range(c.width)]
        return np.array(numbers + levels, dtype=np.int64)

    @property
    def n_numbers(self) -> int:
        """How many features are of numbers; so many coordinates, the first, are theirs."""
        return sum(category is None for category in self.categories)

    @cached_property
    def starts(self) -> Rows:
        """The first coordinate of each feature, (d,)."""
        first = [int(np.argmax(self.features == j)) for j in range(len(self.categories))]
        return np.array(first, dtype=np.int64)

    @cached_property
    def is_category(self) -> NDArray[np.bool_]:
        """Which coordinates are of categories, (D,)."""
        return np.arange(self.n_coordinates) >= self.n_numbers

    def encoded(self, x: Points, names: tuple[str, ...], pointer: str) -> Floats:
        """Return the rows in coordinates, (n, D); a missing number stays NaN.

        Args:
            x: (n, d), d the number of features.
            names: Of the features.
            pointer: JSON pointer to the rows.

        Raises:
            InvalidInput: A level is not known, or a text stands where a number should.
        """
        _check_coordinates(len(x), self, pointer)
        columns = np.empty((len(x), self.n_coordinates))
        for j, (category, start) in enumerate(zip(self.categories, self.starts, strict=True)):
            if category is None:
                columns[:, start] = _numbers(x, j, names[j], pointer)
            else:
                codes = _codes(x, j, category, names[j], pointer)
                columns[:, start : start + category.width] = category.vertices()[codes]
        return columns

    def levels_of(self, x: Floats, feature: int) -> Rows:
        """Return which level of a categorical feature each row (n, D) in coordinates has, (n,)."""
        category = self.categories[feature]
        if category is None:
            raise TypeError("the feature is of numbers")
        start = self.starts[feature]
        block = x[:, start : start + category.width]
        codes = np.zeros(len(x), dtype=np.int64)
        for code, vertex in enumerate(category.vertices()):
            codes[(block == vertex).all(axis=1)] = code
        return codes

    def decoded(self, x: Floats) -> list[list[Level]]:
        """Return rows (n, D) in coordinates as they are sent, n lists of d cells."""
        columns: list[list[Level]] = []
        for j, (category, start) in enumerate(zip(self.categories, self.starts, strict=True)):
            if category is None:
                columns.append(x[:, start].tolist())
            else:
                columns.append([category.levels[code] for code in self.levels_of(x, j)])
        return [list(row) for row in zip(*columns, strict=True)]

    def of_features(self, values: Floats) -> Floats:
        """Return values by coordinate (…, D) by feature (…, d), NaN for the categories."""
        found: Floats = values[..., self.starts]
        found[..., self.is_category[self.starts]] = np.nan
        return found

    def of_coordinates(self, values: Floats) -> Floats:
        """Return values by feature (…, d) by coordinate (…, D), 0 for the categories."""
        found: Floats = values[..., self.features]
        found[..., self.is_category] = 0.0
        return found


def encoding_of(
    x: Points, declared: Mapping[int, Declared], names: tuple[str, ...], pointer: str = "/x"
) -> Encoding | None:
    """Return what the features of an upload are: categories where texts stand, or it is said.

    The levels of an unordered feature are those that occur, sorted: numbers by size, texts by code
    points.

    Args:
        x: (n, d).
        declared: By the feature.
        names: Of the features, which faults name.
        pointer: JSON pointer to the rows.

    Returns:
        None where all features are of numbers.

    Raises:
        InvalidInput: There are too many levels, or those declared are not those that occur.
    """
    texts = x.texts if isinstance(x, MixedRows) else {}
    categories: list[Category | None] = [None] * x.shape[1]
    for j in sorted({*texts, *declared}):
        order = declared.get(j, "unordered")
        if isinstance(order, str):
            levels = _found_levels(x, j, names[j], pointer, is_declared=j in declared)
            categories[j] = Category(levels, is_ordered=False)
        else:
            category = Category(_checked_levels(order, names[j]), is_ordered=True)
            _codes(x, j, category, names[j], pointer)  # refuses a level that is not among them
            categories[j] = category
    return Encoding(tuple(categories)) if any(categories) else None


def _check_coordinates(rows: int, encoding: Encoding, pointer: str) -> None:
    """Check that the rows are not too many numbers in coordinates.

    Raises:
        InvalidInput: They are.
    """
    numbers = rows * encoding.n_coordinates
    if numbers > MOST_COORDINATES:
        raise InvalidInput.at(
            pointer,
            f"{rows:,} rows of {encoding.n_coordinates:,} coordinates, one for each level but one "
            f"of a category, make {numbers:,} numbers, and the limit is {MOST_COORDINATES:,}; "
            "send fewer rows, or join rare levels.",
        )


def _checked_levels(levels: Sequence[Level], name: str) -> tuple[Level, ...]:
    """Return levels that a client lists.

    Raises:
        InvalidInput: There are none or too many, one stands twice, or texts and numbers are mixed.
    """
    kinds = {isinstance(level, str) for level in levels}
    if len(kinds) != 1 or len(set(levels)) < len(levels) or len(levels) > MOST_LEVELS:
        raise InvalidInput.at(
            "/categories",
            f"The {len(levels)} levels listed for '{name}' must be 1 to {MOST_LEVELS}, all "
            "different, and all texts or all numbers.",
        )
    return _whole(tuple(levels))


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _found_levels(
    x: Points, j: int, name: str, pointer: str, *, is_declared: bool
) -> tuple[Level, ...]:
    if isinstance(x, MixedRows) and j in x.texts:
        if x.texts[j].codes[0] < 0 and not np.isnan(x.numbers[0, j]):
            _numbers(x, j, name, pointer)  # which it is of, as it begins with one
        _check_all_texts(x, j, name, pointer)
        texts = [str(x.texts[j].names[code]) for code in np.unique(x.texts[j].codes)]
        if not is_declared and (written := next(filter(_reads_as_number, texts), None)):
            raise InvalidInput.at(
                pointer,
                f"The feature '{name}' has the text {_quoted(written)}, which is a number; send "
                "numbers as such, or say in categories that it is one.",
            )
        levels: tuple[Level, ...] = tuple(sorted(texts))
    else:
        column = _column(x, j)
        _check_present(x, np.isnan(column), j, name, pointer)
        levels = _whole(tuple(np.unique(column).tolist()))
    if len(levels) > MOST_LEVELS:
        raise InvalidInput.at(
            pointer,
            f"The feature '{name}' has {len(levels):,} different levels, and the limit is "
            f"{MOST_LEVELS}; join rare levels, send numbers, or leave the feature out.",
        )
    return levels


def _whole(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Return whole numbers among the levels as such."""
    return tuple(
        int(level) if isinstance(level, float) and level.is_integer() else level for level in levels
    )


def _column(x: Points, j: int) -> Floats:
    return x.numbers[:, j] if isinstance(x, MixedRows) else x[:, j]


def _numbers(x: Points, j: int, name: str, pointer: str) -> Floats:
    if isinstance(x, MixedRows) and j in x.texts:
        row = int(np.argmax(x.texts[j].codes >= 0))
        text = x.texts[j].names[x.texts[j].codes[row]]
        raise InvalidInput.at(
            _place(x, pointer, row, j),
            f"Row {row}, column {j} is the text {_quoted(text)}, and the feature '{name}' is of "
            "numbers; send a number.",
        )
    return _column(x, j)


def _check_all_texts(x: MixedRows, j: int, name: str, pointer: str) -> None:
    """Check that a column with texts has nothing else.

    Raises:
        InvalidInput: A number stands in it, or a cell is missing.
    """
    has_none = x.texts[j].codes < 0
    _check_present(x, has_none & np.isnan(x.numbers[:, j]), j, name, pointer)
    if has_none.any():
        row = int(np.argmax(has_none))
        raise InvalidInput.at(
            _place(x, pointer, row, j),
            f"Row {row}, column {j} is the number {x.numbers[row, j]:g}, and the feature '{name}' "
            "has texts; send all of its levels as texts.",
        )


def _check_present(
    x: Points, is_missing: NDArray[np.bool_], j: int, name: str, pointer: str
) -> None:
    """Check that no level of a column is missing.

    Raises:
        InvalidInput: One is.
    """
    if is_missing.any():
        row = int(np.argmax(is_missing))
        raise InvalidInput.at(
            _place(x, pointer, row, j),
            f"Row {row}, column {j} is missing, and the feature '{name}' is a category; give "
            "what is not known a level of its own, or drop the row.",
        )


def _codes(x: Points, j: int, category: Category, name: str, pointer: str) -> Rows:
    """Return the place of each row's level among those of the category, (n,)."""
    if isinstance(x, MixedRows) and j in x.texts:
        _check_all_texts(x, j, name, pointer)
        labels = x.texts[j]
        places: dict[Level, int] = {level: place for place, level in enumerate(category.levels)}
        place_of = np.array([places.get(label, -1) for label in labels.names], dtype=np.int64)
        codes = place_of[labels.codes]
    else:
        column = _column(x, j)
        _check_present(x, np.isnan(column), j, name, pointer)
        codes = np.full(len(column), -1, dtype=np.int64)
        if not category.has_texts:
            levels = np.array(category.levels, dtype=np.float64)
            order = np.argsort(levels)
            near = order[np.minimum(np.searchsorted(levels, column, sorter=order), len(levels) - 1)]
            codes = np.where(levels[near] == column, near, -1)
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        known = ", ".join(_quoted(level) for level in category.levels[:8])
        raise InvalidInput.at(
            _place(x, pointer, row, j),
            f"Row {row}, column {j} is {_shown(x, row, j)}, and the levels of the feature "
            f"'{name}' are only {known:.400}{', …' * (len(category.levels) > 8)}; send one of "
            "them, or upload a dataset with all levels.",
        )
    return codes


def _shown(x: Points, row: int, j: int) -> str:
    if isinstance(x, MixedRows) and j in x.texts:
        return f"the text {_quoted(x.texts[j].names[x.texts[j].codes[row]])}"
    return f"the number {_column(x, j)[row]:g}"


def _quoted(level: Level) -> str:
    return f'"{level:.60}"' if isinstance(level, str) else f"{level:g}"


def _place(x: Points, pointer: str, row: int, j: int) -> str:
    return f"{pointer}/{row}" if x.ndim == 1 else f"{pointer}/{row}/{j}"
