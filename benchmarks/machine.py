"""Which machine and which versions a figure belongs to."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = (
    "nearfit",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "pykdtree",
    "faiss-cpu",
    "statsmodels",
    "pykeops",
    "torch",
    "pyarrow",
    "orjson",
    "fastapi",
    "uvicorn",
)
"""Those whose code is timed."""


def machine() -> dict[str, str | int | float]:
    """Return the processor, the cores that this process may use, the memory and the system."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of each package that is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's name, where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found.group(1) if found else platform.machine()
