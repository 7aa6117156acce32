"""The mean of the k nearest rows.

    f(x) = Σ w_i y_i / Σ w_i     over the k nearest rows, ties by row index

with w_i = p_i (`uniform`) or w_i = p_i / ‖x_i - x‖ (`distance`), p_i the row's own weight, 1 as a
rule. Where rows lie exactly at the query, the limit of the inverse distance is taken: the mean of
those rows.

Sources: Stone (1977), Annals of Statistics 5(4), 595-620; Shepard (1968), ACM '68, 517-524.
"""

import numpy as np
from numba import njit

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Diagnostics, Neighbors, Prediction, Status, issues_where
from service.estimators.fits import Knn
from service.estimators.ordered import ordered_sum
from service.estimators.reach import furthest

NO_SUPPORT = (
    "None of the nearest rows counts at these queries: all have a weight of 0, or no cell in "
    "common with the query. Raise n_neighbors, or ask nearer to rows that count."
)


def predict(
    rows: Resident, fit: Knn, q: Floats, *, neighbor_limit: int | None, diagnostics: bool
) -> Prediction:
    """Return the k-nearest-neighbour mean at each query.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What to fit; n_neighbors ≤ n.
        q: Queries, (m, d), in the metric of the fit.
        neighbor_limit: List the neighbours, unless None.
        diagnostics: Fill `Prediction.diagnostics`.

    Cost: O(k log n) a query in few dimensions, O(n d) in many.
    """
    m, k = len(q), fit.n_neighbors
    found = rows.nearest(q, k)
    y = rows.y.view()
    y.flags.writeable = False  # always, since Numba compiles a variant for each
    mean, weights = np.empty((m, y.shape[1])), np.empty((m, k))
    own = np.ones(0) if rows.row_weights is None else rows.row_weights[found.rows].reshape(-1)
    reached = np.isfinite(found.distances)
    if not reached.all():  # rows that have no cell in common with the query
        own = np.where(reached, own.reshape(m, k) if own.size else 1.0, 0.0).reshape(-1)
    _average(found.distances, found.rows, y, own, fit.weights == "distance", mean, weights)
    issues = issues_where(np.isnan(mean[:, 0]), Status.NO_SUPPORT, NO_SUPPORT) if own.size else ()
    if neighbor_limit is None and not diagnostics:
        return Prediction(mean, issues)
    carries = weights > 0
    support = carries.sum(axis=1).astype(np.int64)
    squares = weights * weights
    if own.size:
        np.divide(squares, own.reshape(m, k), out=squares, where=carries)
    effective = np.zeros(m)
    np.divide(1.0, ordered_sum(squares), out=effective, where=support > 0)
    return Prediction(
        mean,
        issues,
        neighbors=None
        if neighbor_limit is None
        else Neighbors(
            offsets=np.concatenate([[0], np.cumsum(support)]).astype(np.int64),
            rows=found.rows[carries],
            distances=found.distances[carries],
            weights=weights[carries],
        ),
        diagnostics=Diagnostics(
            support=support,
            effective_rows=effective,
            bandwidth=furthest(found.distances).copy(),
            degree=np.where(support > 0, 0, -1),
        )
        if diagnostics
        else None,
    )


@njit(nogil=True, cache=True)
def _first_that_counts(own: Floats) -> int:
    """Return the first place with a weight above 0, or how many there are."""
    for place in range(own.shape[0]):
        if own[place] > 0.0:
            return place
    return len(own)


@njit(nogil=True, cache=True)
def _average(
    distances: Floats,
    rows: Rows,
    y: Floats,
    own: Floats,
    by_distance: bool,
    mean: Floats,
    weights: Floats,
) -> None:
    """Fill mean (m, t) and weights (m, k), which sum to 1; each sum is added from first to last.

    Inverse distances are scaled by the smallest of a row that counts, so that none overflows: 1 for
    exact hits, and 0 beside them. `own` are the rows' own weights, one query after another, or
    nothing where all are 1. Where none counts, the mean is NaN and the weights are 0.
    """
    m, k = distances.shape
    for query in range(m):
        first = 0
        if own.shape[0] > 0:
            first = _first_that_counts(own[query * k : (query + 1) * k])
            weights[query, :first] = 0.0
            if first == k:
                mean[query] = np.nan
                continue
        smallest = distances[query, first]
        total = 0.0
        for j in range(first, k):
            distance = distances[query, j]
            w = 1.0
            if by_distance and distance > smallest:
                w = smallest / distance
            if own.shape[0] > 0:
                w *= own[query * k + j]
            weights[query, j] = w
            total += w
        for c in range(y.shape[1]):
            weighted = 0.0
            for j in range(k):
                weighted += weights[query, j] * y[rows[query, j], c]
            mean[query, c] = weighted / total
        for j in range(k):
            weights[query, j] /= total
