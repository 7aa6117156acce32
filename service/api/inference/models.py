"""Which dataset a model is, and what it takes and gives."""

from collections.abc import Iterator
from typing import Final

from service.api.faults import shown
from service.api.inference.tensors import Datatype
from service.api.schemas.inference import (
    ConfiguredInput,
    ModelConfiguration,
    ModelList,
    ModelMetadata,
    ModelState,
    TensorMetadata,
)
from service.domain.dataset import Dataset
from service.domain.errors import DatasetNotFound, InvalidInput
from service.engine.engine import Engine

PLATFORM: Final = "nearfit"
POINTS: Final = "x"
"""The input that has all features."""

PAGE: Final = 1000


def dataset_of(engine: Engine, model: str, version: str | None) -> Dataset:
    """Return the dataset with this id, or else the only one with this name.

    Raises:
        DatasetNotFound: There is none, or its present version is another.
        InvalidInput: Several have the name.

    Cost: O(1) by the id; O(datasets) by the name.
    """
    try:
        found = engine.describe(model)
    except DatasetNotFound:
        found = _only_one_named(engine, model)
    check_version(found, version)
    return found


def check_version(dataset: Dataset, version: str | None) -> None:
    """Check that the present version is the one asked for, if any is.

    Raises:
        DatasetNotFound: It is another.
    """
    if version is not None and version != str(dataset.version):
        raise DatasetNotFound(
            f"There is no version {shown(version)} of '{dataset.id}'; the present one is "
            f"{dataset.version}, and no other is kept."
        )


def all_datasets(engine: Engine) -> Iterator[Dataset]:
    """Yield the datasets in the order of their upload."""
    cursor = None
    while True:
        page, cursor = engine.list(after=cursor, limit=PAGE)
        yield from page
        if cursor is None:
            return


def metadata(model: str, dataset: Dataset) -> ModelMetadata:
    """Return what the model takes and gives."""
    return ModelMetadata(
        name=model,
        versions=[str(dataset.version)],
        platform=PLATFORM,
        inputs=_inputs(dataset),
        outputs=_outputs(dataset),
    )


def configuration(model: str, dataset: Dataset) -> ModelConfiguration:
    """Return the same in Triton's words."""
    return ModelConfiguration(
        name=model,
        platform=PLATFORM,
        backend=PLATFORM,
        max_batch_size=0,
        input=[_configured(tensor) for tensor in _inputs(dataset)],
        output=[_configured(tensor) for tensor in _outputs(dataset)],
    )


def listed(engine: Engine) -> ModelList:
    """Return all models."""
    ready = engine.is_ready
    return ModelList(
        [
            ModelState(
                name=dataset.id,
                version=str(dataset.version),
                state="READY" if ready else "UNAVAILABLE",
                reason="" if ready else "the service is starting or stopping",
            )
            for dataset in all_datasets(engine)
        ]
    )


def output_names(dataset: Dataset) -> list[str]:
    """Return the names of all outputs."""
    return [tensor.name for tensor in _outputs(dataset)]


def _only_one_named(engine: Engine, name: str) -> Dataset:
    named = [dataset for dataset in all_datasets(engine) if dataset.name == name]
    if not named:
        raise DatasetNotFound(
            f"There is no dataset with the id or name {shown(name)}; POST /v2/repository/index "
            "lists the ids."
        )
    if len(named) > 1:
        ids = ", ".join(dataset.id for dataset in named[:5])
        raise InvalidInput.at(
            "model", f"{len(named)} datasets have the name {shown(name)}; use the id of one: {ids}."
        )
    return named[0]


def _inputs(dataset: Dataset) -> list[TensorMetadata]:
    """Return one tensor for all features, or where some are texts one for each."""
    categories = () if dataset.encoding is None else dataset.encoding.categories
    texts = {j for j, category in enumerate(categories) if category and category.has_texts}
    if not texts:
        return [_tensor(POINTS, "FP64", dataset.n_features)]
    return [
        _tensor(name, "BYTES" if j in texts else "FP64")
        for j, name in enumerate(dataset.feature_names)
    ]


def _outputs(dataset: Dataset) -> list[TensorMetadata]:
    t = dataset.n_targets
    columns = (t,) if t > 1 else ()
    if dataset.classes is not None:
        return [
            _tensor("label", "BYTES"),
            _tensor("probabilities", "FP64", t),
            *(_tensor(name, "FP64", *columns) for name in ("std", "lower", "upper")),
            _tensor("status", "BYTES"),
        ]
    named = [_tensor(name, "FP64") for name in dataset.target_names] if t > 1 else []
    fixed = [_tensor(name, "FP64", *columns) for name in ("y", "std", "lower", "upper")]
    fixed.append(_tensor("status", "BYTES"))
    taken = {tensor.name for tensor in fixed}
    return fixed + [tensor for tensor in named if tensor.name not in taken]


def _tensor(name: str, datatype: Datatype, *columns: int) -> TensorMetadata:
    return TensorMetadata(name=name, datatype=datatype, shape=[-1, *columns])


def _configured(tensor: TensorMetadata) -> ConfiguredInput:
    data_type = "TYPE_STRING" if tensor.datatype == "BYTES" else f"TYPE_{tensor.datatype}"
    return ConfiguredInput(name=tensor.name, data_type=data_type, dims=tensor.shape)
