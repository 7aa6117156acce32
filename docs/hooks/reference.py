"""MkDocs hook: the page of all operations and schemas, from openapi/openapi.json."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DOCUMENT: Final = Path(__file__).parents[2] / "openapi" / "openapi.json"
PAGE: Final = "reference.md"
PROBLEM: Final = "application/problem+json"

INTRODUCTION: Final = """\
# API reference

Every operation of version {version}, generated from `openapi/openapi.json`, which a running service
has at `/openapi.json`. At `/docs` the same can be tried in the browser; the [HTTP guide](http.md)
has examples in the order in which one meets them.
"""

BOUNDS: Final[Mapping[str, str]] = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}

Schema = Mapping[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    files.append(File.generated(config, PAGE, content=reference(document)))
    return files


def reference(document: Mapping[str, Any]) -> str:
    """Return the page, in Markdown, for an OpenAPI document."""
    parts = [INTRODUCTION.format(version=document["info"]["version"])]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        parts += [
            _operation(method, path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if tag["name"] in operation["tags"]
        ]
    parts.append("## Schemas\n")
    schemas = document["components"]["schemas"]
    parts += [_model(name, schemas[name]) for name in sorted(schemas, key=str.lower)]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"### `{method.upper()} {path}` {{ #{operation['operationId']} }}\n",
        f"**{operation['summary']}.** {operation.get('description', '')}\n",
    ]
    rows = [
        (
            f"`{parameter['name']}`",
            parameter["in"],
            _kind(parameter["schema"]),
            _default(parameter["schema"]) or ("required" if parameter.get("required") else ""),
            parameter.get("description", ""),
        )
        for parameter in operation.get("parameters", ())
    ]
    parts += _table(("parameter", "in", "type", "default", "meaning"), rows)
    bodies = operation.get("requestBody", {}).get("content", {})
    rows = [(f"`{name}`", _content(content)) for name, content in bodies.items()]
    parts += _table(("body", "what it is"), rows)
    rows = [
        (status, answer["description"], _answers(answer.get("content", {})))
        for status, answer in sorted(operation["responses"].items())
    ]
    parts += _table(("status", "answer", "form"), rows)
    return "\n".join(parts)


def _answers(contents: Mapping[str, Any]) -> str:
    """Return the forms of an answer; of problems, their types."""
    if PROBLEM in contents:
        types = [
            example["value"]["type"].rpartition("#")[2]
            for example in contents[PROBLEM].get("examples", {}).values()
        ]
        return ", ".join(f"[{name}](troubleshooting.md#{name})" for name in dict.fromkeys(types))
    return ", ".join(f"`{name}`: {_content(content)}" for name, content in contents.items())


def _content(content: Mapping[str, Any]) -> str:
    schema = content.get("schema", {})
    described = schema.get("description") or _kind(schema)
    fields = ", ".join(f"`{name}`" for name in schema.get("properties", {}))
    return f"{described} with {fields}" if fields else described


def _model(name: str, schema: Schema) -> str:
    parts = [f"### {name} {{ #{_anchor(name)} }}\n", f"{schema.get('description', '')}\n"]
    if "properties" not in schema:
        return "\n".join([*parts, f"{_kind(schema)}\n"])
    required = schema.get("required", ())
    rows = [
        (
            f"`{field}`",
            _kind(inner),
            "required" if field in required else _default(inner),
            inner.get("description", ""),
        )
        for field, inner in schema["properties"].items()
    ]
    return "\n".join([*parts, *_table(("field", "type", "default", "meaning"), rows)])


def _kind(schema: Schema) -> str:
    """Return what a value may be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_kind(choice) for choice in schema[key]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    words = " or ".join(_simple_kinds(schema))
    bounds = [text.format(_number(schema[key])) for key, text in BOUNDS.items() if key in schema]
    return ", ".join([words, *bounds])


def _simple_kinds(schema: Schema) -> Iterator[str]:
    kinds = schema.get("type", "anything")
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array" and "prefixItems" in schema:
            yield f"list of {', '.join(_kind(item) for item in schema['prefixItems'])}"
        elif kind == "array":
            yield f"list of {_kind(schema.get('items', {}))}"
        elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
            yield f"object of {_kind(schema['additionalProperties'])} by name"
        else:
            yield {"integer": "whole number", "boolean": "`true` or `false`"}.get(kind, kind)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(schema: Schema) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _anchor(name: str) -> str:
    return f"schema-{name.lower()}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table, without its columns that are empty; none for no rows."""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    kept = [j for j in range(len(head)) if any(row[j] for row in cells)]
    if not cells:
        return []
    lines = [[head[j] for j in kept], ["---"] * len(kept)]
    lines += [[row[j] for j in kept] for row in cells]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]
