"""The examples of the OpenAPI document. Each runs as it stands on a service just started.

They use the sample dataset `motorcycle`: head acceleration (in units of g) against the time after
a simulated impact (in milliseconds), 133 rows.

Over 300 lines: all examples, in the order of the document.
"""

from typing import Any, Final

SAMPLE: Final = "motorcycle"
QUERIES: Final = [[15.0], [25.0], [35.0]]


def _on_sample(summary: str, **request: Any) -> dict[str, Any]:
    value = {"dataset_id": SAMPLE, "queries": QUERIES, **request}
    return {"summary": summary, "value": value}


PREDICTIONS: Final = {
    "auto": _on_sample("Let the service choose"),
    "knn": _on_sample(
        "Mean of the 5 nearest rows, and which rows they are",
        fit={"method": "knn", "n_neighbors": 5, "weights": "distance"},
        include=["neighbors"],
    ),
    "interval": _on_sample(
        "Intervals that hold a new observation in 8 of 10 cases, and how sure the estimates are",
        fit={"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
        include=["std", "interval"],
        level=0.8,
    ),
    "jackknife": _on_sample(
        "Jackknife+ intervals, and errors for noise that changes from place to place",
        fit={"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
        include=["std", "interval"],
        interval_kind="jackknife_plus",
        noise="local",
    ),
    "slope": _on_sample(
        "The slope of a local line, the gradient of the surface, and quantiles",
        fit={"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
        include=["slope", "gradient", "quantiles"],
        quantiles=[0.25, 0.5, 0.75],
    ),
    "nadaraya_watson": _on_sample(
        "Kernel-weighted mean (Nadaraya-Watson), 1.5 ms wide",
        fit={"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 1.5},
    ),
    "local_linear": _on_sample(
        "Weighted line through the 20 nearest rows, with diagnostics",
        fit={"method": "local_linear", "kernel": "tricube", "n_neighbors": 20},
        include=["diagnostics"],
    ),
    "local_polynomial": _on_sample(
        "Weighted parabola through the rows within 8 ms",
        fit={
            "method": "local_polynomial",
            "degree": 2,
            "kernel": "epanechnikov",
            "bandwidth": 8.0,
            "metric": "euclidean",
        },
    ),
    "kriging": _on_sample(
        "Kriging over all rows",
        fit={"method": "kriging", "kernel": "gaussian", "length_scale": 5.0, "alpha": 0.25},
        timeout_s=10,
    ),
    "ordinary_kriging": _on_sample(
        "Kriging from the 40 nearest rows, about a mean that they tell (ordinary kriging)",
        fit={
            "method": "kriging",
            "kernel": "matern52",
            "length_scale": 10.0,
            "alpha": 0.25,
            "n_neighbors": 40,
            "mean": "constant",
        },
        include=["std"],
    ),
    "linear": _on_sample(
        "Linear regression by gradient descent, with the history of its loss",
        fit={"method": "linear", "solver": "gradient_descent"},
    ),
    "robust": _on_sample(
        "A local line that outliers do not pull, as R's loess with the symmetric family",
        fit={"method": "local_linear", "n_neighbors": 30, "robust": 3},
        include=["std", "neighbors"],
    ),
    "row_bandwidths": _on_sample(
        "A mean in which each row reaches to its 20th nearest other row, np's adaptive_nn",
        fit={"method": "nadaraya_watson", "n_neighbors": 20, "bandwidth_at": "row"},
    ),
    "metric": {
        "summary": "Distances with each feature over a length of its own",
        "value": {
            "dataset": {"x": [[0, 0], [0, 50], [1, 0], [1, 50]], "y": [1.0, 2.0, 2.5, 4.0]},
            "queries": [[0.5, 10]],
            "fit": {
                "method": "nadaraya_watson",
                "kernel": "gaussian",
                "bandwidth": 1.0,
                "metric": {"scale": [0.5, 25.0]},
            },
        },
    },
    "learned": _on_sample(
        "Distances as tuning has learned them, standardized until it has",
        fit={"method": "local_linear", "n_neighbors": 20, "metric": "learned"},
    ),
    "several_targets": {
        "summary": "Two targets at once",
        "value": {
            "dataset": {
                "x": [0.0, 1.0, 2.0, 3.0],
                "y": [[0.0, 20.0], [0.8, 17.9], [0.9, 16.4], [0.1, 15.2]],
                "target_names": ["height", "celsius"],
            },
            "queries": [0.5, 1.5],
            "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 1.0},
        },
    },
    "weights": {
        "summary": "Rows of unequal weight",
        "value": {
            "dataset": {"x": [0, 1, 2, 3], "y": [20.0, 17.9, 16.4, 15.2], "weights": [1, 1, 4, 1]},
            "queries": [1.5],
            "fit": {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 2.0},
        },
    },
    "classes": {
        "summary": "The probability of each class",
        "value": {
            "dataset": {"x": [1.2, 1.4, 1.9, 2.2, 2.4], "y": ["cat", "cat", "dog", "cat", "dog"]},
            "queries": [1.3, 2.1],
            "fit": {"method": "knn", "n_neighbors": 3},
        },
    },
    "categories": {
        "summary": "Rows and queries with levels of a category",
        "value": {
            "dataset": {
                "x": [[1.2, "red"], [1.4, "blue"], [1.9, "red"], [2.2, "blue"]],
                "y": [1.0, 3.1, 1.6, 4.2],
            },
            "queries": [[1.5, "red"], [1.5, "blue"]],
            "fit": {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 0.5},
        },
    },
    "missing_cells": {
        "summary": "Rows and a query with missing cells",
        "value": {
            "dataset": {"x": [[0, 1], [1, None], [2, 3], [None, 0]], "y": [5, 6, 7, 9]},
            "queries": [[1, 1], [None, 2]],
            "fit": {"method": "knn", "n_neighbors": 2},
        },
    },
    "inline": {
        "summary": "Rows sent along, and not kept",
        "value": {
            "dataset": {"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 0.8, 0.9, 0.1]},
            "queries": [0.5, 1.5],
            "fit": {"method": "knn", "n_neighbors": 2},
        },
    },
}

PREDICTION_ANSWER: Final = {
    "dataset_id": SAMPLE,
    "dataset_version": 1,
    "fit": {"method": "knn", "metric": "euclidean", "n_neighbors": 5, "weights": "uniform"},
    "mean": [-7.22, -58.42, 15.0],
    "target_names": ["accel"],
    "issues": [],
}

MINIMIZATIONS: Final[dict[str, Any]] = {
    "sample": {
        "summary": "Where the head is slowed down most, from two times",
        "value": {
            "dataset_id": SAMPLE,
            "starts": [15.0, 30.0],
            "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 2.0},
            "rate": 0.1,
            "max_steps": 100,
        },
    },
    "momentum": {
        "summary": "With momentum, and a rate that decays",
        "value": {
            "dataset_id": SAMPLE,
            "starts": [10.0, 30.0, 50.0],
            "fit": {"method": "kriging", "length_scale": 5.0, "alpha": 0.25},
            "rate": 0.05,
            "momentum": 0.5,
            "decay": "inverse",
            "decay_rate": 0.01,
        },
    },
    "bounds": {
        "summary": "The highest point of a plane, within bounds, by a line search",
        "value": {
            "dataset": {
                "x": [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
                "y": [1.0, 2.0, 2.5, 4.0],
            },
            "starts": [[0.5, 0.5]],
            "fit": {"method": "linear"},
            "ascent": True,
            "line_search": True,
            "bounds": {"low": [0.0, 0.0], "high": [1.0, 1.0]},
        },
    },
}

MINIMUM_ANSWER: Final[dict[str, Any]] = {
    "dataset_id": None,
    "dataset_version": 1,
    "fit": {"method": "linear", "metric": "euclidean", "solver": "least_squares"},
    "target": "y",
    "best": 0,
    "paths": [
        {
            "points": [[0.5, 0.5], [0.675, 0.625], [0.85, 0.75], [1.0, 0.875], [1.0, 1.0]],
            "values": [2.375, 2.8375, 3.3, 3.71875, 3.875],
            "gradients": [[1.75, 1.25]] * 5,
            "step_sizes": [0.1] * 4,
            "stop": "stationary",
            "advice": "No step helps: the gradient is 0 or points out of the bounds, the rate has "
            "decayed to 0, or it is far too large for a line search.",
            "left_data": False,
        }
    ],
}

TUNINGS: Final = {
    "sample": {
        "summary": "The best fit to the sample, in five seconds",
        "value": {"dataset_id": SAMPLE, "budget_s": 5},
    },
    "inline": {
        "summary": "Rows sent along, and not kept",
        "value": {
            "dataset": {
                "x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0],
                "y": [0.0, 0.8, 0.9, 0.1, -0.8, -1.0, -0.3, 0.7, 1.0, 0.4, -0.5, -1.0],
            },
            "budget_s": 1,
        },
    },
    "grouped": {
        "summary": "Two methods, and rows of one place left out together",
        "value": {
            "dataset": {
                "x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
                "y": [0.0, 0.8, 0.9, 0.1, -0.8, -1.0, -0.3, 0.7, 1.0, 0.4],
            },
            "groups": ["a", "b", "c", "d", "e", "a", "b", "c", "d", "e"],
            "methods": ["knn", "local_polynomial"],
            "budget_s": 1,
        },
    },
    "blocked": {
        "summary": "Rows in the order of time, left out in five blocks",
        "value": {"dataset_id": SAMPLE, "blocks": 5, "budget_s": 1},
    },
    "selector": {
        "summary": "The bandwidth of a local line, by generalised cross-validation",
        "value": {
            "dataset_id": SAMPLE,
            "selector": "gcv",
            "fit": {"method": "local_linear", "kernel": "gaussian", "bandwidth": 1.0},
        },
    },
}

_SCORE: Final[dict[str, Any]] = {
    "fit": {
        "method": "local_polynomial",
        "metric": "standardized",
        "degree": 1,
        "kernel": "tricube",
        "ridge": 0.001,
        "n_neighbors": 20,
    },
    "error": 0.49,
    "rmse": [23.6],
    "rows": 133,
    "step": "grid",
    "elapsed_s": 0.04,
}

_JOB: Final[dict[str, Any]] = {
    "id": "0f5b4a5d9d0b4c6f8e0e3b1a2c3d4e5f",
    "kind": "tuning",
    "dataset_id": SAMPLE,
    "dataset_version": 1,
    "automatic": False,
    "state": "done",
    "progress": 1.0,
    "budget_s": 5.0,
    "elapsed_s": 1.2,
    "detail": "",
    "best": _SCORE,
}

BEGUN_ANSWER: Final = {
    **_JOB,
    "state": "running",
    "progress": 0.002,
    "elapsed_s": 0.01,
    "best": None,
}
JOB_ANSWER: Final = {**_JOB, "scores": [_SCORE]}
JOBS_ANSWER: Final = {"jobs": [_JOB]}

SCORES: Final = {
    "leave_one_out": {
        "summary": "Each row of the sample by all the others",
        "value": {
            "dataset_id": SAMPLE,
            "fit": {"method": "local_linear", "n_neighbors": 20},
        },
    },
    "rows": {
        "summary": "Three rows that the sample does not have",
        "value": {
            "dataset_id": SAMPLE,
            "rows": {"x": [12.0, 22.0, 33.0], "y": [-5.0, -110.0, 20.0]},
            "interval_kind": "conformal",
            "level": 0.8,
        },
    },
    "classes": {
        "summary": "Of classes: the share that is right, and the log-loss",
        "value": {
            "dataset": {
                "x": [1.2, 1.4, 1.6, 1.9, 2.1, 2.2, 2.4, 2.6],
                "y": ["cat", "cat", "cat", "dog", "cat", "dog", "dog", "dog"],
            },
            "fit": {"method": "knn", "n_neighbors": 3},
            "interval_kind": None,
        },
    },
}

SCORE_ANSWER: Final[dict[str, Any]] = {
    "dataset_id": SAMPLE,
    "dataset_version": 1,
    "fit": {
        "method": "local_polynomial",
        "metric": "euclidean",
        "degree": 1,
        "kernel": "tricube",
        "ridge": 0.0,
        "n_neighbors": 20,
    },
    "by": "leave_one_out",
    "rows": 133,
    "sampled": False,
    "without_prediction": 0,
    "interval_kind": "conformal",
    "level": 0.9,
    "trace": 14.5106,
    "targets": [
        {
            "name": "accel",
            "rmse": 23.4676,
            "mae": 17.0636,
            "r2": 0.762357,
            "coverage": 0.887218,
            "mean_width": 74.5337,
            "gcv": 566.455,
            "aicc": 7.37465,
        }
    ],
}

RELEVANCE_ANSWER: Final[dict[str, Any]] = {
    "dataset_id": SAMPLE,
    "dataset_version": 1,
    "by": "slopes",
    "fit": {
        "method": "local_polynomial",
        "metric": "standardized",
        "degree": 1,
        "kernel": "tricube",
        "ridge": 0.0,
        "n_neighbors": 25,
    },
    "rows": 133,
    "features": [{"name": "times", "share": 1.0}],
}

UPLOADS: Final = {
    "application/json": {
        "one_feature": {
            "summary": "One feature",
            "value": {
                "name": "cooling",
                "x": [0, 1, 2, 3, 4],
                "y": [20.0, 17.9, 16.4, 15.2, 14.5],
                "feature_names": ["minutes"],
                "target_names": ["celsius"],
            },
        },
        "two_features": {
            "summary": "Two features",
            "value": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [1.0, 2.0, 2.5, 4.0]},
        },
        "weights": {
            "summary": "Row weights: the third row is the mean of four measurements",
            "value": {"x": [0, 1, 2, 3], "y": [20.0, 17.9, 16.4, 15.2], "weights": [1, 1, 4, 1]},
        },
        "missing_cells": {
            "summary": "Missing cells: distances skip them",
            "value": {"x": [[0, 1], [1, None], [2, 3], [None, 0]], "y": [5, 6, 7, 9]},
        },
        "categories": {
            "summary": "Categories: texts, and levels in their order",
            "value": {
                "feature_names": ["carat", "colour", "cut"],
                "x": [[0.3, "D", "fair"], [0.5, "E", "good"], [0.4, "D", "ideal"]],
                "y": [520, 1310, 980],
                "categories": {"cut": ["fair", "good", "ideal"]},
            },
        },
        "classes": {
            "summary": "Classes, one of them missing",
            "value": {"x": [1.2, 1.4, 1.9, 2.2, 2.4], "y": ["cat", "cat", None, "dog", "dog"]},
        },
    },
    "text/csv": {
        "csv": {
            "summary": "A CSV file; its last column is the target",
            "value": "width,height,weight\n1.0,2.0,2.1\n2.0,2.5,5.2\n3.0,1.5,4.4\n",
        },
        "texts": {
            "summary": "A CSV file with a column of texts, which is a category",
            "value": "width,wood,weight\n1.0,oak,2.1\n2.0,pine,3.2\n3.0,oak,6.4\n",
        },
    },
}

APPENDED_ROWS: Final = {
    "application/json": {
        "rows": {"summary": "Two rows", "value": {"x": [60.0, 62.0], "y": [1.3, -2.7]}}
    },
    "text/csv": {"csv": {"summary": "Columns by name", "value": "accel,times\n1.3,60.0\n"}},
}

_SAMPLE_ITEM: Final[dict[str, Any]] = {
    "id": SAMPLE,
    "name": "Motorcycle accidents (Silverman 1985)",
    "version": 1,
    "rows": 133,
    "features": 1,
    "targets": 1,
    "feature_names": ["times"],
    "target_names": ["accel"],
    "task": "regression",
    "dropped_rows": 0,
    "bytes": 2128,
    "digest": "sha256:…",
}

UPLOAD_ANSWER: Final[dict[str, Any]] = {
    "id": "ds-57c2645f0c38",
    "name": "cooling",
    "version": 1,
    "rows": 5,
    "features": 1,
    "targets": 1,
    "feature_names": ["minutes"],
    "target_names": ["celsius"],
    "task": "regression",
    "dropped_rows": 0,
    "bytes": 80,
    "digest": "sha256:…",
    "summary": {
        "features": [
            {"name": "minutes", "min": 0.0, "max": 4.0, "mean": 2.0, "standard_deviation": 1.5811}
        ],
        "targets": [
            {
                "name": "celsius",
                "min": 14.5,
                "max": 20.0,
                "mean": 16.8,
                "standard_deviation": 2.2057,
            }
        ],
    },
}

DATASET_ANSWER: Final = {
    **_SAMPLE_ITEM,
    "summary": {
        "features": [
            {"name": "times", "min": 2.4, "max": 57.6, "mean": 25.18, "standard_deviation": 13.13}
        ],
        "targets": [
            {
                "name": "accel",
                "min": -134.0,
                "max": 75.0,
                "mean": -25.55,
                "standard_deviation": 48.32,
            }
        ],
    },
}

APPEND_ANSWER: Final = {
    **_SAMPLE_ITEM,
    "version": 2,
    "rows": 135,
    "bytes": 2160,
    "summary": {
        "features": [
            {"name": "times", "min": 2.4, "max": 62.0, "mean": 25.71, "standard_deviation": 13.74}
        ],
        "targets": [
            {
                "name": "accel",
                "min": -134.0,
                "max": 75.0,
                "mean": -25.18,
                "standard_deviation": 48.06,
            }
        ],
    },
}

PAGE_ANSWER: Final = {"datasets": [_SAMPLE_ITEM], "next": None}

LIVE_ANSWER: Final = {"status": "alive"}
READY_ANSWER: Final = {"status": "ready", "workers": {"native": "ready"}}
LIMITS_ANSWER: Final = {
    "max_body_bytes": 268_435_456,
    "max_queries": 1_000_000,
    "max_features": 1_000,
    "max_targets": 100,
    "max_neighbor_entries": 1_000_000,
    "default_timeout_s": 30.0,
    "max_timeout_s": 300.0,
    "memory_budget_bytes": 8_589_934_592,
    "memory_used_bytes": 2_128,
    "max_pending_requests": 2_000,
}

ROWS_ANSWER: Final[dict[str, Any]] = {
    "x": [2.4, 2.6],
    "y": [0.0, -1.3],
    "feature_names": ["times"],
    "target_names": ["accel"],
    "name": "Motorcycle accidents (Silverman 1985)",
}

PROGRESS_ANSWER: Final[dict[str, Any]] = {
    "id": "upload-1",
    "state": "receiving",
    "bytes_read": 67_108_864,
    "bytes_expected": 198_304_511,
    "rows": 346_112,
    "elapsed_s": 0.712,
    "dataset_id": None,
    "detail": "",
}
