"""A nearfit service from Python.

It needs httpx, NumPy and PyArrow, and nothing of the service. scikit-learn's estimators are in
`service.client.estimators`, which alone imports scikit-learn.
"""

from service.client.answers import DatasetInfo, Job, Minimum, Path, Relevance, Score
from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.errors import (
    Deadline,
    InvalidInput,
    NearfitError,
    NoConnection,
    NotFound,
    Refused,
    ServiceFault,
    StoreFull,
    Unable,
    Unavailable,
)
from service.client.media import MEDIA_TYPES
from service.client.predictions import FilePrediction, Prediction
from service.client.retrying import Retry

__all__ = [
    "MEDIA_TYPES",
    "AsyncClient",
    "Client",
    "DatasetInfo",
    "Deadline",
    "FilePrediction",
    "InvalidInput",
    "Job",
    "Minimum",
    "NearfitError",
    "NoConnection",
    "NotFound",
    "Path",
    "Prediction",
    "Refused",
    "Relevance",
    "Retry",
    "Score",
    "ServiceFault",
    "StoreFull",
    "Unable",
    "Unavailable",
]
