"""What an operator can set, from the environment variables NEARFIT_HOST, NEARFIT_PORT and so on.

Only `main` and `cli` read it; everything below them is given plain values.
"""

import logging
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Literal, Self

import psutil
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

log = logging.getLogger("nearfit")

CGROUP_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # control groups, version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


SEARCHES = ("tree", "scan")
SOLVERS = ("cholesky", "low_rank", "conjugate_gradient")
"""What NEARFIT_PLAN may name: the planner's own, written out so that they can be checked before the
compiled engine is loaded."""


def available_memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its container's if less."""
    memory = int(psutil.virtual_memory().total)
    for path in CGROUP_MEMORY_LIMITS:
        try:
            memory = min(memory, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file here, or "max": no limit
            continue
    return memory


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def default_cache_dir() -> Path:
    """Return where compiled kernels are kept: $XDG_CACHE_HOME/nearfit or ~/.cache/nearfit."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nearfit"


PACKAGE = Path(__file__).parent

_temporary: list[TemporaryDirectory[str]] = []
"""Folders that go with the process."""

SWITCH_S = 0.0001
"""Seconds after which a thread that runs Python lets another one do so. With Python's own 0.005,
each step of a request may wait so long behind a search for the best fit."""


def prepare_process(cache_dir: Path) -> None:
    """Set what a service's process needs; to be called before NumPy and Numba are imported.

    Args:
        cache_dir: The setting of that name.
    """
    # The engine cuts its work for threads of its own, whose priority is below the event loop's;
    # beside them the threads of a BLAS would only take turns.
    for library in ("OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    keep_compiled_code(cache_dir)
    sys.setswitchinterval(SWITCH_S)


def keep_compiled_code(cache_dir: Path) -> None:
    """Choose where compiled code is kept, before the engine, and with it Numba, is imported.

    Where it can be kept nowhere, code is compiled at every start, into a folder that lasts as long
    as the process.
    """
    kept = compiled_code_folder(cache_dir)
    if kept is None:
        _temporary.append(TemporaryDirectory(prefix="nearfit-"))
        kept = Path(_temporary[-1].name)
        log.warning(
            "Compiled code can be kept neither in %s nor in %s, so each start compiles it anew "
            "and is slow: set NEARFIT_CACHE_DIR to a folder that may be written.",
            PACKAGE,
            cache_dir,
        )
    if kept != PACKAGE:
        os.environ["NUMBA_CACHE_DIR"] = str(kept)


def compiled_code_folder(cache_dir: Path) -> Path | None:
    """Return where compiled code is kept from one start to the next; None for nowhere.

    That is beside the sources, where a wheel or a clone belongs to who runs it; the answer is then
    `PACKAGE`. Where that folder may not be written, such as in a container, it is in `cache_dir`.
    NUMBA_CACHE_DIR, where it is set, decides instead.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if is_writable(PACKAGE / "backends" / "native"):
        return PACKAGE
    kept = cache_dir / "numba"
    return kept if is_writable(kept) else None


def is_writable(folder: Path) -> bool:
    """Return whether files can be made in the folder; makes it where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


class Settings(BaseSettings):
    """The settings, each from the environment variable NEARFIT_<NAME>, or its default."""

    model_config = SettingsConfigDict(env_prefix="NEARFIT_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(
        8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one."
    )
    backend: Literal["native", "keops"] = Field(
        "native",
        description="Where predictions are computed: `native` (compiled loops in this process) or "
        "`keops` (KeOps in a worker process).",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="The device of the keops backend; `auto` takes a GPU where there is one.",
    )
    threads: int = Field(
        default_factory=available_cores,
        ge=1,
        description="Threads of the compute engine. Default: the cores that the process may use.",
    )
    memory_budget_bytes: int = Field(
        default_factory=lambda: available_memory_bytes() // 2,
        gt=0,
        description="Bytes that all datasets together may hold. Default: half of the memory.",
    )
    prepared_budget_bytes: int = Field(
        default_factory=lambda: available_memory_bytes() // 4,
        gt=0,
        description="Bytes that trees and factorisations, kept for the next request, may hold. "
        "Default: a quarter of the memory.",
    )
    max_body_bytes: int = Field(
        256 * 2**20, gt=0, description="Bytes of the largest request body that is read."
    )
    body_timeout_s: float = Field(
        60.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds without a byte of a request body after which it gets 408.",
    )
    max_queries: int = Field(
        1_000_000, gt=0, description="The most queries in one prediction request."
    )
    max_features: int = Field(1_000, gt=0, description="The most features a dataset may have.")
    max_targets: int = Field(100, gt=0, description="The most targets a dataset may have.")
    max_neighbor_entries: int = Field(
        1_000_000,
        gt=0,
        description="The most rows listed in one answer, over all its queries, when a request "
        "includes `neighbors`.",
    )
    default_timeout_s: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a prediction may take when the request does not say.",
    )
    max_timeout_s: float = Field(
        300.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds: the largest `timeout_s` that a request may ask for.",
    )
    max_pending_requests: int = Field(
        2_000, gt=0, description="Predictions that may wait or run at once; more get 503."
    )
    max_batch_rows: int = Field(
        8_192,
        gt=0,
        description="The most queries of several requests that are computed together; 1 computes "
        "each request by itself.",
    )
    plan: str = Field(
        "",
        description="Parts of every plan, for tests and comparisons: a search (`tree` or `scan`) "
        "and a solver (`cholesky`, `low_rank` or `conjugate_gradient`), with a comma between.",
    )
    prepare: bool = Field(
        True,
        description="Whether the rows of an uploaded dataset are made ready before someone asks: "
        "in data units, and up to a million rows for the default fit too.",
    )
    tune_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds that the search for the best fit to an uploaded dataset, which `auto` "
        "then means, may take, behind all predictions; 0 for no search.",
    )
    cache_dir: Path = Field(
        default_factory=default_cache_dir,
        description="The folder for compiled kernels. Default: `$XDG_CACHE_HOME/nearfit`, or "
        "`~/.cache/nearfit`.",
    )
    shutdown_grace_s: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds that requests in flight get to finish at shutdown.",
    )
    sample: bool = Field(
        True, description="Whether to load the sample dataset `motorcycle` at the start."
    )

    @field_validator("plan")
    @classmethod
    def _check_plan(cls, plan: str) -> str:
        named = [name.strip() for name in plan.split(",") if name.strip()]
        for name in named:
            if name not in SEARCHES + SOLVERS:
                raise PydanticCustomError(
                    "not_a_plan", "send some of {known}", {"known": ", ".join(SEARCHES + SOLVERS)}
                )
        for alternatives in (SEARCHES, SOLVERS):
            if len({name for name in named if name in alternatives}) > 1:
                raise PydanticCustomError(
                    "no_one_plan", "send one of {known}", {"known": ", ".join(alternatives)}
                )
        return plan

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.default_timeout_s > self.max_timeout_s:
            raise ValueError(
                f"default_timeout_s is {self.default_timeout_s:g}, above max_timeout_s, "
                f"{self.max_timeout_s:g}"
            )
        return self
