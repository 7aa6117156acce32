"""Columns by name, as CSV files and Arrow streams hold them: numbers, and classes as texts."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from service.api.faults import closest, shown
from service.api.label_columns import labels_of, texts_of
from service.domain.arrays import Floats
from service.domain.categories import MixedRows, Points
from service.domain.errors import InvalidInput
from service.domain.labels import Labels
from service.storage.store import return_freed_memory

TRIMMED_AFTER: Final = 2**21
"""Numbers after whose copying their first place is given back: 16 MiB."""


class RowsOf(NamedTuple):
    """Columns as arrays.

    Attributes:
        points: (n, features), NaN where a cell is missing; some columns may be texts.
        targets: (n, targets), NaN where a cell is missing; or classes.
        weights: (n,), NaN where a cell is missing.
    """

    points: Points
    targets: Floats | Labels
    weights: Floats | None


class Columns:
    """Equally long columns, each with a name of its own.

    They hold numbers, null or NaN where a cell is missing, or texts.

    Attributes:
        names: In the order of the body.
    """

    def __init__(
        self, names: tuple[str, ...], header: str, places: Sequence[str], columns: pa.Table
    ) -> None:
        """Keep the columns.

        Args:
            names: All different.
            header: Where the names stand, as a fault points there.
            places: Where the name of each column stands.
            columns: In this order.
        """
        self.names = names
        self._header = header
        self._places = places
        self._columns = columns

    @property
    def table(self) -> pa.Table:
        """The columns as they are."""
        return self._columns

    @property
    def n_rows(self) -> int:
        """How long they are."""
        return int(self._columns.num_rows)

    def rows(
        self, features: tuple[str, ...], targets: tuple[str, ...] = (), weights: str | None = None
    ) -> "RowsOf":
        """Return these columns as arrays, and let go of all columns: to be called once.

        Raises:
            InvalidInput: There is no such column of weights or it is of texts, there are several
                targets and one is texts, or too many texts of a column are different.
        """
        self._check_weights(weights)
        chosen = (*features, *targets, *(() if weights is None else (weights,)))
        texts = {name: self._labels(name) for name in chosen if self.has_texts(name)}
        for name in targets:
            if name in texts and len(targets) > 1:
                raise InvalidInput.at(
                    "target",
                    f"The column {shown(name)} has texts, and there are {len(targets)} targets; "
                    "classes stand in one column: send one target.",
                )
        n = self.n_rows
        x, y = np.empty((n, len(features))), np.empty((n, len(targets)))
        w = None if weights is None else np.empty(n)
        self._copy(
            [
                (name, values)
                for name, values in [
                    *((name, x[:, j]) for j, name in enumerate(features)),
                    *((name, y[:, j]) for j, name in enumerate(targets)),
                    *(() if w is None or weights is None else ((weights, w),)),
                ]
                if name not in texts
            ]
        )
        points: Points = x
        levels = {j: texts[name] for j, name in enumerate(features) if name in texts}
        if levels:
            x[:, list(levels)] = np.nan
            points = MixedRows(x, levels)
        classes = texts.get(targets[0]) if targets else None
        return RowsOf(points, y if classes is None else classes, w)

    def _copy(self, arrays: Sequence[tuple[str, Floats]]) -> None:
        """Copy columns of numbers into arrays, each as long as they are; let go of all columns.

        Each block of rows is released as soon as it is copied, so that beside the arrays no more
        than one is there.
        """
        places = [(self.names.index(name), values) for name, values in arrays]
        blocks = self._columns.to_batches()
        self._columns = self._columns.schema.empty_table()
        blocks.reverse()
        start = trimmed = 0
        while blocks:
            block = blocks.pop()
            stop = start + block.num_rows
            for column, values in places:
                values[start:stop] = block.column(column).to_numpy(zero_copy_only=False)
            start = stop
            if (start - trimmed) * len(places) >= TRIMMED_AFTER:
                trimmed = start
                del block
                return_freed_memory()  # else it stays with the C library until the end

    def _column(self, name: str) -> pa.ChunkedArray:
        return self._columns.column(self.names.index(name))

    def has_texts(self, name: str) -> bool:
        """Return whether the column is of texts."""
        return is_text(self._columns.schema.field(self.names.index(name)).type)

    def _labels(self, name: str) -> Labels:
        place = self.names.index(name)
        texts = texts_of(self._column(name), f"The column {shown(name)}", self._places[place])
        return labels_of(texts, lambda text: None if text is None else text.strip() or None)

    def _check_weights(self, name: str | None) -> None:
        """Check that there is such a column, of numbers; None: none is wanted."""
        if name is None:
            return
        if name not in self.names:
            raise InvalidInput.at(
                "weights", f"There is no column {shown(name)}{closest(name, self.names) or '.'}"
            )
        if self.has_texts(name):
            raise InvalidInput.at(
                "weights", f"The column {shown(name)} has texts; weights are numbers."
            )

    def split(
        self,
        targets: tuple[str, ...],
        weights: str | None = None,
        columns: tuple[str, ...] = (),
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the features and of the targets.

        Args:
            targets: The names of the targets; none for the last column.
            weights: The name of the column of weights, which is neither.
            columns: The features, in this order; none for all other columns.

        Raises:
            InvalidInput: A target is not a column, stands twice, or no feature is left.
        """
        chosen_columns(self.names, columns, ())
        targets = targets or self.names[-1:]
        if weights in targets:
            raise InvalidInput.at(
                "target",
                f"The column {shown(weights)} is the weights and a target, which is the last "
                "column where none is named: name another as the target.",
            )
        for name in targets:
            if name not in self.names:
                known = ", ".join(shown(known) for known in self.names[:20])
                raise InvalidInput.at(
                    "target",
                    f"There is no column {shown(name)}{closest(name, self.names) or '.'} "
                    f"The columns are {known}.",
                )
            if targets.count(name) > 1:
                raise InvalidInput.at(
                    "target", f"The target {shown(name)} is named twice; name it once."
                )
        features = tuple(name for name in columns or self.names if name not in (*targets, weights))
        if not features:
            raise InvalidInput.at(
                "target",
                f"All {len(self.names)} columns are targets, and none is left as a feature; at "
                "least one column more is needed.",
            )
        return features, targets

    def has_all(self, names: tuple[str, ...]) -> None:
        """Check that these are among the columns.

        Raises:
            InvalidInput: One is missing.
        """
        for name in names:
            if name not in self.names:
                raise InvalidInput.at(
                    self._header,
                    f"The column {shown(name)} of the dataset is missing"
                    f"{closest(name, self.names) or '.'} Its columns are "
                    f"{', '.join(shown(known) for known in names[:20])}.",
                )

    def only(self, names: tuple[str, ...]) -> None:
        """Check that these are exactly the columns, in any order.

        Raises:
            InvalidInput: One is missing, or there is another.
        """
        self.has_all(names)
        for name, place in zip(self.names, self._places, strict=True):
            if name not in names:
                raise InvalidInput.at(
                    place,
                    f"The dataset has no column {shown(name)}{closest(name, names) or '.'} "
                    "Leave it out.",
                )


def chosen_columns(
    names: Sequence[str], columns: Sequence[str], others: Collection[str]
) -> tuple[str, ...]:
    """Return the columns to read, in the order of the body.

    Args:
        names: Of all columns.
        columns: Those wanted; none for all.
        others: What is read beside them, if it is there.

    Raises:
        InvalidInput: A column that is wanted is not there, or is wanted twice.
    """
    for name in columns:
        if name not in names:
            raise InvalidInput.at(
                "columns",
                f"There is no column {shown(name)}{closest(name, names) or '.'} The columns are "
                f"{', '.join(shown(known) for known in names[:20])}.",
            )
        if list(columns).count(name) > 1:
            raise InvalidInput.at(
                "columns", f"The column {shown(name)} is named twice; name it once."
            )
    if not columns:
        return tuple(names)
    return tuple(name for name in names if name in columns or name in others)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type may be classes, or levels of a category."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
