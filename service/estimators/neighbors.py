"""The mean of the k nearest rows.

    f(x) = Σ w_i y_i / Σ w_i     over the k nearest rows, ties by row index

with w_i = 1 (`uniform`) or w_i = 1 / ‖x_i - x‖ (`distance`). Where rows lie exactly at the query,
the limit of the inverse distance is taken: the mean of those rows.

Sources: Stone (1977), Annals of Statistics 5(4), 595-620; Shepard (1968), ACM '68, 517-524.
"""

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats
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
    w = _weights(found.distances) if fit.weights == "distance" else np.ones((m, k))
    total = ordered_sum(w)
    weights = w / total[:, None]
    mean = ordered_sum(w[:, :, None] * rows.y[found.rows]) / total[:, None]
    carries = weights > 0
    return Prediction(
        mean,
        neighbors=None
        if neighbor_limit is None
        else Neighbors(
            offsets=np.concatenate([[0], np.cumsum(carries.sum(axis=1))]).astype(np.int64),
            rows=found.rows[carries],
            distances=found.distances[carries],
            weights=weights[carries],
        ),
        diagnostics=Diagnostics(
            support=carries.sum(axis=1).astype(np.int64),
            effective_rows=1.0 / ordered_sum(weights * weights),
            bandwidth=found.distances[:, -1].copy(),
            degree=np.zeros(m, dtype=np.int64),
        )
        if diagnostics
        else None,
    )


def _weights(distances: Floats) -> Floats:
    """Return the inverse distances up to a factor a query, 1 for exact hits and 0 beside them.

    Scaled by the smallest distance, so that none overflows.
    """
    smallest = distances[:, :1]
    exact = distances == 0
    safe = np.where(exact, 1.0, distances)
    return np.where(smallest == 0, exact.astype(np.float64), smallest / safe)
