"""Nadaraya-Watson by KeOps on a CPU, in a process of its own, at the best settings known.

KeOps' defaults are several times slower: a sum in blocks that the compiler cannot vectorise, and
code for any x86-64. Here sums are direct, and the flags let g++ use the machine's widest vectors
and the vector exp of the C library.
"""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.domain.arrays import Floats
from service.settings import default_cache_dir

FLAGS = (
    "-march=native -mprefer-vector-width=512 -fno-math-errno -fno-trapping-math -fno-signed-zeros "
    "-fassociative-math -freciprocal-math -D__FAST_MATH__"
)
Precision = Literal["float32", "float64"]


class KeopsPeer:
    """The other end: holds the data, and answers each time it is asked."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def predict(self, precision: Precision) -> NDArray[Any]:
        """Return the estimates for the queries that the process was started with."""
        self._pipe.send(precision)
        answer: NDArray[Any] = self._pipe.recv()
        return answer


@contextmanager
def keops_peer(x: Floats, y: Floats, queries: Floats, bandwidth: float) -> Iterator[KeopsPeer]:
    """Start the process, its formulas compiled; end it afterwards."""
    spawn = multiprocessing.get_context("spawn")
    pipe, other = spawn.Pipe()
    process = spawn.Process(target=_answer, args=(other, x, y, queries, bandwidth))
    process.start()
    other.close()
    try:
        pipe.recv()  # compiled
        yield KeopsPeer(pipe)
    finally:
        pipe.close()
        process.join()


def _answer(pipe: Connection, x: Floats, y: Floats, queries: Floats, bandwidth: float) -> None:
    folder = Path(default_cache_dir()) / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    # Read by KeOps when it is imported.
    os.environ |= {"KEOPS_CACHE_FOLDER": str(folder), "CXXFLAGS": FLAGS, "KEOPS_VERBOSE": "0"}
    os.environ |= {"PYKEOPS_VERBOSE": "0"}
    from pykeops.numpy import Genred

    d = x.shape[1]
    reductions: dict[str, Any] = {}
    for precision in ("float64", "float32"):
        routine = Genred(
            "Exp(-g * SqDist(q, x)) * b",
            ["g = Pm(1)", f"q = Vi({d})", f"x = Vj({d})", "b = Vj(2)"],
            reduction_op="Sum",
            axis=1,
            sum_scheme="direct_sum",
            dtype_acc="float64",
        )
        arrays = [
            np.ascontiguousarray(array, dtype=precision)
            for array in (
                [0.5 / bandwidth**2],
                queries,
                x,
                np.column_stack([y, np.ones(len(y))]),
            )
        ]
        routine(*arrays[:1], *(array[:2] for array in arrays[1:]), backend="CPU")
        reductions[precision] = (routine, arrays)
    pipe.send("ready")
    while True:
        try:
            routine, arrays = reductions[pipe.recv()]
        except EOFError:
            return
        sums = routine(*arrays, backend="CPU")
        pipe.send(sums[:, 0] / sums[:, 1])
