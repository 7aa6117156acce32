"""Each constraint of the OpenAPI document is refused in words of the service, with a remedy.

The document is walked as a client would walk it: for each field that a request may have, a body is
made that breaks one of its constraints, and posted.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic_core._pydantic_core import list_all_errors

from tests.api.problems import pointers, problem
from tests.api.test_openapi import DOCUMENT, JSON, OPERATIONS

WORD = "no such word"
TYPES: dict[str, list[Any]] = {
    "string": [WORD],
    "number": [1.5],
    "integer": [7],
    "boolean": [True],
    "object": [{}],
    "array": [[]],
    "null": [None],
}
CONSTRAINTS = {
    "additionalProperties", "anyOf", "const", "enum", "exclusiveMaximum", "exclusiveMinimum",
    "items", "maxItems", "maximum", "minItems", "minimum", "oneOf", "properties", "required",
    "type",
}  # fmt: skip
SAMPLES: dict[str, Any] = {
    "dataset_id": "motorcycle",
    "inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [15.0]}],
}
"""What makes a request whole where something else in it is broken."""
SAYING = {"$ref", "default", "description", "discriminator", "examples", "title"}


class Broken(NamedTuple):
    """A value that breaks one constraint."""

    keyword: str
    pointer: str
    value: Any


def pydantic_sentences() -> re.Pattern[str]:
    """Return what matches a sentence as pydantic writes it."""
    templates = {
        template
        for error in list_all_errors()
        for template in (error["message_template_python"], error.get("message_template_json", ""))
        if re.sub(r"\{\w+\}", "", template).strip()
    }
    parts = [re.sub(r"\\\{\w+\\\}", ".*", re.escape(t)) for t in sorted(templates)]
    return re.compile("|".join(parts))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference names."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of a schema, itself where there is one only."""
    schema = resolved(schema)
    parts = schema.get("anyOf", schema.get("oneOf"))
    return [schema] if parts is None else [leaf for part in parts for leaf in branches(part)]


def broken(schema: dict[str, Any], walked: set[str], pointer: str = "") -> Iterator[Broken]:
    """Yield values that break one constraint each; what was walked before is left out."""
    leaves = branches(schema)
    types = {leaf["type"] for leaf in leaves} | {"integer" for s in leaves if s["type"] == "number"}
    for kind, values in TYPES.items():
        # How deep a list of numbers is, is looked at only once all fields are there.
        if kind not in types and not (kind == "array" and "number" in types):
            for value in values:
                if not ("number" in types and isinstance(value, bool)):
                    yield Broken("type", pointer, value)
    for leaf in leaves:
        if str(leaf) in walked:
            continue
        if "properties" in leaf:
            walked.add(str(leaf))
        yield from broken_leaf(leaf, walked, pointer)
    items = [leaf["items"] for leaf in leaves if "items" in leaf]
    if items:
        for inner in broken({"anyOf": items}, walked, f"{pointer}/0"):
            yield inner._replace(value=[inner.value])


def broken_leaf(leaf: dict[str, Any], walked: set[str], pointer: str) -> Iterator[Broken]:
    """Yield values that break one constraint of a schema without alternatives."""
    unknown = leaf.keys() - CONSTRAINTS - SAYING
    assert not unknown, f"say here how {unknown} is broken"
    for keyword, value in (
        ("minimum", -1 - 2 * abs(leaf.get("minimum", 0))),
        ("maximum", 1 + 2 * abs(leaf.get("maximum", 0))),
        ("exclusiveMinimum", leaf.get("exclusiveMinimum")),
        ("exclusiveMaximum", leaf.get("exclusiveMaximum")),
        ("enum", WORD),
        ("const", WORD),
        ("minItems", []),
    ):
        if keyword in leaf:
            yield Broken(keyword, pointer, value)
    if "maxItems" in leaf:
        yield Broken("maxItems", pointer, [0.5] * (leaf["maxItems"] + 1))
    known = {
        name: value["const"]
        for name, value in leaf.get("properties", {}).items()
        if "const" in value
    }
    for name in leaf.get("required", []):
        others = {other: value for other, value in known.items() if other != name}
        yield Broken("required", f"{pointer}/{name}", others)
    if leaf.get("additionalProperties") is False:
        yield Broken("additionalProperties", f"{pointer}/{WORD}", {**known, WORD: 1})
    for name, value in leaf.get("properties", {}).items():
        for inner in broken(value, walked, f"{pointer}/{name}"):
            yield inner._replace(value={**known, name: inner.value})


def broken_bodies() -> Iterator[tuple[str, Broken]]:
    walked: set[str] = set()
    for method, path, operation in OPERATIONS:
        if method == "POST" and "requestBody" in operation:
            schema = resolved(operation["requestBody"]["content"][JSON]["schema"])
            known = SAMPLES.keys() & schema["properties"].keys()
            for body in broken(schema, walked):
                sample = {name: SAMPLES[name] for name in known if body.pointer != f"/{name}"}
                if isinstance(body.value, dict):
                    whole = body.value if "dataset" in body.value else {**sample, **body.value}
                    address = re.sub(r"\{\w+\}", "motorcycle", path)
                    yield address, body._replace(value=whole)


def test_every_constraint_is_refused_in_words_of_the_service(api: httpx.Client) -> None:
    of_pydantic, keywords = pydantic_sentences(), set()
    assert of_pydantic.match("List should have at least 1 item after validation, not 0")
    for path, (keyword, pointer, body) in broken_bodies():
        keywords.add(keyword)
        if path.startswith("/v2/"):  # refusals of the protocol are sentences alone
            answer = api.post(path, json=body)
            assert answer.status_code == 422, (path, body, answer.text)
            assert not of_pydantic.search(answer.json()["error"]), (path, body, answer.text)
            assert re.fullmatch(r"[A-Z\w].*[.?]", answer.json()["error"]), (path, body)
            continue
        found = problem(api.post(path, json=body), 422)
        for fault in found["errors"]:
            assert not of_pydantic.search(fault["detail"]), (path, body, fault)
            assert re.fullmatch(r"[A-Z\w].*[.?]", fault["detail"]), (path, body, fault)
        # Where several objects may stand, the field of another may be missing; or it is the
        # holder that is none of them.
        holder = pointer.rpartition("/")[0]
        here = holder if keyword == "required" else pointer
        named = pointers(found)
        assert any(at == holder or at.startswith(here) for at in named), (path, body, found)
    assert keywords == CONSTRAINTS - {"anyOf", "oneOf", "items", "properties"}


@pytest.mark.parametrize("limit", ["0", "1001", "ten", "1.5", ""])
def test_so_is_every_constraint_of_a_query_parameter(api: httpx.Client, limit: str) -> None:
    found = problem(api.get("/datasets", params={"limit": limit}), 422)
    assert pointers(found) == ["limit"]
    assert not pydantic_sentences().search(found["detail"])
    assert "it must be" in found["detail"]
