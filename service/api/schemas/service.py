"""What the service says about itself, and the form of its errors."""

from pydantic import Field

from service.api.schemas.base import Amount, AnswerModel, Tally
from service.engine.limits import Limits


class ErrorItem(AnswerModel):
    """One wrong value."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body; the name of a query parameter; or "
        "`cell=line,column` (RFC 7111) in CSV."
    )
    detail: str = Field(description="What is wrong with it, and what to do.")


class ProblemDetails(AnswerModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(
        description="Where the guide of this service says what to do, such as "
        "`/guide/troubleshooting/#invalid-input`. What follows `#` is stable."
    )
    title: str = Field(description="The type in words.")
    status: int = Field(description="The HTTP status code.", ge=400, le=599)
    detail: str = Field(description="What went wrong this time, and what to do.")
    instance: str = Field(description="The path of the request.")
    request_id: str = Field(description="As in the header X-Request-Id and in the service's log.")
    errors: list[ErrorItem] | None = Field(
        None, description="The single values at fault, where there are any."
    )
    workers: dict[str, str] | None = Field(
        None,
        description="Only from /readyz: what each worker is doing.",
        examples=[{"native": "warming up"}],
    )


class LimitsAnswer(AnswerModel):
    """What the service takes."""

    max_body_bytes: Tally = Field(description="Bytes of the largest request body.")
    max_queries: Tally = Field(description="Queries in one request.")
    max_features: Tally = Field(description="Features of a dataset.")
    max_targets: Tally = Field(description="Targets of a dataset.")
    max_neighbor_entries: Tally = Field(
        description="Rows listed in one answer, over all its queries, with `neighbors`."
    )
    default_timeout_s: Amount = Field(description="Seconds a prediction may take by default.")
    max_timeout_s: Amount = Field(description="The largest `timeout_s`, in seconds.")
    memory_budget_bytes: Tally = Field(description="Bytes that all datasets together may hold.")
    memory_used_bytes: Tally = Field(description="Bytes that they hold now.")
    max_pending_requests: Tally = Field(description="Predictions that may wait or run at once.")

    @classmethod
    def from_domain(cls, limits: Limits, memory_used_bytes: int) -> "LimitsAnswer":
        """Return the limits and how much of the memory is used."""
        return cls(
            max_body_bytes=limits.max_body_bytes,
            max_queries=limits.max_queries,
            max_features=limits.max_features,
            max_targets=limits.max_targets,
            max_neighbor_entries=limits.max_neighbor_entries,
            default_timeout_s=limits.default_timeout_s,
            max_timeout_s=limits.max_timeout_s,
            memory_budget_bytes=limits.memory_budget_bytes,
            memory_used_bytes=memory_used_bytes,
            max_pending_requests=limits.max_pending_requests,
        )


class Liveness(AnswerModel):
    """The process answers."""

    status: str = Field(description="Always `alive`.", examples=["alive"])


class Readiness(AnswerModel):
    """Predictions can be computed without waiting for a start or a compiler."""

    status: str = Field(description="Always `ready`.", examples=["ready"])
    workers: dict[str, str] = Field(
        description="What each worker is doing.", examples=[{"native": "ready"}]
    )
