"""Local fits that outliers do not pull: Tukey's bisquare, iterated.

After a first fit the rows are weighed by their residuals and fitted again, a few times over:

    e_i = y_i - f(x_i),   s = 6 median |e_i|,   r_i = (1 - (e_i / s)²)²  for |e_i| < s, else 0

They multiply the weights of the kernel and the rows' own. Where more than half of the rows are
fitted exactly, s is 0, and no row is weighed down. (loess' code rounds |e_i| < 0.001 s to 0 and
|e_i| > 0.999 s to s, which moves no weight by more than 4e-6.)

`iterations` counts how often the rows are weighed: 3 is lowess(it = 3) of statsmodels and
iterations = 4 of R's loess (family = "symmetric"), which counts the first fit too.

With the r_i held fixed the last fit is linear in the targets, and has all that such fits have: the
weights of single rows, slopes, gradients, leave-one-out. Each target has r_i of its own. They have
seen all targets, which makes leave-one-out an approximation. The noise is that of pseudovalues, as
if they had been observed and fitted without r_i:

    ỹ_i = f(x_i) + n / (Σ_j ψ'_j) r_i e_i,     ψ'_j = (1 - (e_j / s)²)₊ (1 - 5 (e_j / s)²)
    Var f(x) = σ² Σ l_i(x)²     with the l_i of the robust fit and σ² from the residuals of ỹ

Sources: Cleveland (1979), JASA 74(368), 829-836; Cleveland, Grosse & Shyu (1992), Statistical
Models in S, chapter 8, for pseudovalues; Huber (1973), Annals of Statistics 1(5), 799-821.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Issue, Prediction
from service.estimators import local_polynomial
from service.estimators.blocks import Blocks
from service.estimators.fits import LocalPolynomial
from service.estimators.row_weights import counted, multiplied

SCALE_MEDIANS = 6.0
"""Of normal residuals, the median is 0.67 deviations: 6 of it are 4, which hardly any exceeds."""

BLOCK_ROWS = 256


TARGET_AXIS = {
    "estimate": 1,
    "observation": 1,
    "lower": 1,
    "upper": 1,
    "slope": 1,
    "standard_error": 1,
    "values": 2,
    "scale": 0,
}
"""Where the fields of predictions have an entry a target."""


def bisquare_weights(residual: Floats) -> Floats:
    """Return r_i for the residuals of one target, (n,)."""
    scale = _scale(residual)
    if scale is None:
        return np.ones_like(residual)
    u = np.minimum(np.abs(residual) / scale, 1.0)
    return np.asarray(np.square(1.0 - u * u))


def pseudovalues(
    mean: Floats, residual: Floats, weights: Floats, row_weights: Floats | None = None
) -> Floats:
    """Return ỹ_i of one target, (n,). Residuals of rows of weight p_i count √p_i times in ψ'.

    Args:
        mean: f(x_i), (n,).
        residual: e_i, (n,).
        weights: r_i of that fit, (n,): as loess has it, 1 - (e_j / s)² is their root in ψ'.
        row_weights: p_i, (n,), all above 0; None where all are 1.
    """
    alike = residual if row_weights is None else residual * np.sqrt(row_weights)
    scale = _scale(alike)
    if scale is None:
        return mean + weights * residual
    slope = np.sqrt(weights) * (1.0 - 5.0 * np.square(alike / scale))
    return np.asarray(mean + len(mean) / slope.sum() * weights * residual)


def _scale(residual: Floats) -> float | None:
    """Return s; None where it is 0."""
    scale = SCALE_MEDIANS * float(np.median(np.abs(residual)))
    return None if scale < np.finfo(np.float64).tiny else scale


def robustness_weights(
    rows: Resident, fit: LocalPolynomial, iterations: int, blocks: Blocks
) -> Floats:
    """Return r_i of each row for each target, (n, t).

    Cost: `iterations` predictions at all rows for each target.

    Raises:
        DeadlineExceeded: Between two blocks, when the time is over.
    """
    weights, counts = np.ones_like(rows.y), counted(rows)
    for _ in range(iterations):
        views = weighed(rows, weights)
        means = [means_at_rows(view, fit, blocks)[:, c] for c, view in enumerate(views)]
        mean = np.stack(means, axis=1)
        # A row that has lost all in its reach keeps the weight it had.
        residual = np.where(np.isnan(mean), 0.0, rows.y - mean)
        for c in range(weights.shape[1]):
            updated = bisquare_weights(residual[counts, c])
            weights[counts, c] = np.where(np.isnan(mean[counts, c]), weights[counts, c], updated)
    return weights


def weighed(rows: Resident, weights: Floats) -> tuple[Resident, ...]:
    """Return the rows as the fit of each target sees them, for its r_i, (n, t)."""
    return tuple(multiplied(rows, weights[:, c]) for c in range(weights.shape[1]))


def predict(
    rows: Resident, fit: LocalPolynomial, weights: Floats, q: Floats, *, diagnostics: bool
) -> Prediction:
    """Return the local polynomial's value at each query, with the weights of the rows.

    Args:
        rows: The dataset's rows in the metric of the fit.
        fit: What to fit; Nadaraya-Watson is degree 0.
        weights: What `robustness_weights` returned, (n, t).
        q: Queries, (m, d), in the metric of the fit.
        diagnostics: Fill `Prediction.diagnostics`, from the first target's weights.
    """
    parts = [
        local_polynomial.predict(view, fit, q, neighbor_limit=None, diagnostics=diagnostics)
        for view in weighed(rows, weights)
    ]
    return of_targets(parts)


def means_at_rows(rows: Resident, fit: LocalPolynomial, blocks: Blocks) -> Floats:
    """Return f(x_i), (n, t), for weighed rows; NaN where none carries weight."""

    def work(part: slice) -> Floats:
        q = np.ascontiguousarray(rows.x[part])
        return local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False).mean

    return np.concatenate(blocks(work, len(rows.x), BLOCK_ROWS))


def of_targets(parts: Sequence[Prediction]) -> Prediction:
    """Return target c of the c-th prediction, of all targets each, as one prediction.

    What is not a target's own is the first's: the noise has the trace of the fit without r_i, which
    is that of all targets.
    """
    first = parts[0]
    if len(parts) == 1:
        return first

    def own(name: str) -> Any:
        """Return the targets' own parts of a field, joined; None where there is none."""
        found = [getattr(part, name) for part in parts]
        if found[0] is None or isinstance(found[0], np.ndarray):
            return None if found[0] is None else _columns(found, 1)
        return replace(
            found[0],
            **{
                field: _columns([getattr(each, field) for each in found], TARGET_AXIS[field])
                for field in vars(found[0])
                if field in TARGET_AXIS
            },
        )

    return replace(
        first,
        **{name: own(name) for name in ("mean", "deviations", "intervals", "slopes", "gradient")},
        quantiles=own("quantiles"),
        noise=own("noise"),
        issues=_merged([issue for part in parts for issue in part.issues]),
    )


def _columns(arrays: Sequence[Floats], axis: int) -> Floats:
    """Return entry c along the axis of the c-th array, together."""
    return np.stack([np.take(array, c, axis) for c, array in enumerate(arrays)], axis=axis)


def _merged(issues: list[Issue]) -> tuple[Issue, ...]:
    """Return each outcome once, for the queries where any target has it."""
    queries: dict[tuple[str, str], Rows] = {}
    merged: dict[tuple[str, str], Issue] = {}
    for issue in issues:
        key = (issue.status.value, issue.advice)
        queries[key] = np.union1d(queries.get(key, issue.queries), issue.queries)
        merged[key] = Issue(issue.status, queries[key], issue.advice)
    return tuple(merged.values())
