"""What `predict` gives: the estimates as what the queries came as, and what was asked beside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.client.tables import Rows

Document = dict[str, Any]

OF_TARGETS: Final = ("mean", "std", "std_observation", "lower", "upper")
OF_FEATURES: Final = ("slope", "slope_std", "gradient")
OF_INTERVALS: Final = ("distance", "distance_rank")
OF_QUERIES: Final = ("support", "effective_rows", "bandwidth", "degree", "ridge")
WITHIN: Final = ("interval", "quantiles", "diagnostics")
"""Columns of the answer whose members are columns of their own here."""


@dataclass(frozen=True)
class Prediction:
    """Estimates at m queries, in their order.

    Attributes:
        document: What the service said beside the columns: `fit`, `issues` and so on.
        columns: As the service sent them, one row a query.
        queries: What was asked about.
        feature_names: Of the dataset, in its order; empty where no column speaks of features.
    """

    document: Document
    columns: pa.Table
    queries: Rows
    feature_names: Sequence[str] = ()

    @cached_property
    def estimates(self) -> Any:
        """The answer as what the queries came as.

        A frame of the same library, with pandas' own index, that has the columns of `table`; a
        series for a series, and for an array or lists an array: the means, or for classes the
        likeliest ones.
        """
        if self.queries.as_sent is not None:
            return self.queries.as_sent(self.table)
        return self.mean if self.label is None else self.label

    @cached_property
    def table(self) -> pa.Table:
        """All that has a number or a text a query, a column each.

        `mean` (or `label` and `probability_<class>`), `std`, `lower`, `upper`, `quantile_0.1`,
        `slope_<feature>` and so on, as far as it was asked for; of several targets each has its
        own, with `_<target>` behind. `issues` has the statuses of the query's issues. These are
        the columns that the service writes in CSV. `neighbors` has lists, and is not among them.
        """
        return pa.table(dict(self._flat()))

    @property
    def fit(self) -> Document:
        """The fit that was used, with every choice made; can be given to `predict`."""
        return dict(self.document["fit"])

    @property
    def chosen_by(self) -> str | None:
        """`rule` or `search` where no fit was given; else None."""
        return self.document.get("chosen_by")

    @property
    def issues(self) -> list[Document]:
        """What should be known of single estimates: `status`, `queries` (positions), `advice`."""
        return list(self.document["issues"])

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of `probabilities`; None where the target is numbers."""
        return self.document.get("classes")

    @cached_property
    def mean(self) -> NDArray[np.float64] | None:
        """The estimates, (m,), or (m, t) for t > 1 targets, NaN where there is none."""
        return self._array("mean")

    @cached_property
    def probabilities(self) -> NDArray[np.float64] | None:
        """Of each class, (m, C), NaN where there is none; None where the target is numbers."""
        return self._array("probabilities")

    @cached_property
    def label(self) -> NDArray[Any] | None:
        """The likeliest class at each query, (m,), None where there is none."""
        if "label" not in self.columns.column_names:
            return None
        labels = self.columns.column("label").to_pylist()
        if None in labels:
            return np.array(labels, dtype=object)
        return np.array(labels)

    @cached_property
    def std(self) -> NDArray[np.float64] | None:
        """Standard deviations of the estimates, as `mean`; None where not asked for."""
        return self._array("std")

    @cached_property
    def std_observation(self) -> NDArray[np.float64] | None:
        """Standard deviations of new observations there, as `mean`; with `std`."""
        return self._array("std_observation")

    @cached_property
    def lower(self) -> NDArray[np.float64] | None:
        """Lower ends of the intervals, as `mean`; None where not asked for."""
        return self._array("lower")

    @cached_property
    def upper(self) -> NDArray[np.float64] | None:
        """Upper ends of the intervals, as `mean`; None where not asked for."""
        return self._array("upper")

    @cached_property
    def quantiles(self) -> NDArray[np.float64] | None:
        """Quantiles of y, (m, levels), or (m, levels, t); None where not asked for."""
        return self._array("values")

    @cached_property
    def slope(self) -> NDArray[np.float64] | None:
        """Slopes of the local model, (m, d), or (m, t, d); None where not asked for."""
        return self._array("slope")

    @cached_property
    def gradient(self) -> NDArray[np.float64] | None:
        """Gradients of the fitted surface, (m, d), or (m, t, d); None where not asked for."""
        return self._array("gradient")

    @cached_property
    def neighbors(self) -> list[Document] | None:
        """The rows behind each estimate: `rows`, `distances`, `weights`, `leverage`."""
        if "neighbors" not in self.columns.column_names:
            return None
        return list(self.columns.column("neighbors").to_pylist())

    @cached_property
    def _members(self) -> dict[str, pa.ChunkedArray]:
        """The columns by name, with the members of structs in place of these."""
        found = dict(zip(self.columns.column_names, self.columns.columns, strict=True))
        for name in WITHIN:
            if name in found:
                struct = found.pop(name).combine_chunks()
                for field, member in zip(struct.type, struct.flatten(), strict=True):
                    found[field.name] = pa.chunked_array([member])
        return found

    def _array(self, name: str) -> NDArray[Any] | None:
        column = self._members.get(name)
        return None if column is None else _array_of(column)

    def _flat(self) -> Iterator[tuple[str, Any]]:
        names, classes = self.document["target_names"], self.classes
        if classes is not None:
            names = classes
        behind = [f"_{name}" for name in names] if classes or len(names) > 1 else [""]
        if classes is not None:
            yield "label", self.columns.column("label")
            yield from self._each("probabilities", "probability", behind)
        for name in OF_TARGETS:
            yield from self._each(name, name, behind)
        for name in OF_INTERVALS:
            yield from self._each(name, name, [""])
        features = [f"_{feature}" for feature in self.feature_names]
        for name in OF_FEATURES:
            yield from self._each(
                name, name, [f"{feature}{tail}" for tail in behind for feature in features]
            )
        levels = self.document.get("quantiles", {"levels": []})["levels"]
        yield from self._each(
            "values", "quantile", [f"_{level:g}{tail}" for level in levels for tail in behind]
        )
        for name in OF_QUERIES:
            yield from self._each(name, name, [""])
        yield "issues", pa.array(self._statuses(), pa.string())

    def _each(self, member: str, name: str, endings: list[str]) -> Iterator[tuple[str, pa.Array]]:
        """Yield a column for each entry of a query, if there are any."""
        values = self._array(member)
        if values is not None:
            for ending, column in zip(endings, values.reshape(len(values), -1).T, strict=True):
                yield f"{name}{ending}", _numbers(column)

    def _statuses(self) -> list[str | None]:
        """Return the statuses of each query's issues, with a space between; None of most."""
        found: list[str | None] = [None] * len(self.queries)
        for issue in self.issues:
            for query in issue["queries"]:
                found[query] = f"{found[query] or ''} {issue['status']}".lstrip()
        return found


@dataclass(frozen=True)
class FilePrediction:
    """Estimates at the queries of a file, in its order.

    Attributes:
        document: What the service said beside the columns: `fit`, `issues` and so on.
        table: The columns of the file, if wanted, and those of `Prediction.table`.
    """

    document: Document
    table: pa.Table


def _numbers(values: NDArray[Any]) -> pa.Array:
    """Return the numbers as a column, null where there is none."""
    values = np.ascontiguousarray(values)
    return pa.array(values, mask=~np.isfinite(values))


def _array_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers, or of lists of a fixed length, as an array, NaN for null."""
    shape = [len(column)]
    values = column.combine_chunks()
    while pa.types.is_fixed_size_list(values.type):
        width = values.type.list_size
        values = values.values.slice(values.offset * width, len(values) * width)
        shape.append(width)
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)
