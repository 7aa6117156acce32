"""Draw the pictures of docs/, each as NAME.svg beside this file.

    python docs/pictures/draw.py [another folder]

They are what GET /datasets/{id}/plot.svg answers, asked of a service that runs for the time of the
script. A file is the same at each run with the same version of matplotlib.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from service.serving import running
from service.settings import Settings

HERE = Path(__file__).resolve().parent
SINE = HERE.parents[1] / "tests" / "reference" / "seed_curves.json"

SMALL = {"width": 340, "height": 270, "interval": "none"}

PICTURES: dict[str, dict[str, Any]] = {
    "knn": {
        "dataset": "sine",
        "title": "The mean of 10 rows",
        "method": "knn",
        "n_neighbors": 10,
        **SMALL,
    },
    "nadaraya_watson": {
        "dataset": "sine",
        "title": "The kernel-weighted mean",
        "method": "nadaraya_watson",
        "kernel": "epanechnikov",
        "bandwidth": 0.1,
        **SMALL,
    },
    "local_linear": {
        "dataset": "sine",
        "title": "A line through 30 rows",
        "method": "local_linear",
        "n_neighbors": 30,
        **SMALL,
    },
    "kriging": {
        "dataset": "sine",
        "title": "One smooth curve",
        "method": "kriging",
        "kernel": "gaussian",
        "length_scale": 0.3,
        "alpha": 0.1,
        **SMALL,
    },
    "narrow": {
        "dataset": "sine",
        "title": "Too little: the noise",
        "method": "local_linear",
        "kernel": "gaussian",
        "bandwidth": 0.01,
        **SMALL,
    },
    "wide": {
        "dataset": "sine",
        "title": "Too much: a line",
        "method": "local_linear",
        "kernel": "gaussian",
        "bandwidth": 0.5,
        **SMALL,
    },
    "motorcycle": {
        "dataset": "motorcycle",
        "method": "local_linear",
        "n_neighbors": 30,
    },
    "map": {
        "dataset": "hills",
        "title": "A map of two features",
        "method": "local_linear",
        "n_neighbors": 30,
    },
    "slice": {
        "dataset": "hills",
        "title": "A slice along one of them",
        "method": "local_linear",
        "n_neighbors": 30,
        "feature": "north",
    },
}
"""By name: the dataset, and the query parameters."""


def main(folder: Path) -> None:
    """Write every picture into the folder."""
    with (
        running(Settings(port=0, tune_s=0)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        while not client.get("/readyz").is_success:
            time.sleep(0.1)
        ids = {"motorcycle": "motorcycle", "sine": _upload(client, sine())}
        ids["hills"] = _upload(client, hills())
        for name, choices in PICTURES.items():
            dataset, query = ids[choices["dataset"]], dict(choices)
            del query["dataset"]
            answer = client.get(f"/datasets/{dataset}/plot.svg", params=query)
            (folder / f"{name}.svg").write_bytes(answer.raise_for_status().content)


def sine() -> dict[str, Any]:
    """Return a hundred noisy rows of sin(4x)."""
    data = json.loads(SINE.read_text(encoding="utf-8"))
    return {"x": data["x"], "y": data["y"], "name": "sin(4x) + noise"}


def hills() -> dict[str, Any]:
    """Return 20 by 20 places, not quite on a lattice, and their heights."""
    rng = np.random.default_rng(1)
    lattice = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    x = (lattice + rng.uniform(-0.4, 0.4, lattice.shape)) / 10
    y = np.sin(2 * x[:, 0]) * np.cos(3 * x[:, 1]) + 0.1 * rng.normal(size=len(x))
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "name": "Hills",
        "feature_names": ["east", "north"],
        "target_names": ["height"],
    }


def _upload(client: httpx.Client, rows: dict[str, Any]) -> str:
    answer = client.post("/datasets", json=rows).raise_for_status()
    return str(answer.json()["id"])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
