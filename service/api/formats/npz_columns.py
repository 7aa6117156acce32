"""The arrays of an npz file as columns, as an Arrow body has them."""

from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from service.api.columns import Columns
from service.api.faults import shown
from service.api.label_columns import labels_of, texts_of
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.labels import Labels

NAMES = ("feature_names", "target_names")


class NpzBody:
    """Matrices x and y, with their names in further arrays; or one array a column, by name.

    Attributes:
        metadata: None is in such a file: `{}`.
        names: Of the arrays that hold rows.
        widths: The columns of x, y or queries where it has two axes: a file of matrices has one.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.metadata = b"{}"
        self._said: dict[str, list[str]] = {}
        for name in NAMES:
            if name in arrays:
                found = arrays.pop(name)
                if found.dtype.kind != "U" or found.ndim != 1:
                    raise InvalidInput.at(
                        f"/{name}", f"The array {name} must have one axis, of texts."
                    )
                self._said[name] = [str(text) for text in found]
        self._arrays = arrays
        self.names = tuple(arrays)
        self.widths = {
            name: values.shape[1]
            for name, values in arrays.items()
            if values.ndim == 2 and name in ("x", "y", "queries")
        }
        if not self.widths and {"x", "y"} <= arrays.keys() and self._said:
            self.widths = {"x": 1}
        for name, values in arrays.items():
            if values.ndim != 1 and name not in self.widths:
                raise InvalidInput.at(
                    f"/{name}",
                    f"The array {shown(name)} has {values.ndim} axes; a column has one, and the "
                    "matrices x, y and queries have two.",
                )

    def fields(self, array_pointers: frozenset[str], **arrays: Any) -> dict[str, Any]:
        """Return the members of the JSON that the file means."""
        return self._said | arrays

    def only_matrices(self, *names: str) -> None:
        """Check that the arrays have these names, where one of them is a matrix.

        Raises:
            InvalidInput: One is missing, or there is another.
        """
        for name in self.names:
            if name not in names:
                raise InvalidInput.at(
                    f"/{name}",
                    f"Beside a matrix there is the array {shown(name)}; with a matrix, the arrays "
                    f"are {' and '.join(names)}, and {' and '.join(NAMES)}.",
                )
        for name in names:
            if name not in self.names:
                raise InvalidInput.at(
                    "", f"There is no array '{name}'; with a matrix it is needed."
                )

    def columns(self) -> Columns:
        """Return the arrays as columns, by name.

        Raises:
            InvalidInput: They are not equally long.
        """
        if self._said:
            name = next(iter(self._said))
            raise InvalidInput.at(f"/{name}", f"{name} names the columns of a matrix x; send one.")
        lengths = {len(values) for values in self._arrays.values()}
        if len(lengths) > 1:
            raise InvalidInput.at(
                "",
                "The arrays have different lengths: "
                + ", ".join(f"{name} {len(v):,}" for name, v in list(self._arrays.items())[:8]),
            )
        table = pa.table({name: _column(values) for name, values in self._arrays.items()})
        return Columns(self.names, "", [f"/{name}" for name in self.names], table)

    def array(self, name: str) -> Floats:
        """Return an array of numbers.

        Raises:
            InvalidInput: It is texts.
        """
        values = self._arrays[name]
        if values.dtype.kind == "U":
            raise InvalidInput.at(f"/{name}", f"The array {name} has texts; send numbers.")
        return values

    def targets(self, name: str) -> Floats | Labels:
        """Return an array as numbers, or one of texts as classes."""
        values = self._arrays[name]
        if values.dtype.kind != "U":
            return values
        texts = texts_of(pa.chunked_array([_column(values)]), f"The array {name}", f"/{name}")
        return labels_of(texts, lambda text: None if text is None else text.strip() or None)

    def check_names(
        self, fields: dict[str, Any], features: tuple[str, ...], targets: tuple[str, ...]
    ) -> None:
        """Check names that came along against those of a dataset, and leave them out.

        Raises:
            InvalidInput: They are others.
        """
        for name, known in zip(NAMES, (features, targets), strict=True):
            sent = fields.pop(name, None)
            if sent is not None and tuple(sent) != known:
                raise InvalidInput.at(
                    f"/{name}",
                    f"{name} are {', '.join(sent[:8])}, and the dataset has "
                    f"{', '.join(known[:8])}, in this order.",
                )


def _column(values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind == "U":
        return pa.array([text or None for text in values.ravel().tolist()], pa.large_string())
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])
