"""What `nearfit doctor` looks at of the machine: memory, disk, cores, compiler, KeOps, GPU."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

from service.commands.findings import Finding, State, lacking
from service.settings import Settings, available_cores, available_memory_bytes

COMPILERS: Final = ("g++", "clang++")
"""Where CXX does not name one, in the order in which KeOps looks for them."""

PROGRAM: Final = """\
#include <cmath>
#include <omp.h>
int main() { return omp_get_max_threads() < 1; }
"""
"""What the formulas of KeOps need: the C++ library, and threads by OpenMP."""

COMPILER_S: Final = 60.0

LEAST_DISK_BYTES: Final = 100 * 2**20
"""Compiled code of all formulas and loops takes a few megabytes; below this, other things fail."""


def check_memory(settings: Settings) -> Finding:
    """Hold the budgets against the memory that is free now."""
    free = min(int(psutil.virtual_memory().available), available_memory_bytes())
    budget = settings.memory_budget_bytes + settings.prepared_budget_bytes
    found = f"{_gib(free)} free of {_gib(available_memory_bytes())}, budgets {_gib(budget)}"
    if budget > free:
        return Finding(
            "memory",
            State.WARNING,
            found,
            "set NEARFIT_MEMORY_BUDGET_BYTES and NEARFIT_PREPARED_BUDGET_BYTES lower, or end "
            "other programs: a full service would be killed",
        )
    return Finding("memory", State.OK, found)


def check_disk(settings: Settings) -> Finding:
    """See how much room there is for compiled code."""
    folder = settings.cache_dir.absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < LEAST_DISK_BYTES:
        return Finding(
            "disk",
            State.WARNING,
            f"{_gib(free)} free at {there}",
            "make room, or set NEARFIT_CACHE_DIR to another disk",
        )
    return Finding("disk", State.OK, f"{_gib(free)} free at {there}")


def check_cores(settings: Settings) -> Finding:
    """Hold the threads against the cores that the process may use."""
    cores = available_cores()
    found = f"{settings.threads} threads on {cores} cores"
    if settings.threads > cores:
        return Finding(
            "cores", State.WARNING, found, "set NEARFIT_THREADS to the cores: more take turns"
        )
    return Finding("cores", State.OK, found)


def check_compiler(settings: Settings) -> Finding:
    """Compile a program of three lines, as KeOps compiles its formulas."""
    wanted = settings.backend == "keops"
    named = os.environ.get("CXX")
    path = next(filter(None, map(shutil.which, [named] if named else COMPILERS)), None)
    if path is None:
        return Finding(
            "compiler",
            lacking(wanted),
            f"no {named or ' or '.join(COMPILERS)} is on the PATH",
            "install g++ (Debian: apt-get install g++); only KeOps needs it",
        )
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = subprocess.run(
                [path, "-fopenmp", "-x", "c++", "-", "-o", f"{folder}/program"],
                input=PROGRAM,
                capture_output=True,
                text=True,
                timeout=COMPILER_S,
                check=False,
            )
            failed, said = run.returncode != 0, run.stderr
        except (OSError, subprocess.TimeoutExpired) as error:
            failed, said = True, str(error)
    if failed:
        first = next(iter(said.strip().splitlines()), "it says nothing")
        return Finding(
            "compiler",
            lacking(wanted),
            f"{path} does not compile C++ with OpenMP: {first}",
            "install g++ with its C++ library and libgomp; only KeOps needs it",
        )
    return Finding("compiler", State.OK, f"{path} compiles C++ with OpenMP")


def check_keops(settings: Settings) -> Finding:
    """See whether KeOps is installed, without importing it: that would compile."""
    wanted = settings.backend == "keops"
    found = _installed("pykeops"), _installed("keopscore")
    if None in found:
        return Finding(
            "KeOps",
            State.FAULT if wanted else State.OK,
            "not installed" + ("" if wanted else ", and not needed by the backend native"),
            "pip install 'nearfit[keops]', or NEARFIT_BACKEND=native" if wanted else "",
        )
    if sys.platform == "win32":
        return Finding("KeOps", lacking(wanted), "has no Windows form", "NEARFIT_BACKEND=native")
    return Finding("KeOps", State.OK, f"pykeops {found[0]}, keopscore {found[1]}")


def check_gpu(settings: Settings) -> Finding:
    """See whether there is a GPU that the backend keops could compute on."""
    is_wanted = settings.backend == "keops" and settings.device == "cuda"
    driver = Path("/proc/driver/nvidia/version").exists()
    torch = _installed("torch")
    if driver and torch is None:
        return Finding(
            "GPU",
            lacking(is_wanted),
            "an NVIDIA driver, but no PyTorch, by which KeOps reaches it",
            "pip install 'nearfit[gpu]'",
        )
    if not driver:
        return Finding(
            "GPU",
            State.FAULT if is_wanted else State.OK,
            "no NVIDIA driver; predictions are computed on the CPU",
            "NEARFIT_DEVICE=cpu, or install the driver" if is_wanted else "",
        )
    return Finding("GPU", State.OK, f"{_gpu_names()}, torch {torch}")


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _gpu_names() -> str:
    """Return what the driver's own program calls the GPUs."""
    try:
        run = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=COMPILER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "a GPU that nvidia-smi does not name"
    return "; ".join(run.stdout.split("\n")).strip("; ") or "a driver without a GPU"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
