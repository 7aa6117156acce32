"""What views of rows have in common, which change what the reductions mean and copy nothing."""

from dataclasses import dataclass

from service.backends.base import Resident
from service.domain.arrays import Floats


@dataclass(frozen=True, eq=False)
class View:
    """Rows that are looked at in another way; their columns are as they were.

    Attributes:
        rows: The rows.
    """

    rows: Resident

    @property
    def x(self) -> Floats:
        """The rows, (n, d), in the metric of the fit."""
        return self.rows.x

    @property
    def y(self) -> Floats:
        """The targets, (n, t)."""
        return self.rows.y

    @property
    def row_weights(self) -> Floats | None:
        """What each row counts, (n,); None where all count 1."""
        return self.rows.row_weights

    @property
    def n_sloped(self) -> int:
        """How many columns of x, the first, polynomials have slopes in."""
        return self.rows.n_sloped
