"""What an operator can set, from the environment variables NEARFIT_HOST, NEARFIT_PORT and so on.

Only `main` and `cli` read it; everything below them is given plain values.
"""

import os
from pathlib import Path
from typing import Literal, Self

import psutil
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CGROUP_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # control groups, version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


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

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.default_timeout_s > self.max_timeout_s:
            raise ValueError(
                f"default_timeout_s is {self.default_timeout_s:g}, above max_timeout_s, "
                f"{self.max_timeout_s:g}"
            )
        return self
