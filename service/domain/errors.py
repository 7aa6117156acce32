"""What can go wrong with a request, as one tree.

    NearfitError
    ├── RequestRefused                the client can mend it
    │   ├── MalformedBody             not JSON, not CSV, cut short
    │   ├── InvalidInput              well formed, but a value is wrong
    │   ├── BodyTooLarge              more bytes than the limit
    │   ├── BodyTooSlow               its bytes stopped coming
    │   ├── UnsupportedMediaType      a Content-Type that is not read here
    │   ├── NotAcceptable             an Accept that cannot be served
    │   ├── DatasetNotFound           no such id
    │   ├── JobNotFound               no such job, or it ended long ago
    │   └── UploadNotFound            no upload has been given this id
    └── ServiceUnable                 the request may be right; not now, or not here
        ├── StoreFull                 the byte budget is spent
        ├── DeadlineExceeded          the time asked for is over
        ├── Overloaded                too many requests wait already
        ├── WorkerLost                the compute process ended under the request
        └── NotReady                  still warming up, or shutting down

A numerical outcome for one query is not here: it is a value, `prediction.Issue`.
Status codes are in one place, `service/api/errors.py`.
"""

from dataclasses import dataclass
from typing import final


@dataclass(frozen=True)
class FieldFault:
    """One wrong value: where it stands, what is wrong, and what to do.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the request body, such as `/fit/bandwidth`, or the
            name of the query parameter or header.
        detail: One sentence that names the value sent and the remedy.
    """

    pointer: str
    detail: str


class NearfitError(Exception):
    """The root: every error that a request can end with.

    Args:
        detail: A sentence for the person who reads the answer.
        faults: The single values at fault, where there are any.
    """

    def __init__(self, detail: str, *, faults: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults


class RequestRefused(NearfitError):
    """The request cannot be served as it is; the client can mend it."""


@final
class MalformedBody(RequestRefused):
    """The body is not in the format that its Content-Type names."""


@final
class InvalidInput(RequestRefused):
    """The body is well formed, but values in it are wrong."""

    @classmethod
    def at(cls, pointer: str, detail: str) -> "InvalidInput":
        """Return the error for a single wrong value."""
        return cls(detail, faults=(FieldFault(pointer, detail),))


@final
class BodyTooLarge(RequestRefused):
    """The body has more bytes than the service reads."""


@final
class BodyTooSlow(RequestRefused):
    """The body stopped coming before its end."""


@final
class UnsupportedMediaType(RequestRefused):
    """The body's Content-Type is not one that the operation reads."""


@final
class NotAcceptable(RequestRefused):
    """No format that the operation writes is among those accepted."""


@final
class DatasetNotFound(RequestRefused):
    """There is no dataset with this id."""


@final
class JobNotFound(RequestRefused):
    """There is no job with this id, or it ended long ago."""


@final
class UploadNotFound(RequestRefused):
    """There is no upload with this id, or it ended long ago."""


class ServiceUnable(NearfitError):
    """The service cannot answer now; the same request may succeed later or elsewhere.

    Args:
        detail: A sentence for the person who reads the answer.
        retry_after_s: When to try again, where that is known.
    """

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


@final
class StoreFull(ServiceUnable):
    """The datasets in memory leave no room for this one."""


@final
class DeadlineExceeded(ServiceUnable):
    """The answer took longer than the time given to it."""


@final
class Overloaded(ServiceUnable):
    """Too much is under way already: predictions that wait, or bytes of bodies."""


@final
class WorkerLost(ServiceUnable):
    """The compute process ended while it worked on this request. No dataset is lost."""


@final
class NotReady(ServiceUnable):
    """The service is starting (formulas still compile) or stopping."""
