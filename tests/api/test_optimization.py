"""POST /minimize: published paths, and what becomes of a path that cannot go on."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.api.examples import MINIMIZATIONS
from tests.api.problems import pointers, problem

REFERENCE = Path(__file__).parents[1] / "reference"
PUBLISHED: dict[str, Any] = json.loads((REFERENCE / "descent.json").read_text())
SAMPLE: dict[str, Any] = MINIMIZATIONS["sample"]["value"]


@pytest.fixture(scope="module")
def curve(api: httpx.Client) -> str:
    """The id of the function of the published paths, at 4,001 points."""
    x = np.linspace(-5, 5, 4001)
    y = x**2 + 3 * np.sin(x) - 4 * np.cos(x**2)
    answer = api.post("/datasets", json={"x": x.tolist(), "y": y.tolist()})
    return str(answer.raise_for_status().json()["id"])


def minimize(api: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = api.post("/minimize", json={**SAMPLE, **request})
    assert answer.status_code == 200, answer.text
    assert "compute;dur=" in answer.headers["server-timing"]
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("case", PUBLISHED["paths"], ids=lambda case: f"from {case['start']}")
def test_the_path_is_the_published_one(api: httpx.Client, curve: str, case: dict[str, Any]) -> None:
    fit = {"method": "local_polynomial", "degree": 2, "kernel": "gaussian", "bandwidth": 0.005}
    found = minimize(
        api,
        dataset_id=curve,
        fit=fit,
        starts=[case["start"]],
        rate=case["rate"],
        decay="exponential",
        decay_rate=case["decay"],
        tolerance=0,
        max_steps=len(case["x"]) - 1,
    )
    (path,) = found["paths"]
    assert len(path["points"]) == len(case["x"])
    assert_allclose(path["points"], case["x"], rtol=0, atol=1e-3)
    assert not path["left_data"]
    steps = np.arange(len(case["x"]) - 1)
    assert_allclose(path["step_sizes"], case["rate"] * np.exp(-case["decay"] * steps))


def test_values_and_gradients_are_those_of_predictions(api: httpx.Client) -> None:
    found = minimize(api, max_steps=5)
    for path in found["paths"]:
        request = {"dataset_id": "motorcycle", "queries": path["points"], "fit": found["fit"]}
        answer = api.post("/predict", json={**request, "include": ["gradient"]}).json()
        assert path["values"] == answer["mean"]
        assert path["gradients"] == [row[0] for row in answer["gradient"]]


def test_best_is_the_path_that_ends_lowest_or_highest(api: httpx.Client) -> None:
    starts = [5.0, 15.0, 30.0, 45.0]
    for ascent, best in ((False, min), (True, max)):
        found = minimize(api, starts=starts, ascent=ascent, max_steps=300)
        ends = [path["values"][-1] for path in found["paths"]]
        assert ends[found["best"]] == best(ends)


def test_bounds_hold_and_leaving_the_data_is_told(api: httpx.Client) -> None:
    up: dict[str, Any] = {
        "starts": [56.0],
        "fit": {"method": "linear"},
        "ascent": True,
        "rate": 1.0,
    }
    (free,) = minimize(api, **up, max_steps=9)["paths"]
    assert free["left_data"]
    assert free["stop"] == "max_steps"
    (held,) = minimize(api, **up, bounds={"high": [57.0]})["paths"]
    assert not held["left_data"]
    assert (held["points"][-1], held["stop"]) == (57.0, "stationary")


def test_a_start_without_support_has_no_value(api: httpx.Client) -> None:
    fit = {"method": "nadaraya_watson", "kernel": "tricube", "bandwidth": 2}
    found = minimize(api, starts=[500.0], fit=fit)
    (path,) = found["paths"]
    assert (path["values"], path["gradients"], path["step_sizes"]) == ([None], [None], [])
    assert path["stop"] == "no_support"
    assert "at the start" in path["advice"]
    assert found["best"] is None


def test_without_a_fit_the_surface_is_that_of_auto(api: httpx.Client) -> None:
    answer = api.post("/minimize", json={"dataset_id": "motorcycle", "starts": [20]})
    assert answer.json()["fit"]["method"] == "local_polynomial"


def test_when_the_time_is_over_the_paths_end(api: httpx.Client) -> None:
    started = time.monotonic()
    found = minimize(api, rate=1e-9, tolerance=0, max_steps=100_000, timeout_s=0.3)
    assert time.monotonic() - started < 5
    assert [path["stop"] for path in found["paths"]] == ["deadline"] * 2
    assert all(len(path["points"]) > 1 for path in found["paths"])


def test_a_client_that_goes_away_ends_its_descent(api: httpx.Client) -> None:
    endless = {**SAMPLE, "rate": 1e-9, "tolerance": 0, "max_steps": 100_000, "timeout_s": 60}
    with pytest.raises(httpx.ReadTimeout):
        api.post("/minimize", json=endless, timeout=0.3)
    # Every thread of the lane would be busy for a minute otherwise.
    for _ in range(9):
        with pytest.raises(httpx.ReadTimeout):
            api.post("/minimize", json=endless, timeout=0.02)
    assert minimize(api, max_steps=3, timeout_s=5)["paths"][0]["stop"] == "max_steps"


def test_too_many_starts_are_refused(small: httpx.Client) -> None:
    answer = small.post("/minimize", json={**SAMPLE, "starts": [1, 2, 3, 4, 5, 6]})
    found = problem(answer, 422)
    assert pointers(found) == ["/starts"]
    assert "max_queries" in found["detail"]


def test_two_targets_are_told_apart_by_name(api: httpx.Client) -> None:
    x = [0.0, 1.0, 2.0, 3.0, 4.0]
    y = [[(v - 1) ** 2, (v - 3) ** 2] for v in x]
    request = {
        "dataset": {"x": x, "y": y, "target_names": ["first", "second"]},
        "dataset_id": None,
        "starts": [2.0],
        "fit": {"method": "kriging", "length_scale": 3, "alpha": 1e-6},
    }
    for target, lowest in (("first", 1.0), ("second", 3.0)):
        found = minimize(api, **request, target=target)
        assert found["target"] == target
        assert_allclose(found["paths"][0]["points"][-1], lowest, atol=0.05)
    found = problem(api.post("/minimize", json={**SAMPLE, **request}), 422)
    assert pointers(found) == ["/target"]


def test_a_bound_beyond_what_can_be_computed_with_is_refused(api: httpx.Client) -> None:
    for bounds, pointer in (
        ({"low": [1e300]}, "/bounds/low/0"),
        ({"high": [-1e151]}, "/bounds/high/0"),
    ):
        answer = api.post("/minimize", json={**SAMPLE, "bounds": bounds})
        assert pointers(problem(answer, 422)) == [pointer]


def test_a_long_name_of_no_target_is_not_sent_back_whole(api: httpx.Client) -> None:
    answer = api.post("/minimize", json={**SAMPLE, "target": "t" * 5000})
    assert len(problem(answer, 422)["detail"]) < 400


def test_a_descent_without_time_for_its_starts_says_that_it_was_a_descent(
    api: httpx.Client,
) -> None:
    request = {
        "dataset": {"x": [[i * 0.37 % 1, i * 0.61 % 1] for i in range(2000)], "y": [0.0] * 2000},
        "starts": [[0.5, 0.5]],
        "fit": {"method": "kriging", "kernel": "laplacian", "alpha": 0.01},
        "timeout_s": 1e-6,
    }
    found = problem(api.post("/minimize", json=request), 504)
    assert found["detail"].startswith("The descent took longer than its time: send fewer starts")
