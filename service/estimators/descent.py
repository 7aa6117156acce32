"""Gradient descent on a surface, from many starts at once.

From the point x_k with the gradient g_k, with the rate η_k, the momentum μ and the projection P on
the bounds,

    d_k = μ (x_k - x_{k-1}) - η_k g_k,     x_{k+1} = P(x_k + d_k)

| decay       | η_k          |   | decay   | η_k                              |
|-------------|--------------|---|---------|----------------------------------|
| constant    | η            |   | inverse | η / (1 + γk)                     |
| exponential | η exp(-γk)   |   | step    | η 2^-⌊γk⌋: halved each 1/γ steps |

With a line search, η_k is halved until the step brings what its slope promises (Armijo):

    f(x_{k+1}) ≤ f(x_k) + 10⁻⁴ g_kᵀ(x_{k+1} - x_k)

Ascent is descent on -f. A start is done when f changes by little, when its point no longer moves,
or where the surface ends; the others go on.

Sources: Polyak (1964), USSR Computational Mathematics and Mathematical Physics 4(5), 1-17, for the
momentum; Armijo (1966), Pacific Journal of Mathematics 16(1), 1-3; Bertsekas (1976), IEEE
Transactions on Automatic Control 21(2), 174-184, for the search along the projection.

Over 300 lines: the rules of a step, and the loop over all paths that applies them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats, Rows, as_floats
from service.domain.dataset import LARGEST_VALUE
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.estimators.ordered import ordered_sum

Surface: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""Returns the values (s,) and gradients (s, d) at the points (s, d); NaN where there are none."""

SUFFICIENT, MOST_HALVINGS = 1e-4, 60
"""The share of the promised decrease that a line search asks for, and its end: 2⁻⁶⁰ is 1e-18."""

LEAST_SCALE = 1e-3
"""Changes are compared with |f|, or with this share of |f| at the start, where f goes to 0."""


