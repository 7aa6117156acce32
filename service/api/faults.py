"""What pydantic found wrong, said so that the sender can mend it.

Each fault names the place by a JSON pointer, the value that was sent, and the remedy. Values are
shortened, and never copied into the answer as they are: they may not be encodable.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from service.domain.errors import FieldFault, InvalidInput

SHOWN_CHARACTERS: Final = 60
SHOWN_FAULTS: Final = 20

# By pydantic's name of the error: where it keeps the bound, and what the bound means.
BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}

# By pydantic's name of the error: what should have been sent.
WANTED: Final[Mapping[str, str]] = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "array_of_numbers": "a list of numbers, or of lists of them",
}

PYDANTIC_KINDS: Final = frozenset(get_args(ErrorType))
"""The errors whose sentences are pydantic's: about Python, and without a remedy. The others are
those that the schemas raise themselves."""


def refusal(faults: Sequence[FieldFault]) -> InvalidInput:
    """Return the error that carries these faults; its detail is the first of them."""
    if len(faults) == 1:
        return InvalidInput(faults[0].detail, faults=tuple(faults))
    shown = tuple(faults[:SHOWN_FAULTS])
    return InvalidInput(f"{len(faults)} values are wrong. {shown[0].detail}", faults=shown)


def body_refusal(error: ValidationError, model: type[BaseModel], document: Any) -> InvalidInput:
    """Return the error for a JSON document that does not fit the model."""
    faults = []
    for found in error.errors(include_url=False):
        path = _path_in(document, found["loc"], found["type"])
        known = _fields_at(model, document, path[:-1])
        detail = _sentence(found, _name_of(path), known)
        faults.append(FieldFault(_pointer(path), detail))
    return refusal(faults)


def query_faults(errors: Iterable[Any]) -> list[FieldFault]:
    """Return the faults of query parameters, each named by its parameter."""
    faults = []
    for found in errors:
        name = next((str(part) for part in found["loc"] if part != "query"), "")
        faults.append(FieldFault(name, _sentence(found, name, ())))
    return faults


def closest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean '…'?" where a known name is close, else ""."""
    close = difflib.get_close_matches(name[:200], list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def shown(value: Any) -> str:
    """Return the value as a message shows it: short, on one line, printable."""
    if isinstance(value, np.ndarray):
        return f"an array of {' x '.join(str(length) for length in value.shape)} numbers"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        cut = value[:SHOWN_CHARACTERS]
        text = ascii(cut) if not cut.isprintable() else f"'{cut}'"
        return text + ("…" if len(value) > SHOWN_CHARACTERS else "")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**SHOWN_CHARACTERS:
        return "a number of many digits"  # Python refuses to write it out beyond 4,300
    return repr(value)[:SHOWN_CHARACTERS]


def reason_of(error: BaseException) -> str:
    """Return what a library says of a fault: on one line, short, without its full stop."""
    return " ".join(str(error).split())[:200].rstrip(".")


def _name_of(path: Sequence[str | int]) -> str | None:
    """Return what a person would call the value: its field, and its place in a list."""
    if not path:
        return None
    if isinstance(path[-1], int) and len(path) > 1:
        return f"{path[-2]}[{path[-1]}]"
    return str(path[-1])


def _sentence(found: Mapping[str, Any], name: str | None, known: Iterable[str]) -> str:
    """Return what is wrong with one value, and what would be right."""
    kind, value, limits = found["type"], shown(found.get("input")), found.get("ctx", {})
    if kind in BOUNDS:
        key, relation = BOUNDS[kind]
        return f"{name} is {value}; it must be {relation} {limits[key]}."
    if kind in WANTED and name is not None:
        return f"{name} is {value}; it must be {WANTED[kind]}."
    match kind:
        case "missing":
            return f"The field '{name}' is missing; send it."
        case "extra_forbidden":
            return _unknown_field(str(name), list(known))
        case "literal_error" | "enum":
            return f"{name} is {value}; it must be {limits['expected']}."
        case "union_tag_invalid":
            return _unknown_method(limits["tag"], limits["expected_tags"])
        case "union_tag_not_found":
            return 'The fit names no method; send one, such as {"method": "auto"}.'
        case "too_short" | "too_long":
            return f"{name} is {value}; it must have {_elements(limits)}."
        case _ if kind in PYDANTIC_KINDS:
            return f"{name or 'The body'} is {value}, which is not read here; see /docs."
        case _:
            # Of a whole object the value says nothing.
            is_said = name is not None and not isinstance(found.get("input"), Mapping)
            return f"{found['msg']}; got {value}." if is_said else f"{found['msg']}."


def _elements(limits: Mapping[str, Any]) -> str:
    """Return how many elements a list may have, by the one bound that it breaks."""
    relation, count = "at least", limits.get("min_length")
    if count is None:
        relation, count = "at most", limits["max_length"]
    return f"{relation} {count:,} element{'s' * (count != 1)}"


def _unknown_field(name: str, known: list[str]) -> str:
    listed = f" Known are {', '.join(known)}." if known else ""
    return (
        f"There is no field {shown(name)} here{closest(name, known) or '; leave it out.'}{listed}"
    )


def _unknown_method(sent: Any, expected: str) -> str:
    known = [tag.strip(" '") for tag in expected.split(",")]
    hint = closest(str(sent), known) or "."
    return f"The method {shown(sent)} is unknown{hint} Known are {', '.join(known)}."


def _path_in(document: Any, location: Sequence[str | int], kind: str) -> tuple[str | int, ...]:
    """Return pydantic's location without the names of union branches, which it mixes in."""
    path: list[str | int] = []
    here = document
    for j, part in enumerate(location):
        last = j == len(location) - 1
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (last and kind == "missing"):
            continue
        path.append(part)
    return tuple(path)


def _pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _fields_at(model: type[BaseModel], document: Any, path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the fields of the model that stands at this path of the document."""
    candidates: list[type[BaseModel]] = [model]
    here = document
    for part in path:
        here = here[part]
        candidates = [
            inner
            for candidate in candidates
            if part in candidate.model_fields
            for inner in _models_in(candidate.model_fields[str(part)].annotation)
        ]
    method = here.get("method") if isinstance(here, Mapping) else None
    fitting = [c for c in candidates if len(candidates) == 1 or method in _methods_of(c)]
    return tuple(fitting[0].model_fields) if fitting else ()


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for inner in get_args(annotation):
            yield from _models_in(inner)


def _methods_of(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("method")
    return get_args(field.annotation) if field is not None else ()
