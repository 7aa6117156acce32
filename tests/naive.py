"""The slow, obvious version of every method: what the fast ones are held against."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from service.domain.arrays import Floats

KERNELS: dict[str, Callable[[float], float]] = {
    "gaussian": lambda u: float(np.exp(-u * u / 2)),
    "epanechnikov": lambda u: max(0.0, 1 - u * u),
    "tricube": lambda u: max(0.0, 1 - u**3) ** 3,
    "uniform": lambda u: 1.0 if u <= 1 else 0.0,
    "triangular": lambda u: max(0.0, 1 - u),
    "biweight": lambda u: max(0.0, 1 - u * u) ** 2,
    "triweight": lambda u: max(0.0, 1 - u * u) ** 3,
    "cosine": lambda u: float(np.cos(np.pi * u / 2)) if u < 1 else 0.0,
}

COVARIANCES: dict[str, Callable[[float], float]] = {
    "gaussian": lambda s: float(np.exp(-s * s / 2)),
    "laplacian": lambda s: float(np.exp(-s)),
    "matern32": lambda s: float((1 + np.sqrt(3) * s) * np.exp(-np.sqrt(3) * s)),
    "matern52": lambda s: float((1 + np.sqrt(5) * s + 5 * s * s / 3) * np.exp(-np.sqrt(5) * s)),
}


def distance(a: Floats, b: Floats) -> float:
    """Return the Euclidean distance of two points, over the cells that neither misses."""
    total, common = 0.0, 0
    for p, r in zip(a.tolist(), b.tolist(), strict=True):
        if not np.isnan(p) and not np.isnan(r):
            total += (p - r) * (p - r)  # not **2, which is libm's pow and may differ in a bit
            common += 1
    return float(np.sqrt(total * (len(a) / common))) if common else np.inf


def nearest(x: Floats, q: Floats, k: int) -> list[int]:
    """Return the k nearest rows of one query, by (distance, row)."""
    return sorted(range(len(x)), key=lambda i: (distance(x[i], q), i))[:k]


def knn(x: Floats, y: Floats, q: Floats, k: int, weights: str = "uniform") -> Floats:
    """Return the mean of the k nearest rows of one query."""
    rows = [i for i in nearest(x, q, k) if distance(x[i], q) < np.inf]
    if weights == "uniform":
        return np.asarray(np.mean([y[i] for i in rows], axis=0))
    exact = [i for i in rows if distance(x[i], q) == 0]
    if exact:
        return np.asarray(np.mean([y[i] for i in exact], axis=0))
    w = [1 / distance(x[i], q) for i in rows]
    weighted = [w_i * y[i] for w_i, i in zip(w, rows, strict=True)]
    return np.asarray(np.sum(weighted, axis=0) / np.sum(w))


def local_polynomial(
    x: Floats,
    y: Floats,
    q: Floats,
    kernel: str,
    degree: int,
    *,
    bandwidth: float | None = None,
    n_neighbors: int | None = None,
    row_weights: Floats | None = None,
    row_bandwidths: Floats | None = None,
) -> Floats | None:
    """Return the local polynomial's value at one query, or None without support.

    By least squares on the square roots of the weights (an SVD), not by normal equations.
    """
    distances = [distance(row, q) for row in x]
    near = [r for r in sorted(distances)[: n_neighbors or 1] if r < np.inf]
    if not near:
        return None
    h = near[-1] if bandwidth is None else bandwidth
    shift = min(distances) if kernel == "gaussian" else 0.0
    w = np.array([KERNELS[kernel](r / h) for r in distances])
    if kernel == "gaussian":
        w = np.array([np.exp(-(r * r - shift * shift) / (2 * h * h)) for r in distances])
    if row_bandwidths is not None:
        w = np.array(
            [KERNELS[kernel](r / h) for r, h in zip(distances, row_bandwidths, strict=True)]
        )
        h = float(np.median(row_bandwidths))
    if row_weights is not None:
        w = w * row_weights
    if not (w > 0).any():
        return None
    columns = [np.ones(len(x))]
    z = np.nan_to_num((x - q) / h)  # a missing cell stands where the other one is
    if degree >= 1:
        columns += [z[:, j] for j in range(x.shape[1])]
    if degree >= 2:
        columns += [z[:, a] * z[:, b] for a in range(x.shape[1]) for b in range(a, x.shape[1])]
    if degree >= 3:
        triples = combinations_with_replacement(range(x.shape[1]), 3)
        columns += [z[:, a] * z[:, b] * z[:, c] for a, b, c in triples]
    design = np.column_stack(columns)
    root = np.sqrt(w)[:, None]
    coefficients = np.linalg.lstsq(design * root, y * root, rcond=None)[0]
    return np.asarray(coefficients[0])


def linear(x: Floats, y: Floats, q: Floats) -> Floats:
    """Return the value at one query of the plane of least squares through all rows, (t,)."""
    return np.asarray(np.concatenate([[1.0], q]) @ plane(x, y))


def plane(x: Floats, y: Floats) -> Floats:
    """Return the constant and the slopes of the plane of least squares, (1 + d, t)."""
    return np.asarray(np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0])


@dataclass(frozen=True)
class WeightedPlane:
    """The plane of weighted least squares, with an error of variance σ² / p_i at row i.

    Attributes:
        variance: σ² of each target, (t,).
        freedom: n - d - 1, n the rows with p_i > 0.
        covariance: That of the constant and the slopes, over σ², (1 + d, 1 + d).
        hat_diagonal: What y_i counts in the value at row i, (n,).
    """

    variance: Floats
    freedom: int
    covariance: Floats
    hat_diagonal: Floats


def weighted_least_squares(x: Floats, y: Floats, row_weights: Floats) -> WeightedPlane:
    """Return the closed form, by the normal equations."""
    design, p = np.column_stack([np.ones(len(x)), x]), np.diag(row_weights)
    covariance = np.asarray(np.linalg.inv(design.T @ p @ design), dtype=np.float64)
    hat = design @ covariance @ design.T @ p
    error = y - hat @ y
    freedom = int(np.sum(row_weights > 0)) - design.shape[1]
    return WeightedPlane(
        (row_weights @ (error * error)) / freedom, freedom, covariance, np.diag(hat)
    )


def kriging(
    x: Floats,
    y: Floats,
    q: Floats,
    kernel: str,
    length_scale: float,
    alpha: float,
    n_neighbors: int | None = None,
) -> Floats:
    """Return the simple kriging mean at one query."""
    if n_neighbors is not None:
        rows = nearest(x, q, n_neighbors)
        x, y = x[rows], y[rows]
    c = COVARIANCES[kernel]
    matrix = np.array([[c(distance(a, b) / length_scale) for b in x] for a in x])
    k = np.array([c(distance(a, q) / length_scale) for a in x])
    return np.asarray(k @ np.linalg.solve(matrix + alpha * np.eye(len(x)), y))
