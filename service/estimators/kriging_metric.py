"""The metric of local kriging that lowers its leave-one-out loss.

A round takes some rows at random and their nearest others in the metric so far, and descends the
loss of `kriging_loss` by the scales of the features, or by all of a matrix, and the noise, for a
few steps of L-BFGS. The next round finds neighbours in the metric that this one has left: they
change with it. Steps are bounded, since a metric far from the one that chose the neighbours is
judged by the wrong ones.

Sources: Liu & Nocedal (1989), Mathematical Programming 45, 503-528; Gramacy & Apley (2015),
Journal of Computational and Graphical Statistics 24(2), 561-578, for local kriging with scales
found from the data.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError
from scipy.optimize import minimize

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.kernels import Covariance
from service.estimators.blocks import Blocks
from service.estimators.kriging_loss import loss
from service.estimators.others import Others
from service.estimators.row_weights import noise_at

STEPS = 8
"""Of the descent in a round; after them other neighbours would be nearest."""

LARGEST_STEP = 1.0
"""Of the logarithm of a scale in a round, and half that of the noise."""

LEAST_ALPHA, LARGEST_ALPHA = 1e-7, 10.0

SEARCHED_AT_ONCE = 64

MOST_NOISE = 1e12
"""Of a row in alphas: it then says nothing, as one of weight 0."""


@dataclass(frozen=True, eq=False)
class KrigingMetric:
    """A metric for kriging with length scale 1.

    Attributes:
        kind: Covariance.
        matrix: A, (d, d): distances are ‖A(x_i - x)‖.
        alpha: α.
    """

    kind: Covariance
    matrix: Floats
    alpha: float

    @property
    def is_diagonal(self) -> bool:
        """True where each feature has a scale of its own."""
        return not np.any(self.matrix - np.diag(np.diag(self.matrix)))


def descend(
    x: Floats,
    y: Floats,
    start: KrigingMetric,
    at: Rows,
    n_neighbors: int,
    *,
    full: bool,
    groups: Rows | None = None,
    load: Callable[[Floats], Resident],
    blocks: Blocks,
    features: Rows | None = None,
) -> KrigingMetric:
    """Return the metric after a round.

    Args:
        x: All rows, (n, d), in units in which the features are alike.
        y: All targets, (n, t).
        start: The metric so far.
        at: The rows of the round, (s,).
        n_neighbors: k.
        full: Change all of the matrix, or only how long its rows are.
        groups: The group of each row, (n,), if its neighbours are of other groups.
        load: Makes rows resident.
        blocks: Runs pieces of the work.
        features: The feature of each column of x, (d,), where some have several, which keep one
            scale together.

    Cost: O(s k² (k + d)) a step, beside a search for s k neighbours.

    Raises:
        DeadlineExceeded: Between two pieces, when the time is over.
    """
    d = x.shape[1]
    columns = np.arange(d) if features is None else features
    z = np.ascontiguousarray(x @ start.matrix.T)
    rows = load(z)
    neighbors = nearest_others(rows, at, n_neighbors, groups, blocks)
    noise = None
    if rows.row_weights is not None:
        noise = np.minimum(noise_at(rows, np.arange(len(x))), MOST_NOISE)

    def matrix_of(parameters: Floats) -> Floats:
        if full:
            return parameters[:-1].reshape(d, d)
        return np.diag(np.exp(parameters[:-1][columns]))

    def loss_and_gradient(parameters: Floats) -> tuple[float, Floats]:
        matrix, alpha = matrix_of(parameters), float(np.exp(parameters[-1]))
        try:
            found = loss(z, y, at, neighbors, matrix, start.kind, alpha, blocks, noise)
        except LinAlgError:
            return np.inf, np.zeros(len(parameters))
        by_matrix = found.by_matrix.ravel()
        if not full:
            by_scale = np.diag(found.by_matrix) * np.diag(matrix)
            by_matrix = np.bincount(columns, by_scale).astype(np.float64, copy=False)
        return found.value, np.append(by_matrix, found.by_log_alpha)

    first = np.append(
        np.eye(d).ravel() if full else np.zeros(columns.max() + 1), np.log(start.alpha)
    )
    lowest, highest = first - LARGEST_STEP, first + LARGEST_STEP
    lowest[-1] = max(first[-1] - 2.0 * LARGEST_STEP, np.log(LEAST_ALPHA))
    highest[-1] = min(first[-1] + 2.0 * LARGEST_STEP, np.log(LARGEST_ALPHA))
    found = minimize(
        loss_and_gradient,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(lowest.tolist(), highest.tolist(), strict=True)),
        options={"maxiter": STEPS},
    )
    return KrigingMetric(start.kind, matrix_of(found.x) @ start.matrix, float(np.exp(found.x[-1])))


def nearest_others(rows: Resident, at: Rows, k: int, groups: Rows | None, blocks: Blocks) -> Rows:
    """Return the k nearest other rows, of other groups, of each of the rows `at`, (s, k)."""

    def search(part: slice) -> Rows:
        q = np.ascontiguousarray(rows.x[at[part]])
        return Others(rows, at[part], groups).nearest(q, k).rows

    return np.concatenate(blocks(search, len(at), SEARCHED_AT_ONCE))
