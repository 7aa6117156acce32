"""Columns by name, as CSV files and Arrow streams hold them: numbers, and classes as texts."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from service.api.faults import closest, shown
from service.api.label_columns import labels_of, texts_of
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.labels import Labels


class Columns:
    """Equally long columns, each with a name of its own.

    Those that are read as features hold numbers without nulls; targets may be texts and miss cells.

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
        """Return these columns, in this order, as (n, columns)."""
        chosen = [self.names.index(name) for name in names]
        values = np.empty((self._columns.num_rows, len(chosen)))
        for j, index in enumerate(chosen):
            start = 0
            for chunk in self._columns.column(index).chunks:
                values[start : start + len(chunk), j] = chunk.to_numpy(zero_copy_only=False)
                start += len(chunk)
        return values

    def targets(self, names: tuple[str, ...]) -> Floats | Labels:
        """Return these columns as `values` does, NaN where a cell is missing; texts as classes.

        Raises:
            InvalidInput: There are several, and one is texts, or too many texts are different.
        """
        for name in names:
            place = self.names.index(name)
            column = self._columns.column(place)
            if is_text(column.type):
                if len(names) > 1:
                    raise InvalidInput.at(
                        "target",
                        f"The column {shown(name)} has texts, and there are {len(names)} targets; "
                        "classes stand in one column: send one target.",
                    )
                texts = texts_of(column, f"The column {shown(name)}", self._places[place])
                return labels_of(texts, lambda text: text.strip() or None)
        return self.values(names)

    def split(self, targets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the features and of the targets.

        Args:
            targets: The names of the targets; none for the last column.

        Raises:
            InvalidInput: A target is not a column, stands twice, or no feature is left.
        """
        targets = targets or self.names[-1:]
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
        features = tuple(name for name in self.names if name not in targets)
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
    """Return whether a column of this type may be classes."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
