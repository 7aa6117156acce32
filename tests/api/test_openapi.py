"""The OpenAPI document is up to date, complete, and its examples run."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.export_openapi import TARGET, openapi_text
from service.api.schemas.fits import FitField
from service.estimators.fits import Auto
from tests.api.problems import problem
from tests.live import live_client

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
PROBLEM_FORM = ("application/problem+json", "ProblemDetails")
ROWS = {JSON, ARROW, "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"}
FILES = {
    "create_prediction": ROWS,
    "export_rows": ROWS | {"application/vnd.apache.arrow.file", "application/x-npz"},
}
PICTURES = {
    "/datasets/{dataset_id}/plot.svg": {"image/svg+xml"},
    "/datasets/{dataset_id}/plot.png": {"image/png"},
}

DOCUMENT: dict[str, Any] = json.loads(openapi_text())
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def named(case: Any) -> str:
    return str(case[2]["operationId"] if len(case) == 3 else case[0])


def examples() -> Iterator[tuple[str, str, str, str, Any]]:
    """Yield each example of a body: its name, method, path, media type and value."""
    for method, path, operation in OPERATIONS:
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            for name, example in content.get("examples", {}).items():
                yield (
                    f"{operation['operationId']}-{name}",
                    method,
                    path,
                    media_type,
                    example["value"],
                )


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for member in part.values():
            yield from references(member)
    elif isinstance(part, list):
        for member in part:
            yield from references(member)


CHANGING = {"/datasets", "/datasets/{dataset_id}/rows", "/tune"}
"""Where examples change what later requests find."""


@pytest.fixture(scope="module")
def settled() -> Iterator[httpx.Client]:
    """A service whose datasets nobody changes."""
    with live_client() as client:
        yield client


@pytest.fixture
def fresh() -> Iterator[httpx.Client]:
    """A service just started, so that each example finds the sample as it was."""
    with live_client() as client:
        yield client


def test_the_committed_document_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == openapi_text(), (
        "run: python -m service.api.export_openapi"
    )


def test_the_service_serves_the_document(api: httpx.Client) -> None:
    assert api.get("/openapi.json").json() == DOCUMENT


def test_the_operations_are_those_of_the_contract() -> None:
    assert {operation["operationId"]: f"{m} {p}" for m, p, operation in OPERATIONS} == {
        "create_dataset": "POST /datasets",
        "list_datasets": "GET /datasets",
        "get_dataset": "GET /datasets/{dataset_id}",
        "append_rows": "POST /datasets/{dataset_id}/rows",
        "delete_dataset": "DELETE /datasets/{dataset_id}",
        "export_rows": "GET /datasets/{dataset_id}/rows",
        "get_upload": "GET /uploads/{upload_id}",
        "get_plot_svg": "GET /datasets/{dataset_id}/plot.svg",
        "get_plot_png": "GET /datasets/{dataset_id}/plot.png",
        "create_prediction": "POST /predict",
        "minimize": "POST /minimize",
        "create_score": "POST /score",
        "get_relevance": "GET /datasets/{dataset_id}/relevance",
        "tune": "POST /tune",
        "list_jobs": "GET /jobs",
        "get_job": "GET /jobs/{job_id}",
        "cancel_job": "DELETE /jobs/{job_id}",
        "get_server_metadata": "GET /v2",
        "get_server_liveness": "GET /v2/health/live",
        "get_server_readiness": "GET /v2/health/ready",
        "list_models": "POST /v2/repository/index",
        "get_model_metadata": "GET /v2/models/{model}",
        "get_model_readiness": "GET /v2/models/{model}/ready",
        "get_model_config": "GET /v2/models/{model}/config",
        "infer_model": "POST /v2/models/{model}/infer",
        "get_liveness": "GET /livez",
        "get_readiness": "GET /readyz",
        "get_limits": "GET /limits",
    }
    assert " ".join(tag["name"] for tag in DOCUMENT["tags"]) == (
        "datasets predictions pictures tuning scores optimization inference service"
    ), "the order of use"


@pytest.mark.parametrize("case", OPERATIONS, ids=named)
def test_each_operation_is_documented(case: tuple[str, str, dict[str, Any]]) -> None:
    _, path, operation = case
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert len(operation["tags"]) == 1
    if "requestBody" in operation:
        is_json = path in ("/minimize", "/score", "/tune", "/v2/models/{model}/infer")
        formats = {JSON} if is_json else {JSON, ARROW}
        assert operation["requestBody"]["content"].keys() >= formats
        json_body = operation["requestBody"]["content"][JSON]
        assert json_body["examples"]
        assert json_body["schema"]["$ref"]
    for status, response in operation["responses"].items():
        assert response["description"], status
        content = response.get("content", {})
        if int(status) >= 400:
            form = (JSON, "InferenceRefusal") if path.startswith("/v2") else PROBLEM_FORM
            media_type, schema = form
            assert set(content) == {media_type}, status
            assert content[media_type]["schema"]["$ref"] == f"#/components/schemas/{schema}"
        else:
            answers = FILES.get(operation["operationId"], PICTURES.get(path, {JSON}))
            assert set(content) in (answers, set()), status


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    found = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert found == set(DOCUMENT["components"]["schemas"])
    assert "HTTPValidationError" not in found


def test_every_fit_has_an_example() -> None:
    prediction = DOCUMENT["paths"]["/predict"]["post"]["requestBody"]["content"]
    shown = {
        example["value"].get("fit", {"method": "auto"})["method"]
        for example in prediction["application/json"]["examples"].values()
    }
    union = FitField.__args__[0].__args__
    methods = {model.model_fields["method"].annotation.__args__[0] for model in union}
    assert shown == methods
    assert Auto.__name__.lower() in methods


@pytest.mark.parametrize("example", list(examples()), ids=named)
def test_each_example_runs_as_it_stands(
    request: pytest.FixtureRequest, example: tuple[str, str, str, str, Any]
) -> None:
    _, method, path, media_type, value = example
    client: httpx.Client = request.getfixturevalue("fresh" if path in CHANGING else "settled")
    content = value if isinstance(value, str) else json.dumps(value)
    answer = client.request(
        method,
        path.replace("{dataset_id}", "motorcycle").replace("{model}", "motorcycle"),
        content=content,
        headers={"Content-Type": media_type},
    )
    operation = DOCUMENT["paths"][path][method.lower()]
    successes = [int(status) for status in operation["responses"] if int(status) < 300]
    assert answer.status_code == (201 if 201 in successes else 200), answer.text
    if path == "/predict":
        assert None not in answer.json().get("label", answer.json().get("mean"))


def test_each_operation_without_a_body_runs_as_it_stands(fresh: httpx.Client) -> None:
    search = {"dataset_id": "motorcycle", "budget_s": 0.1}
    begun = fresh.post("/tune", json=search, headers={"Prefer": "respond-async"})
    headers = {"Content-Type": "text/csv", "Upload-Id": "upload-1"}
    fresh.post("/datasets", content="x,y\n1,2\n3,4\n", headers=headers)
    for method, path, operation in sorted(OPERATIONS, key=lambda case: case[0] == "DELETE"):
        if "requestBody" in operation:
            continue
        path = path.replace("{job_id}", begun.json()["id"])
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path" and "examples" in parameter:
                (example,) = parameter["examples"].values()
                path = path.replace(f"{{{parameter['name']}}}", example["value"])
        answer = fresh.request(method, path)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        assert str(answer.status_code) in operation["responses"]


def test_the_examples_of_answers_are_what_the_service_answers(fresh: httpx.Client) -> None:
    described = fresh.get("/datasets/motorcycle").json()
    answers = {
        "/datasets/{dataset_id}": described,
        "/datasets/{dataset_id}/relevance": fresh.get("/datasets/motorcycle/relevance").json(),
        "/datasets": fresh.get("/datasets").json(),
        "/livez": fresh.get("/livez").json(),
        "/limits": fresh.get("/limits").json(),
        "/readyz": fresh.get("/readyz").json(),
    }
    for path, answer in answers.items():
        shown = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert_same_form(shown["example"], answer, path)
    for path, name in (("/score", "leave_one_out"), ("/minimize", "bounds")):
        body = DOCUMENT["paths"][path]["post"]["requestBody"]["content"][JSON]
        answer = fresh.post(path, json=body["examples"][name]["value"]).json()
        shown = DOCUMENT["paths"][path]["post"]["responses"]["200"]["content"]
        assert_same_form(shown[JSON]["example"], answer, path)
    for path in ("/datasets", "/datasets/{dataset_id}/rows"):
        operation = DOCUMENT["paths"][path]["post"]
        body = next(iter(operation["requestBody"]["content"][JSON]["examples"].values()))
        answer = fresh.post(path.replace("{dataset_id}", "motorcycle"), json=body["value"])
        shown = operation["responses"][str(answer.status_code)]["content"][JSON]
        assert_same_form(shown["example"], answer.json(), path)


def test_the_example_of_a_prediction_is_what_the_service_answers(settled: httpx.Client) -> None:
    request = {
        "dataset_id": "motorcycle",
        "queries": [[15.0], [25.0], [35.0]],
        "fit": {"method": "knn"},
    }
    answer = settled.post("/predict", json=request).json()
    shown = DOCUMENT["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    example = shown["application/json"]["example"]
    assert answer["mean"] == pytest.approx(example.pop("mean"), rel=1e-12)
    assert_same_form(example, answer, "/predict")
    assert example["fit"] == answer["fit"]


WRONG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MalformedBody": (
        "POST",
        "/predict",
        {"content": '{"dataset_id": "motorcycle", "queries": [15'},
    ),
    "InvalidInput": (
        "POST",
        "/predict",
        {
            "json": {
                "dataset_id": "motorcycle",
                "queries": [15],
                "fit": {"method": "nadaraya_watson", "bandwidth": -1},
            }
        },
    ),
    "UnsupportedMediaType": (
        "POST",
        "/score",
        {"content": "<x/>", "headers": {"Content-Type": "application/xml"}},
    ),
    "NotAcceptable": ("GET", "/limits", {"headers": {"Accept": "text/html"}}),
    "DatasetNotFound": ("GET", "/datasets/motorcicle", {}),
    "JobNotFound": ("GET", "/jobs/0f5b4a5d", {}),
    "UploadNotFound": ("GET", "/uploads/spring", {}),
}
"""Requests that end with the problem that the document shows, by its condition."""


@pytest.mark.parametrize("condition", WRONG)
def test_the_examples_of_problems_are_what_the_service_answers(
    settled: httpx.Client, condition: str
) -> None:
    method, path, request = WRONG[condition]
    answer = settled.request(
        method,
        path,
        **{"headers": {"Content-Type": JSON}, **request} if method == "POST" else request,
    ).json()
    shown = {
        json.dumps(examples[condition]["value"])
        for _, _, operation in OPERATIONS
        if "requestBody" in operation or condition.endswith(("NotFound", "Acceptable"))
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        if condition in (examples := content.get("examples", {}))
        and "type" in examples[condition]["value"]
    }
    (example,) = shown
    assert {**json.loads(example), "request_id": answer["request_id"]} == answer


def test_a_wrong_address_is_shown_where_there_is_no_body(settled: httpx.Client) -> None:
    answer = settled.get("/limits?verbose=1").json()
    shown = DOCUMENT["paths"]["/limits"]["get"]["responses"]["422"]["content"]
    example = shown["application/problem+json"]["examples"]["InvalidInput"]["value"]
    assert {**example, "request_id": answer["request_id"]} == answer


def assert_same_form(shown: Any, answer: Any, where: str) -> None:
    """Compare the members, and the numbers to the digits shown; sizes and digests may differ."""
    if isinstance(shown, dict):
        assert set(shown) <= set(answer), where
        for name, member in shown.items():
            if name not in ("memory_budget_bytes", "digest", "workers"):
                assert_same_form(member, answer[name], f"{where} {name}")
    elif isinstance(shown, list):
        for one, other in zip(shown, answer, strict=True):
            assert_same_form(one, other, where)
    elif isinstance(shown, float):
        assert answer == pytest.approx(shown, rel=1e-3), where
    else:
        assert answer == shown, where


def test_the_documented_statuses_are_those_that_occur(api: httpx.Client) -> None:
    responses = DOCUMENT["paths"]["/predict"]["post"]["responses"]
    assert {"200", "400", "404", "406", "408", "413", "415", "422", "503", "504"} == set(responses)
    problem(api.post("/predict", json={}), 422)
