"""`nearfit demo`: every method on real data, over HTTP."""

import time
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from service.domain.arrays import Floats
from service.serving import running
from service.settings import Settings
from service.storage.sample import sample_dataset

HELD_OUT_EVERY = 7
"""Of the distinct times: the rows that the demo predicts are not among those it uploads."""

SHOWN = 5

FITS: dict[str, dict[str, Any]] = {
    "k\nnearest": {"method": "knn", "n_neighbors": 5},
    "Nadaraya-\nWatson": {
        "method": "nadaraya_watson",
        "kernel": "gaussian",
        "bandwidth": 1.5,
    },
    "local\nlinear": {"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
    "local\nparabola": {
        "method": "local_polynomial",
        "degree": 2,
        "kernel": "tricube",
        "n_neighbors": 35,
    },
    "kriging": {
        "method": "kriging",
        "kernel": "matern32",
        "length_scale": 5.0,
        "alpha": 0.3,
    },
    "auto": {"method": "auto"},
}

READY_WITHIN_S = 120.0


def run_demo(settings: Settings) -> int:
    """Start a service on a free port, upload, predict with every method, print, stop."""
    console = Console()
    with running(settings.model_copy(update={"port": 0})) as url:
        console.print(f"nearfit answers at {url}")
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            if not _wait_until_ready(client):
                console.print("The service did not become ready:", client.get("/readyz").text)
                return 1
            return _predict(client, console)


def _wait_until_ready(client: httpx.Client) -> bool:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        if client.get("/readyz").is_success:
            return True
        time.sleep(0.1)
    return False


def _predict(client: httpx.Client, console: Console) -> int:
    sample = sample_dataset()
    times, held_out = _held_out(sample.x[:, 0])
    uploaded = client.post(
        "/datasets",
        json={
            "name": "Motorcycle accidents, the demo's part",
            "x": sample.x[~held_out].tolist(),
            "y": sample.y[~held_out, 0].tolist(),
            "feature_names": list(sample.feature_names),
            "target_names": list(sample.target_names),
        },
    ).raise_for_status()
    dataset = uploaded.json()
    console.print(
        f"Uploaded {dataset['rows']} rows of head acceleration (g) by time (ms) as "
        f"{dataset['id']}; predicting at {len(times)} times that were held out.\n"
    )
    truth = np.array([sample.y[sample.x[:, 0] == at, 0].mean() for at in times])
    estimates: dict[str, Floats] = {}
    milliseconds: dict[str, float] = {}
    for label, fit in FITS.items():
        body = {"dataset_id": dataset["id"], "queries": times.tolist(), "fit": fit}
        client.post("/predict", json=body).raise_for_status()  # prepares
        started = time.perf_counter()
        answer = client.post("/predict", json=body).raise_for_status().json()
        milliseconds[label] = 1000 * (time.perf_counter() - started)
        estimates[label] = np.array(answer["mean"], dtype=np.float64)
    console.print(_table(times, truth, estimates, milliseconds))
    return 0


def _table(
    times: Floats, truth: Floats, estimates: dict[str, Floats], milliseconds: dict[str, float]
) -> Table:
    table = Table(title="Head acceleration (g) at times that were held out", box=box.SIMPLE)
    table.add_column("time, ms", justify="right")
    table.add_column("truth", justify="right", style="bold")
    for label in estimates:
        table.add_column(label, justify="right")
    for i in np.linspace(0, len(times) - 1, SHOWN).round().astype(int):
        values = (f"{estimate[i]:.1f}" for estimate in estimates.values())
        table.add_row(f"{times[i]:g}", f"{truth[i]:.1f}", *values)
    table.add_section()
    errors = (np.sqrt(np.nanmean((values - truth) ** 2)) for values in estimates.values())
    table.add_row("error", "", *(f"{error:.1f}" for error in errors))
    table.add_row("took, ms", "", *(f"{elapsed:.1f}" for elapsed in milliseconds.values()))
    table.caption = f"error: root mean square over all {len(times)} held-out times"
    return table


def _held_out(times: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return every seventh distinct time, and which rows have one of them."""
    chosen = np.unique(times)[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    return chosen, np.isin(times, chosen)
