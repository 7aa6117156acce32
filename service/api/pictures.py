"""From an answer to a picture: what stands where in it, and in which words."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from service.api.schemas.fits import fit_from_domain
from service.domain.arrays import Floats, Rows
from service.domain.dataset import Dataset
from service.domain.prediction import Intervals, Status
from service.engine.commands import Answer
from service.estimators.classes import probabilities
from service.estimators.fits import Fit
from service.plots.picture import Curves, Dots, Frame, Line, Map, Picture, Theme
from service.plots.slices import Slice, column, drawn_rows

OfDescription: TypeAlias = Callable[[str], Frame]
"""Makes the sheet, once it is known what there is to see."""

MOST_CLASSES: Final = 8
"""Curves in one picture; more could not be told apart."""

MOST_HELD: Final = 6
"""Features whose values are named at the foot."""

PLAIN: Final = {
    "n_neighbors": None,
    "metric": "euclidean",
    "weights": "uniform",
    "ridge": 0.0,
    "robust": 0,
    "bandwidth_at": "query",
    "mean": "zero",
    "solver": "least_squares",
}
"""Choices of a fit that go without saying."""

INTERVAL_NAMES: Final = {"jackknife_plus": "jackknife+"}


def picture_of(
    answer: Answer,
    shape: Slice,
    target: int | None,
    *,
    width: int,
    height: int,
    theme: Theme,
    title: str,
) -> Picture:
    """Return the picture of an answer at the points of a slice.

    Args:
        answer: To the queries of the slice.
        shape: Where the estimates stand.
        target: The place of the target, or of the class; None for the first, or for all classes.
        width: In pixels.
        height: In pixels.
        theme: Dark ink on light, or the other way round.
        title: The first line.
    """
    dataset = answer.dataset
    rows = drawn_rows(dataset, shape.features)
    notes = (*_held_notes(shape), *_row_notes(dataset, rows), *_answer_notes(answer))
    if len(shape.axes) == 1 and target is None and dataset.n_targets > MOST_CLASSES:
        notes += _class_notes(dataset)
    estimates = answer.prediction.mean
    if dataset.classes is not None:
        estimates = probabilities(estimates)
    method = fit_in_words(answer.fit)
    subtitle = method if answer.chosen_by is None else f"auto: {method}"

    def frame(description: str) -> Frame:
        whole = " ".join([description, f"{subtitle}.", *notes])
        return Frame(width, height, theme, title, subtitle, notes, whole)

    if len(shape.axes) == 2:
        return _map(dataset, shape, target or 0, rows, estimates, frame)
    if dataset.classes is None:
        return _curve(answer, shape, target or 0, rows, frame)
    return _class_curves(dataset, shape, target, rows, estimates, frame)


def _map(
    dataset: Dataset, shape: Slice, j: int, rows: Rows, estimates: Floats, frame: OfDescription
) -> Map:
    x, y = shape.axes
    names = [dataset.feature_names[k] for k in shape.features]
    z = estimates[:, j].reshape(len(y), len(x))
    label = _target_name(dataset, j)
    whole = f"A map of {label} over {names[0]} and {names[1]}. {_extremes(z)}{_marked(len(rows))}"
    place = [column(dataset, k)[rows] for k in shape.features]
    dots = Dots(place[0], place[1], values=dataset.y[rows, j])
    if dataset.classes is not None:
        of_class = (dataset.y[rows, j] == 1).astype(np.int64)
        dots = Dots(
            place[0], place[1], of_class, ("other rows", f"rows of {dataset.target_names[j]}")
        )
    return Map(frame(whole), x, y, z, dots, names[0], names[1], label)


def fit_in_words(fit: Fit) -> str:
    """Return the method and its choices, without those that go without saying."""
    fields: dict[str, Any] = fit_from_domain(fit).model_dump(exclude_unset=True)
    method, metric = fields.pop("method"), fields.pop("metric", "euclidean")
    fields["metric"] = next(iter(metric)) if isinstance(metric, dict) else metric
    said = [
        f"{name} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in fields.items()
        if name not in PLAIN or PLAIN[name] != value
    ]
    return f"{method}, {', '.join(said)}" if said else str(method)


def _curve(answer: Answer, shape: Slice, j: int, rows: Rows, frame: OfDescription) -> Curves:
    dataset, (x,), (feature,) = answer.dataset, shape.axes, shape.features
    name, label = dataset.feature_names[feature], dataset.target_names[j]
    y, about = answer.prediction.mean[:, j], ""
    line = Line("estimate", y)
    if (found := answer.prediction.intervals) is not None:
        band = _interval_name(found)
        line = Line("estimate", y, found.lower[:, j], found.upper[:, j], band)
        about = f"The band is the {band}. "
    whole = f"A curve of {label} over {name}. {_extremes(y)}{about}{_marked(len(rows))}"
    dots = Dots(column(dataset, feature)[rows], dataset.y[rows, j])
    return Curves(frame(whole), x, (line,), dots, name, label)


def _class_curves(
    dataset: Dataset,
    shape: Slice,
    target: int | None,
    rows: Rows,
    estimates: Floats,
    frame: OfDescription,
) -> Curves:
    (x,), (feature,) = shape.axes, shape.features
    shown, name = _classes_shown(dataset, target), dataset.feature_names[feature]
    classes = tuple(dataset.target_names[j] for j in shown)
    codes = np.full(dataset.n_targets, -1, dtype=np.int64)
    codes[list(shown)] = np.arange(len(shown))
    groups = codes[np.argmax(dataset.y[rows], axis=1)]
    marked = rows[groups >= 0]
    places = column(dataset, feature)[marked]
    dots = Dots(places, np.zeros(len(marked)), groups[groups >= 0], classes)
    whole = f"Curves of the probability of {', '.join(classes)} over {name}. {_marked(len(marked))}"
    lines = tuple(Line(label, estimates[:, j]) for label, j in zip(classes, shown, strict=True))
    return Curves(frame(whole), x, lines, dots, name, f"probability of {dataset.class_column}")


def _classes_shown(dataset: Dataset, target: int | None) -> tuple[int, ...]:
    """Return the class that is asked for, or the most frequent ones, in their own order."""
    if target is not None:
        return (target,)
    frequent = np.argsort(-dataset.y.sum(axis=0), kind="stable")[:MOST_CLASSES]
    return tuple(sorted(int(j) for j in frequent))


def _target_name(dataset: Dataset, j: int) -> str:
    if dataset.classes is None:
        return dataset.target_names[j]
    return f"probability of {dataset.target_names[j]}"


def _interval_name(found: Intervals) -> str:
    return f"{100 * found.level:.4g} % {INTERVAL_NAMES.get(found.kind, found.kind)} interval"


def _extremes(estimates: Floats) -> str:
    """Return a sentence with the lowest and the highest estimate, and nothing without any."""
    finite = estimates[np.isfinite(estimates)]
    if not finite.size:
        return ""
    return f"The estimate goes from {finite.min():.4g} to {finite.max():.4g}. "


def _marked(rows: int) -> str:
    return f"{rows:,} rows are marked."


def _held_notes(shape: Slice) -> tuple[str, ...]:
    if not shape.held:
        return ()
    said = [
        f"{name} = {level if isinstance(level, str) else f'{level:.4g}'}"
        for name, level in shape.held[:MOST_HELD]
    ]
    more = len(shape.held) - len(said)
    others = f" and {more} more" if more else ""
    return (f"Held at medians: {', '.join(said)}{others}. Rows are drawn whatever theirs are.",)


def _row_notes(dataset: Dataset, rows: Rows) -> tuple[str, ...]:
    if len(rows) == dataset.n_rows:
        return ()
    return (f"{len(rows):,} of {dataset.n_rows:,} rows are drawn.",)


def _class_notes(dataset: Dataset) -> tuple[str, ...]:
    if dataset.classes is None:
        return ()
    return (f"The {MOST_CLASSES} most frequent of {dataset.n_targets} classes are drawn.",)


def _answer_notes(answer: Answer) -> tuple[str, ...]:
    """Return what should be known about the estimates."""
    notes = []
    prediction = answer.prediction
    missing = int(np.isnan(prediction.mean[:, 0]).sum())
    if missing:
        notes.append(
            f"No estimate at {missing:,} of {len(prediction.mean):,} places, where no row carries "
            "weight."
        )
    if any(issue.status is Status.NOT_CONVERGED for issue in prediction.issues):
        notes.append("The solution has not converged.")
    found = prediction.intervals
    if found is not None and np.isinf(found.upper).any():
        notes.append("Where nothing bounds the interval, the band goes on.")
    return tuple(notes)
