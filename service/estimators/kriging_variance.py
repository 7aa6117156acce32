"""How sure kriging is of its answers.

With prior variance τ² c(r), noise variance τ² α and K_α = K + αI (where rows have weights p_i, τ² α
is the noise of a row of weight 1, and α / p_i stands in K_α),

    τ² v(x),       v(x) = 1 - k(x)ᵀ K_α⁻¹ k(x)      of the surface itself (latent)
    τ² (v(x) + α)                                     of a new observation there

Over the k nearest rows v comes with the weights, see `local_kriging`, which has it for an unknown
constant mean too. Over all rows it is 1 - k(x)ᵀ l(x), and l(x) = K_α⁻¹ k(x) is solved for. Rounding
may take it below 0 where the noise is tiny; it is then 0.

τ², which the mean does not depend on, is the leave-one-out estimate: with e_i the leave-one-out
residuals and 1 / [K_α⁻¹]_ii their variances where τ² = 1,

    τ² = mean of e_i² [K_α⁻¹]_ii

Sources: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), equations 2.26 and
5.10-5.12; Vecchia (1988), JRSS B 50(2), 297-312, for the nearest rows alone; Dubrule (1983),
Mathematical Geology 15(6), 687-699.
"""

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.estimators.blocks import Blocks
from service.estimators.fits import Kriging
from service.estimators.kernels import covariance, distances
from service.estimators.kriging_system import System
from service.estimators.local_kriging import nearest_systems
from service.estimators.ordered import ordered_sum

MOST_ENTRIES = 2**22
"""Covariances of rows and queries held at once: 32 MB."""


def latent_variance(
    rows: Resident, fit: Kriging, system: System | None, q: Floats, blocks: Blocks
) -> Floats:
    """Return v(x) at each query, (m,), never negative; τ² v(x) is the variance of the surface.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What was fitted.
        system: The solved system of a fit over all rows; None for the nearest.
        q: Queries, (m, d), in the metric of the fit.
        blocks: For the solves of a fit over all rows.

    Cost a query: a solve with all rows, n² after Cholesky; k³ / 3 with the k nearest.

    Raises:
        DeadlineExceeded: Between two solves, when the time is over.
    """
    if system is None:
        found = rows.nearest(q, fit.n_neighbors or 0)
        return nearest_systems(rows.x, q, found.rows, fit, rows.row_weights).variance
    variance = np.empty(len(q))
    size = max(1, MOST_ENTRIES // len(rows.x))
    for start in range(0, len(q), size):
        part = slice(start, start + size)
        goal = covariance(fit.kernel, distances(rows.x, q[part]), fit.length_scale)
        explained = ordered_sum(goal.T * system.solve(goal, blocks).T)
        variance[part] = np.maximum(1.0 - explained, 0.0)
    return variance


def signal_variance(residual: Floats, variance: Floats) -> Floats:
    """Return τ² of each target, (t,).

    Args:
        residual: Leave-one-out residuals y_i - f₋ᵢ(x_i) of some rows, (s, t).
        variance: Their variances where τ² = 1, (s,), the noise included: 1 / [K_α⁻¹]_ii over all
            rows, v(x_i) + α / p_i without the row itself over the nearest.
    """
    return np.asarray((np.square(residual) / variance[:, None]).mean(axis=0))
