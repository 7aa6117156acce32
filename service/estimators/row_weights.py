"""Rows that count more or less than once: w_i = K(‖x_i - x‖ / h) p_i.

A row of weight 2 is worth two rows at its place, and a row of weight 0 none, but for bandwidths
from a number of neighbours, which count rows whatever their weight, as R's loess does. As to the
noise, a row of weight p is like the mean of p rows:

    Var(ε_i) = σ² / p_i,     Var f(x) = σ² Σ l_i(x)² / p_i

Sources: Cleveland & Devlin (1988), JASA 83(403), 596-610, section 2; Hastie, Tibshirani & Friedman,
The Elements of Statistical Learning (2009), section 3.2, for weighted least squares.
"""

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows


def multiplied(rows: Resident, factor: Floats) -> Resident:
    """Return the rows with their weights times a factor ≥ 0 each, (n,)."""
    own = rows.row_weights
    return rows.reweighted(factor if own is None else own * factor)


def weights_at(rows: Resident, at: Rows) -> Floats:
    """Return p_i of some rows, in the shape of `at`; 1 where the rows have no weights."""
    return np.ones(at.shape) if rows.row_weights is None else rows.row_weights[at]


def noise_at(rows: Resident, at: Rows) -> Floats:
    """Return 1 / p_i of some rows, in the shape of `at`: infinite where a row does not count."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / weights_at(rows, at))


def counted(rows: Resident) -> Rows:
    """Return the rows with a weight above 0, ascending."""
    if rows.row_weights is None:
        return np.arange(len(rows.x), dtype=np.int64)
    return np.flatnonzero(rows.row_weights > 0)


def mean_of(values: Floats, row_weights: Floats | None) -> Floats:
    """Return Σ p_i v_i / Σ p_i over the rows of values (s, …), the plain mean without weights."""
    if row_weights is None:
        return np.asarray(values.mean(axis=0))
    return np.asarray(row_weights @ values / row_weights.sum())


def rows_of_least(rows: Resident) -> float:
    """Return how many rows of the least weight that counts would weigh as much as all rows do."""
    if rows.row_weights is None:
        return float(len(rows.x))
    weights = rows.row_weights[rows.row_weights > 0]
    return float(weights.sum() / weights.min()) if weights.size else 1.0
