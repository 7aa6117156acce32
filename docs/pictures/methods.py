"""Draw docs/pictures/methods.svg: the four methods on the same noisy sine.

    python docs/pictures/methods.py [another.svg]

The estimates come from a service that runs for the time of the script. The file is the same at
each run with the same versions of the packages. Colours are of the Okabe-Ito palette, which
people with colour blindness can tell apart; all have a contrast of 3 or more on white and on a
dark page.
"""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from service.domain.arrays import Floats
from service.serving import running
from service.settings import Settings

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "tests" / "reference" / "seed_curves.json"

GREY = "#7f7f7f"

LONG_NUMBER = re.compile(r"(\d+\.\d\d)\d+")
"""A hundredth of a point is fine enough, and half of the bytes."""

PANELS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "knn, the 10 nearest rows",
        "#D55E00",
        {"method": "knn", "n_neighbors": 10},
    ),
    (
        "nadaraya_watson, bandwidth 0.1",
        "#0080C8",
        {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 0.1},
    ),
    (
        "local_linear, the 30 nearest rows",
        "#009E73",
        {"method": "local_linear", "kernel": "tricube", "n_neighbors": 30},
    ),
    (
        "kriging, length scale 0.3",
        "#B8609A",
        {"method": "kriging", "kernel": "gaussian", "length_scale": 0.3, "alpha": 0.1},
    ),
]


def main(target: Path) -> None:
    """Draw the picture into the file."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    x, y = np.array(data["x"]), np.array(data["y"])
    q = np.linspace(0.0, 1.0, 401)
    mpl.rcParams.update(
        {
            "font.family": "sans-serif",
            "font.size": 11,
            "svg.fonttype": "none",
            "svg.hashsalt": "nearfit",
            "text.color": GREY,
            "axes.edgecolor": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
        }
    )
    figure, grid = plt.subplots(2, 2, figsize=(8.4, 5.4), sharex=True, sharey=True)
    for axes, (title, color, _), estimate in zip(
        grid.flat, PANELS, estimates(x, y, q), strict=True
    ):
        draw(axes, x, y, q, estimate, color)
        axes.set_title(title, color=color, loc="left", fontsize=11.5, fontweight="bold")
    label(grid[0, 0])
    figure.tight_layout(w_pad=2.0, h_pad=1.6)
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    target.write_text(LONG_NUMBER.sub(r"\1", text.getvalue()), encoding="utf-8")


def estimates(x: Floats, y: Floats, q: Floats) -> list[Floats]:
    """Return the estimates of each method, asked of a service over HTTP."""
    found = []
    with (
        running(Settings(port=0, sample=False)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        for _, _, fit in PANELS:
            body = {
                "dataset": {"x": x.tolist(), "y": y.tolist()},
                "queries": q.tolist(),
                "fit": fit,
            }
            answer = client.post("/predict", json=body).raise_for_status().json()
            found.append(np.array(answer["mean"], dtype=np.float64))
    return found


def draw(axes: Axes, x: Floats, y: Floats, q: Floats, estimate: Floats, color: str) -> None:
    """Draw one panel: rows, truth and estimate."""
    axes.scatter(x, y, s=9, color=GREY, alpha=0.55, linewidths=0)
    axes.plot(q, np.sin(4 * q), color=GREY, linewidth=1.2, dashes=(4, 3))
    axes.plot(q, estimate, color=color, linewidth=2.2, solid_joinstyle="round")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([-1, 0, 1])
    axes.set_xlim(-0.02, 1.02)


def label(axes: Axes) -> None:
    """Name the truth and the rows, beside one of each."""
    axes.annotate(
        "sin(4x)",
        xy=(0.535, np.sin(4 * 0.535)),
        xytext=(0.77, 1.16),
        va="center",
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkB": 1},
    )
    axes.annotate("100 rows: sin(4x) + noise", xy=(0.02, -1.25))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "methods.svg")
