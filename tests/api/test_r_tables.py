"""The digits of R's loess and locfit, asked for over HTTP."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

R: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "reference" / "r_tables.json").read_text()
)


def trimmed_deviation(values: Any) -> float:
    """Return the standard deviation without the 10 % at each end, by which loess scales."""
    dropped = int(np.ceil(0.1 * len(values)))
    return float(np.std(np.sort(values)[dropped:-dropped], ddof=1))


@pytest.mark.parametrize("case", R["cases"], ids=lambda case: str(case["id"]))
def test_the_answer_has_the_digits_of_r(api: httpx.Client, case: dict[str, Any]) -> None:
    table = R["data"][case["data"]]
    x = np.column_stack([np.array(table[name], float) for name in case["features"]])
    fit = {key: value for key, value in case["fit"].items() if value is not None}
    if case.get("scale") == "trimmed deviation":
        fit["metric"] = {"scale": [trimmed_deviation(column) for column in x.T]}
    include = ["std"] if "standard_error" in case else []
    include += ["slope"] if "slope" in case else []
    request = {
        "dataset": {"x": x.tolist(), "y": table[case["target"]]},
        "queries": case["queries"],
        "fit": fit,
        "include": include,
    }
    answer = api.post("/predict", json=request)
    assert answer.status_code == 200, answer.text
    got = answer.json()
    rtol = 1e-6 if fit["degree"] == 2 else 1e-9
    assert_allclose(got["mean"], case["mean"], rtol=rtol)
    if "slope" in case:
        assert_allclose(np.array(got["slope"])[:, 0], case["slope"], rtol=rtol)
    if "standard_error" in case:
        noise = got["noise"]
        assert_allclose(got["std"], case["standard_error"], rtol=rtol)
        assert_allclose(noise["residual_scale"], [case["residual_scale"]], rtol=rtol)
        assert_allclose(noise["trace"], case["trace_hat"], rtol=rtol)
        assert_allclose(noise["degrees_of_freedom"], case["df"], rtol=rtol)
        assert noise["rows"] == len(x)
