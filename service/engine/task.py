"""One prediction as a unit of work, the same wherever it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from service.backends.base import Backend
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import DeadlineExceeded
from service.domain.prediction import Prediction, concatenated
from service.estimators import kriging, local_polynomial, nadaraya_watson, neighbors
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
