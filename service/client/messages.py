"""Rows and queries as bodies: matrices as they lie in memory, frames as columns with names."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from service.client.steps import Body
from service.client.tables import Floats, Rows, matrix_column, rows_of, targets_of
from service.client.wire import arrow_body

WEIGHTS: Final = "weights"
"""What the column of weights is called where it is given as an array."""


def queries_body(rows: Rows, fields: Mapping[str, Any]) -> Body:
    """Return queries with what is asked of them."""
    if rows.matrix is None:
        return arrow_body(rows.columns, fields)
    return arrow_body(pa.table({"queries": matrix_column(rows.matrix)}), fields)


def rows_body(
    data: Any,
    y: Any,
    fields: Mapping[str, Any],
    target: str | Sequence[str],
    weights: Any,
    *,
    may_name: bool = True,
) -> tuple[Body, dict[str, str | list[str]]]:
    """Return rows with their targets, and the query parameters that say which columns those are.

    Args:
        data: The features; a frame may have the targets and the weights too.
        y: The targets; None where `data` has them.
        fields: What is said beside the columns.
        target: The names of the targets in `data`; none for its last column.
        weights: The name of a column of `data`, or an array; None for none.
        may_name: Whether names may be said beside matrices: not of rows that are appended.

    Raises:
        TypeError: `data` is an array and y is missing, or y and `target` are given both.
        ValueError: Two columns have one name, or the lengths differ.
    """
    rows = rows_of(data)
    if y is not None and target:
        raise TypeError("y is given, and target too; the one is an array, the other names columns.")
    if rows.matrix is not None:
        if y is None:
            raise TypeError(
                "y is missing: an array has no names of columns, so give its targets as y."
            )
        return _matrices(rows.matrix, y, fields, weights, may_name=may_name), {}
    columns, query = rows.columns, dict[str, str | list[str]]()
    assert columns is not None  # there is no matrix
    names = [target] if isinstance(target, str) else list(target)
    if y is not None:
        targets, names = targets_of(y)
        columns = _beside(columns, targets)
    if isinstance(weights, str):
        query["weights"] = weights
    elif weights is not None:
        columns = _beside(columns, pa.table({WEIGHTS: _only_column(weights)}))
        query["weights"] = WEIGHTS
    names = names or columns.column_names[-1:]
    if y is not None or WEIGHTS in query:
        query["target"] = names
    orders = {name: levels for name, levels in rows.orders.items() if name not in names}
    if orders and may_name:
        fields = {**fields, "categories": orders | dict(fields.get("categories") or {})}
    return arrow_body(columns, fields), query if may_name else {}


def _matrices(
    matrix: Floats, y: Any, fields: Mapping[str, Any], weights: Any, *, may_name: bool
) -> Body:
    targets, names = targets_of(y)
    columns = {"x": matrix_column(matrix), "y": _joined(targets)}
    if weights is not None:
        columns[WEIGHTS] = _only_column(weights)
    for name, column in columns.items():
        if len(column) != len(matrix):
            raise ValueError(f"X has {len(matrix):,} rows, and {name} has {len(column):,}.")
    if may_name and names[0] not in ("y", "y1"):
        fields = {**fields, "target_names": names}
    return arrow_body(pa.table(columns), fields)


def _joined(columns: pa.Table) -> Any:
    """Return the only column, or several of numbers as one of lists."""
    if columns.num_columns == 1:
        return columns.column(0)
    return matrix_column(np.column_stack([column.to_numpy() for column in columns.columns]))


def _only_column(values: Any) -> Any:
    columns, _ = targets_of(values)
    if columns.num_columns != 1:
        raise ValueError(f"weights has {columns.num_columns} columns; give one number a row.")
    return columns.column(0)


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    """Return the columns of both, which are equally long and have different names."""
    if len(left) != len(right):
        raise ValueError(f"X has {len(left):,} rows, and {right.column_names[0]} {len(right):,}.")
    for name, column in zip(right.column_names, right.columns, strict=True):
        if name in left.column_names:
            raise ValueError(
                f"X has a column '{name}' too; leave it out, or give its name as target or weights."
            )
        left = left.append_column(name, column)
    return left
