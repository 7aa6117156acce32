"""Every published figure, through POST /predict, on both backends."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.domain.arrays import Floats
from tests.live import Answer, predict, upload

HERE = Path(__file__).parent
SEED: dict[str, Any] = json.loads((HERE / "seed_curves.json").read_text())
R: dict[str, Any] = json.loads((HERE / "r_tables.json").read_text())


def floats(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values])


def check(answer: Answer, expected: list[float | None], rtol: float) -> None:
    """Compare, null for null; each null has the issue `no_support`."""
    assert_allclose(floats(answer["mean"]), floats(expected), rtol=rtol, equal_nan=True)
    empty = {i for i, value in enumerate(expected) if value is None}
    unsupported = {
        query
        for issue in answer["issues"]
        if issue["status"] == "no_support"
        for query in issue["queries"]
    }
    assert unsupported == empty


def served_by(client: httpx.Client, answer: Answer) -> str:
    return str(answer["diagnostics"]["plan"]["backend"])


@pytest.fixture(scope="module")
def seed_id(client: httpx.Client) -> str:
    return upload(client, SEED["x"], SEED["y"])


@pytest.mark.parametrize("k", SEED["knn"])
def test_knn_of_the_sine(client: httpx.Client, backend: str, seed_id: str, k: str) -> None:
    answer = predict(client, seed_id, SEED["queries"], {"method": "knn", "n_neighbors": int(k)})
    check(answer, SEED["knn"][k], 1e-9)
    assert served_by(client, answer) == backend


@pytest.mark.parametrize("kernel", SEED["nadaraya_watson"])
def test_nadaraya_watson_of_the_sine(
    client: httpx.Client, backend: str, seed_id: str, kernel: str
) -> None:
    for h, expected in SEED["nadaraya_watson"][kernel].items():
        fit = {"method": "nadaraya_watson", "kernel": kernel, "bandwidth": float(h)}
        answer = predict(client, seed_id, SEED["queries"], fit)
        check(answer, expected, 1e-9)
        assert served_by(client, answer) == backend


@pytest.mark.parametrize("kernel", SEED["local_linear_bandwidth"])
def test_local_linear_of_the_sine(
    client: httpx.Client, backend: str, seed_id: str, kernel: str
) -> None:
    for h, expected in SEED["local_linear_bandwidth"][kernel].items():
        fit = {"method": "local_linear", "kernel": kernel, "bandwidth": float(h)}
        answer = predict(client, seed_id, SEED["queries"], fit)
        check(answer, expected, 1e-9)
        assert served_by(client, answer) == backend


@pytest.mark.parametrize("k", SEED["local_linear_neighbors"])
def test_local_linear_on_the_nearest_of_the_sine(
    client: httpx.Client, backend: str, seed_id: str, k: str
) -> None:
    fit = {"method": "local_linear", "kernel": "uniform", "n_neighbors": int(k)}
    answer = predict(client, seed_id, SEED["queries"], fit)
    check(answer, SEED["local_linear_neighbors"][k], 1e-9)
    assert served_by(client, answer) == backend


@pytest.mark.parametrize("case", SEED["kriging"], ids=lambda case: str(case["kernel"]))
def test_kriging(client: httpx.Client, backend: str, case: dict[str, Any]) -> None:
    fit = {
        "method": "kriging",
        **{name: case[name] for name in ("kernel", "length_scale", "alpha")},
    }
    answer = predict(client, upload(client, case["x"], case["y"]), case["queries"], fit)
    check(answer, case["mean"], 1e-9)
    assert answer["solver"]["relative_residual"] < 1e-8
    assert served_by(client, answer) == backend


def trimmed_deviation(values: Floats) -> float:
    """Return the standard deviation without the 10 % at each end, by which loess scales."""
    dropped = int(np.ceil(0.1 * len(values)))
    return float(np.std(np.sort(values)[dropped:-dropped], ddof=1))


@pytest.mark.parametrize("case", R["cases"], ids=lambda case: str(case["id"]))
def test_locfit_and_loess(client: httpx.Client, backend: str, case: dict[str, Any]) -> None:
    table = R["data"][case["data"]]
    x = np.column_stack([np.array(table[name], dtype=np.float64) for name in case["features"]])
    fit = dict(case["fit"])
    if case.get("scale") == "trimmed deviation":
        fit["metric"] = {"scale": [trimmed_deviation(column) for column in x.T]}
    dataset_id = upload(client, x.tolist(), table[case["target"]])
    answer = predict(client, dataset_id, case["queries"], fit)
    check(answer, case["mean"], 1e-6 if fit["degree"] == 2 else 1e-9)
    assert served_by(client, answer) == backend
