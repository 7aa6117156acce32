"""Quantiles of y at a query, from the weighted distribution of the rows behind its estimate.

With l_i(x) the equivalent kernel, whose negative weights count as 0,

    F(y | x) = Σ l⁺_i(x) [y_i ≤ y] / Σ l⁺_i(x),     l⁺ = max(l, 0)
    q_τ(x) = the smallest y_i with F(y_i | x) ≥ τ

It is a quantile of y itself, its noise included, and always the y of a row. With the plain mean of
the k nearest rows it is their sample quantile.

Sources: Stone (1977), Annals of Statistics 5(4), 595-620, for quantiles from nearest neighbours;
Hall, Wolff & Yao (1999), JASA 94(445), 154-163, for weights that are not negative.
"""

from collections.abc import Sequence

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.estimators.uncertainty import LinearFit, equivalent_kernels

SLACK = 1e-12
"""By which shares may fall short of a level, since sums of weights are rounded."""


def weighted_quantiles(
    rows: Resident, fit: LinearFit, q: Floats, levels: Sequence[float]
) -> Floats:
    """Return the quantiles of each level at each query, (m, levels, t).

    NaN where no row carries weight.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What is fitted.
        q: Queries, (m, d), in the metric of the fit.
        levels: τ, between 0 and 1.

    Cost a query: that of listing the rows in reach, and of sorting their targets.
    """
    shares = np.asarray(levels)
    result = np.full((len(q), len(shares), rows.y.shape[1]), np.nan)
    for part, listed, _ in equivalent_kernels(rows, fit, q):
        for i, query in enumerate(range(part.start, part.stop)):
            near = slice(listed.offsets[i], listed.offsets[i + 1])
            weights = listed.weights[near]
            carries = weights > 0
            if carries.any():
                y = rows.y[listed.rows[near][carries]]
                result[query] = _quantiles(y, weights[carries], shares)
    return result


def _quantiles(y: Floats, weights: Floats, shares: Floats) -> Floats:
    """Return the quantiles of the rows y (k, t) with positive weights (k,), (levels, t)."""
    order = np.argsort(y, axis=0, kind="stable")
    total = np.cumsum(weights[order], axis=0)
    found = np.empty((len(shares), y.shape[1]))
    for c in range(y.shape[1]):
        goals = shares * ((1.0 - SLACK) * total[-1, c])
        found[:, c] = y[order[np.searchsorted(total[:, c], goals), c], c]
    return found
