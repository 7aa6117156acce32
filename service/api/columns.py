"""Columns by name, as CSV files and Arrow streams hold them: numbers, and classes as texts."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from service.api.faults import closest, shown
from service.api.label_columns import labels_of, texts_of
from service.domain.arrays import Floats
from service.domain.categories import MixedRows, Points
from service.domain.errors import InvalidInput
from service.domain.labels import Labels


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

    def values(self, names: Iterable[str]) -> Floats:
        """Return these columns, in this order, as (n, columns), NaN where a cell is missing."""
        chosen = [self.names.index(name) for name in names]
        values = np.empty((self._columns.num_rows, len(chosen)))
        for j, index in enumerate(chosen):
            start = 0
            for chunk in self._columns.column(index).chunks:
                values[start : start + len(chunk), j] = chunk.to_numpy(zero_copy_only=False)
                start += len(chunk)
        return values

    def points(self, names: tuple[str, ...]) -> Points:
        """Return these columns as `values` does, where some may be texts.

        Raises:
            InvalidInput: Too many texts of a column are different.
        """
        texts = {j: name for j, name in enumerate(names) if self.has_texts(name)}
        if not texts:
            return self.values(names)
        numbers = np.full((self._columns.num_rows, len(names)), np.nan)
        plain = [j for j in range(len(names)) if j not in texts]
        numbers[:, plain] = self.values(names[j] for j in plain)
        return MixedRows(numbers, {j: self._labels(name) for j, name in texts.items()})

    def has_texts(self, name: str) -> bool:
        """Return whether the column is of texts."""
        return is_text(self._columns.column(self.names.index(name)).type)

    def _labels(self, name: str) -> Labels:
        place = self.names.index(name)
        column = self._columns.column(place)
        texts = texts_of(column, f"The column {shown(name)}", self._places[place])
        return labels_of(texts, lambda text: None if text is None else text.strip() or None)

    def targets(self, names: tuple[str, ...]) -> Floats | Labels:
        """Return these columns as `values` does, NaN where a cell is missing; texts as classes.

        Raises:
            InvalidInput: There are several, and one is texts, or too many texts are different.
        """
        for name in names:
            if self.has_texts(name):
                if len(names) > 1:
                    raise InvalidInput.at(
                        "target",
                        f"The column {shown(name)} has texts, and there are {len(names)} targets; "
                        "classes stand in one column: send one target.",
                    )
                return self._labels(name)
        return self.values(names)

    def weights(self, name: str | None) -> Floats | None:
        """Return a column as (n,), NaN where a cell is missing; None where it has no name.

        Raises:
            InvalidInput: There is no such column, or it is of texts.
        """
        if name is None:
            return None
        if name not in self.names:
            raise InvalidInput.at(
                "weights", f"There is no column {shown(name)}{closest(name, self.names) or '.'}"
            )
        if is_text(self._columns.column(self.names.index(name)).type):
            raise InvalidInput.at(
                "weights", f"The column {shown(name)} has texts; weights are numbers."
            )
        return self.values([name])[:, 0].copy()

    def split(
        self, targets: tuple[str, ...], weights: str | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the features and of the targets.

        Args:
            targets: The names of the targets; none for the last column.
            weights: The name of the column of weights, which is neither.

        Raises:
            InvalidInput: A target is not a column, stands twice, or no feature is left.
        """
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
        features = tuple(name for name in self.names if name not in (*targets, weights))
        if not features:
            raise InvalidInput.at(
                "target",
                f"All {len(self.names)} columns are targets, and none is left as a feature; at "
                "least one column more is needed.",
            )
        return features, targets

    def only(self, names: tuple[str, ...]) -> None:
        """Check that these are exactly the columns, in any order.

        Raises:
            InvalidInput: One is missing, or there is another.
        """
        for name in names:
            if name not in self.names:
                raise InvalidInput.at(
                    self._header,
                    f"The column {shown(name)} of the dataset is missing"
                    f"{closest(name, self.names) or '.'} Its columns are "
                    f"{', '.join(shown(known) for known in names[:20])}.",
                )
        for name, place in zip(self.names, self._places, strict=True):
            if name not in names:
                raise InvalidInput.at(
                    place,
                    f"The dataset has no column {shown(name)}{closest(name, names) or '.'} "
                    "Leave it out.",
                )


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type may be classes, or levels of a category."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