class Decay(StrEnum):
    """How the rate falls from step to step."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    INVERSE = "inverse"
    STEP = "step"


class Stop(StrEnum):
    """Why a path ended."""

    CONVERGED = "converged"
    STATIONARY = "stationary"
    MAX_STEPS = "max_steps"
    NO_SUPPORT = "no_support"
    DIVERGED = "diverged"
    DEADLINE = "deadline"


ADVICE = {
    Stop.CONVERGED: "The last step changed the value by no more than the tolerance.",
    Stop.STATIONARY: (
        "No step helps: the gradient is 0 or points out of the bounds, the rate has decayed to 0, "
        "or it is far too large for a line search."
    ),
    Stop.MAX_STEPS: "All steps are used: raise max_steps, or the rate.",
    Stop.NO_SUPPORT: (
        "No row carries weight at the start, or where the next step leads: start nearer to the "
        "data, widen the bandwidth, or set bounds."
    ),
    Stop.DIVERGED: "The next step leads beyond all numbers: lower the rate or set bounds.",
    Stop.DEADLINE: "The time was over: allow more, or fewer starts and steps.",
}


@dataclass(frozen=True)
class Descent:
    """How to descend.

    Attributes:
        rate: η > 0.
        decay: How it falls.
        decay_rate: γ ≥ 0; unused where it is constant.
        momentum: μ, 0 ≤ μ < 1.
        tolerance: A path has converged when |f_{k+1} - f_k| is at most this times |f_k|; 0 goes on
            to the last step.
        max_steps: Steps at most, for each start.
        low: Lower bounds, one a feature, or None.
        high: Upper bounds, one a feature, or None.
        ascent: Go up, to a maximum.
        line_search: Halve the rate until a step lowers the value enough; takes no momentum.
    """

    rate: float = 0.1
    decay: Decay = Decay.CONSTANT
    decay_rate: float = 0.0
    momentum: float = 0.0
    tolerance: float = 1e-8
    max_steps: int = 1000
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    ascent: bool = False
    line_search: bool = False

    def rate_at(self, step: int) -> float:
        """Return η_k."""
        match self.decay:
            case Decay.CONSTANT:
                return self.rate
            case Decay.EXPONENTIAL:
                return float(self.rate * np.exp(-self.decay_rate * step))
            case Decay.INVERSE:
                return self.rate / (1.0 + self.decay_rate * step)
            case Decay.STEP:
                return float(self.rate * np.exp2(-np.floor(self.decay_rate * step)))


@dataclass(frozen=True, eq=False)
class Path:
    """Where one start led: k steps through k + 1 points.

    Attributes:
        points: (k + 1, d), the start first, within the bounds.
        values: f at the points, (k + 1,); NaN only for a start where the surface has no value.
        gradients: Of f at the points, (k + 1, d), whether it is descended or ascended.
        step_sizes: The rate of each step, (k,).
        stop: Why it ended.
    """

    points: Floats
    values: Floats
    gradients: Floats
    step_sizes: Floats
    stop: Stop


_Stride: TypeAlias = tuple[Rows, Floats, Floats, Floats, Floats]
"""Which paths took a step, where it led them, the values and gradients there, and their rates."""


@dataclass(eq=False)
class _State:
    """Where all paths are, (s, …), changed step by step; `stops` are None while they go on."""

    points: Floats
    values: Floats
    gradients: Floats
    momentum: Floats
    stops: list[Stop | None]

    def end(self, paths: Rows, stop: Stop) -> None:
        """Say why these paths end."""
        for path in paths:
            self.stops[path] = stop

    def stride(self, paths: Rows, rates: Floats) -> _Stride:
        """Return a copy of where these paths are, and the rates that led there."""
        return paths, self.points[paths], self.values[paths], self.gradients[paths], rates

    @property
    def active(self) -> Rows:
        """The paths that have not ended."""
        return np.array([i for i, stop in enumerate(self.stops) if stop is None], dtype=np.int64)


def descend(surface: Surface, starts: Floats, descent: Descent) -> tuple[Path, ...]:
    """Return the path from each start, in their order.

    A start outside the bounds begins at the nearest point within them. The surface is asked for all
    unfinished paths at once; when it raises `DeadlineExceeded`, the paths end where they are.

    Args:
        surface: What to descend on.
        starts: (s, d).
        descent: How.

    Raises:
        InvalidInput: The bounds do not fit, or a line search is to have momentum.

    Cost: a call of the surface a step, and one more a halving.
    """
    low, high = _bounds(descent, starts.shape[1])
    sign = -1.0 if descent.ascent else 1.0

    def downhill(points: Floats) -> tuple[Floats, Floats]:
        values, gradients = surface(as_floats(points))
        return sign * values, sign * gradients

    points = np.clip(starts, low, high)
    values, gradients = downhill(points)
    state = _State(points, values, gradients, np.zeros_like(points), [None] * len(points))
    unusable = ~(np.isfinite(values) & np.isfinite(gradients).all(axis=1))
    state.end(np.flatnonzero(unusable), Stop.NO_SUPPORT)
    strides = [state.stride(np.arange(len(points)), np.zeros(len(points)))]
    least = LEAST_SCALE * np.abs(values)
    for step in range(descent.max_steps):
        at = state.active
        if not at.size:
            break
        before = state.values[at]
        try:
            moved, rates = _step(downhill, state, at, descent, descent.rate_at(step), low, high)
        except DeadlineExceeded:
            state.end(at, Stop.DEADLINE)
            break
        strides.append(state.stride(at[moved], rates[moved]))
        change = np.abs(state.values[at] - before)
        settled = change <= descent.tolerance * np.maximum(np.abs(before), least[at])
        if descent.tolerance > 0:
            state.end(at[moved & settled], Stop.CONVERGED)
    state.end(state.active, Stop.MAX_STEPS)
    return _paths(strides, sign, [stop for stop in state.stops if stop])


def _bounds(descent: Descent, d: int) -> tuple[Floats, Floats]:
    """Return the bounds as arrays, (d,) each."""
    if descent.line_search and descent.momentum > 0:
        raise InvalidInput.at(
            "/momentum",
            f"momentum is {descent.momentum:g}, but a line search looks along the gradient alone: "
            "send a momentum of 0, or no line search.",
        )
    sides = []
    for name, values, none in (("low", descent.low, -np.inf), ("high", descent.high, np.inf)):
        side = np.full(d, none) if values is None else np.asarray(values, dtype=np.float64)
        if side.shape != (d,):
            raise InvalidInput.at(
                f"/bounds/{name}",
                f"There are {side.size} bounds for {d} features: send one for each.",
            )
        sides.append(side)
    crossed = np.flatnonzero(~(sides[0] <= sides[1]))
    if crossed.size:
        j = int(crossed[0])
        raise InvalidInput.at(
            f"/bounds/low/{j}",
            f"The lower bound of feature {j}, {sides[0][j]:g}, is above the upper, "
            f"{sides[1][j]:g}: exchange them.",
        )
    return sides[0], sides[1]


def _step(
    downhill: Surface,
    state: _State,
    at: Rows,
    descent: Descent,
    rate: float,
    low: Floats,
    high: Floats,
) -> tuple[NDArray[np.bool_], Floats]:
    """Take a step on the paths `at`; return which of them moved, and the rate of each."""
    moved, rates, seeking = np.zeros(len(at), dtype=np.bool_), np.full(len(at), rate), at
    for _ in range(MOST_HALVINGS if descent.line_search else 1):
        places = np.searchsorted(at, seeking)
        x, g = state.points[seeking], state.gradients[seeking]
        with np.errstate(over="ignore"):  # to ±∞, which is beyond all numbers
            push = descent.momentum * state.momentum[seeking] - rates[places, None] * g
            target = np.clip(x + push, low, high)
        stays = (target == x).all(axis=1)
        beyond = np.asarray(~(np.abs(target) <= LARGEST_VALUE).all(axis=1))
        state.end(seeking[stays], Stop.STATIONARY)
        values, gradients = np.full(len(seeking), np.nan), np.full_like(x, np.nan)
        asked = ~stays & ~beyond
        if asked.any():
            values[asked], gradients[asked] = downhill(target[asked])
        taken = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
        if descent.line_search:
            promised = ordered_sum(g * np.where(beyond[:, None], 0.0, target - x))
            taken &= values <= state.values[seeking] + SUFFICIENT * promised
        on = seeking[taken]
        state.momentum[on] = target[taken] - x[taken]
        state.points[on], state.values[on] = target[taken], values[taken]
        state.gradients[on] = gradients[taken]
        moved[places[taken]] = True
        left = ~taken & ~stays
        if not descent.line_search:
            state.end(seeking[left & beyond], Stop.DIVERGED)
            state.end(seeking[left & ~beyond], Stop.NO_SUPPORT)
        seeking = seeking[left]
        if not seeking.size:
            break
        rates[np.searchsorted(at, seeking)] *= 0.5
    if descent.line_search:
        state.end(seeking, Stop.STATIONARY)
    return moved, rates


def _paths(strides: Sequence[_Stride], sign: float, stops: Sequence[Stop]) -> tuple[Path, ...]:
    """Return the strides of each path as one."""
    owner, points, values, gradients, rates = (
        np.concatenate(parts) for parts in zip(*strides, strict=True)
    )
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(stops)))
    taken = (order[start:stop] for start, stop in zip([0, *ends[:-1]], ends, strict=True))
    return tuple(
        Path(points[at], sign * values[at], sign * gradients[at], rates[at[1:]], stop)
        for at, stop in zip(taken, stops, strict=True)
    )
