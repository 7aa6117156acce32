"""KeOps in this process: its environment, its cache folder, its formulas compiled and proven.

Only a worker process calls `open_library`, the one way to import KeOps: it is not safe between
threads, and its libraries do not survive a fork.

KeOps' own cache has no lock, leaves broken files where a compile is cut short, and is named after
the host. Here one process at a time works on the folder, what is broken is removed first, and the
folder's name holds what really matters: Python, processor and compiler flags. So a folder that was
filled while an image was built is found again in its containers.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol
from unittest import mock

import numpy as np

from service.backends.keops import known_answers
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
    """Evaluates formulas of the closed set; for one thread."""

    @property
    def device(self) -> Device:
        """Where it computes."""

    def place(self, array: Floats) -> Any:
        """Return the array where the device can read it, to be used in many calls."""

    def compile(self, formula: Formula) -> None:
        """Make the formula ready.

        Raises:
            RuntimeError: It does not compile, or what was compiled cannot be loaded.
        """

    def discard(self, formula: Formula) -> None:
        """Remove what was compiled from the cache folder, so that the next start compiles anew."""

    def reduce(self, formula: Formula, *arguments: Any) -> Floats:
        """Return the reduction over the rows, (m, formula.width).

        Args:
            formula: One that `compile` has made ready.
            arguments: In the order of `formula.arguments`; arrays, or what `place` returned.

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
    flags = f"-march=x86-64-v3 {SAFE_FLAGS}" if _has_avx2() else SAFE_FLAGS
    system = _stable_system(chosen, flags)
    base = Path(cache_folder).absolute() / "keops"
    # The name that KeOps will put together from `system`.
    folder = base / "_".join([*system[:3], f"p{platform.python_version()}"])
    _set_environment(base, chosen, flags, threads)
    formulas = formula_set(chosen)
    with _locked(base, folder):
        _remove_broken(folder)
        with mock.patch("platform.uname", return_value=system):
            library = _import_library(chosen, folder)
        for number, formula in enumerate(formulas, start=1):
            report(f"compiling KeOps formulas ({number} of {len(formulas)})")
            library.compile(formula)
            if not known_answers.agree(library.reduce, formula):
                library.discard(formula)
                raise RuntimeError(
                    f"KeOps computes '{formula.name}' wrongly on this machine. Its compiled form "
                    "was removed; if this happens again, use the native engine."
                )
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


def _import_library(device: Device, folder: Path) -> Library:
    if device == "cuda":
        from service.backends.keops.cuda import CudaLibrary

        return CudaLibrary()
    from service.backends.keops.cpu import CpuLibrary

    return CpuLibrary(folder)


def _set_environment(base: Path, device: Device, flags: str, threads: int) -> None:
    """Set what KeOps and OpenMP read once, when they are loaded."""
    os.environ.update(
        KEOPS_CACHE_FOLDER=str(base),
        KEOPS_VERBOSE="0",
        PYKEOPS_VERBOSE="0",
        CXXFLAGS=flags,
        OMP_WAIT_POLICY="passive",
        OMP_NUM_THREADS=str(threads or len(os.sched_getaffinity(0))),
    )
    if device == "cpu":
        # Where there is a GPU, KeOps would open it at import and compile for it.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _stable_system(device: Device, flags: str) -> platform.uname_result:
    """Return what KeOps shall take for the system: without the host and the kernel's release."""
    kind: str = device
    if device == "cuda":
        import torch

        # What is compiled for GPUs depends on their model and number, but is not named after them.
        model = "".join(c if c.isalnum() else "-" for c in torch.cuda.get_device_name(0))
        kind = f"{torch.cuda.device_count()}x{model}"
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8]
    real = platform.uname()
    return platform.uname_result(
        real.system, f"{real.machine}-{kind}", digest, real.version, real.machine
    )


def _has_avx2() -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        words = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return {"avx2", "fma", "bmi1", "bmi2", "movbe", "f16c", "abm"} <= set(words)


@contextmanager
def _locked(base: Path, folder: Path) -> Iterator[None]:
    """Work on the folder alone: two compilers of one formula would spoil each other's files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        if folder.is_dir():
            # A folder that nobody can write to needs no lock: its formulas come with the image.
            yield
            return
        raise RuntimeError(
            f"The cache folder {base} cannot be made ({problem.strerror}); "
            "set NEARFIT_CACHE_DIR to a folder that the service may write to."
        ) from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_broken(folder: Path) -> None:
    """Remove what a killed process may have left half written.

    The pickles go always: one that is cut short makes the import of KeOps fail for ever, and they
    would save less than a second.
    """
    broken = [*folder.glob("*_cache.pkl"), *folder.glob("*.part")]
    broken += [path for path in folder.glob("*.so") if not _is_elf(path)]
    for source in folder.glob("*.cpp"):
        info = source.with_suffix(".nfo")
        # KeOps writes the source first and the four lines about it last.
        if not info.exists() or len(info.read_text().splitlines()) != 4:
            broken += [source, info]
    for path in broken:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # read-only: nobody has left anything half written here


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def check_arguments(
    formula: Formula, shapes: list[tuple[int, ...]], are_plain: list[bool]
) -> tuple[int, int]:
    """Return (m, n), the numbers of queries and rows, if the arguments are what KeOps will read.

    Args:
        formula: What is evaluated.
        shapes: Of each argument.
        are_plain: Whether each is float64 and C-contiguous.

    Raises:
        ValueError: They are not.
    """
    if len(shapes) != len(formula.arguments):
        raise ValueError(f"'{formula.name}' takes {len(formula.arguments)} arguments.")
    lengths: dict[str, set[int]] = {"Vi": set(), "Vj": set()}
    for (name, kind, width), shape, is_plain in zip(
        formula.arguments, shapes, are_plain, strict=True
    ):
        expected = (width,) if kind == "Pm" else (shape[0] if shape else 0, width)
        if shape != expected or not is_plain:
            raise ValueError(
                f"'{formula.name}' takes {name} as {width} columns of contiguous float64, "
                f"not as an array of the shape {shape}."
            )
        if kind != "Pm":
            lengths[kind].add(shape[0])
    (m,), (n,) = lengths["Vi"], lengths["Vj"]
    if m < 1 or n < max(1, formula.neighbors):
        raise ValueError(f"'{formula.name}' cannot take {m} queries and {n} rows.")
    return m, n


def checked_result(formula: Formula, result: Floats) -> Floats:
    """Return the result if all of it is finite.

    Raises:
        FloatingPointError: It is not.
    """
    if not np.isfinite(result).all():
        raise FloatingPointError(
            f"'{formula.name}' overflows: the data spread over more than float64 can hold."
        )
    return result
