"""Datasets, in and out.

Over 300 lines: what can be said of rows when they are sent, and what is said of them afterwards.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.base import (
    Amount,
    AnswerModel,
    Cells,
    RequestModel,
    Tally,
    Targets,
    Version,
    Weights,
)
from service.api.schemas.files import Source, TextQuery
from service.domain.arrays import Floats
from service.domain.categories import Category, Declared, Encoding, Points
from service.domain.dataset import NOTHING_DECLARED, Dataset, make_dataset
from service.domain.errors import FieldFault, InvalidInput
from service.domain.labels import Labels, check_number_of_classes, whole_labels
from service.engine.limits import Limits, check_columns

X_DESCRIPTION = (
    "The rows: a list of n lists of d numbers, or a flat list of n numbers for one feature. "
    "Finite, in any unit; distances are measured in it. null where a cell is missing: distances "
    "then skip the feature. A row of which all are missing is left out, and counted in "
    "`dropped_rows`. A feature of texts is a category, see `categories`."
)
Y_DESCRIPTION = (
    "The targets: a list of n numbers, or n lists of t numbers for several. Finite, in any unit; "
    "predictions come in it. Or a list of n texts, the classes of a classification. A row of which "
    "a target is null is left out, and counted in `dropped_rows`."
)
TASK_DESCRIPTION = (
    "`regression` predicts numbers, `classification` the probability of each class. Default: "
    "classification where y is texts, else regression; so it is needed for classes that are whole "
    "numbers only."
)

WEIGHTS_DESCRIPTION = (
    "What each row counts, a list of n numbers, 0 or more; by default each counts 1. A row of "
    "weight 2 is worth two equal rows, one of weight 0 none; but `n_neighbors` counts rows, "
    "whatever their weights. The noise of a row is taken to have a variance that goes as 1 over "
    "its weight; in kriging it is alpha over the weight."
)

CATEGORIES_DESCRIPTION = (
    "Which features are categories, by their names or their positions from 0: `unordered`, or the "
    "list of all levels in their order. Features of texts that are not named are unordered. Two "
    "levels of an unordered feature are at distance 1, those of an ordered one at the root of the "
    "steps between them, so that the Gaussian kernel multiplies a weight by exp(-1/2h²) a "
    "difference or step; local polynomials have no slope in categories. At most 256 levels a "
    "feature; queries and later rows have the levels of the upload."
)

COLUMN_NAME = "As the upload names the column."

TaskName: TypeAlias = Literal["regression", "classification"]


class RowsUpload(RequestModel):
    """Rows for a dataset that is there already; names and their order stay as they are."""

    x: Cells = Field(description=X_DESCRIPTION)
    y: Targets = Field(description=Y_DESCRIPTION)
    weights: Weights | None = Field(None, description=WEIGHTS_DESCRIPTION)


class InlineDataset(RowsUpload):
    """Rows that are used for one request and not kept."""

    feature_names: list[str] | None = Field(
        None, description="One name a feature, all different. Default: x1, x2, …"
    )
    target_names: list[str] | None = Field(
        None, description="One name a target, all different. Default: y, or y1, y2, …"
    )
    task: TaskName | None = Field(None, description=TASK_DESCRIPTION)
    categories: dict[str, Literal["unordered"] | list[str | float]] | None = Field(
        None,
        description=CATEGORIES_DESCRIPTION,
        examples=[{"color": "unordered", "size": ["small", "medium", "large"]}],
    )

    def to_domain(
        self,
        limits: Limits,
        *,
        parent: str = "",
        name: str | None = None,
        weight_column: str = "weights",
    ) -> Dataset:
        """Return the dataset, checked.

        Args:
            limits: What the service takes.
            parent: JSON pointer of this model in the body, for the pointers of errors.
            name: A label for people.
            weight_column: What the column of the weights is called.
        """
        try:
            return checked_dataset(
                self.x,
                self.y,
                limits,
                feature_names=_names(self.feature_names),
                target_names=_names(self.target_names),
                name=name,
                task=self.task,
                categories=self.categories or {},
                row_weights=self.weights,
                weight_column=weight_column,
            )
        except InvalidInput as error:
            faults = (FieldFault(parent + fault.pointer, fault.detail) for fault in error.faults)
            raise InvalidInput(error.detail, faults=tuple(faults)) from error


class DatasetUpload(InlineDataset):
    """A dataset to keep. The same content uploaded twice is one dataset."""

    name: str | None = Field(
        None, description="A label for people, 1 to 200 printable characters.", examples=["sine"]
    )


class UploadQuery(TextQuery):
    """What a file of columns cannot say about itself."""

    target: list[str] = Field(
        default_factory=list,
        description="The column to predict; once for each of several. Default: the last column. In "
        "JSON, of the columns of y by `target_names`; default all.",
    )
    columns: list[str] = Field(
        default_factory=list,
        description="The columns to use as features, in this order, once for each; all others but "
        "targets and weights are left out. In JSON, of the columns of x by `feature_names`. "
        "Default: all.",
        examples=[["width", "height"]],
    )
    name: str | None = Field(None, description="Files: a label for people.")
    task: TaskName | None = Field(None, description=f"Files: {TASK_DESCRIPTION}")
    categorical: list[str] = Field(
        default_factory=list,
        description="Files: a feature whose levels have no order; once for each of "
        "several. Columns of texts are such without, so it is needed for numbers; in CSV they "
        "become texts.",
        examples=[["zip"]],
    )
    ordered: list[str] = Field(
        default_factory=list,
        description="Files: a feature and all its levels in their order, as "
        "`size:small|medium|large`; once for each of several.",
        examples=[["size:small|medium|large"]],
    )
    weights: str | None = Field(
        None,
        description="Files: the column that says what each row counts, see `weights` in "
        "JSON; it is no feature. Default: none.",
    )


class PageQuery(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1_000, description="The most datasets to return.")
    after: str | None = Field(None, description="What `next` had on the page before.")


def checked_dataset(
    x: Points,
    y: Floats | Labels,
    limits: Limits,
    *,
    feature_names: tuple[str, ...] | None,
    target_names: tuple[str, ...] | None,
    name: str | None,
    task: TaskName | None,
    categories: Mapping[str, Declared] = NOTHING_DECLARED,
    row_weights: Floats | None = None,
    weight_column: str = "weights",
) -> Dataset:
    """Return the dataset of these arrays, within the limits of the service.

    Raises:
        InvalidInput: As `make_dataset` does, or y does not fit the task.
    """
    if isinstance(y, Labels) and task == "regression":
        raise InvalidInput.at(
            "/task", "The task is regression, and y is texts; send numbers, or leave out task."
        )
    if not isinstance(y, Labels) and task == "classification":
        y = whole_labels(y, "/y", limits.max_targets)
    if isinstance(y, Labels):
        check_number_of_classes(len(y.names), "/y", limits.max_targets)
    # To make a dataset of ten million columns, each with a name, takes gigabytes: so they are
    # counted before.
    check_columns(limits, features=_width(x), targets=_width(y))
    return make_dataset(
        x,
        y,
        feature_names=feature_names,
        target_names=target_names,
        name=name,
        categories=categories,
        row_weights=row_weights,
        weight_column=weight_column,
    )


class ColumnSummary(AnswerModel):
    """What one column holds, in the unit of the column."""

    name: str = Field(description=COLUMN_NAME)
    min: float = Field(description="The least value, in the unit of the column.")
    max: float = Field(description="The largest value, in the unit of the column.")
    mean: float = Field(description="In the unit of the column.")
    standard_deviation: Amount = Field(
        description="In the unit of the column, with n - 1 in the denominator."
    )
    missing: Tally | None = Field(
        None,
        description="How many rows miss this cell, and are in no other figure of the column; only "
        "where some do.",
    )


class LevelSummary(AnswerModel):
    """How frequent one level is."""

    level: str | int | float = Field(
        description="As it was sent: a text, or a number in the unit of the column."
    )
    rows: Tally = Field(description="How many rows have it.")


class CategorySummary(AnswerModel):
    """The levels of a categorical feature, which are those that queries may have."""

    name: str = Field(description=COLUMN_NAME)
    kind: Literal["unordered", "ordered"] = Field(
        description="Whether the order of its levels matters to distances."
    )
    levels: list[LevelSummary] = Field(description="In their order, or sorted.")


class ClassSummary(AnswerModel):
    """How frequent one class is."""

    label: str | int = Field(description="As it was sent: a text, or any whole number.")
    rows: Tally = Field(description="How many rows are of it.")


class WeightSummary(AnswerModel):
    """What the rows of a dataset count."""

    column: str = Field(description="What the column of the weights is called in a file.")
    sum: Amount = Field(description="Of the weights of all rows.")
    zero: Tally = Field(description="How many rows have a weight of 0.")


class DatasetSummary(AnswerModel):
    """The columns of a dataset."""

    features: list[ColumnSummary | CategorySummary] = Field(description="One a feature.")
    targets: list[ColumnSummary] = Field(description="Empty where the target is classes.")
    classes: list[ClassSummary] | None = Field(
        None, description="In the order of probabilities; only where the target is classes."
    )


class DatasetItem(AnswerModel):
    """A dataset without what its columns hold."""

    id: str = Field(description="How requests refer to it; the same for all its versions.")
    name: str | None = Field(description="A label for people; null where none was sent.")
    version: Version
    rows: Tally = Field(description="How many rows it has, those that were left out not counted.")
    features: Tally = Field(description="How many features a row and a query have.")
    targets: Tally = Field(description="How many targets a row has.")
    feature_names: list[str] = Field(description="In the order of the cells of a query.")
    target_names: list[str] = Field(description="In the order of the values of a prediction.")
    task: TaskName = Field(description="`classification` where the target is classes.")
    dropped_rows: Tally = Field(
        description="How many rows were sent of which a target was missing, or all features; they "
        "are left out."
    )
    weights: WeightSummary | None = Field(
        None, description="What the rows count; only where they have weights."
    )
    bytes: Tally = Field(description="Bytes that its arrays hold in memory.")
    digest: str = Field(description="sha256 of the content: the rows and the names of columns.")

    @classmethod
    def from_domain(cls, dataset: Dataset) -> "DatasetItem":
        """Return the item for a dataset."""
        return cls(**_facts(dataset))


class DatasetDescription(DatasetItem):
    """A dataset and what its columns hold."""

    summary: DatasetSummary = Field(description="What its columns hold.")
    source: Source | None = Field(
        None, description="How the file was read; only in the answer to an upload of a file."
    )

    @classmethod
    def described(
        cls, dataset: Dataset, summary: DatasetSummary, source: Source | None = None
    ) -> "DatasetDescription":
        """Return the description, with how the file was read that it was just made from."""
        facts = _facts(dataset)
        if source is not None:
            facts["source"] = source
        return cls(summary=summary, **facts)


class DatasetPage(AnswerModel):
    """Some of the datasets, in the order of their upload."""

    datasets: list[DatasetItem] = Field(description="The oldest first.")
    next: str | None = Field(
        description="What to send as `after` for the next page; null at the end."
    )

    @classmethod
    def from_domain(cls, page: list[Dataset], cursor: str | None) -> "DatasetPage":
        """Return one page of the list."""
        return cls(datasets=[DatasetItem.from_domain(dataset) for dataset in page], next=cursor)


def summarize(dataset: Dataset) -> DatasetSummary:
    """Return what each column holds; O(n d) time."""
    features = _feature_summaries(dataset)
    if dataset.classes is not None:
        counts = dataset.y.sum(axis=0)
        classes = [
            ClassSummary(label=label, rows=int(count))
            for label, count in zip(dataset.classes, counts, strict=True)
        ]
        return DatasetSummary(features=features, targets=[], classes=classes)
    return DatasetSummary(
        features=features,
        targets=_column_summaries(dataset.y, dataset.target_names),
    )


def _feature_summaries(dataset: Dataset) -> list[ColumnSummary | CategorySummary]:
    names, encoding = dataset.feature_names, dataset.encoding
    if encoding is None:
        return [*_column_summaries(dataset.x, names)]
    found: list[ColumnSummary | CategorySummary] = []
    for j, category in enumerate(encoding.categories):
        if category is None:
            start = encoding.starts[j]
            found += _column_summaries(dataset.x[:, start : start + 1], names[j : j + 1])
        else:
            found.append(_category_summary(dataset.x, names[j], encoding, j, category))
    return found


def _category_summary(
    x: Floats, name: str, encoding: Encoding, feature: int, category: Category
) -> CategorySummary:
    counts = np.bincount(encoding.levels_of(x, feature), minlength=len(category.levels))
    return CategorySummary(
        name=name,
        kind="ordered" if category.is_ordered else "unordered",
        levels=[
            LevelSummary(level=level, rows=rows)
            for level, rows in zip(category.levels, counts.tolist(), strict=True)
        ],
    )


def _column_summaries(columns: Floats, names: tuple[str, ...]) -> list[ColumnSummary]:
    n = len(columns)
    whole = np.empty(n)  # one at a time, contiguous: a strided sum is several times slower
    summaries = []
    for j, name in enumerate(names):
        column = whole
        np.copyto(column, columns[:, j])
        optional = {}
        if np.isnan(column.min()):
            column = column[~np.isnan(column)]
            optional = {"missing": n - len(column)}
        least, most, mean = float(column.min()), float(column.max()), float(column.mean())
        np.square(np.subtract(column, mean, out=column), out=column)
        deviation = float(np.sqrt(column.sum() / max(len(column) - 1, 1)))
        summaries.append(
            ColumnSummary(
                name=name,
                min=least,
                max=most,
                mean=mean,
                standard_deviation=deviation,
                **optional,
            )
        )
    return summaries


def _facts(dataset: Dataset) -> dict[str, Any]:
    optional: dict[str, Any] = {}
    if dataset.row_weights is not None:
        optional["weights"] = WeightSummary(
            column=dataset.weight_column,
            sum=float(dataset.row_weights.sum()),
            zero=int(np.count_nonzero(dataset.row_weights == 0)),
        )
    return optional | {
        "id": dataset.id,
        "name": dataset.name,
        "version": dataset.version,
        "rows": dataset.n_rows,
        "features": dataset.n_features,
        "targets": len(dataset.target_columns),
        "feature_names": list(dataset.feature_names),
        "target_names": list(dataset.target_columns),
        "task": "regression" if dataset.classes is None else "classification",
        "dropped_rows": dataset.dropped_rows,
        "bytes": dataset.nbytes,
        "digest": dataset.digest,
    }


def _names(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _width(values: Points | Labels) -> int:
    if isinstance(values, Labels):
        return len(values.names)
    return values.shape[1] if values.ndim == 2 else 1
