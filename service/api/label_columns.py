"""A column of texts as classes, wherever it came from."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.arrays import Rows
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

MOST_TEXTS: Final = 10_000
"""Different texts of a column; each becomes an object, and a service has fewer classes."""


class Texts(NamedTuple):
    """The different texts of a column, and which of them stands in each row.

    Attributes:
        values: All different.
        codes: Their places, (n,); -1 for null.
    """

    values: list[Any]
    codes: Rows


def texts_of(column: pa.ChunkedArray, name: str, pointer: str) -> Texts:
    """Return the texts of a column, in the order in which they occur.

    Args:
        column: Of strings or bytes, valid.
        name: What the column is called.
        pointer: Where it stands.

    Raises:
        InvalidInput: They are more than `MOST_TEXTS`.

    Cost: O(bytes), without the GIL.
    """
    encoded = pc.dictionary_encode(column).unify_dictionaries()
    if not encoded.num_chunks:
        return Texts([], np.empty(0, dtype=np.int64))
    found = encoded.chunk(0).dictionary
    if len(found) > MOST_TEXTS:
        raise InvalidInput.at(
            pointer,
            f"{name} has {len(found):,} different texts, more than the {MOST_TEXTS:,} that are "
            "read; send numbers in their place, or leave the column out.",
        )
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return Texts(found.to_pylist(), np.concatenate(codes).astype(np.int64, copy=False))


def labels_of(texts: Texts, meaning: Callable[[Any], str | None]) -> Labels:
    """Return the classes that the texts mean.

    Args:
        texts: As a body has them; two may mean the same.
        meaning: Of one of them; None where it means that the class is missing.
    """
    places: dict[str, int] = {}
    place_of = np.full(len(texts.values) + 1, -1, dtype=np.int64)  # the code -1 is the last
    for code, value in enumerate(texts.values):
        name = meaning(value)
        if name is not None:
            place_of[code] = places.setdefault(name, len(places))
    return Labels(tuple(places), place_of[texts.codes])
