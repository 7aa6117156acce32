"""The examples of the OpenAPI document. Each runs as it stands on a service just started.

They use the sample dataset `motorcycle`: head acceleration (in units of g) against the time after
a simulated impact (in milliseconds), 133 rows.
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

JOB_ANSWER: Final = {**_JOB, "scores": [_SCORE]}
JOBS_ANSWER: Final = {"jobs": [_JOB]}

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
    },
    "text/csv": {
        "csv": {
            "summary": "A CSV file; its last column is the target",
            "value": "width,height,weight\n1.0,2.0,2.1\n2.0,2.5,5.2\n3.0,1.5,4.4\n",
        }
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
    "bytes": 2128,
    "digest": "sha256:…",
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
