"""The mean of the k nearest rows.

    f(x) = Σ w_i y_i / Σ w_i     over the k nearest rows, ties by row index

with w_i = 1 (`uniform`) or w_i = 1 / ‖x_i - x‖ (`distance`). Where rows lie exactly at the query,
the limit of the inverse distance is taken: the mean of those rows.

Sources: Stone (1977), Annals of Statistics 5(4), 595-620; Shepard (1968), ACM '68, 517-524.
"""

import numpy as np
from numba import njit

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Diagnostics, Neighbors, Prediction
from service.estimators.fits import Knn
from service.estimators.ordered import ordered_sum


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
    _average(found.distances, found.rows, y, fit.weights == "distance", mean, weights)
    if neighbor_limit is None and not diagnostics:
        return Prediction(mean)
    carries = weights > 0
    support = carries.sum(axis=1).astype(np.int64)
    return Prediction(
        mean,
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
            effective_rows=1.0 / ordered_sum(weights * weights),
            bandwidth=found.distances[:, -1].copy(),
            degree=np.zeros(m, dtype=np.int64),
        )
        if diagnostics
        else None,
    )


@njit(nogil=True, cache=True)
def _average(
    distances: Floats, rows: Rows, y: Floats, by_distance: bool, mean: Floats, weights: Floats
) -> None:
    """Fill mean (m, t) and weights (m, k), which sum to 1; each sum is added from first to last.

    Inverse distances are scaled by the smallest, so that none overflows: 1 for exact hits, and 0
    beside them.
    """
    m, k = distances.shape
    for query in range(m):
        smallest = distances[query, 0]
        total = 0.0
        for j in range(k):
            distance = distances[query, j]
            w = 1.0
            if by_distance and distance > smallest:
                w = smallest / distance
            weights[query, j] = w
            total += w
        for c in range(y.shape[1]):
            weighted = 0.0
            for j in range(k):
                weighted += weights[query, j] * y[rows[query, j], c]
            mean[query, c] = weighted / total
        for j in range(k):
            weights[query, j] /= total
