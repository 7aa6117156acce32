"""How much each feature matters, by the learned metric or by the slopes of a local line."""

from typing import Final

import numpy as np

from service.backends.base import Backend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.engine.commands import Relevance
from service.engine.plan import Plan
from service.engine.prepared import Prepared
from service.engine.task import prepared_rows
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit
from service.estimators.metric import (
    average_outer_product,
    deviations,
    metric_map,
    relevance,
    relevance_of,
)

MOST_ROWS: Final = 1500
LEAST_ROWS: Final = 30
SLOPES_S: Final = 2.0
"""At how many rows slopes are looked at: as many as take about so long, within these bounds."""


def learned_relevance(dataset: Dataset, tuned: Fit) -> Relevance:
    """Return what a learned metric says."""
    # A scale a feature, or a matrix where no feature has several columns.
    mapped = metric_map(tuned.metric, dataset.x)
    share = relevance_of(mapped, deviations(dataset.x, dataset.features))
    return Relevance(dataset, share, tuned, is_learned=True, rows=0)


def relevance_by_slopes(
    dataset: Dataset, line: Fit, plan: Plan, backend: Backend, cache: Prepared, blocks: Blocks
) -> Relevance:
    """Return what the slopes of a local line say, at a sample of the rows.

    Raises:
        DeadlineExceeded: The time is over.
    """
    rows = prepared_rows(dataset, line.metric, plan.search, backend, cache, blocks.check)
    affordable = int(SLOPES_S / plan.query_s)
    count = min(dataset.n_rows, max(LEAST_ROWS, min(affordable, MOST_ROWS)))
    at = np.sort(np.random.default_rng(0).permutation(dataset.n_rows)[:count])
    deviation = _not_zero(dataset.y.std(axis=0))
    outer = average_outer_product(
        rows.resident, line, at, rows.mapped, deviation, blocks, dataset.features
    )
    share = relevance(outer, deviations(dataset.x, dataset.features))
    return Relevance(dataset, share, line, is_learned=False, rows=count)


def _not_zero(deviation: Floats) -> Floats:
    return np.where(deviation > 0, deviation, 1.0)
