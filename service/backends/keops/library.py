"""KeOps in this process: its environment, its cache folder, its formulas compiled and proven.

Nothing but `open_library` imports pykeops, and only a worker process calls it: KeOps is not safe
between threads and holds the process for a whole reduction.

KeOps' own cache has no lock, leaves broken files where a compile is cut short, and is named after
the host. Here one process at a time works on the folder, what is broken is removed first, a shared
object appears under its name only once it is whole, and the folder's name holds what really
matters: Python, processor and compiler flags.
"""

import atexit
import fcntl
import hashlib
import importlib.util
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, final
from unittest import mock

import numpy as np

from service.backends.keops.formulas import Device, Formula, formula_set
from service.domain.arrays import Floats

SAFE_FLAGS = (
    "-fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math "
    "-freciprocal-math -D__FAST_MATH__"
)
"""What lets the compiler vectorise the sums, without -ffast-math: that would void the infinities
which the arg-min starts from, and turn on flush-to-zero for the whole process."""

Report = Callable[[str], None]


class Library(Protocol):
    """Evaluates formulas of the closed set."""

    @property
    def device(self) -> Device:
        """Where it computes."""

    def place(self, array: Floats) -> Any:
        """Return the array where the device can read it, to be used in many calls."""

    def reduce(self, formula: Formula, *arguments: Any) -> Floats:
        """Return the reduction over the rows, (m, formula.width).

        Args:
            formula: One of the compiled set.
            arguments: In the order of `formula.aliases`; arrays, or what `place` returned.

        Raises:
            ValueError: A shape, type or layout is not what the formula reads. KeOps itself would
                read beyond the array.
            FloatingPointError: The result is not finite.
        """


def open_library(
    cache_folder: str,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 0,
    report: Report = lambda _: None,
) -> Library:
    """Return KeOps, every formula of the device compiled and checked against NumPy.

    Args:
        cache_folder: Where compiled formulas are kept, in a sub-folder of their own.
        device: "auto" takes the GPU where PyTorch sees one.
        threads: OpenMP threads on a CPU; 0 for one a core.
        report: Is told what is being done, as half a sentence.

    Raises:
        RuntimeError: A formula does not compile, or answers wrongly; the sentence says which.
    """
    report("importing KeOps")
    chosen = _chosen_device(device)
    folder = _prepare_environment(Path(cache_folder) / "keops", chosen, threads)
    with _locked(folder):
        _remove_broken(folder)
        library = _import_library(chosen, folder)
        formulas = formula_set(chosen)
        for number, formula in enumerate(formulas, start=1):
            report(f"compiling KeOps formulas ({number} of {len(formulas)})")
            _warm_up(library, formula)
    return library


def _chosen_device(device: Literal["auto", "cpu", "cuda"]) -> Device:
    if device == "cpu" or (device == "auto" and importlib.util.find_spec("torch") is None):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise RuntimeError("The device is set to cuda, but PyTorch sees no GPU.")
    return "cpu"


def _prepare_environment(base: Path, device: Device, threads: int) -> Path:
    """Set what KeOps reads once, at import; return the folder that it will work in."""
    flags = SAFE_FLAGS
    if _has_avx2():
        flags = f"-march=x86-64-v3 {flags}"
    os.environ.update(
        KEOPS_CACHE_FOLDER=str(base),
        KEOPS_VERBOSE="0",
        PYKEOPS_VERBOSE="0",
        CXXFLAGS=flags,
        OMP_WAIT_POLICY="passive",
        OMP_NUM_THREADS=str(threads or len(os.sched_getaffinity(0))),
    )
    if device == "cpu":
        # KeOps would take PyTorch and a GPU at import, if only to find them: seconds and 500 MB.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if "torch" not in sys.modules:
            sys.modules["torch"] = None  # type: ignore[assignment]  # hides it from find_spec
    name = "_".join(_folder_names(device, flags))
    return base / f"{name}_p{platform.python_version()}"


def _folder_names(device: Device, flags: str) -> tuple[str, str, str]:
    """Return what stands in the place of system, host and kernel release in the folder's name."""
    kind = device
    if device == "cuda":
        import torch

        # Compiled GPU code is named neither after the GPU nor after their number.
        kind = f"cuda-{torch.cuda.device_count()}-{torch.cuda.get_device_name(0)}"  # type: ignore[assignment]  # a label
        kind = "".join(c if c.isalnum() else "-" for c in kind)  # type: ignore[assignment]  # a label
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
    return platform.system(), f"{platform.machine()}-{kind}", digest


def _has_avx2() -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return {"avx2", "fma", "bmi2"} <= set(words)
