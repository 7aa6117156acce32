"""Datasets, in and out."""

from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.base import AnswerModel, Numbers, RequestModel, Targets
from service.domain.arrays import Floats
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import FieldFault, InvalidInput
from service.domain.labels import Labels, check_number_of_classes, whole_labels
from service.engine.limits import Limits, check_columns

X_DESCRIPTION = (
    "The rows: a list of n lists of d numbers, or a flat list of n numbers for one feature. "
    "Finite, in any unit; distances are measured in it."
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

TaskName: TypeAlias = Literal["regression", "classification"]


class RowsUpload(RequestModel):
    """Rows for a dataset that is there already; names and their order stay as they are."""

    x: Numbers = Field(description=X_DESCRIPTION)
    y: Targets = Field(description=Y_DESCRIPTION)


class InlineDataset(RowsUpload):
    """Rows that are used for one request and not kept."""

    feature_names: list[str] | None = Field(
        None, description="One name a feature, all different. Default: x1, x2, …"
    )
    target_names: list[str] | None = Field(
        None, description="One name a target, all different. Default: y, or y1, y2, …"
    )
    task: TaskName | None = Field(None, description=TASK_DESCRIPTION)

    def to_domain(self, limits: Limits, *, parent: str = "", name: str | None = None) -> Dataset:
        """Return the dataset, checked.

        Args:
            limits: What the service takes.
            parent: JSON pointer of this model in the body, for the pointers of errors.
            name: A label for people.
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
            )
        except InvalidInput as error:
            faults = (FieldFault(parent + fault.pointer, fault.detail) for fault in error.faults)
            raise InvalidInput(error.detail, faults=tuple(faults)) from error


class DatasetUpload(InlineDataset):
    """A dataset to keep. The same content uploaded twice is one dataset."""

    name: str | None = Field(
        None, description="A label for people, 1 to 200 printable characters.", examples=["sine"]
    )


class UploadQuery(BaseModel):
    """What a file of columns cannot say about itself."""

    model_config = ConfigDict(extra="forbid")

    target: list[str] = Field(
        default_factory=list,
        description="CSV and Arrow: the column to predict; once for each of several. Default: the "
        "last column.",
    )
    name: str | None = Field(None, description="CSV and Arrow: a label for people.")
    task: TaskName | None = Field(None, description=f"CSV and Arrow: {TASK_DESCRIPTION}")


class PageQuery(BaseModel):
    """Which part of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1_000, description="The most datasets to return.")
    after: str | None = Field(None, description="What `next` had on the page before.")


def checked_dataset(
    x: Floats,
    y: Floats | Labels,
    limits: Limits,
    *,
    feature_names: tuple[str, ...] | None,
    target_names: tuple[str, ...] | None,
    name: str | None,
    task: TaskName | None,
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
    return make_dataset(x, y, feature_names=feature_names, target_names=target_names, name=name)


class ColumnSummary(AnswerModel):
    """What one column holds, in the unit of the column."""

    name: str
    min: float
    max: float
    mean: float
    standard_deviation: float = Field(description="With n - 1 in the denominator.")


class ClassSummary(AnswerModel):
    """How frequent one class is."""

    label: str | int
    rows: int = Field(description="How many rows are of it.")


class DatasetSummary(AnswerModel):
    """The columns of a dataset."""

    features: list[ColumnSummary]
    targets: list[ColumnSummary] = Field(description="Empty where the target is classes.")
    classes: list[ClassSummary] | None = Field(
        None, description="In the order of probabilities; only where the target is classes."
    )


class DatasetItem(AnswerModel):
    """A dataset without what its columns hold."""

    id: str = Field(description="How requests refer to it; the same for all its versions.")
    name: str | None
    version: int = Field(description="1 for the upload, one more for each append.")
    rows: int
    features: int
    targets: int
    feature_names: list[str]
    target_names: list[str]
    task: TaskName = Field(description="`classification` where the target is classes.")
    dropped_rows: int = Field(
        description="How many rows were sent of which a target was missing; they are left out."
    )
    bytes: int = Field(description="Bytes that its arrays hold in memory.")
    digest: str = Field(description="sha256 of the content: the rows and the names of columns.")

    @classmethod
    def from_domain(cls, dataset: Dataset) -> "DatasetItem":
        """Return the item for a dataset."""
        return cls(**_facts(dataset))


class Source(AnswerModel):
    """How an upload in CSV was read."""

    format: str
    delimiter: str = Field(description="The character between cells: comma, semicolon or tab.")


class DatasetDescription(DatasetItem):
    """A dataset and what its columns hold."""

    summary: DatasetSummary
    source: Source | None = Field(None, description="Only in the answer to an upload in CSV.")

    @classmethod
    def described(
        cls, dataset: Dataset, summary: DatasetSummary, delimiter: str | None = None
    ) -> "DatasetDescription":
        """Return the description, with the delimiter of the CSV that it was just read from."""
        facts = _facts(dataset)
        if delimiter is not None:
            facts["source"] = Source(format="csv", delimiter=delimiter)
        return cls(summary=summary, **facts)


class DatasetPage(AnswerModel):
    """Some of the datasets, in the order of their upload."""

    datasets: list[DatasetItem]
    next: str | None = Field(
        description="What to send as `after` for the next page; null at the end."
    )

    @classmethod
    def from_domain(cls, page: list[Dataset], cursor: str | None) -> "DatasetPage":
        """Return one page of the list."""
        return cls(datasets=[DatasetItem.from_domain(dataset) for dataset in page], next=cursor)


def summarize(dataset: Dataset) -> DatasetSummary:
    """Return what each column holds; O(n d) time."""
    features = _column_summaries(dataset.x, dataset.feature_names)
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


def _column_summaries(columns: Floats, names: tuple[str, ...]) -> list[ColumnSummary]:
    n = len(columns)
    column = np.empty(n)  # one at a time, contiguous: a strided sum is several times slower
    summaries = []
    for j, name in enumerate(names):
        np.copyto(column, columns[:, j])
        least, most, mean = float(column.min()), float(column.max()), float(column.mean())
        np.square(np.subtract(column, mean, out=column), out=column)
        deviation = float(np.sqrt(column.sum() / (n - 1)))
        summaries.append(
            ColumnSummary(name=name, min=least, max=most, mean=mean, standard_deviation=deviation)
        )
    return summaries


def _facts(dataset: Dataset) -> dict[str, Any]:
    return {
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


def _width(values: Floats | Labels) -> int:
    if isinstance(values, Labels):
        return len(values.names)
    return values.shape[1] if values.ndim == 2 else 1
