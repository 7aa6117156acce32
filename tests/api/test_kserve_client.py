"""KServe's client, as it comes, where there is a Python that has it.

Its pins (pandas, psutil) are not ours, so it cannot stand beside the service:

    python -m venv kserve && kserve/bin/pip install kserve==0.21.0
    NEARFIT_KSERVE_PYTHON=kserve/bin/python pytest tests/api/test_kserve_client.py

What it writes is tested without it in test_inference.py.
"""

import json
import os
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("kserve_client.py")
PYTHON = os.environ.get("NEARFIT_KSERVE_PYTHON", "")


@pytest.mark.skipif(not PYTHON, reason="NEARFIT_KSERVE_PYTHON names no Python that has KServe")
def test_the_bits_are_those_of_predict(api: httpx.Client) -> None:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [PYTHON, str(SCRIPT), str(api.base_url)], env=own, stdout=subprocess.PIPE, check=True
    )
    found = json.loads(run.stdout)
    assert (found["live"], found["ready"], found["model"]) == (True, True, True)
    request = {
        "dataset_id": "motorcycle",
        "queries": np.linspace(3.0, 57.0, 11).tolist(),
        "fit": {"method": "local_linear", "n_neighbors": 20},
    }
    assert found["estimates"] == [api.post("/predict", json=request).json()["mean"]] * 6
    assert "There is no dataset with the id or name 'nope'" in found["refusal"]
