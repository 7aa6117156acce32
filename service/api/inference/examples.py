"""The examples of the OpenAPI document for /v2; each runs as it stands, as those of the others."""

from typing import Any, Final

from service import __version__
from service.api.examples import SAMPLE


def _queries(**fields: Any) -> dict[str, Any]:
    points = {"name": "x", "shape": [3, 1], "datatype": "FP64", "data": [15.0, 25.0, 35.0]}
    return {"inputs": [points], **fields}


INFERENCES: Final = {
    "auto": {"summary": "Let the service choose the fit", "value": _queries()},
    "parameters": {
        "summary": "A fit field by field, and which outputs",
        "value": _queries(
            id="42",
            parameters={"method": "local_linear", "n_neighbors": 20, "level": 0.8},
            outputs=[{"name": name} for name in ("y", "std", "lower", "upper", "status")],
        ),
    },
    "fit": {
        "summary": "A fit as JSON in a text",
        "value": _queries(parameters={"fit": '{"method": "knn", "n_neighbors": 5}'}),
    },
    "features": {
        "summary": "One tensor a feature, by its name",
        "value": {
            "inputs": [
                {"name": "times", "shape": [2, 1], "datatype": "FP32", "data": [[15.0], [25.0]]}
            ]
        },
    },
}

INFERENCE_ANSWER: Final = {
    "model_name": SAMPLE,
    "model_version": "1",
    "parameters": {
        "fit": '{"method":"knn","metric":"euclidean","n_neighbors":5,"weights":"uniform"}'
    },
    "outputs": [
        {"name": "y", "datatype": "FP64", "shape": [3], "data": [-7.22, -58.42, 15.0]},
    ],
}

SERVER_ANSWER: Final = {
    "name": "nearfit",
    "version": __version__,
    "extensions": ["binary_tensor_data", "classification", "model_configuration", "parameters"],
}
SERVER_LIVE_ANSWER: Final = {"live": True}
SERVER_READY_ANSWER: Final = {"ready": True}

MODEL_ANSWER: Final = {
    "name": SAMPLE,
    "versions": ["1"],
    "platform": "nearfit",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}],
    "outputs": [
        {"name": "y", "datatype": "FP64", "shape": [-1]},
        {"name": "std", "datatype": "FP64", "shape": [-1]},
        {"name": "lower", "datatype": "FP64", "shape": [-1]},
        {"name": "upper", "datatype": "FP64", "shape": [-1]},
        {"name": "status", "datatype": "BYTES", "shape": [-1]},
    ],
}
CONFIGURATION_ANSWER: Final = {
    "name": SAMPLE,
    "platform": "nearfit",
    "backend": "nearfit",
    "max_batch_size": 0,
    "input": [{"name": "x", "data_type": "TYPE_FP64", "dims": [-1, 1]}],
    "output": [
        {"name": "y", "data_type": "TYPE_FP64", "dims": [-1]},
        {"name": "std", "data_type": "TYPE_FP64", "dims": [-1]},
        {"name": "lower", "data_type": "TYPE_FP64", "dims": [-1]},
        {"name": "upper", "data_type": "TYPE_FP64", "dims": [-1]},
        {"name": "status", "data_type": "TYPE_STRING", "dims": [-1]},
    ],
}
MODEL_READY_ANSWER: Final = {"name": SAMPLE, "ready": True}
MODELS_ANSWER: Final = [{"name": SAMPLE, "version": "1", "state": "READY", "reason": ""}]
