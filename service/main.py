"""The one place that chooses concrete parts."""

from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from fastapi import FastAPI

from service.api import json_numbers
from service.api.app import build_app
from service.backends.keops.backend import open_backend
from service.backends.keops.formulas import Device
from service.backends.native import backend as native_backend
from service.backends.native.backend import NativeBackend
from service.engine import warming
from service.engine.engine import Engine
from service.engine.limits import Limits
from service.engine.plan import Forced
from service.engine.tuner import Tuner
from service.engine.workers.base import Worker
from service.engine.workers.process import ProcessWorker
from service.engine.workers.thread import ThreadWorker
from service.settings import Settings
from service.storage.sample import SAMPLE_ID, sample_dataset
from service.storage.store import DatasetStore


def create_app(settings: Settings) -> FastAPI:
    """Return the application for these settings; its engine starts and ends with the server."""
    # Arrow's own pool would keep what a large file or answer took, for those to come.
    pa.set_memory_pool(pa.system_memory_pool())
    return build_app(
        lambda: build_engine(settings), settings.max_body_bytes, settings.body_timeout_s
    )


def build_engine(settings: Settings) -> Engine:
    """Return the engine for these settings, with the sample dataset where it is wanted."""
    store = DatasetStore(settings.memory_budget_bytes)
    if settings.sample:
        store.add(sample_dataset(), dataset_id=SAMPLE_ID)
    # On KeOps, the process of the worker prepares and holds datasets of its own.
    prepared_budget_bytes = settings.prepared_budget_bytes
    if settings.backend == "keops":
        prepared_budget_bytes //= 2
    # The native worker is always there: KeOps has a closed set of formulas, and native the rest.
    native = ThreadWorker(
        NativeBackend(),
        cores=settings.threads,
        prepared_budget_bytes=prepared_budget_bytes,
        warm_up=warm_up,
    )
    workers: dict[str, Worker] = {"native": native}
    device = keops_device(settings)
    if settings.backend == "keops":
        workers["keops"] = ProcessWorker(
            open_backend,
            {
                "cache_folder": str(settings.cache_dir),
                "device": device,
                "threads": settings.threads,
            },
            prepared_budget_bytes=prepared_budget_bytes,
            dataset_budget_bytes=prepared_budget_bytes,
        )
    return Engine(
        store,
        workers,
        limits_of(settings),
        backend=settings.backend,
        device=device,
        cores=settings.threads,
        forced=Forced.named(settings.plan),
        prepares_ahead=settings.prepare,
        native=native,
        tuner=Tuner(NativeBackend()),
        tunes_ahead_s=settings.tune_s,
    )


def keops_device(settings: Settings) -> Device:
    """Return where KeOps computes: "auto" is a GPU where a driver and PyTorch are there.

    Found out without importing PyTorch, which only the worker process may.
    """
    if settings.device != "auto":
        return settings.device
    has_driver = Path("/proc/driver/nvidia/version").exists()
    return "cuda" if has_driver and find_spec("torch") is not None else "cpu"


def limits_of(settings: Settings) -> Limits:
    """Return what the service takes."""
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        max_queries=settings.max_queries,
        max_features=settings.max_features,
        max_targets=settings.max_targets,
        max_neighbor_entries=settings.max_neighbor_entries,
        default_timeout_s=settings.default_timeout_s,
        max_timeout_s=settings.max_timeout_s,
        memory_budget_bytes=settings.memory_budget_bytes,
        max_pending_requests=settings.max_pending_requests,
        max_batch_rows=settings.max_batch_rows,
    )


def warm_up() -> None:
    """Compile, or load from the cache, what the first requests would else wait for."""
    json_numbers.warm_up()
    native_backend.warm_up()
    warming.warm_up(NativeBackend())
