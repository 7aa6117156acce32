"""A dataset: the rows that every prediction looks at."""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from service.domain.arrays import Floats, as_floats
from service.domain.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Dataset:
    """One version of a dataset. Its arrays are read-only; appending makes a new version.

    Attributes:
        x: Rows, (n, d), finite.
        y: Targets, (n, t), finite.
        feature_names: d names, in the order of the columns of x.
        target_names: t names, in the order of the columns of y.
        name: A label for people; not part of the content.
        id: How clients refer to it; given by the store, the same for all its versions.
        version: 1 for the upload, one more for each append.
        indexed_rows: The first rows, that an index such as a tree is built over; those appended
            since are looked at beside it. Decided by the history alone. All rows of an upload.
        digest: "sha256:…" of the content (x, y and the names of their columns).
    """

    x: Floats
    y: Floats
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    name: str | None = None
    id: str = ""
    version: int = 1
    indexed_rows: int = 0
    digest: str = field(default="")

    def __post_init__(self) -> None:
        if not self.indexed_rows:
            object.__setattr__(self, "indexed_rows", len(self.x))
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self))
        self.x.flags.writeable = False
        self.y.flags.writeable = False

    @property
    def n_rows(self) -> int:
        """The number of rows, n."""
        return len(self.x)

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return int(self.x.shape[1])

    @property
    def n_targets(self) -> int:
        """The number of targets, t."""
        return int(self.y.shape[1])

    @property
    def nbytes(self) -> int:
        """The bytes that its arrays hold."""
        return self.x.nbytes + self.y.nbytes

    def appended(self, x: Floats, y: Floats) -> "Dataset":
        """Return the next version: these rows after the present ones, beside the same index.

        Raises:
            InvalidInput: The new rows have another number of features or targets.
        """
        x, y = as_columns(x, "/x"), as_columns(y, "/y")
        _check_rows(x, y)
        for pointer, kind, new, old in (
            ("/x", "features", x, self.x),
            ("/y", "targets", y, self.y),
        ):
            if new.shape[1] != old.shape[1]:
                raise InvalidInput.at(
                    pointer,
                    f"The rows have {new.shape[1]} {kind}, but dataset '{self.id}' has "
                    f"{old.shape[1]}; send rows of the same {kind}.",
                )
        return replace(
            self,
            x=np.concatenate([self.x, x]),
            y=np.concatenate([self.y, y]),
            version=self.version + 1,
            digest="",
        )


def make_dataset(
    x: Floats,
    y: Floats,
    *,
    feature_names: tuple[str, ...] | None = None,
    target_names: tuple[str, ...] | None = None,
    name: str | None = None,
) -> Dataset:
    """Return the dataset of these arrays, checked.

    Args:
        x: (n, d), or (n,) for one feature.
        y: (n, t), or (n,) for one target.
        feature_names: Default: x1, x2, …
        target_names: Default: y, or y1, y2, …
        name: A label for people.

    Raises:
        InvalidInput: Fewer than two rows, no feature, different numbers of rows, a value that is
            not finite, or names that do not fit.
    """
    x, y = as_columns(x, "/x"), as_columns(y, "/y")
    _check_rows(x, y)
    if x.shape[0] < 2:
        raise InvalidInput.at(
            "/x", "A dataset needs at least 2 rows, and this one has 1; send more rows."
        )
    d, t = x.shape[1], y.shape[1]
    if feature_names is None:
        feature_names = tuple(f"x{j + 1}" for j in range(d))
    if target_names is None:
        target_names = ("y",) if t == 1 else tuple(f"y{j + 1}" for j in range(t))
    _check_names(feature_names, d, "feature_names", "features")
    _check_names(target_names, t, "target_names", "targets")
    if name is not None:
        _check_name(name, "/name")
    return Dataset(x, y, feature_names, target_names, name)


def as_columns(values: Floats, pointer: str) -> Floats:
    """Return `values` as a finite, C-contiguous (rows, columns) array; a flat one is a column.

    Raises:
        InvalidInput: The array is empty, has more than two axes, or a value is not finite or
            beyond `LARGEST_VALUE`.
    """
    values = as_floats(values)
    if values.ndim == 1:
        values = values.reshape(-1, 1)
    if values.ndim != 2:
        raise InvalidInput.at(
            pointer, f"Expected rows of numbers, got {values.ndim} levels of brackets."
        )
    if values.shape[0] == 0:
        raise InvalidInput.at(pointer, "There are no rows; send at least one.")
    if values.shape[1] == 0:
        raise InvalidInput.at(pointer, "The rows are empty; each needs at least one number.")
    # False for NaN too, and without a copy where all is well.
    least, most = np.minimum.reduce(values, axis=None), np.maximum.reduce(values, axis=None)
    if not (-LARGEST_VALUE <= least and most <= LARGEST_VALUE):
        usable = np.abs(values) <= LARGEST_VALUE
        i, j = (int(v) for v in np.argwhere(~usable)[0])
        value = float(values[i, j])
        problem = (
            f"{value:g} is above {LARGEST_VALUE:g} in size, and its square no 64-bit number: "
            "use another unit"
            if np.isfinite(value)
            else "not a finite number: drop the row or replace the value"
        )
        raise InvalidInput.at(
            f"{pointer}/{i}/{j}", f"The value in row {i}, column {j} is {problem}."
        )
    return values


def content_digest(dataset: Dataset) -> str:
    """Return "sha256:…" over the shapes, the names and the bytes of x and y."""
    digest = hashlib.sha256()
    header = (dataset.x.shape, dataset.y.shape, dataset.feature_names, dataset.target_names)
    digest.update(repr(header).encode("utf-8", "surrogatepass"))
    for values in (dataset.x, dataset.y):
        numbers = values.reshape(-1)
        for start in range(0, numbers.size, DIGESTED_AT_ONCE):
            # Adding 0.0 turns -0.0 into 0.0, which is the same number.
            digest.update((numbers[start : start + DIGESTED_AT_ONCE] + 0.0).data)
    return f"sha256:{digest.hexdigest()}"


DIGESTED_AT_ONCE = 2**16
"""Numbers of which a copy stays in the cache."""

MAX_NAME_LENGTH = 200

LARGEST_VALUE = 1e150
"""Squares and their sums stay finite."""


def _check_rows(x: Floats, y: Floats) -> None:
    if x.shape[0] != y.shape[0]:
        raise InvalidInput.at(
            "/y",
            f"x has {x.shape[0]} rows and y has {y.shape[0]}; each row of x needs its value in y.",
        )


def _check_names(names: tuple[str, ...], expected: int, field_name: str, kind: str) -> None:
    if len(names) != expected:
        raise InvalidInput.at(
            f"/{field_name}",
            f"There are {len(names)} names for {expected} {kind}; send one for each, or none.",
        )
    for j, name in enumerate(names):
        _check_name(name, f"/{field_name}/{j}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput.at(
                f"/{field_name}", f"The name '{name}' stands twice; names must differ."
            )
        seen.add(name)


def _check_name(name: str, pointer: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidInput.at(
            pointer,
            f"The name has {len(name)} characters; it must have 1 to {MAX_NAME_LENGTH}.",
        )
    if not name.isprintable():
        raise InvalidInput.at(
            pointer, f"The name {name!a} has a character that cannot be printed; leave it out."
        )
