"""Each formula once more in plain NumPy: what a compiled formula must answer before it is used."""

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from service.backends.keops.formulas import Formula, covariance_parameters, weight_parameters
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel

TOLERANCE = 1e-11
"""Relative to the sum of the absolute terms: rounding of a few hundred of them is below 1e-13."""

_QUERIES = 5


def agree(reduce: Callable[..., Floats], formula: Formula) -> bool:
    """Return whether `reduce` gives NumPy's answer for every kernel or covariance."""
    return largest_error(reduce, formula) <= TOLERANCE


def largest_error(reduce: Callable[..., Floats], formula: Formula) -> float:
    """Return the largest error over every kernel or covariance; NaN where an answer is NaN.

    Relative to the sum of the absolute terms; of a search, the share of rows that are wrong.
    """
    errors = []
    for arguments, expected, scale in _cases(formula):
        found = reduce(formula, *arguments)
        if formula.neighbors:
            errors.append(float(np.mean(found != expected)))
        else:
            errors.append(float(np.max(np.abs(found - expected) / scale)))
    return float(np.max(errors))


Case = tuple[list[Any], Floats, Floats]
"""The arguments, the right answer, and the sum of the absolute terms, which is positive."""


def _cases(formula: Formula) -> Iterator[Case]:
    random = np.random.default_rng(20240229)
    n, d = max(40, formula.neighbors + 30), formula.features
    q, x, y = random.random((_QUERIES, d)), random.random((n, d)), random.normal(size=(n, 1))
    distances = np.sqrt(((q[:, None, :] - x[None, :, :]) ** 2).sum(axis=2))
    if formula.neighbors:
        order = np.argsort(distances, axis=1, kind="stable")[:, : formula.neighbors]
        yield [q, x], order.astype(np.float64), np.zeros(order.shape)
    elif formula.degree < 0:
        for covariance in Covariance:
            terms = _covariance(covariance, distances / 0.4)[:, :, None] * y[None, :, :]
            parameters = covariance_parameters(covariance, 0.4)
            yield [q, x, y, parameters], terms.sum(axis=1), np.abs(terms).sum(axis=1)
    else:
        h = np.quantile(distances, 0.7, axis=1)[:, None]
        c = q + 0.1
        for kernel in Kernel:
            s = (
                distances.min(axis=1)[:, None] / h
                if kernel is Kernel.GAUSSIAN
                else np.zeros_like(h)
            )
            w = _weight(kernel, distances / h, s)[:, :, None]
            z = (x[None, :, :] - c[:, None, :]) / h[:, :, None]
            phi = _monomials(z, formula.degree)
            first, second = np.triu_indices(phi.shape[2])
            per_pair = w * np.concatenate(
                [phi[..., first] * phi[..., second], y[None, :, :] * phi, w, np.ones_like(w)],
                axis=2,
            )
            per_pair[..., -1] = w[..., 0] > 0
            centers = [c] if formula.degree else []
            arguments = [q, h, s, *centers, x, y, weight_parameters(kernel, d)]
            yield arguments, per_pair.sum(axis=1), np.abs(per_pair).sum(axis=1)


def _weight(kernel: Kernel, u: Floats, s: Floats) -> Floats:
    if kernel is Kernel.GAUSSIAN:
        return np.exp((s * s - u * u) / 2)
    inside = np.minimum(u, 1.0)
    return {
        Kernel.EPANECHNIKOV: 1 - inside**2,
        Kernel.TRICUBE: (1 - inside**3) ** 3,
        Kernel.UNIFORM: (u <= 1).astype(np.float64),
        Kernel.TRIANGULAR: 1 - inside,
        Kernel.BIWEIGHT: (1 - inside**2) ** 2,
        Kernel.TRIWEIGHT: (1 - inside**2) ** 3,
        Kernel.COSINE: np.where(u < 1, np.cos(np.pi / 2 * inside), 0.0),
    }[kernel]


def _covariance(covariance: Covariance, r: Floats) -> Floats:
    """Return the covariance at the distance r, in units of the length scale."""
    three, five = np.sqrt(3.0) * r, np.sqrt(5.0) * r
    values: dict[Covariance, Floats] = {
        Covariance.GAUSSIAN: np.exp(-(r**2) / 2),
        Covariance.LAPLACIAN: np.exp(-r),
        Covariance.MATERN32: (1 + three) * np.exp(-three),
        Covariance.MATERN52: (1 + five + five**2 / 3) * np.exp(-five),
    }
    return values[covariance]


def _monomials(z: Floats, degree: int) -> Floats:
    columns = [np.ones(z.shape[:2])]
    for order in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(z.shape[2]), order):
            columns.append(np.prod(z[..., list(chosen)], axis=2))
    return np.stack(columns, axis=2)
