"""A dataset: the rows that every prediction looks at.

Over 300 lines: all that may be said and asked of rows before they are kept is in one place.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from service.domain.arrays import Floats, Rows, as_floats
from service.domain.categories import Declared, Encoding, MixedRows, Points, encoding_of
from service.domain.errors import InvalidInput
from service.domain.labels import Class, Labels, indicators, sorted_classes, whole_labels

NOTHING_DECLARED: Mapping[str, Declared] = {}


@dataclass(frozen=True, eq=False)
class Dataset:
    """One version of a dataset. Its arrays are read-only; appending makes a new version.

    Attributes:
        x: Rows, (n, D), NaN where a cell is missing, in no row all: in the coordinates of
            `encoding`, or where there is none as they were sent, D = d.
        y: Targets, (n, t), finite; of classes, a column for each, 1 where a row is of it, else 0.
        feature_names: d names, in the order in which features are sent.
        target_names: t names, in the order of the columns of y; of classes, their own.
        name: A label for people; not part of the content.
        id: How clients refer to it; given by the store, the same for all its versions.
        version: 1 for the upload, one more for each append.
        indexed_rows: The first rows, that an index such as a tree is built over; those appended
            since are looked at beside it. Decided by the history alone. All rows of an upload.
        digest: "sha256:…" of the content (x, y and the names of their columns).
        classes: In the order of the columns of y; None where y is numbers.
        class_column: What the column of the classes is called; "" where y is numbers.
        dropped_rows: How many rows were left out since a target was missing, or all features.
        encoding: Which features are categories; None where all are numbers, and D is d.
        row_weights: What each row counts, p_i ≥ 0, (n,), not all 0; None where all count 1.
        weight_column: What their column is called in a file; "" where all count 1.
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
    encoding: Encoding | None = None
    row_weights: Floats | None = None
    weight_column: str = ""

    def __post_init__(self) -> None:
        if not self.indexed_rows:
            object.__setattr__(self, "indexed_rows", len(self.x))
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self))
        self.x.flags.writeable = False
        self.y.flags.writeable = False
        if self.row_weights is not None:
            self.row_weights.flags.writeable = False

    @property
    def n_rows(self) -> int:
        """The number of rows, n."""
        return len(self.x)

    @property
    def n_features(self) -> int:
        """The number of features as they are sent, d."""
        return len(self.feature_names)

    @property
    def n_coordinates(self) -> int:
        """The number of columns of x: d, or more where some features are categories."""
        return int(self.x.shape[1])

    @property
    def features(self) -> Rows | None:
        """The feature of each column of x, (D,); None where each is one of its own."""
        return None if self.encoding is None else self.encoding.features

    @property
    def n_sloped(self) -> int:
        """How many columns of x, the first, local polynomials have slopes in: those of numbers."""
        return self.n_coordinates if self.encoding is None else self.encoding.n_numbers

    @cached_property
    def has_gaps(self) -> bool:
        """Whether a cell of x is missing."""
        return bool(np.isnan(np.minimum.reduce(self.x, axis=None, initial=0.0)))

    @cached_property
    def missing_cells(self) -> Rows:
        """How many rows miss each column of x, (d,)."""
        return np.asarray(np.count_nonzero(np.isnan(self.x), axis=0), dtype=np.int64)

    @property
    def n_targets(self) -> int:
        """The number of targets, t."""
        return int(self.y.shape[1])

    @property
    def nbytes(self) -> int:
        """The bytes that its arrays hold."""
        weights = 0 if self.row_weights is None else self.row_weights.nbytes
        return self.x.nbytes + self.y.nbytes + weights

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The names of the targets as they were sent: one where y is classes."""
        return self.target_names if self.classes is None else (self.class_column,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns of a file of rows: features, targets and perhaps weights."""
        weights = () if self.row_weights is None else (self.weight_column,)
        return self.feature_names + self.target_columns + weights

    def appended(
        self, x: Points, y: Floats | Labels, row_weights: Floats | None = None
    ) -> "Dataset":
        """Return the next version: these rows after the present ones, beside the same index.

        Raises:
            InvalidInput: As `matching` does, or only one of both has weights.
        """
        sent = len(x)
        x, y, row_weights = self.matching(x, y, row_weights=row_weights)
        if (row_weights is None) != (self.row_weights is None):
            has, remedy = (
                ("no weights: leave weights out", "upload all rows anew, with weights")
                if self.row_weights is None
                else ("weights: send weights, one a row", "1 for a row that counts once")
            )
            raise InvalidInput.at("/weights", f"The rows of the dataset have {has}, or {remedy}.")
        if row_weights is not None and self.row_weights is not None:
            row_weights = np.concatenate([self.row_weights, row_weights])
        return replace(
            self,
            x=np.concatenate([self.x, x]),
            y=np.concatenate([self.y, y]),
            version=self.version + 1,
            digest="",
            row_weights=row_weights,
            dropped_rows=self.dropped_rows + sent - len(x),
        )

    def matching(
        self,
        x: Points,
        y: Floats | Labels,
        parent: str = "",
        *,
        row_weights: Floats | None = None,
    ) -> tuple[Floats, Floats, Floats | None]:
        """Return rows as matrices, in coordinates, checked to have the columns of this dataset.

        And their weights, if they have some.

        Rows of which a target is missing, or all features, are left out.

        Args:
            x: (r, d), or (r,) for one feature, NaN where missing.
            y: (r, t), or (r,) for one target, NaN where missing; or classes.
            parent: JSON pointer to what holds x and y.
            row_weights: (r,), if the rows have weights.

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
        x, y = as_points(x, f"{parent}/x"), _as_targets(y, pointer)
        for name, kind, new, old in (
            ("x", "features", x.shape[1], self.n_features),
            ("y", "targets", y.shape[1], self.n_targets),
        ):
            if new != old:
                whose = f"dataset '{self.id}'" if self.id else "the dataset"
                raise InvalidInput.at(
                    f"{parent}/{name}",
                    f"The rows have {new} {kind}, but {whose} has {old}; send "
                    f"rows of the same {kind}.",
                )
        return _with_targets(self.coordinates(x, f"{parent}/x"), y, row_weights, parent)

    def coordinates(self, x: Points, pointer: str) -> Floats:
        """Return rows as wide as this dataset, which `as_points` has checked, in its coordinates.

        Raises:
            InvalidInput: A level is unknown, or a text stands where a number should.
        """
        return _coordinates(x, self.encoding, self.feature_names, pointer)


def make_dataset(
    x: Points,
    y: Floats | Labels,
    *,
    feature_names: tuple[str, ...] | None = None,
    target_names: tuple[str, ...] | None = None,
    name: str | None = None,
    categories: Mapping[str, Declared] = NOTHING_DECLARED,
    row_weights: Floats | None = None,
    weight_column: str = "weights",
) -> Dataset:
    """Return the dataset of these arrays, checked.

    Rows of which a target is missing, or all features, are left out.

    Args:
        x: (n, d), or (n,) for one feature, NaN where missing.
        y: (n, t), or (n,) for one target, NaN where missing; or classes.
        feature_names: Default: x1, x2, …
        target_names: Default: y, or y1, y2, …
        name: A label for people.
        categories: What is said of features, by their names or positions; a feature with texts is
            a category without.
        row_weights: (n,), if the rows have weights.
        weight_column: What their column is called.

    Raises:
        InvalidInput: Fewer than two rows, no feature, different numbers of rows, a value that is
            not finite, names that do not fit, one class only, or as `encoding_of`.
    """
    classes: tuple[Class, ...] | None = None
    if isinstance(y, Labels):
        classes = sorted_classes(y.names)
        y = indicators(y, classes, "/y")
    sent = len(x)
    points, y = as_points(x, "/x"), _as_targets(y, "/y")
    d, t = points.shape[1], y.shape[1] if classes is None else 1
    if feature_names is None:
        feature_names = tuple(f"x{j + 1}" for j in range(d))
    encoding = None
    if categories or isinstance(points, MixedRows):
        _check_names(feature_names, d, "feature_names", "features")
        encoding = encoding_of(points, _declared(categories, feature_names), feature_names)
        for level in () if encoding is None else encoding.levels:
            _check_name(str(level), "/x", "level")
    inside = _coordinates(points, encoding, feature_names, "/x")
    x, y, row_weights = _with_targets(inside, y, row_weights)
    if row_weights is not None and not row_weights.any():
        raise InvalidInput.at(
            "/weights", "All weights are 0, so that no row counts; send one above 0 at least."
        )
    if x.shape[0] < 2:
        without = (
            f" with a target and a feature ({sent - 1:,} miss y, or all of x)" if sent > 1 else ""
        )
        raise InvalidInput.at(
            "/x", f"A dataset needs at least 2 rows{without}, and this one has 1; send more rows."
        )
    if target_names is None:
        target_names = ("y",) if t == 1 else tuple(f"y{j + 1}" for j in range(t))
    _check_names(feature_names, d, "feature_names", "features")
    _check_names(target_names, t, "target_names", "targets")
    if name is not None:
        _check_name(name, "/name")
    class_column = ""
    if classes is not None:
        (class_column,), target_names = target_names, _class_names(classes)
    dataset = Dataset(
        x,
        y,
        feature_names,
        target_names,
        name,
        classes=classes,
        class_column=class_column,
        dropped_rows=sent - len(x),
        encoding=encoding,
        row_weights=row_weights,
        weight_column="" if row_weights is None else weight_column,
    )
    _check_seen(dataset)
    return dataset


def as_points(x: Points, pointer: str) -> Points:
    """Return rows or queries as `as_columns` does, also where some cells are texts.

    Where all are numbers, cells may be missing, NaN.
    """
    if not isinstance(x, MixedRows):
        return _checked_columns(x, pointer, may_miss=True)
    numbers = x.numbers.copy()
    for j, labels in x.texts.items():
        numbers[labels.codes >= 0, j] = 0.0  # it says nothing there, and is checked with the others
    return replace(x, numbers=_checked_columns(numbers, pointer, may_miss=True))


def _coordinates(
    x: Points, encoding: Encoding | None, names: tuple[str, ...], pointer: str
) -> Floats:
    if encoding is None and not isinstance(x, MixedRows):
        return x
    known = encoding or Encoding((None,) * x.shape[1])
    return known.encoded(x, names, pointer)


def _declared(categories: Mapping[str, Declared], names: tuple[str, ...]) -> dict[int, Declared]:
    """Return what is said of features by their positions.

    Raises:
        InvalidInput: There is no such feature, or it is named twice.
    """
    found: dict[int, Declared] = {}
    for key, order in categories.items():
        if key in names:
            feature = names.index(key)
        elif key.isdecimal() and len(key) < 10 and int(key) < len(names):
            feature = int(key)
        else:
            raise InvalidInput.at(
                "/categories",
                f"There is no feature {key!r:.60} to be a category; the features are "
                f"{', '.join(names[:8])}{', …' * (len(names) > 8)}.",
            )
        if feature in found:
            raise InvalidInput.at(
                "/categories", f"The feature '{names[feature]}' stands twice; say once what it is."
            )
        found[feature] = order
    return found


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
            missing = np.isnan(values)
            usable |= missing
            if usable.all():
                return np.where(missing, np.nan, values)  # one NaN of the many, for the digest
        i, j = (int(v) for v in np.argwhere(~usable)[0])
        value = float(values[i, j])
        problem = (
            f"is {value:g}, above {LARGEST_VALUE:g} in size, and its square no 64-bit number: use "
            "another unit"
            if np.isfinite(value)
            else "is not a finite number: drop the row or replace the value"
        )
        raise InvalidInput.at(f"{pointer}/{i}/{j}", f"The value in row {i}, column {j} {problem}.")
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
    if dataset.encoding is not None:
        header += (dataset.encoding,)
    if dataset.dropped_rows:
        header += (dataset.dropped_rows,)  # it is said of the dataset, so it is part of it
    if dataset.row_weights is not None:
        header += (dataset.weight_column,)
    digest.update(repr(header).encode("utf-8", "surrogatepass"))
    parts = [dataset.x, dataset.y]
    if dataset.row_weights is not None:
        parts.append(dataset.row_weights)
    for values in parts:
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


LEAST_WEIGHT, LARGEST_WEIGHT = 1e-50, 1e50
"""Of a row that counts: so the squares of weights, and their products with a kernel's, are normal
numbers."""


def _checked_weights(weights: Floats, n: int, pointer: str) -> Floats:
    """Return the weights of n rows, (n,).

    Raises:
        InvalidInput: They are not as many, or one is not finite, negative, or out of range.
    """
    weights = as_floats(weights)
    if weights.shape != (n,):
        sent = f"{weights.ndim} levels of brackets" if weights.ndim != 1 else f"{len(weights):,}"
        raise InvalidInput.at(
            pointer, f"x has {n:,} rows, and weights has {sent}; send a flat list of one a row."
        )
    usable = (weights >= LEAST_WEIGHT) & (weights <= LARGEST_WEIGHT) | (weights == 0)
    if not usable.all():
        i = int(np.argmin(usable))
        sent = "missing" if np.isnan(weights[i]) else f"{weights[i]:g}"
        raise InvalidInput.at(
            f"{pointer}/{i}",
            f"The weight of row {i} is {sent}; it must be 0, for a row that does not count, or "
            f"from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}.",
        )
    return weights


def _with_targets(
    x: Floats, y: Floats, row_weights: Floats | None = None, parent: str = ""
) -> tuple[Floats, Floats, Floats | None]:
    """Return the rows of which no target is missing, nor all features, and their weights."""
    if x.shape[0] != y.shape[0]:
        raise InvalidInput.at(
            f"{parent}/y",
            f"x has {x.shape[0]} rows and y has {y.shape[0]}; each row of x needs its value in y.",
        )
    if row_weights is not None:
        row_weights = _checked_weights(row_weights, len(x), f"{parent}/weights")
    missing = np.isnan([np.minimum.reduce(values, axis=None) for values in (x, y)])
    if not missing.any():
        return x, y, row_weights
    present = ~np.isnan(y).any(axis=1)
    if not present.any():
        raise InvalidInput.at(
            f"{parent}/y", "y is missing in every row; send at least one row with its target."
        )
    present &= ~np.isnan(x).all(axis=1)
    if not present.any():
        raise InvalidInput.at(
            f"{parent}/x",
            "In every row that has a target all features are missing; send at least one row with "
            "both.",
        )
    kept = None if row_weights is None else row_weights[present]
    return np.ascontiguousarray(x[present]), np.ascontiguousarray(y[present]), kept


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


def _check_seen(dataset: Dataset) -> None:
    """Check that each feature has a cell that is not missing.

    Raises:
        InvalidInput: One has none.
    """
    if dataset.has_gaps and (dataset.missing_cells == dataset.n_rows).any():
        coordinate = int(np.argmax(dataset.missing_cells == dataset.n_rows))
        encoding = dataset.encoding
        feature = coordinate if encoding is None else int(encoding.features[coordinate])
        raise InvalidInput.at(
            "/x",
            f"The feature '{dataset.feature_names[feature]}' is missing in every row; leave it out "
            "of x and of the names.",
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
