"""The sum of squares of leave-one-out residuals (PRESS) that R reports for 5 neighbours."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.engine.portions import SerialBlocks
from service.estimators.fits import Knn
from service.estimators.leave_one_out import leave_one_out

R: dict[str, Any] = json.loads((Path(__file__).parent / "r_tables.json").read_text())
(CASE,) = R["leave_one_out"]
CARS = R["data"][CASE["data"]]
K = CASE["fit"]["n_neighbors"]
X = np.array(CARS["speed"], dtype=np.float64) + 1e-6 * np.arange(1, 51)
Y = np.array(CARS["dist"], dtype=np.float64)


def squared_errors_at_ties(x: Floats, y: Floats, at: int) -> list[float]:
    """Return what the squared residual of a row is for each choice among rows at one distance."""
    distances = np.abs(x - x[at])
    distances[at] = np.inf
    edge = np.sort(distances)[K - 1]
    nearer, tied = np.flatnonzero(distances < edge), np.flatnonzero(distances == edge)
    return [
        float((y[at] - (y[nearer].sum() + y[list(chosen)].sum()) / K) ** 2)
        for chosen in itertools.combinations(tied, K - len(nearer))
    ]


def test_the_published_sum_is_one_of_those_that_ties_allow() -> None:
    # The millionth of a row number that should break ties leaves 13 rows with two others at the
    # same distance to the bit, one on each side: which of them is the fifth, R does not say.
    choices = [squared_errors_at_ties(X, Y, i) for i in range(len(X))]
    assert sum(len(set(choice)) > 1 for choice in choices) == 13
    reached = {0.0}
    for choice in choices:
        reached = {round(total + error, 6) for total in reached for error in choice}
    assert CASE["press"] in reached

    rows = NativeBackend().load(X[:, None], Y[:, None])
    at = np.arange(len(X))
    blocks = SerialBlocks(time.monotonic() + 60)
    ours = leave_one_out(rows, Knn(n_neighbors=K), at, blocks=blocks).prediction[:, 0]
    assert_allclose(
        (Y - ours) ** 2, [choice[0] for choice in choices], rtol=1e-12, atol=1e-12
    )  # the smaller row number first
    assert round(float(np.sum((Y - ours) ** 2)), 6) in reached


@pytest.mark.parametrize("broken", [1e-3, 1e-2])
def test_without_ties_the_sum_is_the_plain_one(broken: float) -> None:
    x = X + broken * np.sqrt(np.arange(len(X)))
    choices = [squared_errors_at_ties(x, Y, i) for i in range(len(x))]
    assert all(len(choice) == 1 for choice in choices)
    rows = NativeBackend().load(x[:, None], Y[:, None])
    blocks = SerialBlocks(time.monotonic() + 60)
    at = np.arange(len(x))
    ours = leave_one_out(rows, Knn(n_neighbors=K), at, blocks=blocks).prediction[:, 0]
    assert_allclose((Y - ours) ** 2, [choice[0] for choice in choices], rtol=1e-12, atol=1e-12)
