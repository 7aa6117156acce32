"""What holds of all of the OpenAPI document, so that /docs and generated clients read well."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.export_openapi import openapi_text

DOCUMENT: Final[dict[str, Any]] = json.loads(openapi_text())
SCHEMAS: Final[dict[str, dict[str, Any]]] = DOCUMENT["components"]["schemas"]
OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    operation["operationId"]: operation
    for operations in DOCUMENT["paths"].values()
    for operation in operations.values()
}
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

BOUNDS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const"}
UNIT: Final = re.compile(
    r"\b(in seconds|seconds|bytes|unit|units|number of|how many|how often|from \S+ to|share|"
    r"any whole number|largest|at most)\b",
    re.IGNORECASE,
)
"""Words that say what a number is measured in, or how far it goes."""


def members(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and all those within it, without following references."""
    if isinstance(schema, dict):
        yield schema
        for name, part in schema.items():
            if name == "properties":
                for inner in part.values():
                    yield from members(inner)
            elif name not in ("examples", "default", "const", "enum"):
                yield from members(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from members(part)


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of every schema and every parameter, with its name."""
    for model, schema in SCHEMAS.items():
        for field, member in schema.get("properties", {}).items():
            yield f"{model}.{field}", member
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", ()):
            described = {"description": parameter.get("description", "")}
            yield f"{name}?{parameter['name']}", {**parameter["schema"], **described}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for field, member in content["schema"].get("properties", {}).items():
                yield f"{name}:{field}", member


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what bodies and answers of JSON may be, with a name."""
    for name, operation in OPERATIONS.items():
        for part, whole in {
            "body": operation.get("requestBody", {}),
            **operation["responses"],
        }.items():
            for media_type, content in whole.get("content", {}).items():
                if media_type in (JSON, PROBLEM):
                    yield f"{name}-{part}", content


def shown_values() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield each example with its name and schema."""
    for name, content in contents():
        if "example" in content:
            yield name, content["schema"], content["example"]
        for label, example in content.get("examples", {}).items():
            yield f"{name}-{label}", content["schema"], example["value"]
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", ()):
            for label, example in parameter.get("examples", {}).items():
                where = f"{name}-{parameter['name']}-{label}"
                yield where, parameter["schema"], example["value"]
    for name, member in properties():
        for number, value in enumerate(member.get("examples", ())):
            yield f"{name}-{number}", member, value


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with the value, by the schema."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in OAS31Validator(whole).iter_errors(value)]


def test_the_document_is_one_of_openapi() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_example_fits_its_schema() -> None:
    found = {name: faults(schema, value) for name, schema, value in shown_values()}
    assert len(found) > 100
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_a_wrong_example_would_be_found() -> None:
    schema = {"$ref": "#/components/schemas/PredictionRequest"}
    assert faults(schema, {"dataset_id": "motorcycle"}) == ["'queries' is a required property"]
    assert faults(schema, {"queries": [1], "level": 2}) != []


def test_every_property_and_parameter_says_what_it_is() -> None:
    silent = [n for n, m in properties() if not m.get("description") and "const" not in m]
    assert silent == []


def test_every_number_has_bounds_or_a_unit() -> None:
    silent = [
        name
        for name, member in properties()
        for part in (member, *member.get("anyOf", ()), *member.get("oneOf", ()))
        if part.get("type") in ("number", "integer")
        and not BOUNDS & (part.keys() | member.keys())
        and not UNIT.search(member.get("description", ""))
    ]
    assert silent == []


def test_no_property_is_an_object_of_anything() -> None:
    """Swagger UI would show additionalProp1, additionalProp2 and additionalProp3 for it."""
    open_ended = [
        name
        for name, member in properties()
        if any(isinstance(part.get("additionalProperties"), dict) for part in members(member))
        and not member.get("examples")
    ]
    assert open_ended == []


def test_every_answer_of_json_has_an_example() -> None:
    bare = [name for name, shown in contents() if not ("example" in shown or shown.get("examples"))]
    assert bare == []


def test_every_problem_is_shown_as_it_is_sent() -> None:
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            problems = response.get("content", {}).get(PROBLEM, {"examples": {}})
            for example in problems["examples"].values():
                problem = example["value"]
                assert problem["status"] == int(status), f"{name} {status}"
                assert problem["title"] == example["summary"]
                assert len(problem["detail"].split()) > 3


def test_the_names_become_methods_of_generated_clients() -> None:
    for name, operation in OPERATIONS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert len(operation["tags"]) == 1
        assert operation["summary"][0].isupper()
    everything = [op["operationId"] for p in DOCUMENT["paths"].values() for op in p.values()]
    assert len(everything) == len(set(everything))


def test_every_tag_is_used_and_described() -> None:
    used = {operation["tags"][0] for operation in OPERATIONS.values()}
    described = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    assert used == set(described)
    assert all(text.endswith(".") for text in described.values())


def test_titles_are_of_schemas_alone() -> None:
    titled = [name for name, member in properties() if "title" in member]
    assert titled == []


@pytest.mark.parametrize("part", ["license", "description", "summary", "version"])
def test_the_document_says_of_itself(part: str) -> None:
    assert DOCUMENT["info"][part]


def test_the_addresses_are_relative_so_that_they_hold_behind_a_proxy() -> None:
    assert [server["url"] for server in DOCUMENT["servers"]] == ["."]
    links = re.findall(r"\]\(([^)]*)\)", DOCUMENT["info"]["description"])
    assert {*links, DOCUMENT["externalDocs"]["url"]} == {"explore", "guide/"}
