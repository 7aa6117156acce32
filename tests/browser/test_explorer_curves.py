"""The curves that the explorer draws are the published ones, read from the traces of its plot."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose
from playwright.sync_api import Page

from tests.browser.watching import fitted, slide, trace, write
from tests.live import upload

pytestmark = pytest.mark.browser

SEED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "reference" / "seed_curves.json").read_text()
)


def show(page: Page, site: str, x: Any, y: Any, queries: list[float]) -> None:
    """Open the explorer on these rows, with its curve at these evenly spaced places."""
    with httpx.Client(base_url=site, trust_env=False) as client:
        dataset = upload(client, x, y)
    view = {
        "dataset": dataset,
        "range": json.dumps([queries[0], queries[-1]]),
        "points": len(queries),
        "band": "none",
    }
    page.set_viewport_size({"width": 480, "height": 480})  # quick to draw
    page.goto(f"/explore#{urlencode(view)}")
    assert_allclose(trace(page, "curve")["x"], queries, atol=1e-12)


def same(drawn: list[float | None], published: list[float | None]) -> None:
    """Compare; null where there is no estimate."""
    found, expected = (
        np.array([np.nan if value is None else value for value in curve])
        for curve in (drawn, published)
    )
    assert_allclose(found, expected, rtol=0, atol=1e-6, equal_nan=True)


def test_the_curves_of_the_sine(page: Page, site: str) -> None:
    show(page, site, SEED["x"], SEED["y"], SEED["queries"])

    page.select_option("#method", "knn")
    for k, curve in SEED["knn"].items():
        slide(page, "#k", int(k))
        same(fitted(page, method="knn", n_neighbors=int(k)), curve)

    page.select_option("#method", "local_polynomial")
    page.select_option("#kernel", "uniform")
    for k, curve in SEED["local_linear_neighbors"].items():
        slide(page, "#k", int(k))
        wanted = {"method": "local_polynomial", "degree": 1, "kernel": "uniform"}
        same(fitted(page, **wanted, n_neighbors=int(k)), curve)

    for method, curves in (
        ("nadaraya_watson", SEED["nadaraya_watson"]),
        ("local_polynomial", SEED["local_linear_bandwidth"]),
    ):
        page.select_option("#method", method)
        for kernel, by_bandwidth in curves.items():
            page.select_option("#kernel", kernel)
            for bandwidth, curve in by_bandwidth.items():
                write(page, "#bandwidth-number", float(bandwidth))
                drawn = fitted(page, method=method, kernel=kernel, bandwidth=float(bandwidth))
                same(drawn, curve)


def test_the_curve_of_kriging(page: Page, site: str) -> None:
    case = SEED["kriging"][0]
    assert len(case["x"][0]) == 1
    show(page, site, case["x"], case["y"], [query for (query,) in case["queries"]])
    page.select_option("#method", "kriging")
    page.select_option("#kernel", case["kernel"])
    write(page, "#bandwidth-number", case["length_scale"])
    write(page, "#alpha-number", case["alpha"])
    fit = {name: case[name] for name in ("kernel", "length_scale", "alpha")}
    same(fitted(page, method="kriging", **fit), case["mean"])
