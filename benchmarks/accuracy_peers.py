"""scikit-learn's regressors, tuned on the training rows of a split.

Neighbours and boosted trees try settings drawn at random, the defaults first, judged by a fifth of
the training rows that is held out, until their time is over; the best one is fitted again to all.
The Gaussian process maximises its likelihood over the noise and a length scale a feature, on a
sample of the rows: its time goes with their cube.
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.public_data import Split

GP_ROWS = 1_000
HELD_OUT = 0.2
SEED = 0


@dataclass(frozen=True)
class Tuned:
    """How a tuned peer does at the test rows.

    Attributes:
        rmse: Root of the mean squared error.
        tuning_s: Time of the search and of the last fit.
        predict_ms: Time of a prediction, all test rows in one call.
        settings: What was chosen.
    """

    rmse: float
    tuning_s: float
    predict_ms: float
    settings: str


def tuned_peers(split: Split, seconds: float) -> dict[str, Tuned]:
    """Return the peers, each tuned for so many seconds."""
    rows = min(GP_ROWS, len(split.x))
    return {
        "scikit-learn, KNeighborsRegressor": _searched(split, _neighbors(), seconds),
        "scikit-learn, HistGradientBoostingRegressor": _searched(split, _trees(), seconds),
        f"scikit-learn, GaussianProcessRegressor ({rows:,} rows)": _process(split, rows),
    }


def _neighbors() -> Iterator[Any]:
    rng = np.random.default_rng(SEED)
    yield make_pipeline(StandardScaler(), KNeighborsRegressor(n_jobs=-1))
    while True:
        yield make_pipeline(
            StandardScaler(),
            KNeighborsRegressor(
                n_neighbors=int(np.exp(rng.uniform(np.log(2), np.log(50)))),
                weights=str(rng.choice(["uniform", "distance"])),
                p=int(rng.choice([1, 2])),
                n_jobs=-1,
            ),
        )


def _trees() -> Iterator[Any]:
    rng = np.random.default_rng(SEED)
    yield HistGradientBoostingRegressor(random_state=SEED)
    while True:
        yield HistGradientBoostingRegressor(
            learning_rate=float(np.exp(rng.uniform(np.log(0.03), np.log(0.3)))),
            max_leaf_nodes=int(np.exp(rng.uniform(np.log(15), np.log(127)))),
            min_samples_leaf=int(np.exp(rng.uniform(np.log(3), np.log(50)))),
            l2_regularization=float(np.exp(rng.uniform(np.log(1e-3), np.log(10)))),
            max_iter=1_000,
            early_stopping=True,
            random_state=SEED,
        )


def _searched(split: Split, candidates: Iterator[Any], seconds: float) -> Tuned:
    started = time.perf_counter()
    order = np.random.default_rng(SEED).permutation(len(split.x))
    cut = int(HELD_OUT * len(order))
    held_out, kept = order[:cut], order[cut:]
    best, least, tried = None, np.inf, 0
    for candidate in candidates:
        candidate.fit(split.x[kept], split.y[kept, 0])
        error = np.mean((candidate.predict(split.x[held_out]) - split.y[held_out, 0]) ** 2)
        tried += 1
        if error < least:
            best, least = candidate, error
        if time.perf_counter() - started >= seconds:
            break
    if best is None:
        raise ValueError("no candidate has a finite error")
    best.fit(split.x, split.y[:, 0])
    return _judged(best, split, time.perf_counter() - started, f"best of {tried}: {best}")


def _process(split: Split, rows: int) -> Tuned:
    started = time.perf_counter()
    d = split.x.shape[1]
    kernel = ConstantKernel() * Matern(np.ones(d), (1e-3, 1e5), nu=2.5) + WhiteKernel(
        0.1, (1e-8, 10.0)
    )
    model = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True))
    sample = np.random.default_rng(SEED).permutation(len(split.x))[:rows]
    with warnings.catch_warnings():
        # The length scale of a feature that does not matter goes to its bound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(split.x[sample], split.y[sample, 0])
    return _judged(model, split, time.perf_counter() - started, str(model[-1].kernel_))


def _judged(model: Any, split: Split, tuning_s: float, settings: str) -> Tuned:
    started = time.perf_counter()
    mean = model.predict(split.test_x)
    predict_ms = 1e3 * (time.perf_counter() - started) / len(split.test_x)
    rmse = float(np.sqrt(np.mean((mean - split.test_y[:, 0]) ** 2)))
    return Tuned(rmse, tuning_s, predict_ms, " ".join(settings.split()))
