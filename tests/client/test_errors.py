"""Every error of the service is an exception of the client, with all that the service said."""

import copy
import json
import pickle
from pathlib import Path

import pytest

from service.api.errors import STATUS_CODES, error_response
from service.client import errors
from service.domain.errors import NearfitError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("condition", STATUS_CODES, ids=lambda condition: condition.__name__)
def test_every_error_of_the_service_has_an_exception(condition: type[NearfitError]) -> None:
    scope = {"type": "http", "path": "/predict", "headers": [], "state": {"request_id": "r"}}
    answer = error_response(scope, condition("What is wrong."))
    document = json.loads(bytes(answer.body))
    error = errors.error_of(answer.status_code, document)
    is_unable = answer.status_code >= 500
    assert isinstance(error, errors.Unable if is_unable else errors.Refused)
    assert (error.problem, error.detail) == (document, "What is wrong.")
    assert (error.status, error.type) == (document["status"], document["type"])


def test_an_error_crosses_processes_whole() -> None:
    problem = {"status": 422, "detail": "No.", "errors": [{"pointer": "/x", "detail": "Bad."}]}
    error = errors.error_of(422, problem)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is errors.InvalidInput
        assert (str(again), again.problem) == (str(error), problem)


def test_the_exceptions_are_what_python_calls_them() -> None:
    assert issubclass(errors.InvalidInput, ValueError)
    assert issubclass(errors.NotFound, LookupError)
    assert issubclass(errors.Deadline, TimeoutError)
    assert issubclass(errors.NoConnection, ConnectionError)


def test_the_tree_is_drawn_whole_in_the_module_and_in_the_guide() -> None:
    tree = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    drawn = {word for line in tree for word in line.split()}
    names = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.NearfitError)
    }
    assert names <= drawn
    assert "\n".join(tree) in (ROOT / "docs/client.md").read_text(encoding="utf-8")


def test_several_wrong_values_are_all_shown() -> None:
    faults = [{"pointer": "/fit/a", "detail": "A."}, {"pointer": "/fit/b", "detail": "B."}]
    error = errors.error_of(422, {"status": 422, "detail": "2 are wrong.", "errors": faults})
    assert str(error) == "2 are wrong.\n  /fit/a: A.\n  /fit/b: B."
