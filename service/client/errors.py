"""What can go wrong with a call, as one tree.

    NearfitError
    ├── Refused                 the request is at fault (4xx); mend it
    │   ├── InvalidInput        a value or the body is wrong; also a ValueError
    │   └── NotFound            no such dataset or job; also a LookupError
    ├── Unable                  the request may be right; not now, or not here (5xx)
    │   ├── Unavailable         starting, stopping or too busy (503), over all tries
    │   ├── Deadline            the time of either side was over; also a TimeoutError
    │   ├── StoreFull           no memory for another dataset (507)
    │   └── ServiceFault        a fault that nobody foresaw (500)
    └── NoConnection            nobody answered, or the answer broke off; also a ConnectionError

An estimate that could not be made is no error: see `Prediction.issues`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, final

NO_PROBLEM: Final[Mapping[str, Any]] = MappingProxyType({})


class NearfitError(Exception):
    """The root: a call that gave no answer.

    Args:
        detail: What is wrong and what to do, in a sentence.
        problem: The problem document (RFC 9457) of the service, whole; empty where none came.

    Attributes:
        detail: As given; also what `str` shows, with the places of single wrong values.
        problem: As given.
    """

    def __init__(self, detail: str, problem: Mapping[str, Any] = NO_PROBLEM) -> None:
        super().__init__(detail, problem)
        self.detail = detail
        self.problem = dict(problem)

    def __reduce__(self) -> tuple[type["NearfitError"], tuple[str, dict[str, Any]]]:
        return type(self), (self.detail, self.problem)  # it crosses processes, as with joblib

    def __str__(self) -> str:
        places = [f"{fault['pointer']}: {fault['detail']}" for fault in self.errors]
        if len(places) < 2:
            return self.detail
        return "\n  ".join([self.detail, *places])

    @property
    def status(self) -> int | None:
        """The HTTP status; None where no answer came."""
        return self.problem.get("status")

    @property
    def type(self) -> str | None:
        """The stable URI of the kind of problem; None where no answer came."""
        return self.problem.get("type")

    @property
    def errors(self) -> list[dict[str, str]]:
        """The single wrong values, each with its `pointer` and `detail`."""
        return list(self.problem.get("errors", ()))

    @property
    def request_id(self) -> str | None:
        """What to look for in the log of the service."""
        return self.problem.get("request_id")


class Refused(NearfitError):
    """The service does not take the request as it is."""


@final
class InvalidInput(Refused, ValueError):
    """A value of the request, or its body, is wrong."""


@final
class NotFound(Refused, LookupError):
    """There is no dataset or job with this id."""


class Unable(NearfitError):
    """The service cannot answer now; the same request may succeed later."""


@final
class Unavailable(Unable):
    """The service is starting, stopping or too busy, and stayed so over all tries."""


@final
class Deadline(Unable, TimeoutError):
    """The answer took longer than it might."""


@final
class StoreFull(Unable):
    """The service has no memory for another dataset."""


@final
class ServiceFault(Unable):
    """The service failed in a way that it did not foresee."""


@final
class NoConnection(NearfitError, ConnectionError):
    """Nobody answered at the address, or the answer broke off."""


BY_STATUS: Final[Mapping[int, type[NearfitError]]] = {
    400: InvalidInput,
    404: NotFound,
    422: InvalidInput,
    503: Unavailable,
    504: Deadline,
    507: StoreFull,
}


def error_of(status: int, problem: Mapping[str, Any]) -> NearfitError:
    """Return the error for an answer that is none.

    Args:
        status: Of HTTP, 400 or above.
        problem: Its problem document; empty where it has another body, as from a proxy.
    """
    kind = BY_STATUS.get(status, Refused if status < 500 else ServiceFault)
    if problem:
        return kind(str(problem.get("detail", problem.get("title", status))), problem)
    detail = (
        f"The answer has the status {status} and no problem document, as all of nearfit's errors "
        "have; look what else answers at this address, such as a proxy."
    )
    return kind(detail, {"status": status})
