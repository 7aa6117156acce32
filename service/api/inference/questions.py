"""What a request for an inference asks, as a question to /predict.

The body is JSON, or JSON and after it the bytes of tensors; a header says where these begin.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from service.api.faults import closest, shown
from service.api.inference.models import output_names
from service.api.inference.queries import HEADER_LENGTH, queries_of, read_tensors
from service.api.json_numbers import parse_document
from service.api.media import validated
from service.api.schemas.fits import FitField
from service.api.schemas.inference import (
    InferenceOutput,
    InferenceParameters,
    InferenceRequest,
)
from service.api.schemas.prediction_requests import PredictionRequest
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.commands import PredictCommand
from service.engine.limits import Limits

MOST_JSON_BYTES: Final = 2**22
"""The JSON is read with the GIL held, so it must be short; many numbers come as bytes."""

FIT_FIELDS: Final = frozenset(
    name for model in FitField.__args__[0].__args__ for name in model.model_fields
)
"""What may stand among the parameters by itself, and makes the fit."""

OF_OUTPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "level": ("lower", "upper"),
    "interval_kind": ("lower", "upper"),
    "noise": ("std", "lower", "upper"),
}
"""Fields of /predict that may stand there too, and the outputs that they say something of."""

INCLUDED_FOR: Final[Mapping[str, str]] = {"std": "std", "lower": "interval", "upper": "interval"}
"""What /predict includes for an output."""


@dataclass(frozen=True)
class WantedOutput:
    """An output as it is asked for.

    Attributes:
        name: One of those of the model.
        is_binary: It comes as bytes.
        classes: The number of likeliest classes to come in its place; 0 for itself.
    """

    name: str
    is_binary: bool
    classes: int = 0


@dataclass(frozen=True, eq=False)
class InferenceQuestion:
    """A request that has been read.

    Attributes:
        command: For the engine.
        outputs: In their order.
        id: To come back.
    """

    command: PredictCommand
    outputs: tuple[WantedOutput, ...]
    id: str | None


def read_question(
    body: bytearray, header_length: str | None, model: str, dataset: Dataset, limits: Limits
) -> InferenceQuestion:
    """Return what the body asks of the dataset.

    Args:
        body: As it was sent.
        header_length: The header that says where the bytes of tensors begin; None for JSON alone.
        model: As in the address.
        dataset: Of the model.
        limits: What is taken.

    Raises:
        MalformedBody: The JSON is not JSON.
        InvalidInput: It is no request of the protocol, or does not suit the dataset.
    """
    whole = memoryview(body)
    length = len(body) if header_length is None else _checked_length(header_length, len(body))
    if length > MOST_JSON_BYTES:
        raise InvalidInput.at(
            "",
            f"The JSON has {length:,} bytes, more than the {MOST_JSON_BYTES:,} that are read here: "
            "send the tensors as bytes after it (binary_data_size), or fewer queries.",
        )
    document = parse_document(
        whole[:length], array_pointers=frozenset(), max_rest_bytes=MOST_JSON_BYTES
    )
    asked = validated(document, InferenceRequest)
    if asked.model_name not in (None, model):
        raise InvalidInput.at(
            "/model_name",
            f"model_name is {shown(asked.model_name)}, and the address has {shown(model)}; leave "
            "it out.",
        )
    parameters = asked.parameters or InferenceParameters()
    tensors = read_tensors(asked.inputs, whole[length:], header_length is not None)
    outputs = _wanted(asked.outputs, parameters.binary_data_output, dataset)
    fields = _fields(parameters, {output.name for output in outputs}, limits)
    fields |= {"dataset_id": dataset.id, "queries": queries_of(tensors, dataset.feature_names)}
    command = validated(fields, PredictionRequest).to_domain(limits)
    return InferenceQuestion(command, outputs, asked.id)


def _checked_length(header_length: str, most: int) -> int:
    length = int(header_length) if re.fullmatch("[0-9]{1,18}", header_length) else -1
    if not 0 < length <= most:
        raise InvalidInput.at(
            HEADER_LENGTH,
            f"{HEADER_LENGTH} is {shown(header_length)}; it must be the bytes of the JSON at the "
            f"start of the body, which has {most:,} in all.",
        )
    return length


def _wanted(
    sent: list[InferenceOutput] | None, is_binary: bool, dataset: Dataset
) -> tuple[WantedOutput, ...]:
    """Return the outputs that are asked for, or the estimates where none are.

    Raises:
        InvalidInput: The model has no such output, or it stands twice, or it has no classes.
    """
    if not sent:
        names = ("y",) if dataset.classes is None else ("label", "probabilities")
        return tuple(WantedOutput(name, is_binary) for name in names)
    known = output_names(dataset)
    found: dict[str, WantedOutput] = {}
    for i, output in enumerate(sent):
        if output.name not in known:
            raise InvalidInput.at(
                f"/outputs/{i}/name",
                f"There is no output {shown(output.name)}{closest(output.name, known) or '.'} "
                f"The model has {', '.join(known[:12])}.",
            )
        if output.name in found:
            raise InvalidInput.at(
                f"/outputs/{i}/name", f"The output '{output.name}' stands twice; ask for it once."
            )
        as_bytes, classes = is_binary, 0
        if output.parameters is not None:
            if output.parameters.binary_data is not None:
                as_bytes = output.parameters.binary_data
            classes = output.parameters.classification or 0
        if classes and (output.name != "probabilities" or classes > dataset.n_targets):
            raise InvalidInput.at(
                f"/outputs/{i}/parameters/classification",
                f"classification is {classes} of the output '{output.name}'; it belongs to the "
                "output 'probabilities' of classes, and is at most their number.",
            )
        found[output.name] = WantedOutput(output.name, as_bytes, classes)
    return tuple(found.values())


def _fields(parameters: InferenceParameters, outputs: set[str], limits: Limits) -> dict[str, Any]:
    """Return the fields of a request to /predict that say how, and what beside the estimates.

    Raises:
        InvalidInput: A parameter is unknown, or says something of what is not asked for.
    """
    sent = dict(parameters.model_extra or {})
    fields: dict[str, Any] = {}
    for name, owners in OF_OUTPUTS.items():
        if name in sent:
            fields[name] = sent.pop(name)
            if not outputs & set(owners):
                raise InvalidInput.at(
                    f"/parameters/{name}",
                    f"{name} is {shown(fields[name])}, and says something of the outputs "
                    f"{', '.join(owners)}, of which none is asked for: add one to outputs, or "
                    f"leave {name} out.",
                )
    known = sorted({*InferenceParameters.model_fields, *FIT_FIELDS, *OF_OUTPUTS})
    for name in sent.keys() - FIT_FIELDS:
        raise InvalidInput.at(
            "/parameters",
            f"There is no parameter {shown(name)}{closest(name, known) or '; leave it out.'} Known "
            f"are {', '.join(known)}.",
        )
    if parameters.fit is not None and sent:
        raise InvalidInput.at(
            "/parameters/fit",
            f"The parameters have both fit and {', '.join(sorted(sent))}; send one of them.",
        )
    if parameters.fit is not None:
        fields["fit"] = _fit_in(parameters.fit)
    elif sent:
        fields["fit"] = sent
    fields["include"] = sorted({INCLUDED_FOR[name] for name in outputs & INCLUDED_FOR.keys()})
    if parameters.timeout is not None:
        fields["timeout_s"] = _seconds(parameters.timeout, limits)
    return fields


def _fit_in(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput.at(
            "/parameters/fit",
            f"fit is {shown(text)}, which is not JSON ({error.msg}); send a text such as "
            '{"method": "auto"}.',
        ) from None


def _seconds(timeout: int, limits: Limits) -> float:
    """Return the time in seconds. Raises `InvalidInput` where it is above the limit."""
    seconds = timeout / 1e6
    if seconds > limits.max_timeout_s:
        raise InvalidInput.at(
            "/parameters/timeout",
            f"timeout is {timeout} microseconds, and the limit is {limits.max_timeout_s:g} seconds "
            "(max_timeout_s in /limits); ask for less, or for fewer queries.",
        )
    return seconds
