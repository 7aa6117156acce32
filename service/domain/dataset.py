"""A dataset: the rows that every prediction looks at.

Over 300 lines: all that may be said and asked of rows before they are kept is in one place.
"""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from service.domain.arrays import Floats, as_floats
from service.domain.errors import InvalidInput
from service.domain.labels import Class, Labels, indicators, sorted_classes, whole_labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """One version of a dataset. Its arrays are read-only; appending makes a new version.

    Attributes:
        x: Rows, (n, d), finite.
        y: Targets, (n, t), finite; of classes, a column for each, 1 where a row is of it, else 0.
        feature_names: d names, in the order of the columns of x.
        target_names: t names, in the order of the columns of y; of classes, their own.
        name: A label for people; not part of the content.
        id: How clients refer to it; given by the store, the same for all its versions.
        version: 1 for the upload, one more for each append.
        indexed_rows: The first rows, that an index such as a tree is built over; those appended
            since are looked at beside it. Decided by the history alone. All rows of an upload.
        digest: "sha256:…" of the content (x, y and the names of their columns).
        classes: In the order of the columns of y; None where y is numbers.
        class_column: What the column of the classes is called; "" where y is numbers.
        dropped_rows: How many rows were left out since their target was missing.
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
    classes: tuple[Class, ...] | None = None
    class_column: str = ""
    dropped_rows: int = 0

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

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The names of the targets as they were sent: one where y is classes."""
        return self.target_names if self.classes is None else (self.class_column,)

    def appended(self, x: Floats, y: Floats | Labels) -> "Dataset":
        """Return the next version: these rows after the present ones, beside the same index.

        Raises:
            InvalidInput: As `matching` does.
        """
        sent = len(x)
        x, y = self.matching(x, y)
        return replace(
            self,
            x=np.concatenate([self.x, x]),
            y=np.concatenate([self.y, y]),
            version=self.version + 1,
            digest="",
            dropped_rows=self.dropped_rows + sent - len(x),
        )

    def matching(self, x: Floats, y: Floats | Labels, parent: str = "") -> tuple[Floats, Floats]:
        """Return rows as matrices, checked to have the columns of this dataset.

        Rows whose target is missing are left out.

        Args:
            x: (r, d), or (r,) for one feature.
            y: (r, t), or (r,) for one target, NaN where missing; or classes.
            parent: JSON pointer to what holds x and y.

        Raises:
            InvalidInput: They have another number of features or targets, a class that the dataset
                has not, no row with a target, or as `make_dataset`.
        """
        pointer = f"{parent}/y"
        if self.classes is not None:
            if not isinstance(y, Labels):
                y = whole_labels(y, pointer, len(y))
            y = indicators(y, self.classes, pointer)
        elif isinstance(y, Labels):
            raise InvalidInput.at(
                pointer, "y has texts, and the targets of the dataset are numbers; send numbers."
            )
        x, y = as_columns(x, f"{parent}/x"), _as_targets(y, pointer)
        x, y = _with_targets(x, y, parent)
        for name, kind, new, old in (
            ("x", "features", x, self.x),
            ("y", "targets", y, self.y),
        ):
            if new.shape[1] != old.shape[1]:
                whose = f"dataset '{self.id}'" if self.id else "the dataset"
                raise InvalidInput.at(
                    f"{parent}/{name}",
                    f"The rows have {new.shape[1]} {kind}, but {whose} has {old.shape[1]}; send "
                    f"rows of the same {kind}.",
                )
        return x, y


