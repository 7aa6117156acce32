"""Predictions as files: a row a query, a column a number, all of them with names of their own."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from service.api.arrow_answers import beside, label_column, neighbor_column
from service.api.arrow_streams import METADATA_KEY
from service.api.formats.numbers import number_column
from service.api.formats.writers import WRITERS
from service.api.media import Format
from service.api.schemas.predictions import issues_of
from service.domain.errors import InvalidInput
from service.domain.prediction import statuses_by_query
from service.engine.commands import Answer

BATCH_ROWS: Final = 2**14

OF_TARGETS: Final = ("mean", "std", "std_observation")
OF_FEATURES: Final = ("slope", "slope_std", "gradient")
OF_QUERIES: Final = ("support", "effective_rows", "bandwidth", "degree", "ridge")


def flat_pieces(
    document: dict[str, Any], answer: Answer, queries: Mapping[str, pa.Array], kind: Format
) -> Iterator[bytes]:
    """Yield a file with an answer.

    Args:
        document: The answer as JSON has it.
        answer: The same.
        queries: The queries' own columns, which come first where they are wanted.
        kind: Of the file.

    Raises:
        InvalidInput: The neighbours are asked for, in a format of numbers alone.
    """
    columns = beside(queries, flat_columns(document, answer))
    if answer.prediction.neighbors is not None:
        if kind is not Format.PARQUET:
            raise InvalidInput.at(
                "/include",
                "include has 'neighbors', which are lists, and a file of this format has none; "
                "accept application/json, application/vnd.apache.arrow.stream or "
                "application/vnd.apache.parquet.",
            )
        columns["neighbors"] = neighbor_column(answer.prediction.neighbors)
    long = {*OF_TARGETS, *OF_FEATURES, "probabilities", "label", "neighbors"}
    rest = {name: value for name, value in document.items() if name not in long}
    rest |= {
        name: {key: part for key, part in rest[name].items() if not isinstance(part, np.ndarray)}
        for name in ("interval", "quantiles", "diagnostics")
        if name in rest
    }
    text = orjson.dumps(rest, option=orjson.OPT_SERIALIZE_NUMPY, default=np.ascontiguousarray)
    batch = pa.record_batch(columns).replace_schema_metadata({METADATA_KEY: text})
    parts = (batch.slice(start, BATCH_ROWS) for start in range(0, batch.num_rows, BATCH_ROWS))
    return WRITERS[kind](batch.schema, parts)


def flat_columns(document: dict[str, Any], answer: Answer) -> dict[str, pa.Array]:
    """Return the answer as columns of single numbers and texts."""
    columns: dict[str, pa.Array] = {}
    inner = [""]
    if "label" in document:
        inner = [f"_{label}" for label in document["classes"]]
        columns["label"] = label_column(document["probabilities"], document["classes"])
        _add(columns, "probability", document["probabilities"], [inner])
    elif len(document["target_names"]) > 1:
        inner = [f"_{name}" for name in document["target_names"]]
    features = [f"_{name}" for name in answer.dataset.feature_names]
    interval = document.get("interval", {})
    quantiles = document.get("quantiles", {"levels": []})
    diagnostics = document.get("diagnostics", {})
    for name in OF_TARGETS:
        _add(columns, name, document.get(name), [inner])
    for name in ("lower", "upper"):
        _add(columns, name, interval.get(name), [inner])
    for name in ("distance", "distance_rank"):
        _add(columns, name, interval.get(name), [])
    for name in OF_FEATURES:
        _add(columns, name, document.get(name), [inner, features], is_swapped=True)
    levels = [f"_{level:g}" for level in quantiles["levels"]]
    _add(columns, "quantile", quantiles.get("values"), [levels, inner])
    for name in OF_QUERIES:
        _add(columns, name, diagnostics.get(name), [])
    columns["issues"] = _statuses(answer)
    return columns


def _add(
    columns: dict[str, pa.Array],
    name: str,
    values: NDArray[Any] | None,
    axes: list[list[str]],
    *,
    is_swapped: bool = False,
) -> None:
    """Add a column for each place along the axes after the first.

    Args:
        columns: Where to add them.
        name: What their names begin with.
        values: (m, …); None where there are none.
        axes: What the names go on with, along each axis; one of length 1 may be missing.
        is_swapped: Whether the last axis is named first.
    """
    if values is None:
        return
    flat = values.reshape(len(values), -1)
    for j, parts in enumerate(product(*axes)):
        ending = "".join(reversed(parts) if is_swapped else parts)
        columns[name + ending] = number_column(flat[:, j])


def _statuses(answer: Answer) -> pa.Array:
    """Return the statuses of each query, with a space between; null where all is well."""
    texts, places = statuses_by_query(issues_of(answer), len(answer.prediction.mean))
    return pa.array([text or None for text in texts], pa.string()).take(pa.array(places))
