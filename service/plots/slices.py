"""Where a picture asks for estimates: a line or a plane through the features of a dataset."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from service.domain.arrays import Floats, Rows
from service.domain.categories import Encoding, Level, MixedRows, Points
from service.domain.dataset import Dataset
from service.domain.labels import Labels

LINE_POINTS: Final = 401
"""Of a curve: less than two pixels apart in a picture of 720 pixels."""

PLANE_POINTS: Final = 81
"""Along each side of a map."""

MOST_ROWS: Final = 2_000
"""Drawn in one picture; more would hide each other, and take megabytes in an SVG."""

SEED: Final = 0


@dataclass(frozen=True, eq=False)
class Slice:
    """A line or a plane: one or two features vary, the others are held.

    Attributes:
        features: The places of those that vary.
        axes: Where each of them goes, ascending, (LINE_POINTS,) or twice (PLANE_POINTS,).
        queries: All points, (m, d); of a plane, the first feature varies fastest.
        held: The others in their order, with what each is held at.
    """

    features: tuple[int, ...]
    axes: tuple[Floats, ...]
    queries: Points
    held: tuple[tuple[str, Level], ...]


def numeric_features(dataset: Dataset) -> tuple[int, ...]:
    """Return the places of the features that are numbers, which alone can be an axis."""
    encoding = dataset.encoding
    if encoding is None:
        return tuple(range(dataset.n_features))
    return tuple(j for j, category in enumerate(encoding.categories) if category is None)


def slice_through(dataset: Dataset, features: tuple[int, ...]) -> Slice:
    """Return the line or plane along these features, over the range of the rows in each.

    The others are held: numbers at the median of the rows, ordered categories at the lower median
    level, unordered ones at the most frequent level.

    Args:
        dataset: The rows.
        features: One or two different places, each of a feature of numbers.

    Cost: O(n d).
    """
    points = LINE_POINTS if len(features) == 1 else PLANE_POINTS
    axes = tuple(_axis(column(dataset, j), points) for j in features)
    grid = np.meshgrid(*axes)  # the rows of a plane are those of its second feature
    m = grid[0].size
    numbers = np.full((m, dataset.n_features), np.nan)
    texts: dict[int, Labels] = {}
    held: list[tuple[str, Level]] = []
    for j, name in enumerate(dataset.feature_names):
        if j in features:
            numbers[:, j] = grid[features.index(j)].ravel()
            continue
        level = _middle(dataset, j)
        held.append((name, level))
        if isinstance(level, str):
            texts[j] = Labels((level,), np.zeros(m, dtype=np.int64))
        else:
            numbers[:, j] = level
    queries: Points = MixedRows(numbers, texts) if texts else numbers
    return Slice(features, axes, queries, tuple(held))


def column(dataset: Dataset, feature: int) -> Floats:
    """Return a feature of numbers of all rows, (n,), NaN where it is missing."""
    at = feature if dataset.encoding is None else int(dataset.encoding.starts[feature])
    return dataset.x[:, at]


def drawn_rows(dataset: Dataset, features: tuple[int, ...]) -> Rows:
    """Return which rows a picture shows, ascending: at most MOST_ROWS, the same each time.

    Rows that miss one of the features have no place in it.
    """
    present = np.ones(dataset.n_rows, dtype=np.bool_)
    if dataset.has_gaps:
        for j in features:
            present &= ~np.isnan(column(dataset, j))
    rows = np.flatnonzero(present).astype(np.int64)
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST_ROWS, replace=False))
    return rows


def _axis(values: Floats, points: int) -> Floats:
    """Return equally spaced places over the range of the values, or about their only one."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not low < high:
        reach = max(0.5, 0.1 * abs(low))
        low, high = low - reach, high + reach
    return np.linspace(low, high, points)


def _middle(dataset: Dataset, feature: int) -> Level:
    """Return what a feature is held at."""
    encoding: Encoding | None = dataset.encoding
    category = None if encoding is None else encoding.categories[feature]
    if encoding is None or category is None:
        return float(np.nanmedian(column(dataset, feature)))
    codes = encoding.levels_of(dataset.x, feature)
    if category.is_ordered:
        place = int(np.sort(codes)[(len(codes) - 1) // 2])
    else:
        place = int(np.argmax(np.bincount(codes, minlength=len(category.levels))))
    return category.levels[place]
