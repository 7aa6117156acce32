"""Local fits that outliers do not pull: Tukey's bisquare, iterated.

After a first fit the rows are weighed by their residuals and fitted again, a few times over:

    e_i = y_i - f(x_i),   s = 6 median |e_i|,   p_i = (1 - (e_i / s)²)²  for |e_i| < s, else 0

The weights multiply those of the kernel. Where more than half of the rows are fitted exactly, s is
0, and no row is weighed down. (loess' code rounds |e_i| < 0.001 s to 0 and |e_i| > 0.999 s to s,
which moves no weight by more than 4e-6.)

`iterations` counts how often the rows are weighed: 3 is lowess(it = 3) of statsmodels and
iterations = 4 of R's loess (family = "symmetric"), which counts the first fit too.

Sources: Cleveland (1979), JASA 74(368), 829-836; Cleveland, Grosse & Shyu (1992), Statistical
Models in S, chapter 8.
"""

import numpy as np

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Issue, Prediction
from service.estimators import local_polynomial
from service.estimators.blocks import Blocks
from service.estimators.fits import LocalPolynomial
from service.estimators.row_weights import Weighted

SCALE_MEDIANS = 6.0
"""Of normal residuals, the median is 0.67 deviations: 6 of it are 4, which hardly any exceeds."""

BLOCK_ROWS = 256


def bisquare_weights(residual: Floats) -> Floats:
    """Return p_i for the residuals of one target, (n,)."""
    size = np.abs(residual)
    scale = SCALE_MEDIANS * float(np.median(size))
    if scale < np.finfo(np.float64).tiny:
        return np.ones_like(size)
    u = np.minimum(size / scale, 1.0)
    return np.asarray(np.square(1.0 - u * u))


def robustness_weights(
    rows: Resident, fit: LocalPolynomial, iterations: int, blocks: Blocks
) -> Floats:
    """Return p_i of each row for each target, (n, t).

    Cost: `iterations` predictions at all rows for each target.

    Raises:
        DeadlineExceeded: Between two blocks, when the time is over.
    """
    weights = np.ones_like(rows.y)
    for _ in range(iterations):
        mean = _at_rows(rows, fit, weights, blocks)
        # A row that has lost all in its reach keeps the weight it had.
        residual = np.where(np.isnan(mean), 0.0, rows.y - mean)
        for c in range(weights.shape[1]):
            updated = bisquare_weights(residual[:, c])
            weights[:, c] = np.where(np.isnan(mean[:, c]), weights[:, c], updated)
    return weights


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
        local_polynomial.predict(
            Weighted(rows, weights[:, c]), fit, q, neighbor_limit=None, diagnostics=diagnostics
        )
        for c in range(weights.shape[1])
    ]
    return Prediction(
        np.stack([part.mean[:, c] for c, part in enumerate(parts)], axis=1),
        issues=_merged([issue for part in parts for issue in part.issues]),
        diagnostics=parts[0].diagnostics,
    )


def _at_rows(rows: Resident, fit: LocalPolynomial, weights: Floats, blocks: Blocks) -> Floats:
    def work(part: slice) -> Floats:
        return predict(rows, fit, weights, rows.x[part], diagnostics=False).mean

    return np.concatenate(blocks(work, len(rows.x), BLOCK_ROWS))


def _merged(issues: list[Issue]) -> tuple[Issue, ...]:
    """Return each outcome once, for the queries where any target has it."""
    queries: dict[tuple[str, str], Rows] = {}
    merged: dict[tuple[str, str], Issue] = {}
    for issue in issues:
        key = (issue.status.value, issue.advice)
        queries[key] = np.union1d(queries.get(key, issue.queries), issue.queries)
        merged[key] = Issue(issue.status, queries[key], issue.advice)
    return tuple(merged.values())
