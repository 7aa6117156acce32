"""What people have becomes the same Arrow, and answers come back as what it was."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from service.client.tables import Rows, rows_of, targets_of

COLUMNS: dict[str, list[Any]] = {
    "a": [0.5, 1.5, 2.5],
    "b": [True, False, True],
    "c": ["u", "v", "u"],
    "d": [1, 2, 3],
}


class Capsule:
    """A frame of which nothing is known but the Arrow PyCapsule interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(schema)


class Interchange:
    """A frame of which nothing is known but the dataframe interchange protocol."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> Any:
        return self._table.__dataframe__(nan_as_null, allow_copy)


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "Arrow": pa.table,
    "record batch": lambda columns: pa.RecordBatch.from_pydict(columns),
    "PyCapsule": lambda columns: Capsule(pa.table(columns)),
    "interchange": lambda columns: Interchange(pa.table(columns)),
    "dict": dict,
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_is_the_same_columns(kind: str) -> None:
    columns = rows_of(FRAMES[kind](COLUMNS)).columns
    assert columns is not None
    assert columns.to_pydict() == {**COLUMNS, "b": [1, 0, 1]}
    assert columns.schema.field("c").type in (pa.string(), pa.large_string())


def test_arrays_and_lists_are_a_matrix() -> None:
    for data in ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], dtype=np.float32)):
        matrix = rows_of(data).matrix
        assert matrix is not None
        assert matrix.tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert matrix.dtype == np.float64
    whole = np.random.default_rng(0).random((5, 3))
    assert rows_of(whole).matrix is not None
    assert np.shares_memory(rows_of(whole).matrix, whole)
    assert len(rows_of([1.0, 2.0])) == 2


def test_texts_in_an_array_are_columns() -> None:
    columns = rows_of(np.array([[1.5, "a"], [2.5, "b"]], dtype=object)).columns
    assert columns is not None
    assert columns.to_pydict() == {"x1": [1.5, 2.5], "x2": ["a", "b"]}


def test_missing_cells_stay_missing() -> None:
    frames = [
        pd.DataFrame({"a": [1.0, np.nan]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pl.DataFrame({"a": [1.0, None]}),
    ]
    assert [rows_of(frame).cells() for frame in frames] == [[[1.0], [None]]] * 3
    assert rows_of([[1.0], [np.nan]]).cells() == [[1.0], [None]]


def test_ordered_categories_keep_their_order_in_both_libraries() -> None:
    order = ["low", "mid", "high"]
    values = ["high", "low"]
    for frame in (
        pd.DataFrame({"s": pd.Categorical(values, order, ordered=True)}),
        pl.DataFrame({"s": pl.Series(values, dtype=pl.Enum(order))}),
    ):
        rows = rows_of(frame)
        assert rows.orders == {"s": order}
        assert rows.columns is not None
        assert rows.columns.column("s").to_pylist() == values
    assert rows_of(pd.DataFrame({"s": pd.Categorical(values)})).orders == {}


def test_decimals_are_numbers() -> None:
    rows = rows_of(pa.table({"a": [Decimal("1.50"), Decimal("2.25")]}))
    assert rows.cells() == [[1.5], [2.25]]


def as_sent(rows: Rows, answer: dict[str, list[Any]]) -> Any:
    assert rows.as_sent is not None
    return rows.as_sent(pa.table(answer))


def test_answers_come_back_as_what_was_asked_with() -> None:
    answer: dict[str, list[Any]] = {"mean": [1.0, 2.0], "issues": ["", "no_support"]}
    frame = pd.DataFrame({"a": [5, 6]}, index=pd.Index(["p", "q"], name="place"))
    back = as_sent(rows_of(frame), answer)
    assert back.index.equals(frame.index)
    assert back.to_dict("list") == answer
    series = as_sent(rows_of(frame["a"]), answer)
    assert (series.to_list(), series.name) == ([1.0, 2.0], "mean")
    assert series.index.equals(frame.index)
    polars = as_sent(rows_of(pl.DataFrame({"a": [5, 6]})), answer)
    assert isinstance(polars, pl.DataFrame)
    assert polars.to_dict(as_series=False) == answer
    assert as_sent(rows_of(pl.Series("a", [5, 6])), answer).to_list() == [1.0, 2.0]
    assert as_sent(rows_of(pa.table({"a": [5, 6]})), answer).to_pydict() == answer
    assert rows_of([5, 6]).as_sent is None


def test_targets_have_their_own_names_or_the_usual_ones() -> None:
    assert targets_of(pd.Series([1, 2], name="price"))[1] == ["price"]
    assert targets_of(pl.DataFrame({"u": [1, 2], "v": [1, 2]}))[1] == ["u", "v"]
    assert targets_of([1, 2])[1] == ["y"]
    assert targets_of([[1, 2], [3, 4]])[1] == ["y1", "y2"]
    assert targets_of(["a", "b"])[0].to_pydict() == {"y": ["a", "b"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (5, "int, which has no rows"),
        (pl.LazyFrame({"a": [1]}), r"X\.collect\(\)"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
    ],
)
def test_what_has_no_rows_is_refused_with_the_remedy(data: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        rows_of(data)


def test_sparse_rows_are_refused_with_the_remedy() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"X\.toarray\(\)"):
        rows_of(sparse.eye(3))
