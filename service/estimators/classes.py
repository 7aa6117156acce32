"""From sums over the rows of each class to probabilities.

A smoother's estimate of the indicator of class c is p_c = Σ l_i 1[class of row i is c], with the
weights l_i that its mean of numbers has. They sum to 1 over the classes as Σ l_i = 1 (kriging's
need not). Weights of local lines may be negative, so that p_c leaves [0, 1] where a line
overshoots; then it is cut at 0 and all are divided by their sum:

    P(c | x) = max(p_c, 0) / Σ_k max(p_k, 0)

Source: Hastie, Tibshirani & Friedman (2009), The Elements of Statistical Learning, section 4.2, on
the regression of indicators; Loader (1999), Local Regression and Likelihood, section 8.1.
"""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Floats, Rows
from service.estimators.row_weights import mean_of

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""What a class of probability 0 counts as where it turns out to be the true one."""


@dataclass(frozen=True)
class Classified:
    """How well classes are predicted.

    Attributes:
        accuracy: The share of rows whose likeliest class is the true one.
        log_loss: The mean of -log P(true class), in nats.
    """

    accuracy: float
    log_loss: float


def probabilities(sums: Floats) -> Floats:
    """Return the probability of each class, (m, C), from the estimates p of the indicators.

    NaN in all columns where the estimate is, or where no class has a positive one.
    """
    positive = np.maximum(sums, 0.0)
    total = positive.sum(axis=1, keepdims=True)
    shares = np.full_like(positive, np.nan)
    np.divide(positive, total, out=shares, where=total > 0.0)
    return shares


def likeliest(shares: Floats) -> Rows:
    """Return the class of the largest probability of each row, (m,); -1 where there is none.

    Of equal ones it is the first.
    """
    found = np.argmax(shares, axis=1)
    return np.where(np.isnan(shares[:, 0]), -1, found).astype(np.int64, copy=False)


def classified(y: Floats, sums: Floats, row_weights: Floats | None = None) -> Classified | None:
    """Return how well the estimates of indicators (m, C) tell the classes y; None if for no row.

    Rows without probabilities are in neither figure; weights of the rows, (m,), make both of them
    weighted means.
    """
    shares = probabilities(sums)
    chosen = likeliest(shares)
    told = chosen >= 0
    if not told.any():
        return None
    true = np.argmax(y[told], axis=1)
    least = np.maximum(shares[told, true], LEAST_PROBABILITY)
    p = None if row_weights is None else row_weights[told]
    if p is not None and not p.any():
        return None
    hits = (chosen[told] == true).astype(np.float64)
    return Classified(
        accuracy=float(mean_of(hits, p)), log_loss=float(0.0 - mean_of(np.log(least), p))
    )
