"""The closed set of KeOps formulas, as data: nothing here imports pykeops.

A formula is compiled once for its text and for each number of features D. So d features are padded
with zero columns up to the next compiled D, which changes no Euclidean distance, and everything
that a request may choose (kernel, covariance, length scale) is a number in a parameter vector. No
request ever waits for a compiler.

| formula  | per pair (query q, row x)                                       | reduction   |
|----------|-----------------------------------------------------------------|-------------|
| nearest  | ‖x - q‖²                                                        | K arg-min   |
| moments  | w φφᵀ (upper triangle by rows), w φ y, w², [w > 0]              | sum         |
| product  | (1 + p₁s + p₂s²) exp(-(g₁s² + g₂s)) a,  s = ‖x - q‖ / l         | sum         |

with u = e ‖x - q‖ / h, z = (x - c) / h, φ the monomials of z (`base.Moments`), and

    w = f₀ [u ≤ 1] + f₁ (1 - u)₊ + f₂ (1 - u²)₊ + f₃ (1 - u²)₊² + f₄ (1 - u²)₊³ + f₅ (1 - u³)₊³
      + f₆ sin(π/2 (1 - u)₊) + f₇ exp(-v / 2) [v ≤ 700],  v = ((u - s)(u + s))₊,  s = δ / h

where exactly one f is 1: cos(π/2 u) = sin(π/2 (1 - u)) is exactly zero at the edge in this form,
and the exponential cannot overflow; below e⁻³⁵⁰ a weight is worth nothing and w² is subnormal, so
it is zero, as in the native engine. The factor e moves the edge by some units in the last place,
see `edge_factor`.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.backends.base import monomial_count
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance, Kernel

Device = Literal["cpu", "cuda"]
Kind = Literal["Vi", "Vj", "Pm"]

DIMENSIONS: dict[Device, tuple[int, ...]] = {"cpu": (3, 10), "cuda": (1, 2, 3, 5, 8, 16, 32)}
"""The numbers of features that are compiled. Fewer on a CPU, where KeOps is not the fast engine."""

CANDIDATES = (16, 128)
"""The numbers of neighbours that are compiled: k is rounded up, at least by one, and cut."""

WIDEST_QUADRATIC = 3
"""Degree 2 has (d+1)(d+2)/2 monomials, so the sums grow as d⁴: beyond 3 features registers end."""

WIDEST_LINEAR = 16
"""Degree 1 in 32 features would be 596 sums a query, far beyond the registers of any GPU."""

MAX_ELEMENTS = 2**31 - 1
"""KeOps counts the elements of an array with a 32-bit integer in places."""

REACH_LIMIT = 1e75
"""|z| is cut here, so that a row without weight gives 0 · z⁴ = 0 and not 0 · ∞."""

_WEIGHT_ORDER = (
    Kernel.UNIFORM,
    Kernel.TRIANGULAR,
    Kernel.EPANECHNIKOV,
    Kernel.BIWEIGHT,
    Kernel.TRIWEIGHT,
    Kernel.TRICUBE,
    Kernel.COSINE,
    Kernel.GAUSSIAN,
)
_HALF_PI, _EDGE, _REACH = 8, 9, 10
WEIGHT_PARAMETERS = 11
COVARIANCE_PARAMETERS = 5


@dataclass(frozen=True)
class Formula:
    """One compiled reduction.

    Attributes:
        name: For people, such as "moments of degree 1 in 3 features".
        text: What KeOps evaluates for each pair.
        arguments: (name, kind, columns) in order; the kind is Vi for one row a query, Vj for one
            row a data row, Pm for a parameter vector.
        width: Columns of the result.
        neighbors: K for an arg-min over K; 0 for a sum.
        features: D.
        degree: Of the monomials; -1 where there are none.
    """

    name: str
    text: str
    arguments: tuple[tuple[str, Kind, int], ...]
    width: int
    features: int
    neighbors: int = 0
    degree: int = -1


def formula_set(device: Device) -> tuple[Formula, ...]:
    """Return all formulas that are compiled for the device."""
    found: list[Formula] = []
    for d in DIMENSIONS[device]:
        found += [nearest_formula(d, k) for k in CANDIDATES]
        found += [product_formula(d)]
        found += [moments_formula(d, degree) for degree in (0, 1, 2) if d <= widest(device, degree)]
    return tuple(found)


def widest(device: Device, degree: int | None) -> int:
    """Return the largest number of features served, for moments of the degree or without any.

    0 for degree 3, which has no formula: even one feature would be 20 sums of up to 6th powers.
    """
    limits = {None: math.inf, 0: math.inf, 1: WIDEST_LINEAR, 2: WIDEST_QUADRATIC}
    limit = limits.get(degree, 0.0)
    return max((d for d in DIMENSIONS[device] if d <= limit), default=0)


def served(
    n: int, d: int, *, k: int | None, degree: int | None, device: Device
) -> tuple[bool, str]:
    """Say whether the compiled set serves a fit, and why not where it does not.

    Args:
        n: Rows of the dataset.
        d: Features.
        k: Neighbours asked for, None where the fit has a bandwidth or takes all rows.
        degree: Of the moments, None where none are taken.
        device: Where the worker runs.

    Returns:
        (True, "") or (False, the reason as half a sentence).
    """
    if d > widest(device, None):
        return False, f"d = {d} is above {widest(device, None)}, the widest formula compiled"
    if widest(device, degree) == 0:
        return False, f"no formula of degree {degree} is compiled"
    if d > widest(device, degree):
        return False, (
            f"d = {d} is above {widest(device, degree)}, the widest formula of degree {degree} "
            "compiled"
        )
    if k is not None and k >= CANDIDATES[-1]:
        return False, f"k = {k} is above {CANDIDATES[-1] - 1}, the most neighbours compiled"
    if n * padded_features(d, device) > MAX_ELEMENTS:
        return False, f"{n} rows of {d} features are more than {MAX_ELEMENTS} numbers"
    return True, ""


def padded_features(d: int, device: Device) -> int:
    """Return the smallest compiled D ≥ d.

    Raises:
        ValueError: d is above the widest formula.
    """
    for width in DIMENSIONS[device]:
        if d <= width:
            return width
    raise ValueError(f"No KeOps formula has {d} features; the planner should not have sent this.")


def nearest_formula(d: int, k: int) -> Formula:
    """Return the row numbers of the k smallest ‖x - q‖²."""
    return Formula(
        name=f"{k} nearest in {d} features",
        text="SqDist(q,x)",
        arguments=(("q", "Vi", d), ("x", "Vj", d)),
        width=k,
        neighbors=k,
        features=d,
    )


def product_formula(d: int) -> Formula:
    """Return Σ K(q, x) a for one column of coefficients.

    s is cut at 10⁴, where every covariance is zero: so the polynomial stays finite and never
    meets the zero of the exponential as ∞ · 0.
    """
    text = _let(
        "S",
        "ClampInt(Sqrt(SqDist(q,x))/Elem(p,4),0,10000)",
        "(1+Elem(p,0)*S+Elem(p,1)*Square(S))*Exp(-(Elem(p,2)*Square(S)+Elem(p,3)*S))*a",
    )
    return Formula(
        name=f"product in {d} features",
        text=text,
        arguments=(
            *(("q", "Vi", d), ("x", "Vj", d), ("a", "Vj", 1)),
            ("p", "Pm", COVARIANCE_PARAMETERS),
        ),
        width=1,
        features=d,
    )


def moments_formula(d: int, degree: int) -> Formula:
    """Return the weighted sums of one target column: triangle of φφᵀ, φ y, w², count."""
    p = monomial_count(d, degree)
    reach = f"Elem(p,{_REACH})"
    z = f"Clamp((x-c)/h,-{reach},{reach})"
    phi = {0: "IntCst(1)", 1: "Concat(IntCst(1),Z)", 2: f"Concat(Concat(IntCst(1),Z),{_square(d)})"}
    sums = _concat([f"Elem(P,{j})*Extract(P,{j},{p - j})" for j in range(p)] + ["y*P"])
    text = f"Concat(W*{sums},Concat(W*W,Sign(W)))"
    text = _let("P", phi[degree], text)
    if degree:
        text = _let("Z", z, text)
    text = _let("W", _WEIGHT, text)
    text = _let("U", f"Elem(p,{_EDGE})*Sqrt(SqDist(q,x))/h", text)
    return Formula(
        name=f"moments of degree {degree} in {d} features",
        text=text,
        arguments=(
            *(("q", "Vi", d), ("h", "Vi", 1), ("s", "Vi", 1)),
            *((("c", "Vi", d),) if degree else ()),
            *(("x", "Vj", d), ("y", "Vj", 1), ("p", "Pm", WEIGHT_PARAMETERS)),
        ),
        width=p * (p + 1) // 2 + p + 2,
        features=d,
        degree=degree,
    )


def weight_parameters(kernel: Kernel, d: int) -> Floats:
    """Return the vector p of the moments: one flag a kernel, π/2, the edge and the reach."""
    parameters = np.zeros(WEIGHT_PARAMETERS)
    parameters[_WEIGHT_ORDER.index(kernel)] = 1.0
    parameters[_HALF_PI] = math.pi / 2
    parameters[_EDGE] = edge_factor(kernel, d)
    parameters[_REACH] = REACH_LIMIT
    return parameters


def edge_factor(kernel: Kernel, d: int) -> float:
    """Return the factor on u that puts a row at u = 1 safely on its side of the edge.

    The k-th neighbour often defines h, so its u is 1 up to rounding, which differs between
    machines that fuse multiply and add and those that do not. A distance of d features is off by
    at most d/2 + 2 units in the last place. The uniform kernel includes its edge, so u shrinks by
    some more; at the edge of every other compact kernel the weight is zero, so u grows.
    """
    if kernel is Kernel.GAUSSIAN:
        return 1.0
    return 1.0 - distance_slack(d) if kernel is Kernel.UNIFORM else 1.0 + distance_slack(d)


def distance_slack(d: int) -> float:
    """Return how far, relatively, two computations of one distance can lie apart."""
    return (4 + d / 2) * float(np.finfo(np.float64).eps)


def covariance_parameters(covariance: Covariance, length_scale: float) -> Floats:
    """Return the vector (p₁, p₂, g₁, g₂, l) of the product."""
    root3, root5 = math.sqrt(3.0), math.sqrt(5.0)
    shape = {
        Covariance.GAUSSIAN: (0.0, 0.0, 0.5, 0.0),
        Covariance.LAPLACIAN: (0.0, 0.0, 0.0, 1.0),
        Covariance.MATERN32: (root3, 0.0, 0.0, root3),
        Covariance.MATERN52: (root5, 5.0 / 3.0, 0.0, root5),
    }[covariance]
    return np.array([*shape, length_scale])


def kept_monomials(d: int, padded: int, degree: int) -> Rows:
    """Return where the monomials of the first d of `padded` features stand among all."""
    places = [0]
    if degree >= 1:
        places += range(1, d + 1)
    if degree == 2:
        pairs = [(i, j) for i in range(padded) for j in range(i, padded)]
        places += [1 + padded + at for at, (i, j) in enumerate(pairs) if j < d]
    return np.array(places, dtype=np.int64)


_WEIGHT = (
    "(Elem(p,0)*Step(1-U)"
    "+Elem(p,1)*ReLU(1-U)"
    "+Elem(p,2)*ReLU(1-Square(U))"
    "+Elem(p,3)*Square(ReLU(1-Square(U)))"
    "+Elem(p,4)*ReLU(1-Square(U))*Square(ReLU(1-Square(U)))"
    "+Elem(p,5)*ReLU(1-U*Square(U))*Square(ReLU(1-U*Square(U)))"
    f"+Elem(p,6)*Sin(Elem(p,{_HALF_PI})*ReLU(1-U))"
    "+Elem(p,7)*Exp(-(ClampInt((U-s)*(U+s),0,700)/2))*Step(700-(U-s)*(U+s)))"
)


def _let(name: str, value: str, body: str) -> str:
    """Return `body` with the value in the place of the name, computed once for each pair."""
    return "Factorize({},{})".format(re.sub(rf"\b{name}\b", f"({value})", body), value)


def _square(d: int) -> str:
    return _concat([f"Elem(Z,{j})*Extract(Z,{j},{d - j})" for j in range(d)])


def _concat(parts: list[str]) -> str:
    """Return one vector; as a balanced tree, since each level of Concat copies what is below."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"Concat({_concat(parts[:half])},{_concat(parts[half:])})"
