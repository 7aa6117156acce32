"""The slow, obvious version of every method: what the fast ones are held against."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from service.domain.arrays import Floats

KERNELS: dict[str, Callable[[float], float]] = {
    "gaussian": lambda u: math.exp(-u * u / 2),
    "epanechnikov": lambda u: max(0.0, 1 - u * u),
    "tricube": lambda u: max(0.0, 1 - u**3) ** 3,
    "uniform": lambda u: 1.0 if u <= 1 else 0.0,
    "triangular": lambda u: max(0.0, 1 - u),
    "biweight": lambda u: max(0.0, 1 - u * u) ** 2,
    "triweight": lambda u: max(0.0, 1 - u * u) ** 3,
    "cosine": lambda u: math.cos(math.pi * u / 2) if u < 1 else 0.0,
}

COVARIANCES: dict[str, Callable[[float], float]] = {
    "gaussian": lambda s: math.exp(-s * s / 2),
    "laplacian": lambda s: math.exp(-s),
    "matern32": lambda s: (1 + math.sqrt(3) * s) * math.exp(-math.sqrt(3) * s),
    "matern52": lambda s: (1 + math.sqrt(5) * s + 5 * s * s / 3) * math.exp(-math.sqrt(5) * s),
}


def distance(a: Floats, b: Floats) -> float:
    """Return the Euclidean distance of two points, over the cells that neither misses."""
    return float(distances(a[np.newaxis], b)[0])


def distances(x: Floats, q: Floats) -> Floats:
    """Return the Euclidean distance of each row to one point, (n,), as `distance` has it."""
    total, common = np.zeros(len(x)), np.zeros(len(x))
    for column, place in zip(x.T, q, strict=True):  # one feature after the other, as is defined
        difference = column - place
        both = ~np.isnan(difference)
        total += np.where(both, difference * difference, 0.0)
        common += both
    rescaled = np.full(len(x), np.inf)
    some = common > 0
    rescaled[some] = np.sqrt(total[some] * (x.shape[1] / common[some]))
    return rescaled


def covariances(a: Floats, b: Floats, kernel: str, length_scale: float) -> Floats:
    """Return the covariance of each row of a with each of b, (rows of a, rows of b)."""
    c = COVARIANCES[kernel]
    scaled = [distances(b, row) / length_scale for row in a]
    return np.array([[c(s) for s in row.tolist()] for row in scaled])


def nearest(x: Floats, q: Floats, k: int) -> list[int]:
    """Return the k nearest rows of one query, by (distance, row)."""
    r = distances(x, q).tolist()
    return sorted(range(len(x)), key=lambda i: (r[i], i))[:k]


def knn(x: Floats, y: Floats, q: Floats, k: int, weights: str = "uniform") -> Floats:
    """Return the mean of the k nearest rows of one query."""
    r = distances(x, q)
    rows = [i for i in nearest(x, q, k) if r[i] < np.inf]
    if weights == "uniform":
        return np.asarray(np.mean([y[i] for i in rows], axis=0))
    exact = [i for i in rows if r[i] == 0]
    if exact:
        return np.asarray(np.mean([y[i] for i in exact], axis=0))
    w = [1 / r[i] for i in rows]
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
    r = distances(x, q)
    near = np.sort(r)[: n_neighbors or 1]
    near = near[near < np.inf]
    if not near.size:
        return None
    h = float(near[-1]) if bandwidth is None else bandwidth
    if row_bandwidths is not None:
        scaled = (r / row_bandwidths).tolist()
        w = np.array([KERNELS[kernel](u) for u in scaled])
        h = float(np.median(row_bandwidths))
    elif kernel == "gaussian":
        shift = r.min()
        w = np.exp(-(r * r - shift * shift) / (2 * h * h))
    else:
        w = np.array([KERNELS[kernel](u) for u in (r / h).tolist()])
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
    matrix = covariances(x, x, kernel, length_scale)
    (k,) = covariances(q[np.newaxis], x, kernel, length_scale)
    return np.asarray(k @ np.linalg.solve(matrix + alpha * np.eye(len(x)), y))
