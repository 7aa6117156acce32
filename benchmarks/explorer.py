"""How soon does the explorer's curve follow a slider, and how soon is it there at first?

Debian's Chromium without a window opens /explore of a service in a process of its own. A slider is
moved step by step, as a hand would; a step ends with the second frame in which the page shows the
curve of the new fit: one draws it, the next one has been shown. A curve that takes more than 70 ms
to come, and a map, have a fourth of their places until the slider rests; the places are counted.
Browser, service and this process share the cores.

    python -m benchmarks.explorer [--quick]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
ROWS, QUICK_ROWS = 100_000, 5_000
STEPS, QUICK_STEPS = 30, 4
FOLLOW_LIMIT_MS = 100.0
MAP = "map, local line, k"

SHOWN = """async ([slider, value, field]) => {
    const plot = document.querySelector('#plot');
    const drawn = () => plot.data.find(one => ['curve', 'map'].includes(one.uid))?.meta.fit[field];
    const control = document.querySelector(slider);
    const begun = performance.now();
    control.value = value;
    control.dispatchEvent(new Event('input', {bubbles: true}));
    const wanted = Number(document.querySelector(`${slider}-number`).value);
    const frame = () => new Promise(done => requestAnimationFrame(done));
    while (drawn() !== wanted) {
        if (performance.now() - begun > 20_000) throw new Error(`${slider} ${value}: not drawn`);
        await frame();
    }
    await frame();
    return performance.now() - begun;
}"""
"""Moves a slider; gives the milliseconds until its fit was on the screen."""

FIRST = """async () => {
    const plot = document.querySelector('#plot');
    const frame = () => new Promise(done => requestAnimationFrame(done));
    while (!plot.data?.some(one => one.uid === 'curve')) await frame();
    await frame();
    return performance.now();
}"""
"""Gives the milliseconds from the navigation until a curve was on the screen."""

CHOSEN = """async id => {
    const frame = () => new Promise(done => requestAnimationFrame(done));
    const ready = () => document.querySelector('#plot').data?.length;
    while (!location.hash.includes(id) || !ready()) await frame();
}"""
"""Waits until a dataset is shown."""


def upload(client: httpx.Client, name: str, n: int, d: int) -> str:
    """Upload rows of a wavy surface; return the id of the dataset."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, d))
    y = np.sin(4 * x).sum(axis=1) + 0.2 * rng.normal(size=n)
    body = {"name": name, "x": x.tolist(), "y": y.tolist()}
    return str(client.post("/datasets", json=body).raise_for_status().json()["id"])


@contextmanager
def opened(url: str) -> Iterator[Page]:
    """Give a page of a browser with no history."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
        browser.new_context(base_url=url) as context,
    ):
        yield context.new_page()


PLACES = """() => {
    const shown = document.querySelector('#plot').data;
    const {x, z} = shown.find(one => ['curve', 'map'].includes(one.uid));
    return z ? z.flat().length : x.length;
}"""
"""Counts the places of the curve or map that is on the screen."""


def steps(
    page: Page, dataset_id: str, method: str, slider: str, count: int
) -> list[tuple[float, int]]:
    """Return the milliseconds of each step of a slider, and the places of what was drawn."""
    page.goto("/explore")
    page.evaluate(FIRST)
    page.select_option("#dataset", dataset_id)
    page.evaluate(CHOSEN, dataset_id)
    page.select_option("#method", method)
    low, high, field = (5, 100, "n_neighbors") if slider == "#k" else (200, 300, "bandwidth")
    values = [round(value) for value in np.linspace(low, high, count)]
    page.evaluate(SHOWN, [slider, values[-1] + (1 if slider != "#k" else -2), field])
    return [
        (page.evaluate(SHOWN, [slider, value, field]), page.evaluate(PLACES)) for value in values
    ]


def measure(options: Options) -> Record:
    """Return how long the page takes."""
    rows, count = (QUICK_ROWS, QUICK_STEPS) if options.quick else (ROWS, STEPS)
    follows: dict[str, list[float]] = {}
    slowest: dict[str, list[float]] = {}
    places: dict[str, list[float]] = {}
    first: list[float] = []
    with service(NEARFIT_TUNE_S="0") as client:
        many = upload(client, "many rows", rows, 1)
        plane = upload(client, "two features", 2_000, 2)
        cases = {
            "133 rows, local line with its band, k": ("motorcycle", "local_polynomial", "#k"),
            "133 rows, Nadaraya-Watson, h": ("motorcycle", "nadaraya_watson", "#bandwidth"),
            f"{rows:,} rows, mean of k": (many, "knn", "#k"),
            f"{rows:,} rows, local line, k": (many, "local_polynomial", "#k"),
            f"{rows:,} rows, Nadaraya-Watson, h": (many, "nadaraya_watson", "#bandwidth"),
            MAP: (plane, "local_polynomial", "#k"),
        }
        for _ in range(options.rounds):
            with opened(str(client.base_url)) as page:
                page.goto("/explore")
                first.append(page.evaluate(FIRST))
                for name, case in cases.items():
                    times, drawn = zip(*steps(page, *case, count), strict=True)
                    follows.setdefault(name, []).append(median(times))
                    slowest.setdefault(name, []).append(max(times))
                    places.setdefault(name, []).append(median(drawn))
    comparisons = tuple(
        Comparison(
            title,
            unit,
            {name: Samples(tuple(values)) for name, values in found.items()},
            baseline=None,
        )
        for title, unit, found in (
            ("a step, median", "ms", follows),
            ("a step, slowest", "ms", slowest),
            ("places meanwhile", "places", places),
            ("the page", "ms", {"from its address to a curve": first}),
        )
    )
    targets = (
        *(
            Target("slider", name, median(values), FOLLOW_LIMIT_MS, at_most=True, unit="ms")
            for name, values in follows.items()
            if name != MAP
        ),
    )
    setting = {"rows": rows, "steps": count, "rounds": options.rounds}
    return Record("explorer", (__doc__ or "").partition("\n")[0], setting, comparisons, targets)


if __name__ == "__main__":
    if CHROMIUM.exists():
        run(measure, __doc__, rounds=5)
    else:
        print(f"There is no {CHROMIUM} to open the page in: apt-get install chromium")
