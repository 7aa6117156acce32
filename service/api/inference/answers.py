"""An answer as the tensors that were asked for, in JSON or as bytes after it."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from starlette.responses import Response

from service.api.inference.queries import HEADER_LENGTH
from service.api.inference.questions import InferenceQuestion, WantedOutput
from service.api.inference.tensors import OutputTensor, pieces_of
from service.api.schemas.base import Items
from service.api.schemas.extras import of_targets
from service.api.schemas.fits import fit_from_domain
from service.api.schemas.inference import AnswerParameters
from service.api.schemas.predictions import issues_of
from service.api.writing import PIECE_NUMBERS, json_pieces, write_answer, write_pieces
from service.domain.arrays import Floats, Rows
from service.domain.prediction import statuses_by_query
from service.engine.commands import Answer
from service.engine.engine import Engine
from service.estimators.classes import likeliest, probabilities

OCTETS: Final = "application/octet-stream"

NO_TEXT: Final = ""
"""Where there is no class, or nothing to say."""


async def write_inference(
    engine: Engine, answer: Answer, question: InferenceQuestion, model: str
) -> Response:
    """Return the answer in the forms asked for."""
    document: dict[str, Any] = {
        "model_name": model,
        "model_version": str(answer.dataset.version),
        **({} if question.id is None else {"id": question.id}),
        "parameters": _parameters(answer).document(),
    }
    is_small = answer.prediction.mean.size * len(question.outputs) <= PIECE_NUMBERS

    def made() -> list[OutputTensor]:
        return [_tensor(answer, wanted) for wanted in question.outputs]

    tensors = made() if is_small else await engine.run_aside(made)
    if not any(wanted.is_binary for wanted in question.outputs):
        document["outputs"] = [{**_head(tensor), "data": tensor.elements} for tensor in tensors]
        return await write_answer(engine, document)

    def written() -> tuple[bytes, list[bytes | memoryview]]:
        data = []
        document["outputs"] = []
        for tensor, wanted in zip(tensors, question.outputs, strict=True):
            if wanted.is_binary:
                data.append(tensor.encoded())
                form: dict[str, Any] = {"parameters": {"binary_data_size": len(data[-1])}}
            else:
                form = {"data": tensor.elements}
            document["outputs"].append(_head(tensor) | form)
        return b"".join(json_pieces(document)), data

    text, data = written() if is_small else await engine.run_aside(written)
    headers = {HEADER_LENGTH: str(len(text))}
    if is_small:
        return Response(b"".join([text, *data]), headers=headers, media_type=OCTETS)
    pieces: Iterator[bytes | memoryview] = chain([text], *map(pieces_of, data))
    return await write_pieces(engine, pieces, OCTETS, headers=headers)


def _head(tensor: OutputTensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _parameters(answer: Answer) -> AnswerParameters:
    """Return how the estimates came about."""
    fit = fit_from_domain(answer.fit).model_dump(exclude_unset=True)
    issues = issues_of(answer)
    optional: dict[str, Any] = {}
    if answer.chosen_by is not None:
        optional["chosen_by"] = answer.chosen_by
    if issues:
        optional["advice"] = " ".join(f"{issue.status}: {issue.advice}" for issue in issues)
    return AnswerParameters(fit=orjson.dumps(fit).decode(), **optional)


def _tensor(answer: Answer, wanted: WantedOutput) -> OutputTensor:
    """Return an output."""
    if wanted.name == "status":
        m = len(answer.prediction.mean)
        return _texts(wanted.name, *statuses_by_query(issues_of(answer), m))
    dataset, prediction = answer.dataset, answer.prediction
    if wanted.name == "std" and prediction.deviations is not None:
        return _numbers(wanted.name, prediction.deviations.estimate)
    if wanted.name == "lower" and prediction.intervals is not None:
        return _numbers(wanted.name, prediction.intervals.lower)
    if wanted.name == "upper" and prediction.intervals is not None:
        return _numbers(wanted.name, prediction.intervals.upper)
    if dataset.classes is None:
        if wanted.name == "y":
            return _numbers(wanted.name, prediction.mean)
        return _numbers(wanted.name, prediction.mean[:, [dataset.target_names.index(wanted.name)]])
    shares = probabilities(prediction.mean)
    if wanted.name == "label":
        return _texts(wanted.name, (*dataset.target_names, NO_TEXT), likeliest(shares))
    if wanted.classes:
        return _likeliest_classes(shares, dataset.target_names, wanted)
    return OutputTensor(wanted.name, shares.shape, shares.ravel())


def _numbers(name: str, values: Floats) -> OutputTensor:
    found = of_targets(values)
    return OutputTensor(name, found.shape, found.ravel())


def _texts(name: str, texts: tuple[str, ...], places: Rows) -> OutputTensor:
    """Return the texts at these places, of which -1 is the last."""

    def stretch(start: int, stop: int) -> list[str]:
        return [texts[place] for place in places[start:stop].tolist()]

    return OutputTensor(name, (len(places),), Items(len(places), len(places), stretch))


def _likeliest_classes(
    shares: Floats, classes: tuple[str, ...], wanted: WantedOutput
) -> OutputTensor:
    """Return the likeliest classes of each query as texts `probability:position:class`."""
    m, k = len(shares), wanted.classes
    # Stable, so that of equal ones the first comes first, as in `label`.
    order = np.argsort(-shares, axis=1, kind="stable")[:, :k]

    def stretch(start: int, stop: int) -> list[str]:
        return [
            NO_TEXT if np.isnan(shares[i, j]) else f"{float(shares[i, j])!r}:{j}:{classes[j]}"
            for i in range(start // k, -(-stop // k))
            for j in order[i].tolist()
        ][start % k : start % k + stop - start]

    return OutputTensor(wanted.name, (m, k), Items(m * k, m * k, stretch))
