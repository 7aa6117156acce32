"""What every refusal must look like, whatever went wrong."""

from typing import Any

import httpx
import orjson
from pydantic import ConfigDict

from service.api.schemas.service import ErrorItem, ProblemDetails


class StrictError(ErrorItem):
    model_config = ConfigDict(extra="forbid", strict=True)


class StrictProblem(ProblemDetails):
    model_config = ConfigDict(extra="forbid", strict=True)

    errors: list[StrictError] | None = None  # type: ignore[assignment]  # narrower, for checking


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that the answer is a problem document of this status, and return it."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = orjson.loads(answer.content)  # refuses NaN, as the standard does
    found = StrictProblem.model_validate(document)
    assert found.status == status
    assert found.type.startswith("/guide/troubleshooting/#")
    assert found.detail
    assert "Traceback" not in answer.text
    assert found.request_id == answer.headers["x-request-id"]
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    """Return where the single faults stand."""
    return [fault["pointer"] for fault in document.get("errors", [])]
