"""What clients ask the engine for, and what they get."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from service.domain.arrays import Floats, Rows
from service.domain.categories import Points
from service.domain.dataset import Dataset
from service.domain.labels import Labels
from service.domain.prediction import MEAN_ALONE, IntervalKind, Prediction, Wanted
from service.engine.plan import Plan
from service.estimators.classes import Classified
from service.estimators.descent import Descent, Path
from service.estimators.fits import AnyFit, Auto, Fit
from service.estimators.scores import Errors, Held, Smoothing
from service.estimators.selection import AnySelector

ChosenBy: TypeAlias = Literal["rule", "search"]
"""The rule of `fits.resolved`, or a search for the best fit that has compared all methods."""


@dataclass(frozen=True, eq=False)
class PredictCommand:
    """A prediction as a client asks for it.

    Attributes:
        queries: (m, d), or (m,) for one feature.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        fit: What to fit.
        wanted: What beside the mean.
        timeout_s: How long it may take; None for the service's default.
    """

    queries: Points
    dataset_id: str | None = None
    dataset: Dataset | None = None
    fit: AnyFit = field(default_factory=Auto)
    wanted: Wanted = MEAN_ALONE
    timeout_s: float | None = None


@dataclass(frozen=True, eq=False)
class TuneCommand:
    """A search as a client asks for it.

    Attributes:
        budget_s: When no further candidate is begun.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        selector: "search" among all methods, or by what the reach of the fit is chosen.
        fit: Whose reach that is.
        groups: The group of each row, (n,), from 0, if a row's whole group is left out with it.
        group_by: The feature whose values say which rows are of one group; in place of `groups`.
        blocks: Into how many groups of rows that follow each other they are cut; the same.
        methods: Those to search among; None for all.
    """

    budget_s: float
    dataset_id: str | None = None
    dataset: Dataset | None = None
    selector: AnySelector = "search"
    fit: AnyFit | None = None
    groups: Rows | None = None
    group_by: str | None = None
    blocks: int | None = None
    methods: frozenset[type[Fit]] | None = None


@dataclass(frozen=True, eq=False)
class MinimizeCommand:
    """A descent on a fitted surface as a client asks for it.

    Attributes:
        starts: (s, d), or (s,) for one feature.
        descent: How.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        fit: The surface.
        target: The name of the target; None where there is only one.
        timeout_s: When the paths end where they are; None for the service's default.
    """

    starts: Points
    descent: Descent
    dataset_id: str | None = None
    dataset: Dataset | None = None
    fit: AnyFit = field(default_factory=Auto)
    target: str | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where descents on a fitted surface led.

    Attributes:
        dataset: The version that was looked at; its id is "" for rows sent along.
        fit: As resolved.
        target: The name of the target.
        paths: One a start.
        left_data: For each path, whether a point lies outside the range of the data.
        best: The path that ends lowest, or highest for an ascent; None if none has a value.
        compute_s: Seconds of computing.
    """

    dataset: Dataset
    fit: Fit
    target: str
    paths: tuple[Path, ...]
    left_data: tuple[bool, ...]
    best: int | None
    compute_s: float


@dataclass(frozen=True, eq=False)
class ScoreCommand:
    """A judgement of a fit as a client asks for it.

    Attributes:
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        fit: What to judge.
        rows: x and y of the rows to judge by; None: each row of the dataset by all the others.
        row_weights: What each of these rows counts; None where all count 1.
        interval: The kind of the intervals to judge; None for no intervals.
        level: Of the intervals.
        timeout_s: How long it may take; None for the service's default.
    """

    dataset_id: str | None = None
    dataset: Dataset | None = None
    fit: AnyFit = field(default_factory=Auto)
    rows: tuple[Points, Floats | Labels] | None = None
    row_weights: Floats | None = None
    interval: IntervalKind | None = None
    level: float = 0.9
    timeout_s: float | None = None


@dataclass(frozen=True, eq=False)
class ScoreCard:
    """How good a fit is.

    Attributes:
        dataset: The version that was looked at; its id is "" for rows sent along.
        fit: As resolved.
        rows: How many rows it was judged by.
        is_sampled: They are some of the dataset's.
        errors: Of the predictions.
        interval: The kind of the intervals.
        level: Of the intervals.
        held: How the intervals fare, where some were asked for.
        smoothing: Where each row was predicted by all the others.
        classified: Where the target is classes.
    """

    dataset: Dataset
    fit: Fit
    rows: int
    is_sampled: bool
    errors: Errors
    interval: IntervalKind | None
    level: float
    held: Held | None
    smoothing: Smoothing | None
    classified: Classified | None


@dataclass(frozen=True, eq=False)
class Relevance:
    """How much each feature matters.

    Attributes:
        dataset: The version that was looked at.
        share: Of each feature, (d,); their sum is 1.
        fit: Whose metric or slopes say so.
        is_learned: The metric of the fit was learned; else its slopes were looked at.
        rows: At how many rows slopes were looked at.
    """

    dataset: Dataset
    share: Floats
    fit: Fit
    is_learned: bool
    rows: int


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction and how it came about.

    Attributes:
        dataset: The version that was looked at; its id is "" for rows sent along.
        fit: As resolved.
        prediction: The estimates.
        plan: Where and in which portions they were computed.
        queue_s: Seconds of waiting: for a batch under way, a thread, or another preparing the same.
        compute_s: Seconds of computing, of the batch that it was part of.
        chosen_by: What chose the fit where the client did not.
    """

    dataset: Dataset
    fit: Fit
    prediction: Prediction
    plan: Plan
    queue_s: float
    compute_s: float
    chosen_by: ChosenBy | None = None
