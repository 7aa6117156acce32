"""The dataset that a new service has from the start."""

from importlib.resources import files

import numpy as np

from service.domain.dataset import Dataset, make_dataset

SAMPLE_ID = "motorcycle"


def sample_dataset() -> Dataset:
    """Return the simulated motorcycle accidents: 133 rows of time and head acceleration.

    Time after the impact in milliseconds, acceleration in units of g. Source: Silverman (1985),
    Journal of the Royal Statistical Society B 47(1), 1-52; measured by Schmidt, Mattern & Schüler
    (1981).
    """
    text = (files("service") / "data" / "motorcycle.csv").read_text(encoding="utf-8").splitlines()
    features, target = text[0].split(",")
    table = np.loadtxt(text[1:], delimiter=",")
    return make_dataset(
        table[:, :1],
        table[:, 1:],
        feature_names=(features,),
        target_names=(target,),
        name="Motorcycle accidents (Silverman 1985)",
    )
