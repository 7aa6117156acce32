"""The tensors of a request as queries: one of all features, or one for each."""

from typing import Final

import numpy as np

from service.api.faults import closest, shown
from service.api.inference.models import POINTS
from service.api.inference.tensors import InputTensor, from_bytes, from_json
from service.api.schemas.inference import InferenceInput
from service.domain.arrays import Floats
from service.domain.categories import MixedRows, Points
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
"""The header that says how long the JSON is, before the bytes of tensors."""


def read_tensors(
    inputs: list[InferenceInput], data: memoryview, has_length: bool
) -> list[InputTensor]:
    """Return the tensors, from the JSON or from the bytes after it.

    Raises:
        InvalidInput: Elements are missing or left over, or are not those of the datatype.
    """
    tensors = []
    start = 0
    for i, sent in enumerate(inputs):
        pointer = f"/inputs/{i}/data"
        size = None if sent.parameters is None else sent.parameters.binary_data_size
        shape = tuple(sent.shape)
        if (size is None) == (sent.data is None):
            found = "neither data nor" if size is None else "both data and"
            raise InvalidInput.at(
                pointer,
                f"The input '{sent.name:.60}' has {found} binary_data_size; send the elements "
                "either in data, or as bytes after the JSON with their number in binary_data_size.",
            )
        if size is None:
            tensors.append(from_json(sent.name, sent.datatype, shape, sent.data, pointer))
            continue
        if not has_length:
            raise InvalidInput.at(
                HEADER_LENGTH,
                f"The input '{sent.name:.60}' has bytes after the JSON, but no header "
                f"{HEADER_LENGTH} says where they begin; send it.",
            )
        tensors.append(
            from_bytes(sent.name, sent.datatype, shape, data[start : start + size], pointer)
        )
        start += size
    if start != len(data):
        raise InvalidInput.at(
            "/inputs",
            f"After the JSON there are {len(data):,} bytes, and the inputs have {start:,} in all "
            "(binary_data_size); send as many.",
        )
    return tensors


def queries_of(tensors: list[InputTensor], features: tuple[str, ...]) -> Points:
    """Return the queries that the tensors hold, one of all features or one for each.

    Raises:
        InvalidInput: The tensors are others, or do not have equally many queries.
    """
    first = tensors[0]
    if len(tensors) == 1 and first.name == POINTS and (len(features) > 1 or features != (POINTS,)):
        return _matrix(first, len(features))
    columns: dict[str, InputTensor] = {}
    for i, tensor in enumerate(tensors):
        if tensor.name not in features:
            known = ", ".join(features[:8])
            raise InvalidInput.at(
                f"/inputs/{i}/name",
                f"There is no input {shown(tensor.name)}{closest(tensor.name, features) or '.'} "
                f"Send one tensor '{POINTS}' of all features, or one for each of: {known}.",
            )
        if tensor.name in columns:
            raise InvalidInput.at(
                f"/inputs/{i}/name", f"The input '{tensor.name}' stands twice; send it once."
            )
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise InvalidInput.at(
                f"/inputs/{i}/shape",
                f"The input '{tensor.name}' has the shape {list(tensor.shape)}; of one feature it "
                "must be [m] or [m, 1].",
            )
        if tensor.shape[0] != first.shape[0]:
            raise InvalidInput.at(
                f"/inputs/{i}/shape",
                f"The input '{tensor.name}' has {tensor.shape[0]:,} queries, and '{first.name}' "
                f"has {first.shape[0]:,}; send equally many.",
            )
        columns[tensor.name] = tensor
    if missing := [name for name in features if name not in columns]:
        raise InvalidInput.at(
            "/inputs",
            f"The input '{missing[0]}' is missing; send a tensor for each of the "
            f"{len(features)} features, with null or NaN where a cell is missing.",
        )
    return _points([columns[name].elements for name in features], first.shape[0])


def _matrix(tensor: InputTensor, d: int) -> Points:
    """Return the queries of a tensor that has all features.

    Raises:
        InvalidInput: It has another shape.
    """
    shape = tensor.shape if len(tensor.shape) == 2 else (*tensor.shape, 1)
    if shape[1] != d:
        raise InvalidInput.at(
            "/inputs/0/shape",
            f"The input '{POINTS}' has the shape {list(tensor.shape)}, and the dataset has {d} "
            f"features; send [m, {d}] for m queries.",
        )
    if isinstance(tensor.elements, list):
        return _points([tensor.elements[j::d] for j in range(d)], shape[0])
    return tensor.elements.reshape(shape)


def _points(columns: list[Floats | list[str | None]], m: int) -> Points:
    """Return columns of numbers or texts side by side."""
    numbers = np.full((m, len(columns)), np.nan)
    texts: dict[int, Labels] = {}
    for j, column in enumerate(columns):
        if isinstance(column, list):
            texts[j] = _labels(column)
        else:
            numbers[:, j] = column
    return MixedRows(numbers, texts) if texts else numbers


def _labels(texts: list[str | None]) -> Labels:
    places: dict[str, int] = {}
    codes = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
    return Labels(tuple(places), np.array(codes, dtype=np.int64))
