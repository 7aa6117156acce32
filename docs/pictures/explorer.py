"""Take the pictures of the explorer: python docs/pictures/explorer.py, with Chromium installed."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from service.serving import running
from service.settings import Settings

HERE: Final = Path(__file__).parent
CHROMIUM: Final = "/usr/bin/chromium"
DRAWN_S: Final = 30
MOST_BYTES: Final = 200_000


def valley(rows: int = 300) -> dict[str, Any]:
    """Return rows of a rolling surface with two hollows, and some noise."""
    chance = np.random.default_rng(3)
    x = chance.uniform(-2, 2, (rows, 2))
    a, b = x.T
    height = 0.25 * (a**2 + b**2) - np.exp(-2 * ((a - 1) ** 2 + (b - 0.6) ** 2))
    height -= 0.8 * np.exp(-2 * ((a + 0.9) ** 2 + (b + 0.7) ** 2))
    return {
        "name": "A rolling surface",
        "x": x.round(4).tolist(),
        "y": (height + chance.normal(0, 0.05, rows)).round(4).tolist(),
        "feature_names": ["east", "north"],
        "target_names": ["height"],
    }


def take(browser: Browser, url: str, name: str, view: Mapping[str, Any], **look: Any) -> None:
    """Save a picture of the view once all of it is drawn."""
    address = urlencode({key: json.dumps(value) for key, value in view.items()})
    with browser.new_context(base_url=url, **look) as context:
        page = context.new_page()
        page.goto(f"/explore#{address}")
        page.locator("#used").filter(has_text=".").wait_for(timeout=1e3 * DRAWN_S)
        if view.get("starts"):
            page.locator("#paths li").first.wait_for(timeout=1e3 * DRAWN_S)
        else:
            page.locator("#reading").filter(has_text=":").wait_for(timeout=1e3 * DRAWN_S)
        page.wait_for_timeout(1000)
        taken = page.screenshot()
    path = HERE / f"explorer-{name}.png"
    path.write_bytes(taken)
    if len(taken) > MOST_BYTES:
        # Fewer colours are enough to the eye; rare ones, as of a path, stay what they are.
        few = Image.open(BytesIO(taken)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)


def main() -> None:
    """Take them all."""
    line = {"method": "local_polynomial", "degree": 1, "kernel": "tricube", "n_neighbors": 25}
    sample = {"dataset": "motorcycle", "fit": {**line, "metric": "euclidean"}}
    mean = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 2.5}
    smooth = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.25}
    with running(Settings(port=0, tune_s=0)) as url, sync_playwright() as playwright:
        answer = httpx.post(f"{url}/datasets", json=valley(), trust_env=False)
        surface = {
            "dataset": answer.raise_for_status().json()["id"],
            "view": "map",
            "fit": {**smooth, "metric": "standardized"},
            "starts": [[-1.7, 1.5], [0.2, -1.6], [1.8, 1.8]],
        }
        desk = {"width": 1280, "height": 800}
        phone = {"width": 390, "height": 780}
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=arguments) as browser:
            compared = {**sample, "kept": [{**mean, "metric": "euclidean"}]}
            take(browser, url, "light", compared, viewport=desk, color_scheme="light")
            take(browser, url, "dark", surface, viewport=desk, color_scheme="dark")
            take(browser, url, "phone", sample, viewport=phone, is_mobile=True, has_touch=True)


if __name__ == "__main__":
    main()
