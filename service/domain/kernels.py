"""The names of the weight functions and covariances that a fit may ask for.

The formulas are in `service/estimators/kernels.py`; each backend has its own compiled form.
"""

from enum import StrEnum


class Kernel(StrEnum):
    """Weight of a row at the scaled distance u = ‖x_i - x‖ / h. Constants cancel in local fits."""

    GAUSSIAN = "gaussian"
    EPANECHNIKOV = "epanechnikov"
    TRICUBE = "tricube"
    UNIFORM = "uniform"
    TRIANGULAR = "triangular"
    BIWEIGHT = "biweight"
    TRIWEIGHT = "triweight"
    COSINE = "cosine"

    __hash__ = str.__hash__  # that of enumerations takes several times as long

    @property
    def is_compact(self) -> bool:
        """True where the weight is zero beyond the bandwidth."""
        return self is not Kernel.GAUSSIAN


class Covariance(StrEnum):
    """Correlation of two points at the Euclidean distance r, with length scale l."""

    GAUSSIAN = "gaussian"
    LAPLACIAN = "laplacian"
    MATERN32 = "matern32"
    MATERN52 = "matern52"

    __hash__ = str.__hash__  # see Kernel
