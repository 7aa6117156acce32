"""Which rows a sum under the Gaussian kernel may leave out, with the proof.

Weights are w_i = exp(-(r_i² - δ²) / 2h²), δ the distance to the nearest row, whose weight is 1.
Rows beyond the radius R are left out, R² = δ² + 2h²E, with E such that

    e^(-E) · n · (1 + v)^(2·degree)  ≤  ε S₀,      v = R / h + ‖c - q‖ / h,

S₀ a lower bound of the sum S of the weights that are kept, and c what φ is centred at. Then

    Σ_out w_i (1 + ‖x_i - c‖ / h)^(2·degree)  ≤  ε S.

Proof. Each of the at most n rows left out has r > R. Its term is at most g(r / h), where
g(u) = exp(-(u² - δ²/h²) / 2) (1 + u + ‖c - q‖ / h)^(2·degree), by the triangle inequality. g falls
where u (1 + u) > 2·degree, so from u = 2 on, and R / h ≥ √(2E) > 7. So each term is at most
g(R / h) ≤ ε S₀ / n, and n of them are at most ε S₀ ≤ ε S. ∎

A monomial of φ is at most (1 + ‖z‖) to the power of its degree, so no entry of Σ w φφᵀ changes by
more than ε S, none of Σ w φy by more than ε S max|y|, and a weighted mean (degree 0) by no more
than ε (max y - min y). With ε = 10⁻¹² for degree 0 that is the error of the answer. For slopes ε is
the rounding of one product, 2⁻⁵², so that leaving rows out changes a sum no more than the order of
its terms may.

S₀: each of the N rows with r² ≤ δ² + 2h² has w ≥ 1/e, so S ≥ max(1, N / e). E is 350 at most:
smaller weights count as 0 everywhere, see `backends.base.LEAST_EXPONENT`.

Where rows have weights p_i of their own, δ is the distance to the nearest with p_i > 0, all terms
have the factor p_i, those left out add up to Σ p_i g(R / h), and S ≥ min p_i over those that count.
So the same holds with Σ p_i / min p_i in the place of n, and S₀ = 1.
"""

import math

import numpy as np
from numba import njit

from service.backends.base import LEAST_EXPONENT, NEAREST_SLACK
from service.backends.native.exponential import use_widest_vectors
from service.backends.native.tree import STACK, RowIds, push_roots
from service.backends.native.units import (
    UNIT_ROWS,
    box_distance_sq,
    fill_distances_sq,
    group_stop,
    next_unit,
)
from service.domain.arrays import Floats, Rows

LEFT_OUT_OF_MEAN = 1e-12
LEFT_OUT_OF_SLOPES = float(np.finfo(np.float64).eps)


@njit(nogil=True, cache=True)
def _least_exponent(left_out: float, degree: int, nearest: float, offset: float) -> float:
    """Return E for left_out = ε S₀ / n; nearest = δ / h and offset = ‖c - q‖ / h."""
    least = -math.log(left_out)
    exponent = least
    while True:
        radius = math.sqrt(nearest * nearest + 2.0 * exponent)
        needed = least + 2.0 * degree * math.log(1.0 + radius + offset)
        if not needed > exponent:  # NaN, as of a distance of infinite bandwidths, ends it too
            return min(exponent, -LEAST_EXPONENT)
        exponent = needed + 0.01  # slightly more, so that the next radius is large enough


@njit(nogil=True, cache=True)
def count_rows(
    x: Floats, bounds: RowIds, boxes: Floats, q: Floats, order: Rows, limit_sq: Floats, count: Rows
) -> None:
    """Add the number of rows with a squared distance ≤ limit_sq (m,) to each count (m,)."""
    use_widest_vectors()
    stack, distances = np.empty(STACK, dtype=np.int64), np.empty(UNIT_ROWS)
    group = np.empty((2, q.shape[1]))
    first = 0
    while first < order.shape[0]:
        largest_sq = limit_sq[order[first]]
        stop = group_stop(q, order, first, math.sqrt(largest_sq), group)
        for position in range(first, stop):
            largest_sq = max(largest_sq, limit_sq[order[position]])
        depth = push_roots(stack, bounds.shape[0])
        while True:
            node, depth = next_unit(bounds, boxes, group, largest_sq, stack, depth)
            if depth < 0:
                break
            for start in range(bounds[node, 0], bounds[node, 1], UNIT_ROWS):
                size = min(UNIT_ROWS, bounds[node, 1] - start)
                for position in range(first, stop):
                    query = order[position]
                    if box_distance_sq(boxes, node, q, query) <= limit_sq[query]:
                        fill_distances_sq(x, start, size, q, query, distances)
                        within = 0
                        for i in range(size):
                            within += distances[i] <= limit_sq[query]
                        count[query] += within
        first = stop


@njit(nogil=True, cache=True, error_model="numpy")
def fill_limits(
    q: Floats,
    center: Floats,
    bandwidth: Floats,
    nearest_distance: Floats,
    near: Rows,
    rows: float,
    degree: int,
    limit_sq: Floats,
) -> None:
    """Fill in R² of each query, from the number of rows, and of those that are near."""
    left_out = (LEFT_OUT_OF_MEAN if degree == 0 else LEFT_OUT_OF_SLOPES) / rows
    for query in range(q.shape[0]):
        h, nearest = bandwidth[query], nearest_distance[query]
        offset_sq = 0.0
        for j in range(center.shape[1]):
            offset_sq += (center[query, j] - q[query, j]) ** 2
        exponent = _least_exponent(
            left_out * max(1.0, near[query] / math.e),
            degree,
            nearest / h,
            math.sqrt(offset_sq) / h,
        )
        limit_sq[query] = nearest * nearest * NEAREST_SLACK + 2.0 * h * h * exponent
