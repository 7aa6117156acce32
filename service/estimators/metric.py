"""Metrics: how features enter distances, and the metric that the fits' own slopes suggest.

A metric maps a point to z = x / s, with a scale a feature, or to z = Ax, with a full matrix, and
distances are Euclidean in z. Where the truth f changes fast a small step matters much, so a good
metric follows the average outer product of gradients

    M = mean of ∇f(x_i) ∇f(x_i)ᵀ,     A = M^(1/2),     or its diagonal: s_j = 1 / √M_jj

of which the slopes of local linear fits are estimates. Slopes found in a better metric are better
slopes, so the step is repeated; it can also overshoot, so a pass counts only if it lowers the
leave-one-out error. The relevance of feature j is √M_jj times its deviation: what a typical step
in it alone does to y.

Sources: Härdle & Stoker (1989), JASA 84(408), 986-995, for average derivatives; Xia, Tong, Li & Zhu
(2002), JRSS B 64(3), 363-410, for the outer product; Radhakrishnan, Beaglehole, Pandit & Belkin
(2024), Science 383(6690), 1461-1467, for the repeated step.
"""

from dataclasses import dataclass

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.errors import InvalidInput
from service.estimators import local_polynomial
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit, LocalPolynomial, Metric, is_matrix, metric_scale
from service.estimators.gradients import slope

LEAST_RELEVANCE = 1e-4
"""Of the largest √M_jj times deviation: what a feature keeps that the slopes do not see, so that
no distance loses it altogether."""

SLOPES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class MetricMap:
    """z = x / scale, or z = Ax; with neither, z = x.

    Attributes:
        scale: (d,), or None.
        matrix: A, (d, d), or None.
    """

    scale: Floats | None = None
    matrix: Floats | None = None

    @property
    def is_identity(self) -> bool:
        """True for data units."""
        return self.scale is None and self.matrix is None

    def of(self, points: Floats) -> Floats:
        """Return the points (m, d) in the metric; a point has the same bits in any block."""
        if self.scale is not None:
            return points / self.scale
        if self.matrix is None:
            return points
        # Feature by feature, since a matrix product rounds by the number of its rows.
        mapped = points[:, :1] * self.matrix[:, 0]
        for j in range(1, points.shape[1]):
            mapped += points[:, j : j + 1] * self.matrix[:, j]
        return mapped

    def gradient(self, of_mapped: Floats) -> Floats:
        """Return gradients by x from gradients by z, (…, d): ∇_x = Aᵀ∇_z; bits as for `of`."""
        if self.scale is not None:
            return of_mapped / self.scale
        if self.matrix is None:
            return of_mapped
        result = of_mapped[..., :1] * self.matrix[0]
        for k in range(1, len(self.matrix)):
            result += of_mapped[..., k : k + 1] * self.matrix[k]
        return np.asarray(result)


def metric_map(metric: Metric, x: Floats, features: Rows | None = None) -> MetricMap:
    """Return the map of a metric, given the rows x (n, D) in data units.

    Args:
        metric: A number or a row a feature.
        x: The rows.
        features: The feature of each column, (D,), where some have several.
    """
    if is_matrix(metric):
        return MetricMap(matrix=np.array(metric, dtype=np.float64))
    return MetricMap(scale=metric_scale(metric, x, features))


def check_apart(width: Floats, mapped_width: Floats) -> None:
    """Refuse a metric in which all rows are at one place, though they differ.

    Args:
        width: The range of each feature, (d,), in data units.
        mapped_width: The range of each feature in the metric, (d,).

    Raises:
        InvalidInput: They have no range.
    """
    largest = float(np.max(width))
    if largest > 0 and not np.any(mapped_width):
        raise InvalidInput.at(
            "/fit/metric",
            f"In this metric all rows are at one place, though their features range over "
            f"{largest:g} at most: send a smaller scale, or a matrix that keeps the features in "
            "which the rows differ.",
        )


def scale_metric(scale: Floats) -> Metric:
    """Return the metric that divides each feature by its scale (d,)."""
    return tuple(scale.tolist())


def matrix_metric(matrix: Floats) -> Metric:
    """Return the metric ‖A(x_i - x)‖ of the matrix A (d, d)."""
    return tuple(tuple(row) for row in matrix.tolist())


def gradient_outer_product(slope: Floats, deviation: Floats) -> Floats:
    """Return M = the mean of ∇f ∇fᵀ, (d, d), over rows and targets.

    Args:
        slope: Slopes at some rows, (s, t, d), in data units; rows with NaN are left out.
        deviation: Standard deviation of each target, (t,): targets count alike in any unit.
    """
    found = slope[np.isfinite(slope).all(axis=(1, 2))] / deviation[:, None]
    flat = found.reshape(-1, slope.shape[2])
    return np.asarray(flat.T @ flat / max(len(flat), 1))


