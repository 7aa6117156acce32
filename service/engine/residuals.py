"""What is kept of a fit's errors at rows of the dataset, piece by piece; see `calibration`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.backends.base import Resident
from service.domain.arrays import Floats, Rows
from service.domain.prediction import Noise
from service.estimators.intervals import LocalScale
from service.estimators.uncertainty import local_variance


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What some rows are away from their predictions by the others.

    Attributes:
        at: Which rows, ascending, (s,).
        residual: y_i - f₋ᵢ(x_i), (s, t); NaN where no other row carries weight.
        variance: Of the residual, by a kriging model of signal variance 1, (s,).
        row_weights: Of these rows, (s,), all above 0; None where all count 1.
        unit: What makes each residual like one of a row of weight 1, (s,); None where all are.
    """

    at: Rows
    residual: Floats
    variance: Floats | None
    row_weights: Floats | None = None
    unit: Floats | None = None

    @property
    def of_weight_1(self) -> Floats:
        """The residuals as they would be likely to be, had all rows a weight of 1, (s, t)."""
        return self.residual if self.unit is None else self.residual * self.unit[:, None]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which of the rows have a prediction without themselves, (s,)."""
        return np.asarray(np.isfinite(self.residual).all(axis=1))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 5 * self.at.nbytes + self.residual.nbytes


@dataclass(frozen=True, eq=False)
class NoiseLevel:
    """The variance that other variances are multiples of.

    Attributes:
        variance: Of the noise; of the surface for kriging; (t,), NaN where it cannot be told.
        freedom: Its degrees of freedom; infinity where it is taken as known.
        report: The same for people.
    """

    variance: Floats
    freedom: float
    report: Noise

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 4 * self.variance.nbytes


@dataclass(frozen=True, eq=False)
class LocalNoise:
    """Noise that changes from place to place, as leave-one-out residuals say.

    Attributes:
        errors: The rows with residuals, in the metric of the fit, with those as targets; None
            where there are none.
        k: Over how many of them a variance averages; also its degrees of freedom.
        at_rows: The variance at each row of the dataset, (n, t).
    """

    errors: Resident | None
    k: int
    at_rows: Floats

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.at_rows.nbytes + (0 if self.errors is None else _bytes_of(self.errors))

    def at(self, q: Floats) -> Floats:
        """Return the variance at each query, (m, t); NaN where no residual tells it."""
        if self.errors is None:
            return np.full((len(q), self.at_rows.shape[1]), np.nan)
        return local_variance(self.errors, q, self.k)


@dataclass(frozen=True, eq=False)
class Scores:
    """What conformal intervals are made from.

    Attributes:
        scale: The local scale; None where fewer than two rows have a residual.
        scores: Of the sampled rows, (s, t); infinite for those without a prediction.
    """

    scale: LocalScale | None
    scores: Floats

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.scores.nbytes + (0 if self.scale is None else _bytes_of(self.scale.errors))


@dataclass(frozen=True, eq=False)
class Spacing:
    """How far rows are from their nearest others.

    Attributes:
        distances: Ascending, (s,).
    """

    distances: Floats

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.distances.nbytes


def _bytes_of(rows: Resident) -> int:
    return rows.nbytes + rows.x.nbytes + rows.y.nbytes
