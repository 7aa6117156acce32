"""KeOps on a CPU: its generated C++, compiled with a C entry point of one line.

KeOps would wrap each formula with pybind11, whose headers cost 8 to 14 s a formula where the
reduction itself compiles in half a second. So only its code generator (keopscore) is used here,
and the result is called through ctypes. Float64, plain summation: `sum_scheme="direct_sum"`.

Importing this module imports KeOps, which reads its settings from the environment then.
"""

import atexit
import ctypes
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np
from keopscore.config import config
from keopscore.get_keops_dll import get_keops_dll, get_keops_dll_impl

from service.backends.keops.formulas import Formula
from service.backends.keops.library import check_arguments, checked_result
from service.domain.arrays import Floats

# It would write a pickle at exit, without a lock.
atexit.unregister(get_keops_dll.save_cache)

_CATEGORIES = {"Vi": 0, "Vj": 1, "Pm": 2}


@final
class CpuLibrary:
    """Formulas as functions of shared objects, one file each; OpenMP over the queries."""

    device: Final[Literal["cpu"]] = "cpu"

    def __init__(self, folder: Path) -> None:
        if Path(config.get_build_folder()) != folder:
            raise RuntimeError(
                f"KeOps works in {config.get_build_folder()} instead of {folder}; "
                "it was imported before its settings were made."
            )
        self._folder: Final = folder
        self._functions: Final[dict[Formula, Callable[..., int]]] = {}

    def place(self, array: Floats) -> Any:
        """Return the array itself."""
        return array

    def compile(self, formula: Formula) -> None:
        """Load the formula, compiled before or now; see `Library.compile`."""
        tag, source = _generate(formula)
        target = self._target(tag)
        if not target.exists():
            _build(tag, source, target)
        try:
            self._functions[formula] = _load(target)
        except OSError:
            # Compiled on another system, or damaged: once more, from the source.
            target.unlink()
            _build(tag, source, target)
            self._functions[formula] = _load(target)

    def discard(self, formula: Formula) -> None:
        """Remove the shared object; see `Library.discard`."""
        self._functions.pop(formula, None)
        self._target(_generate(formula)[0]).unlink(missing_ok=True)

    def reduce(self, formula: Formula, *arguments: Any) -> Floats:
        """Evaluate the formula; see `Library.reduce`."""
        m, n = check_arguments(
            formula,
            [a.shape for a in arguments],
            [a.dtype == np.float64 and a.flags.c_contiguous for a in arguments],
        )
        result = np.empty((m, formula.width))
        pointers = (ctypes.c_void_p * len(arguments))(*(a.ctypes.data for a in arguments))
        self._functions[formula](m, n, result.ctypes.data, pointers)
        return checked_result(formula, result)

    def _target(self, tag: str) -> Path:
        return self._folder / f"nearfit_{tag}.so"


def _generate(formula: Formula) -> tuple[str, str]:
    """Return KeOps' tag for the formula and the path of its C++ source, written if it is not."""
    neighbors = f",{formula.neighbors}" if formula.neighbors else ""
    reduction = "ArgKMin_Reduction" if formula.neighbors else "Sum_Reduction"
    tag, source, *_ = get_keops_dll_impl(
        "CpuReduc",
        f"{reduction}({formula.text}{neighbors},0)",
        *(0, 0, 0),  # chunked modes, for GPUs
        [
            f"{name}=Var({position},{width},{_CATEGORIES[kind]})"
            for position, (name, kind, width) in enumerate(formula.arguments)
        ],
        len(formula.arguments),
        *("double", "double", "direct_sum"),
        *(0, 0, 0),  # host memory, CPU, one dimension
        *(0, 0, -1),  # no half precision, no fast mathematics, no device
    )
    return str(tag), str(source)


def _build(tag: str, source: str, target: Path) -> None:
    """Compile the formula; the file gets its name once it is whole.

    Raises:
        RuntimeError: There is no compiler, it failed, or the folder cannot be written to.
    """
    compiler = config.get_cxx_compiler()
    if compiler is None:
        raise RuntimeError("KeOps needs a C++ compiler (g++) to compile its formulas.")
    entry = (
        f'#include "{source}"\n'
        'extern "C" int nearfit_reduce(long m, long n, double *out, double **arguments) {\n'
        f"  return launch_keops_{tag}<double>(m, n, 0, out, arguments);\n"
        "}\n"
    )
    # Link-time optimisation has nothing to look across in a single file.
    flags = [flag for flag in shlex.split(config.get_cpp_flags()) if not flag.startswith("-flto")]
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        run = subprocess.run(
            [compiler, *flags, "-x", "c++", "-", "-o", str(part)],
            input=entry.encode(),
            capture_output=True,
            check=False,
        )
        if run.returncode != 0:
            said = run.stderr.decode(errors="replace").strip()[-2000:]
            raise RuntimeError(f"The C++ compiler failed on a KeOps formula: {said}")
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _load(path: Path) -> Callable[..., int]:
    function = ctypes.CDLL(str(path)).nearfit_reduce
    function.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    function.restype = ctypes.c_int
    loaded: Callable[..., int] = function
    return loaded