def average_outer_product(
    rows: Resident,
    line: Fit,
    at: Rows,
    mapped: MetricMap,
    deviation: Floats,
    blocks: Blocks,
    features: Rows | None = None,
) -> Floats:
    """Return M from the slopes of a local line at the rows `at`, (d, d), in data units.

    A category has no slope: its M_jj is the mean squared change of f where its level is exchanged
    with that of another of the rows, over the mean squared distance of the levels.

    Args:
        rows: The rows in the metric of the line.
        line: A local polynomial of degree 1 or more.
        at: Where slopes are taken.
        mapped: The metric of the line.
        deviation: Standard deviation of each target, (t,).
        blocks: Runs pieces of the work.
        features: The feature of each column, (D,), where some are categories.

    Cost: a slope a row of `at`, and a prediction for each category.

    Raises:
        DeadlineExceeded: Between two pieces, when the time is over.
    """

    def slopes(part: slice) -> Floats:
        return slope(rows, line, np.ascontiguousarray(rows.x[at[part]])).slope

    if features is None:
        found = np.concatenate(blocks(slopes, len(at), SLOPES_AT_ONCE))
        return gradient_outer_product(mapped.gradient(found), deviation)
    outer, d = np.zeros((int(features.max()) + 1,) * 2), rows.n_sloped
    if d:
        found = mapped.gradient(np.concatenate(blocks(slopes, len(at), SLOPES_AT_ONCE)))
        outer[np.ix_(features[:d], features[:d])] = gradient_outer_product(
            found[:, :, :d], deviation
        )
    for feature in np.unique(features[d:]):
        columns = np.flatnonzero(features == feature)
        outer[feature, feature] = _squared_change(
            rows, line, at, mapped, deviation, blocks, columns
        )
    return outer


def _squared_change(
    rows: Resident,
    line: Fit,
    at: Rows,
    mapped: MetricMap,
    deviation: Floats,
    blocks: Blocks,
    columns: Rows,
) -> float:
    """Return the squared change of f over the squared distance of exchanged levels, on average."""
    if not isinstance(line, LocalPolynomial):
        raise TypeError("only a local polynomial stands for the surface")
    here = rows.x[at]
    there = here.copy()
    there[:, columns] = here[np.random.default_rng(0).permutation(len(at))][:, columns]

    def values(q: Floats) -> Floats:
        def work(part: slice) -> Floats:
            return local_polynomial.predict(
                rows, line, q[part], neighbor_limit=None, diagnostics=False
            ).mean

        return np.concatenate(blocks(work, len(q), SLOPES_AT_ONCE))

    step = (there - here)[:, columns]
    if mapped.scale is not None:
        step = step * mapped.scale[columns]
    distance = np.sum(step * step, axis=1)
    change = np.mean(np.square((values(there) - values(here)) / deviation), axis=1)
    known = np.isfinite(change)
    total = float(distance[known].sum())
    return float(change[known].sum()) / total if total > 0 else 0.0


def deviations(x: Floats, features: Rows | None = None) -> Floats:
    """Return the standard deviation of each feature, (d,), from the rows (n, D).

    That of a feature of several columns is the root of the sum of their variances.
    """
    found = np.std(x, axis=0)
    return found if features is None else np.sqrt(np.bincount(features, weights=found * found))


def by_feature(values: Floats, features: Rows | None) -> Floats:
    """Return values by column (D,), the same for all columns of a feature, by feature (d,)."""
    return values if features is None else values[np.unique(features, return_index=True)[1]]


def relevance(outer_product: Floats, deviation: Floats) -> Floats:
    """Return √M_jj times the deviation of each feature (d,), as shares of their sum.

    M may also be AᵀA of a learned metric.
    """
    size = np.sqrt(np.diag(outer_product)) * deviation
    total = size.sum()
    return size / total if total > 0 else np.full(len(size), 1.0 / len(size))


def relevant_scale(outer_product: Floats, deviation: Floats) -> Floats:
    """Return s_j = 1 / √M_jj, (d,), bounded by `LEAST_RELEVANCE`, from a diagonal of M.

    Features have the deviation (d,). They stay over it where M is 0.
    """
    size = np.sqrt(np.diag(outer_product)) * deviation
    largest = size.max()
    if not largest > 0:
        return deviation.copy()
    return np.asarray(deviation / np.maximum(size / largest, LEAST_RELEVANCE))


def relevant_matrix(outer_product: Floats, deviation: Floats) -> Floats:
    """Return A = (DMD)^(1/2) D⁻¹, (d, d), D the deviations; its root of size 1, bounded likewise.

    It is the same whatever the units of the features; where M is 0, it is that of the deviations.
    """
    values, vectors = np.linalg.eigh(outer_product * np.outer(deviation, deviation))
    root = np.sqrt(np.maximum(values, 0.0))
    root = np.maximum(root / root.max(), LEAST_RELEVANCE) if root.max() > 0 else np.ones_like(root)
    return np.asarray((vectors * root) @ vectors.T / deviation)


def relevance_of(mapped: MetricMap, deviation: Floats) -> Floats:
    """Return the relevance of each feature (d,) to a metric that was learned: that of AᵀA."""
    inverse = 1.0 / (np.ones_like(deviation) if mapped.scale is None else mapped.scale)
    matrix = np.diag(inverse) if mapped.matrix is None else mapped.matrix
    return relevance(matrix.T @ matrix, deviation)
