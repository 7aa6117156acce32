"""The rows and queries that benchmarks share: uniform in a cube, a smooth surface and noise."""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Floats

NOISE = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows and queries.

    Attributes:
        x: (n, d), uniform in the unit cube.
        y: (n,), a smooth surface of x with noise.
        queries: (m, d), uniform in the unit cube.
    """

    x: Floats
    y: Floats
    queries: Floats


def sample(n: int, d: int, m: int, seed: int = 0) -> Sample:
    """Return n rows of d features and m queries, the same for the same seed."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    y = np.sin(3 * x + np.arange(d)).sum(axis=1) / np.sqrt(d) + NOISE * rng.standard_normal(n)
    return Sample(x, y, rng.random((m, d)))
