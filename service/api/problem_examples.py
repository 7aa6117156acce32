"""What each problem says in the OpenAPI document: what the service answered once."""

from collections.abc import Mapping
from typing import Any, Final

from service.api.errors import STATUS_CODES, problem_title, problem_type
from service.domain.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DatasetNotFound,
    DeadlineExceeded,
    InvalidInput,
    JobNotFound,
    MalformedBody,
    NearfitError,
    NotAcceptable,
    NotReady,
    Overloaded,
    StoreFull,
    UnsupportedMediaType,
    UploadNotFound,
    WorkerLost,
)

REQUEST_ID: Final = "0f5b4a5d9d0b4c6f8e0e3b1a2c3d4e5f"

_SHORT = "bandwidth is -1; it must be at least 1e-150."
_EXTRA = "The operation takes no query parameter; leave it out of the address."

IN_BODY: Final[Mapping[str, Any]] = {
    "instance": "/predict",
    "detail": _SHORT,
    "errors": [{"pointer": "/fit/bandwidth", "detail": _SHORT}],
}
"""Of a value in a body that is wrong."""

IN_ADDRESS: Final[Mapping[str, Any]] = {
    "instance": "/limits",
    "detail": _EXTRA,
    "errors": [{"pointer": "verbose", "detail": _EXTRA}],
}
"""Of a wrong value where there is no body."""

SAID: Final[Mapping[type[NearfitError], Mapping[str, Any]]] = {
    MalformedBody: {
        "instance": "/predict",
        "detail": "The body is not JSON: it ends within /queries, at byte 43, line 1, near "
        "'ries\": [15'.",
    },
    UnsupportedMediaType: {
        "instance": "/score",
        "detail": "The Content-Type is 'application/xml'; application/json is read here.",
    },
    NotAcceptable: {
        "instance": "/limits",
        "detail": "The answer is application/json, and the request accepts 'text/html' only; send "
        "Accept: application/json.",
    },
    DatasetNotFound: {
        "instance": "/datasets/motorcicle",
        "detail": "There is no dataset 'motorcicle'; GET /datasets lists those there are.",
    },
    JobNotFound: {
        "instance": "/jobs/0f5b4a5d",
        "detail": "There is no job '0f5b4a5d': it was never begun, or ended long ago; GET /jobs "
        "lists those there are.",
    },
    UploadNotFound: {
        "instance": "/uploads/spring",
        "detail": "There is no upload 'spring'; send the header Upload-Id with the upload. It is "
        "known from when its body begins to come until many others have ended.",
    },
    BodyTooLarge: {
        "instance": "/datasets",
        "detail": "The body has 3,000 bytes, and the limit is 2,000 bytes (max_body_bytes in "
        "/limits). Upload the rows in parts, with POST /datasets/{id}/rows for all but the first, "
        "or send the queries in several requests.",
    },
    StoreFull: {
        "instance": "/datasets",
        "detail": "The datasets hold 2,128 of 4,000 bytes and this needs 2,400 more, 528 too many. "
        "DELETE would free: 'motorcycle' (2,128 bytes).",
    },
    BodyTooSlow: {
        "instance": "/datasets",
        "detail": "Nothing of the body has come for 60 seconds, after 1,048,576 bytes; send it "
        "again, without a pause.",
    },
    DeadlineExceeded: {
        "instance": "/predict",
        "detail": "The prediction took longer than its time: send fewer queries, a larger "
        "timeout_s, or a fit that looks at fewer rows (n_neighbors).",
    },
    Overloaded: {
        "instance": "/predict",
        "detail": "2000 predictions wait already; send fewer at once.",
    },
    WorkerLost: {
        "instance": "/predict",
        "detail": "The compute process ended before this request was done. No dataset is lost, and "
        "the process starts again by itself; send the request once more.",
    },
    NotReady: {"instance": "/predict", "detail": "The service is shutting down."},
}


def problem_example(error: type[NearfitError], *, has_body: bool) -> dict[str, Any]:
    """Return the document of a problem, as an operation with or without a body answers it."""
    if error is InvalidInput:
        said = IN_BODY if has_body else IN_ADDRESS
    else:
        said = SAID[error]
    condition = error.__name__
    document = {
        "type": problem_type(condition),
        "title": problem_title(condition),
        "status": int(STATUS_CODES[error]),
    }
    return {**document, "request_id": REQUEST_ID, **said}