def make_dataset(
    x: Floats,
    y: Floats | Labels,
    *,
    feature_names: tuple[str, ...] | None = None,
    target_names: tuple[str, ...] | None = None,
    name: str | None = None,
) -> Dataset:
    """Return the dataset of these arrays, checked, without the rows whose target is missing.

    Args:
        x: (n, d), or (n,) for one feature.
        y: (n, t), or (n,) for one target, NaN where missing; or classes.
        feature_names: Default: x1, x2, …
        target_names: Default: y, or y1, y2, …
        name: A label for people.

    Raises:
        InvalidInput: Fewer than two rows, no feature, different numbers of rows, a value that is
            not finite, names that do not fit, or one class only.
    """
    classes: tuple[Class, ...] | None = None
    if isinstance(y, Labels):
        classes = sorted_classes(y.names)
        y = indicators(y, classes, "/y")
    sent = len(x)
    x, y = as_columns(x, "/x"), _as_targets(y, "/y")
    x, y = _with_targets(x, y)
    if x.shape[0] < 2:
        without = f" with a target (y is missing in {sent - 1:,})" if sent > 1 else ""
        raise InvalidInput.at(
            "/x", f"A dataset needs at least 2 rows{without}, and this one has 1; send more rows."
        )
    d, t = x.shape[1], y.shape[1] if classes is None else 1
    if feature_names is None:
        feature_names = tuple(f"x{j + 1}" for j in range(d))
    if target_names is None:
        target_names = ("y",) if t == 1 else tuple(f"y{j + 1}" for j in range(t))
    _check_names(feature_names, d, "feature_names", "features")
    _check_names(target_names, t, "target_names", "targets")
    if name is not None:
        _check_name(name, "/name")
    class_column = ""
    if classes is not None:
        (class_column,), target_names = target_names, _class_names(classes)
    return Dataset(
        x,
        y,
        feature_names,
        target_names,
        name,
        classes=classes,
        class_column=class_column,
        dropped_rows=sent - len(x),
    )


def as_columns(values: Floats, pointer: str) -> Floats:
    """Return `values` as a finite, C-contiguous (rows, columns) array; a flat one is a column.

    Raises:
        InvalidInput: The array is empty, has more than two axes, or a value is not finite or
            beyond `LARGEST_VALUE`.
    """
    return _checked_columns(values, pointer, may_miss=False)


def _as_targets(values: Floats, pointer: str) -> Floats:
    """Return `values` as `as_columns` does, but with NaN where one is missing."""
    return _checked_columns(values, pointer, may_miss=True)


def _checked_columns(values: Floats, pointer: str, *, may_miss: bool) -> Floats:
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
        if may_miss:
            usable |= np.isnan(values)
            if usable.all():
                return values
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
    header: tuple[object, ...] = (
        dataset.x.shape,
        dataset.y.shape,
        dataset.feature_names,
        dataset.target_names,
    )
    if dataset.classes is not None:
        header += (dataset.classes, dataset.class_column)
    if dataset.dropped_rows:
        header += (dataset.dropped_rows,)  # it is said of the dataset, so it is part of it
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


def _with_targets(x: Floats, y: Floats, parent: str = "") -> tuple[Floats, Floats]:
    """Return the rows of which no target is missing."""
    if x.shape[0] != y.shape[0]:
        raise InvalidInput.at(
            f"{parent}/y",
            f"x has {x.shape[0]} rows and y has {y.shape[0]}; each row of x needs its value in y.",
        )
    if not np.isnan(np.minimum.reduce(y, axis=None)):
        return x, y
    present = ~np.isnan(y).any(axis=1)
    if not present.any():
        raise InvalidInput.at(
            f"{parent}/y", "y is missing in every row; send at least one row with its target."
        )
    return np.ascontiguousarray(x[present]), np.ascontiguousarray(y[present])


def _class_names(classes: tuple[Class, ...]) -> tuple[str, ...]:
    """Return the names of the columns of y.

    Raises:
        InvalidInput: There is one class only, or a text that cannot be printed.
    """
    if len(classes) == 1:
        raise InvalidInput.at(
            "/y",
            f"All rows are of the class {classes[0]!r:.60}; at least two classes are needed to "
            "tell them apart.",
        )
    names = tuple(str(label) for label in classes)
    for label in names:
        _check_name(label, "/y", "class")
    return names


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


def _check_name(name: str, pointer: str, what: str = "name") -> None:
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidInput.at(
            pointer,
            f"The {what} {name[:40]!a} has {len(name)} characters; it must have 1 to "
            f"{MAX_NAME_LENGTH}.",
        )
    if not name.isprintable():
        raise InvalidInput.at(
            pointer, f"The {what} {name!a} has a character that cannot be printed; leave it out."
        )
