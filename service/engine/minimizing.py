"""Gradient descent on the surface of a fit, step by step through the tasks of predictions."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar, final

import numpy as np

from service.backends.base import Backend
from service.domain.arrays import Floats, as_floats
from service.domain.categories import Encoding
from service.domain.dataset import LARGEST_VALUE, Dataset
from service.domain.errors import InvalidInput
from service.domain.prediction import Wanted
from service.engine.commands import Minimum
from service.engine.plan import Plan
from service.engine.portions import too_late
from service.engine.prepared import Prepared, Sized
from service.engine.task import prepared_rows, run_task
from service.engine.workers.base import Task
from service.estimators.blocks import Blocks
from service.estimators.descent import Descent, Path, descend
from service.estimators.fits import Fit
from service.estimators.gradients import check_has_gradient

T = TypeVar("T")
P = TypeVar("P", bound=Sized)

MOST_NUMBERS = 10_000_000
"""Of all paths together: coordinates, gradients, values and rates. 80 MB, and 200 MB of JSON."""

OVERTIME_S = 1.0
"""What a block under way at the end of the time may take, so that the paths are not lost."""


@dataclass(frozen=True, eq=False)
class Question:
    """What to descend on, and how.

    Attributes:
        dataset: The version to look at.
        fit: Resolved and checked against the dataset.
        plan: How its predictions are computed, on the native engine.
        target: The position of the target.
        starts: (s, d), finite.
        descent: How.
        deadline: When the paths end where they are, on the clock of `time.monotonic`.

    Raises:
        InvalidInput: The surface has no slope to follow, or the paths could hold too many numbers.
    """

    dataset: Dataset
    fit: Fit
    plan: Plan
    target: int
    starts: Floats
    descent: Descent
    deadline: float

    def __post_init__(self) -> None:
        """Check what can be checked before anything is computed."""
        check_has_gradient(self.fit)
        (s, d), steps = self.starts.shape, self.descent.max_steps
        numbers = s * (steps + 1) * (2 * d + 2)
        if numbers > MOST_NUMBERS:
            most = MOST_NUMBERS // (s * (2 * d + 2)) - 1
            remedy = f"send at most {most:,}, or fewer starts" if most > 0 else "send fewer starts"
            raise InvalidInput.at(
                "/max_steps",
                f"max_steps is {steps:,}, and the paths of {s:,} starts in {d} features could hold "
                f"{numbers:,} numbers, more than {MOST_NUMBERS:,}: {remedy}.",
            )


def smooth_or(default: Fit, fit: Fit) -> Fit:
    """Return the fit, or the default where the surface of the fit has no slope to follow."""
    try:
        check_has_gradient(fit)
    except InvalidInput:
        return default
    return fit


def target_named(dataset: Dataset, name: str | None) -> int:
    """Return the position of a target; the only one has no need of its name.

    Raises:
        InvalidInput: There is none of this name, or several and no name.
    """
    names = dataset.target_names
    if name is None and len(names) == 1:
        return 0
    if name in names:
        return names.index(name)
    found = "no target is named" if name is None else f"there is no target '{name[:200]}'"
    known = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    raise InvalidInput.at("/target", f"The dataset has {known}, and {found}: name one of them.")


def minimized(question: Question, backend: Backend, prepared: Prepared, blocks: Blocks) -> Minimum:
    """Return where the paths lead.

    Raises:
        DeadlineExceeded: The time was over before the starts had their values.
        InvalidInput: The fit cannot be made on these rows, or the bounds do not fit.
    """
    started = time.monotonic()
    dataset, fit, plan, target = question.dataset, question.fit, question.plan, question.target
    encoding = dataset.encoding
    held, timed = _Held(prepared), _Until(blocks, question.deadline)
    rows = prepared_rows(dataset, fit.metric, plan.search, backend, held, timed.check)

    def surface(points: Floats) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):  # not asked for
            inside = np.abs(rows.mapped.of(points)) <= LARGEST_VALUE
        at = np.flatnonzero(inside.all(axis=1))
        values, gradients = np.full(len(points), np.nan), np.full(points.shape, np.nan)
        if at.size:
            task = Task(dataset, fit, as_floats(points[at]), plan, Wanted(gradient=True))
            prediction = run_task(task, backend, held, timed)
            if prediction.gradient is None:
                raise TypeError("the gradient was asked for")
            values[at] = prediction.mean[:, target]
            gradient = prediction.gradient[:, target]
            gradients[at] = gradient if encoding is None else encoding.of_coordinates(gradient)
        return values, gradients

    paths = descend(surface, question.starts, _in_coordinates(question.descent, encoding))
    return Minimum(
        dataset=dataset,
        fit=fit,
        target=dataset.target_names[target],
        paths=paths,
        left_data=tuple(_leaves(path, rows.low, rows.high) for path in paths),
        best=_best(paths, is_ascent=question.descent.ascent),
        compute_s=time.monotonic() - started,
    )


def _in_coordinates(descent: Descent, encoding: Encoding | None) -> Descent:
    """Return the descent with its bounds by coordinate; a category stays at the level of the start.

    Raises:
        InvalidInput: There is not one bound a feature, or one for a category.
    """
    if encoding is None:
        return descent
    low, high = (
        None if bounds is None else _bounds_of_coordinates(name, bounds, encoding)
        for name, bounds in (("low", descent.low), ("high", descent.high))
    )
    return replace(descent, low=low, high=high)


def _bounds_of_coordinates(
    name: str, bounds: tuple[float, ...], encoding: Encoding
) -> tuple[float, ...]:
    d = len(encoding.categories)
    if len(bounds) != d:
        raise InvalidInput.at(
            f"/bounds/{name}",
            f"There are {len(bounds)} bounds for {d} features: send one for each, null for a "
            "category.",
        )
    for j, category in enumerate(encoding.categories):
        if category is not None and np.isfinite(bounds[j]):
            raise InvalidInput.at(
                f"/bounds/{name}/{j}",
                f"Feature {j} is a category, which stays at the level of the start, and its bound "
                f"is {bounds[j]:g}: send null.",
            )
    return tuple(bounds[j] for j in encoding.features)


def _leaves(path: Path, low: Floats, high: Floats) -> bool:
    return bool(((path.points < low) | (path.points > high)).any())


def _best(paths: tuple[Path, ...], *, is_ascent: bool) -> int | None:
    """Return the path with the lowest end, or the highest; the first of equals."""
    ends = np.array([path.values[-1] for path in paths])
    if np.isnan(ends).all():
        return None
    return int(np.nanargmax(ends) if is_ascent else np.nanargmin(ends))


@final
class _Held:
    """Keeps what is prepared for as long as a descent takes, of rows sent along too.

    Args:
        prepared: Where it comes from.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._held: dict[Hashable, Sized] = {}

    def get(
        self, dataset: Dataset, part: Hashable, make: Callable[[], P], check: Callable[[], None]
    ) -> P:
        """Return this part of the dataset, the same at every step."""
        if part not in self._held:
            self._held[part] = self._prepared.get(dataset, part, make, check)
        return self._held[part]  # type: ignore[return-value]  # a part has one type

    def earlier(self, dataset: Dataset, part: Hashable) -> Sized | None:
        """Return this part of an earlier version of the dataset, if one is still kept."""
        return self._prepared.earlier(dataset, part)


@final
class _Until:
    """Blocks that end sooner, so that a descent can say where it was.

    Args:
        blocks: Runs the work.
        deadline: On the clock of `time.monotonic`.
    """

    def __init__(self, blocks: Blocks, deadline: float) -> None:
        self._blocks = blocks
        self._deadline = deadline

    def __call__(
        self, work: Callable[[slice], T], m: int, block_size: int, first: int = 16
    ) -> list[T]:
        """Return what `work` gives for each slice, in order; see `Blocks`."""

        def checked(part: slice) -> T:
            self.check()
            return work(part)

        return self._blocks(checked, m, block_size, first)

    def inside(self) -> "_Until":
        """Return blocks on the same clock for use inside of a slice."""
        return _Until(self._blocks.inside(), self._deadline)

    def check(self) -> None:
        """Raise `DeadlineExceeded` if the time is over."""
        self._blocks.check()
        if time.monotonic() > self._deadline:
            raise too_late()
