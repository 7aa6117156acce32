"""The array types that every layer shares, and the one place that makes them.

| On paper | Code | Shape  | Meaning                     |
|----------|------|--------|-----------------------------|
| x_i      | x    | (n, d) | rows: where y was seen      |
| y_i      | y    | (n, t) | targets, one or more        |
| x        | q    | (m, d) | queries: where y is wanted  |
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.int64]


def as_floats(values: Any) -> Floats:
    """Return `values` as a float64, C-contiguous array, without a copy where it is one."""
    return np.ascontiguousarray(values, dtype=np.float64)
