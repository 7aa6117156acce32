"""NumPy's numbers as columns of Arrow, as they lie in memory."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def number_column(values: NDArray[Any]) -> pa.Array:
    """Return numbers (n,) as a column, with null where JSON has it: what is not finite.

    `pa.array` would do, but imports pandas where it is installed, within a request.
    """
    values = np.ascontiguousarray(values)
    present = np.isfinite(values)
    missing = len(values) - int(np.count_nonzero(present))
    bitmap = pa.py_buffer(np.packbits(present, bitorder="little")) if missing else None
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype),
        len(values),
        [bitmap, pa.py_buffer(values)],
        null_count=missing,
    )
