"""S1 and S2: how many digits agree with R, with differences of predictions, and with fits anew?

The largest differences, over HTTP, relative to the largest number of the same table or curve. The
figures of R's loess and locfit, and of statsmodels' lowess, are those of tests/reference/.
Gradients are held against central differences of predictions, in which two steps are combined, so
that their error goes as the fourth power of the step; leave-one-out against one request a row, each
with all other rows.

    python -m benchmarks.agreement [--quick]
"""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.records import Comparison, Record, Samples, Target
from benchmarks.running import service
from benchmarks.script import Options, run

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
LINES, CURVES, DIFFERENCES, ANEW = 1e-9, 1e-6, 1e-6, 1e-10
STEP = 5e-4
KERNELS = ("gaussian", "epanechnikov", "tricube", "biweight", "triweight", "cosine")
"""Those that do not jump where a row comes into reach."""

WORDS = {"std": "standard_error", "slope": "slope"}
"""What is asked for, and what R's figures call it."""

WITH_BANDWIDTH: dict[str, dict[str, Any]] = {
    "Nadaraya-Watson": {"method": "nadaraya_watson"},
    "line": {"method": "local_polynomial", "degree": 1},
    "degree 2": {"method": "local_polynomial", "degree": 2},
}
SMOOTHERS: dict[str, dict[str, Any]] = {
    **{
        f"{name}, {kernel}": {**fit, "kernel": kernel, "bandwidth": 0.9}
        for name, fit in WITH_BANDWIDTH.items()
        for kernel in KERNELS
    },
    "line, tricube, k": {"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
    "linear": {"method": "linear"},
    **{
        f"kriging, {kernel}": {"method": "kriging", "kernel": kernel, "alpha": 0.1}
        for kernel in ("gaussian", "matern32", "matern52")
    },
    "kriging, matern52, k": {
        "method": "kriging",
        "kernel": "matern52",
        "alpha": 0.1,
        "n_neighbors": 12,
    },
}
STEPPED: dict[str, dict[str, Any]] = {
    "knn": {"method": "knn", "n_neighbors": 5},
    "knn, by distance": {"method": "knn", "n_neighbors": 5, "weights": "distance"},
}


def difference(got: ArrayLike, expected: ArrayLike) -> float:
    """Return the largest difference, relative to the largest number expected."""
    truth = np.asarray(expected, dtype=np.float64)
    return float(np.abs(np.asarray(got, dtype=np.float64) - truth).max() / np.abs(truth).max())


def predicted(client: httpx.Client, x: Any, y: Any, fit: Any, queries: Any, **more: Any) -> Any:
    """Return the answer about rows that are sent along."""
    body = {"dataset": {"x": listed(x), "y": listed(y)}, "queries": listed(queries), "fit": fit}
    return client.post("/predict", json=body | more).raise_for_status().json()


def listed(values: Any) -> Any:
    """Return an array as lists."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def trimmed_deviation(values: NDArray[np.float64]) -> float:
    """Return the standard deviation without the 10 % at each end, by which loess scales."""
    dropped = int(np.ceil(0.1 * len(values)))
    return float(np.std(np.sort(values)[dropped:-dropped], ddof=1))


def tables_of_r(client: httpx.Client) -> Iterator[tuple[str, float]]:
    """Yield what each figure of R is, and how far ours is from it."""
    stored = json.loads((REFERENCE / "r_tables.json").read_text())
    for case in stored["cases"] + stored["robust"]:
        table = stored["data"][case["data"]]
        x = np.column_stack([np.array(table[name], float) for name in case["features"]])
        fit = {key: value for key, value in case["fit"].items() if value is not None}
        if case.get("scale") == "trimmed deviation":
            fit["metric"] = {"scale": [trimmed_deviation(column) for column in x.T]}
        if "iterations" in case:
            fit["robust"] = case["iterations"] - 1  # R counts the first fit among them
        include = [word for word, key in WORDS.items() if key in case]
        more = {"include": include} if include else {}
        got = predicted(client, x, table[case["target"]], fit, case["queries"], **more)
        kind = f"degree {fit['degree']}" + ", robust" * ("iterations" in case)
        yield f"mean, {kind}", difference(got["mean"], case["mean"])
        if "slope" in case:
            yield f"slope, {kind}", difference(np.array(got["slope"])[:, 0], case["slope"])
        if "standard_error" in case:
            noise = got["noise"]
            yield f"standard error, {kind}", difference(got["std"], case["standard_error"])
            yield (
                f"residual scale, {kind}",
                difference(noise["residual_scale"], [case["residual_scale"]]),
            )
            yield f"trace, {kind}", difference(noise["trace"], case["trace_hat"])
            yield f"degrees of freedom, {kind}", difference(noise["degrees_of_freedom"], case["df"])
    lowess = json.loads((REFERENCE / "lowess.json").read_text())
    for case in lowess["cases"]:
        table = stored["data"][case["data"]]
        x = np.array(table[case["feature"]], float)
        k = int(case["frac"] * len(x) + 1e-10)
        fit = {"method": "local_linear", "n_neighbors": k, "robust": case["it"]}
        got = predicted(client, x, table[case["target"]], fit, x)
        yield "mean, statsmodels' lowess", difference(got["mean"], case["mean"])


def surface(rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows of a wavy surface over two features, and their noisy heights."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (rows, 2))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=rows)


def gradients(client: httpx.Client, queries: int) -> Iterator[tuple[str, float]]:
    """Yield each smooth fit, and how far its gradient is from differences."""
    x, y = surface(80)
    q = np.random.default_rng(5).uniform(-0.8, 0.8, (queries, 2))
    for name, fit in SMOOTHERS.items():
        got = predicted(client, x, y, fit, q, include=["gradient"])

        def across(step: float, fit: Any = fit) -> NDArray[np.float64]:
            moves = step * np.eye(2)
            shifted = np.concatenate([q + sign * move for move in moves for sign in (1, -1)])
            means = np.array(predicted(client, x, y, fit, shifted)["mean"]).reshape(2, 2, len(q))
            return np.asarray((means[:, 0] - means[:, 1]).T / (2 * step))

        limit = (4 * across(STEP / 2) - across(STEP)) / 3
        settled = is_far_from_kinks(x, q, fit)
        yield name, difference(np.array(got["gradient"])[settled], limit[settled])


def is_far_from_kinks(
    x: NDArray[np.float64], q: NDArray[np.float64], fit: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Return where no row comes into reach within two steps, nor another one is the k-th."""
    r = np.sort(np.linalg.norm(q[:, None] - x, axis=2), axis=1)
    if "bandwidth" in fit:
        return np.asarray(np.abs(r - fit["bandwidth"]).min(axis=1) > 2 * STEP)
    if "n_neighbors" not in fit:
        return np.ones(len(q), dtype=bool)
    k = fit["n_neighbors"]
    return np.asarray(np.diff(r[:, k - 2 : k + 1], axis=1).min(axis=1) > 4 * STEP)


def left_out(client: httpx.Client, rows: int) -> Iterator[tuple[str, float]]:
    """Yield each fit, and how far its leave-one-out error is from that of as many fits."""
    x, y = surface(rows)
    for name, fit in (SMOOTHERS | STEPPED).items():
        body = {"dataset": {"x": x.tolist(), "y": y.tolist()}, "fit": fit}
        score = client.post("/score", json=body).raise_for_status().json()
        kept = ~np.eye(rows, dtype=bool)
        errors = [
            y[i] - predicted(client, x[kept[i]], y[kept[i]], fit, x[i : i + 1])["mean"][0]
            for i in range(rows)
        ]
        yield name, difference([score["targets"][0]["rmse"]], [np.sqrt(np.mean(np.square(errors)))])


def largest(found: Iterator[tuple[str, float]]) -> dict[str, float]:
    """Return the largest difference of each kind."""
    by_kind = groupby(sorted(found), key=lambda one: one[0])
    return {kind: max(value for _, value in ones) for kind, ones in by_kind}


def measure(options: Options) -> Record:
    """Return the differences."""
    with service() as client:
        found = {
            "figures of R and statsmodels": largest(tables_of_r(client)),
            "gradients and differences": largest(gradients(client, 10 if options.quick else 100)),
            "leave-one-out and fits anew": largest(left_out(client, 30 if options.quick else 60)),
        }
    comparisons = tuple(
        Comparison(title, "", {name: Samples((value,)) for name, value in kinds.items()}, None)
        for title, kinds in found.items()
    )
    of_r, of_gradients, of_rows = found.values()
    curves = {k: value for k, value in of_r.items() if "degree 2" in k or "robust" in k}
    lines = {kind: value for kind, value in of_r.items() if kind not in curves}
    return Record(
        "agreement",
        (__doc__ or "").partition("\n")[0],
        {"rows of the surface": 80, "features": 2, "step of a difference": STEP},
        comparisons,
        (
            most("S1", "R and statsmodels, degree 0 and 1", lines, LINES),
            most("S1", "R, degree 2, and robust", curves, CURVES),
            most("S2", "gradients and central differences", of_gradients, DIFFERENCES),
            most("S2", "leave-one-out and fits anew", of_rows, ANEW),
        ),
    )


def most(row: str, claim: str, differences: Mapping[str, float], bound: float) -> Target:
    """Return the largest difference beside its bound."""
    return Target(row, claim, max(differences.values()), bound, at_most=True, unit="")


if __name__ == "__main__":
    run(measure, __doc__, rounds=1)
