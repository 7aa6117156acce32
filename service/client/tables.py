"""What people have, NumPy arrays and frames of any library, as Arrow; and answers back as the same.

No frame library is imported here. pandas is met by its own conversion, which knows its missing
values; polars and all that speak the Arrow PyCapsule interface by that; others by the dataframe
interchange protocol.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    https://data-apis.org/dataframe-protocol/latest/
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NUMBERS: Final = "biuf"  # the kinds of NumPy types that become float64

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Rows as they are sent: a matrix, or columns with names.

    Attributes:
        matrix: (n, d); None where there are columns.
        columns: None where there is a matrix.
        orders: The levels of each ordered category among the columns, in their order.
        as_sent: Makes of a table of answers, one row each, what the rows came as; None where that
            is an array.
    """

    matrix: Floats | None = None
    columns: pa.Table | None = None
    orders: Mapping[str, list[Any]] = field(default_factory=dict)
    as_sent: Callable[[pa.Table], Any] | None = None

    def __len__(self) -> int:
        if self.matrix is not None:
            return len(self.matrix)
        return 0 if self.columns is None else int(self.columns.num_rows)

    @property
    def names(self) -> list[str]:
        """The names of the columns; those that the service gives the columns of a matrix."""
        if self.columns is not None:
            return list(self.columns.column_names)
        return [f"x{j + 1}" for j in range(0 if self.matrix is None else self.matrix.shape[1])]

    def cells(self) -> list[list[Any]]:
        """Return the rows as JSON has them, with null where a cell is missing."""
        table = self.columns
        if table is None:
            table = pa.table(dict(zip(self.names, _columns_of(self.matrix), strict=True)))
        columns = [
            [None if value != value else value for value in table.column(j).to_pylist()]  # NaN
            for j in range(table.num_columns)
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def rows_of(data: Any, what: str = "X") -> Rows:
    """Return rows as they are sent.

    Args:
        data: A frame (pandas, polars, Arrow, or any that speaks one of the protocols), a dict of
            columns, an array or nested lists (n, d), or (n,) for one column.
        what: How the caller names them, for errors.

    Raises:
        TypeError: It is nothing of that kind.
        ValueError: It has three dimensions or more.

    Cost: no copy of float64 in C order, or of what lies in Arrow already.
    """
    columns, as_sent = _frame(data, what)
    if columns is not None:
        orders = _orders(columns)
        return Rows(columns=_readable(columns), orders=orders, as_sent=as_sent)
    values = np.asarray(data)
    if values.ndim == 0:
        raise TypeError(
            f"{what} is {type(data).__name__}, which has no rows; give an array, a frame of pandas "
            "or polars (collected, if it is lazy), an Arrow table, or lists."
        )
    if values.ndim > 2:
        raise ValueError(f"{what} has {values.ndim} dimensions; give rows of numbers, (n, d).")
    values = values.reshape(len(values), -1)
    if values.dtype.kind in NUMBERS:
        return Rows(matrix=np.ascontiguousarray(values, dtype=np.float64))
    texts = [pa.array(values[:, j].tolist()) for j in range(values.shape[1])]
    return Rows(columns=_readable(pa.table(texts, [f"x{j + 1}" for j in range(len(texts))])))


def targets_of(data: Any) -> tuple[pa.Table, list[str]]:
    """Return targets as columns, and their names: their own, else y, or y1, y2 and so on.

    Args:
        data: As for `rows_of`; texts or numbers.
    """
    rows = rows_of(data, "y")
    if rows.columns is not None and rows.as_sent is not None:
        return rows.columns, rows.columns.column_names
    columns = _columns_of(rows.matrix) if rows.columns is None else rows.columns.columns
    names = ["y"] if len(columns) == 1 else [f"y{j + 1}" for j in range(len(columns))]
    return pa.table(list(columns), names), names


def matrix_column(values: Floats) -> pa.Array:
    """Return a matrix (n, d) as one column with a list of numbers a row, without a copy."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _columns_of(matrix: Floats | None) -> list[pa.Array]:
    return [] if matrix is None else [pa.array(column) for column in matrix.T]


def _frame(data: Any, what: str) -> tuple[pa.Table | None, Callable[[pa.Table], Any] | None]:
    """Return the columns of a frame, and what makes a frame of its kind; None of what is none."""
    library = type(data).__module__.partition(".")[0]
    if isinstance(data, pa.Table):
        return data, _same
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data]), _same
    if isinstance(data, Mapping):
        return pa.table(dict(data)), _same
    if hasattr(data, "toarray"):
        raise TypeError(f"{what} is sparse, and rows are sent dense; give {what}.toarray().")
    if library == "pandas" and hasattr(data, "index"):
        return _of_pandas(data)
    if hasattr(data, "collect") and not hasattr(data, "__arrow_c_stream__"):
        raise TypeError(f"{what} is lazy; give {what}.collect().")
    if library == "polars" and hasattr(data, "to_frame"):
        return pa.table(_named(data.to_frame())), _polars_series
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data), _polars_frame if library == "polars" else _same
    if hasattr(data, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return from_dataframe(data), _same
    return None, None


def _of_pandas(data: Any) -> tuple[pa.Table, Callable[[pa.Table], Any]]:
    index = data.index

    def frame(table: pa.Table) -> Any:
        return table.to_pandas().set_axis(index, axis="index")

    def series(table: pa.Table) -> Any:
        return frame(table).iloc[:, 0]

    if hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=False), frame
    name = "y" if data.name is None else str(data.name)
    return pa.Table.from_pandas(data.to_frame(name), preserve_index=False), series


def _named(frame: Any) -> Any:
    """Return a polars frame of one column with a name that is not empty."""
    return frame if frame.columns[0] else frame.rename({"": "y"})


def _same(table: pa.Table) -> pa.Table:
    return table


def _polars_frame(table: pa.Table) -> Any:
    return sys.modules["polars"].from_arrow(table)


def _polars_series(table: pa.Table) -> Any:
    return _polars_frame(table).to_series()


def _orders(table: pa.Table) -> dict[str, list[Any]]:
    """Return the levels of each ordered category of texts."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind) and kind.ordered and column.num_chunks:
            found[name] = column.unify_dictionaries().chunk(0).dictionary.to_pylist()
    return found


def _readable(table: pa.Table) -> pa.Table:
    """Return the table with the types that the service reads, where others mean the same."""
    for j, column in enumerate(table.columns):
        found = column
        if pa.types.is_dictionary(column.type):
            found = pa.chunked_array([_decoded(chunk) for chunk in column.chunks])
        if pa.types.is_string_view(found.type):
            found = found.cast(pa.large_string())
        elif pa.types.is_boolean(found.type):
            found = found.cast(pa.uint8())
        elif pa.types.is_decimal(found.type):
            found = found.cast(pa.float64())
        if found is not column:
            table = table.set_column(j, table.column_names[j], found)
    return table


def _decoded(chunk: pa.Array) -> pa.Array:
    """Return the values of a dictionary-encoded array."""
    levels = chunk.dictionary
    if pa.types.is_string_view(levels.type):
        levels = levels.cast(pa.large_string())  # Arrow takes no others from views
    return levels.take(chunk.indices)
