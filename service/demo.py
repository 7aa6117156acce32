"""`nearfit demo`: every method on real data, over HTTP."""

import time
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from service.serving import running
from service.settings import Settings
from service.storage.sample import sample_dataset

HELD_OUT_EVERY = 7
"""Of the distinct times: the rows that the demo predicts are not among those it uploads."""

SHOWN = 5

FITS: dict[str, dict[str, Any]] = {
    "k nearest, k = 5": {"method": "knn", "n_neighbors": 5},
    "Nadaraya-Watson, h = 1.5": {
        "method": "nadaraya_watson",
        "kernel": "gaussian",
        "bandwidth": 1.5,
    },
    "local linear, k = 20": {"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
    "local quadratic, k = 35": {
        "method": "local_polynomial",
        "degree": 2,
        "kernel": "tricube",
        "n_neighbors": 35,
    },
    "kriging, l = 5": {
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
    shown = np.linspace(0, len(times) - 1, SHOWN).round().astype(int)
    table = Table(title="Acceleration at held-out times")
    table.add_column("method")
    for i in shown:
        table.add_column(f"{times[i]:g} ms", justify="right")
    table.add_column("error (RMSE)", justify="right")
    table.add_column("milliseconds", justify="right")
    for label, fit in FITS.items():
        body = {"dataset_id": dataset["id"], "queries": times.tolist(), "fit": fit}
        client.post("/predict", json=body).raise_for_status()  # prepares
        started = time.perf_counter()
        answer = client.post("/predict", json=body).raise_for_status().json()
        elapsed_ms = 1000 * (time.perf_counter() - started)
        estimate = np.array(answer["mean"], dtype=np.float64)
        error = float(np.sqrt(np.nanmean((estimate - truth) ** 2)))
        table.add_row(
            label,
            *(f"{estimate[i]:.1f} ({estimate[i] - truth[i]:+.1f})" for i in shown),
            f"{error:.1f}",
            f"{elapsed_ms:.1f}",
        )
    table.add_row("[bold]truth[/bold]", *(f"[bold]{truth[i]:.1f}[/bold]" for i in shown), "", "")
    console.print(table)
    console.print("Each cell: the estimate, and in brackets its error.")
    return 0


def _held_out(
    times: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> tuple[
    np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
]:
    """Return every seventh distinct time, and which rows have one of them."""
    chosen = np.unique(times)[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    return chosen, np.isin(times, chosen)
