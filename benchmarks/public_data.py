"""Public data sets, read from a folder that the caller names; none is part of this repository.

| name       | files, all .csv.gz        | rows × features | split                      |
|------------|---------------------------|-----------------|----------------------------|
| california | california                | 20,640 × 8      | 64/16/20, permuted by seed |
| kin40k     | kin40k.data, …test_mask   | 40,000 × 8      | 90/10, by the mask's column|
| bike       | bike.data, bike.test_mask | 17,379 × 17     | 90/10, by the mask's column|

Sources: Pace & Barry (1997), Statistics and Probability Letters 33(3), 291-297, by StatLib; the
UCI collection of benchmarks for Gaussian processes, with its splits.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.domain.arrays import Floats

COLUMNS = (
    "longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,"
    "median_income,median_house_value"
)
TRAINING, VALIDATION = 0.64, 0.16


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to be judged by.

    Attributes:
        x: (n, d).
        y: (n, 1).
        test_x: (m, d).
        test_y: (m, 1).
    """

    x: Floats
    y: Floats
    test_x: Floats
    test_y: Floats


def california(folder: Path, seed: int) -> Split:
    """Return a split of California Housing; the 16 % between are left unused.

    Totals are divided by households, and values are in 100,000 dollars.
    """
    path = folder / "california.csv.gz"
    with gzip.open(path, "rt") as file:
        if file.readline().strip() != COLUMNS:
            raise ValueError(f"{path} has other columns than {COLUMNS}")
        longitude, latitude, age, rooms, bedrooms, population, households, income, value = (
            np.loadtxt(file, delimiter=",").T
        )
    x = np.column_stack(
        [
            income,
            age,
            rooms / households,
            bedrooms / households,
            population,
            population / households,
            latitude,
            longitude,
        ]
    )
    y = value[:, None] / 1e5
    order = np.random.default_rng(seed).permutation(len(x))
    training, test = int(TRAINING * len(x)), int((TRAINING + VALIDATION) * len(x))
    return Split(x[order[:training]], y[order[:training]], x[order[test:]], y[order[test:]])


def uci(folder: Path, name: str, split: int) -> Split:
    """Return a fixed split, with the target in deviations of the training rows' from their mean."""
    with gzip.open(folder / f"{name}.data.csv.gz", "rt") as file:
        data = np.loadtxt(file, delimiter=",")
    with gzip.open(folder / f"{name}.test_mask.csv.gz", "rt") as file:
        is_test = np.loadtxt(file, delimiter=",")[:, split] > 0
    x, y = np.ascontiguousarray(data[:, :-1]), data[:, -1:]
    y = (y - y[~is_test].mean()) / y[~is_test].std()
    return Split(x[~is_test], y[~is_test], x[is_test], y[is_test])
