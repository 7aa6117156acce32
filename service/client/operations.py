"""What can be asked of a service, each as the steps that ask it; see `steps`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias
from urllib.parse import quote

from service.client.answers import DatasetInfo, Job, Minimum, Relevance, Score
from service.client.media import ARROW, PARQUET, file_body, is_file
from service.client.messages import queries_body, rows_body
from service.client.predictions import FilePrediction, Prediction
from service.client.steps import Call, Pause, Progress, Steps, reply_to
from service.client.tables import rows_of
from service.client.wire import NULL, json_body, json_text, read_arrow, read_json, read_parquet

PAGE: Final = 1_000
FIRST_POLL_S: Final = 0.05
MOST_POLL_S: Final = 0.5

DatasetRef: TypeAlias = str | DatasetInfo
Fit: TypeAlias = Mapping[str, Any]
Names: TypeAlias = str | Sequence[str]
Categories: TypeAlias = Mapping[str, str | Sequence[Any]]
JobProgress: TypeAlias = Callable[[Job], None]

OF_FEATURES: Final = frozenset({"slope", "gradient"})
"""What of `include` has a number a feature, whose names only the dataset knows."""

NO_OPTIONS: Final[Mapping[str, str | list[str]]] = {}


def id_of(dataset: DatasetRef) -> str:
    """Return the id of a dataset that is given by it, or as the service described it."""
    return dataset if isinstance(dataset, str) else dataset.id


def upload(
    data: Any,
    y: Any = None,
    *,
    target: Names = (),
    name: str | None = None,
    task: str | None = None,
    weights: Any = None,
    categories: Categories | None = None,
    media_type: str | None = None,
    options: Mapping[str, str | list[str]] = NO_OPTIONS,
    progress: Progress | None = None,
) -> Steps[DatasetInfo]:
    """Upload rows, or a file as it is; see `Datasets.upload`."""
    query = dict(options)
    if target:
        query["target"] = [target] if isinstance(target, str) else list(target)
    if is_file(data):
        body = file_body(data, media_type)
        if y is not None:
            raise TypeError("data is a file, which has its targets; name them with target.")
        query |= {"name": name} if name is not None else {}
        query |= {"task": task} if task is not None else {}
        query |= {"weights": weights} if weights is not None else {}
        query |= _declared(categories or {})
    else:
        fields = {"name": name, "task": task, "categories": categories}
        body, of_columns = rows_body(data, y, fields, query.get("target", ()), weights)
        query |= of_columns
    call = Call("POST", "/datasets", query=query, body=body, progress=progress)
    reply = yield from reply_to(call)  # by its digest the same upload twice is one dataset
    return DatasetInfo(read_json(reply.content), is_new=reply.status == 201)


def get_dataset(dataset: DatasetRef) -> Steps[DatasetInfo]:
    """Describe a dataset."""
    reply = yield from reply_to(Call("GET", _path(dataset)))
    return DatasetInfo(read_json(reply.content))


def list_datasets() -> Steps[list[DatasetInfo]]:
    """List all datasets, in the order of their upload."""
    found: list[DatasetInfo] = []
    query: dict[str, str | list[str]] = {"limit": str(PAGE)}
    while True:
        reply = yield from reply_to(Call("GET", "/datasets", query=query))
        page = read_json(reply.content)
        found += [DatasetInfo(item) for item in page["datasets"]]
        if page["next"] is None:
            return found
        query["after"] = page["next"]


def append_rows(
    dataset: DatasetRef,
    data: Any,
    y: Any = None,
    *,
    weights: Any = None,
    media_type: str | None = None,
    progress: Progress | None = None,
) -> Steps[DatasetInfo]:
    """Append rows to a dataset, as `upload` sends them."""
    if is_file(data):
        body = file_body(data, media_type)
    else:
        body, _ = rows_body(data, y, {}, (), weights, may_name=False)
    path = f"{_path(dataset)}/rows"
    call = Call("POST", path, is_repeatable=False, body=body, progress=progress)
    reply = yield from reply_to(call)
    return DatasetInfo(read_json(reply.content))


def delete_dataset(dataset: DatasetRef) -> Steps[None]:
    """Remove a dataset with all its versions."""
    yield from reply_to(Call("DELETE", _path(dataset)))


def predict(dataset: DatasetRef, queries: Any, **fields: Any) -> Steps[Prediction]:
    """Predict at queries; `fields` are those of `POST /predict`."""
    rows = rows_of(queries, "queries")
    include = fields.get("include")
    if isinstance(include, str):
        raise TypeError(f"include is the text {include!r}; give a list, such as [{include!r}].")
    fields["include"] = list(include or ())
    body = queries_body(rows, {"dataset_id": id_of(dataset), **fields})
    reply = yield from reply_to(Call("POST", "/predict", headers={"Accept": ARROW}, body=body))
    columns, document = read_arrow(reply.content)
    names: Sequence[str] = ()
    if OF_FEATURES & set(fields["include"]):
        names = (yield from get_dataset(dataset)).feature_names
    return Prediction(document, columns, rows, names)


def predict_file(
    dataset: DatasetRef,
    file: Path | BinaryIO,
    *,
    fit: Fit | None = None,
    with_queries: bool = True,
    media_type: str | None = None,
    progress: Progress | None = None,
    options: Mapping[str, str | list[str]] = NO_OPTIONS,
    **fields: Any,
) -> Steps[FilePrediction]:
    """Predict at the queries in a file; `fields` are those of `POST /predict`."""
    query = {"dataset_id": id_of(dataset), "with_queries": str(with_queries).lower(), **options}
    if fit is not None:
        query["fit"] = json_text(fit).decode()
    for name, value in fields.items():
        if isinstance(value, str | float | int):
            query[name] = str(value)
        elif value is not None:
            query[name] = [str(item) for item in value]
    headers = {"Accept": PARQUET}
    body = file_body(file, media_type)
    call = Call("POST", "/predict", query=query, headers=headers, body=body, progress=progress)
    reply = yield from reply_to(call)
    table, document = read_parquet(reply.content)
    return FilePrediction(document, table)


def tune(
    dataset: DatasetRef, *, wait: bool, progress: JobProgress | None, **fields: Any
) -> Steps[Job]:
    """Search for the best fit; `fields` are those of `POST /tune`."""
    job = yield from _started(dataset, fields)
    poll_s = FIRST_POLL_S
    try:
        while wait and not job.is_over:
            if progress is not None:
                progress(job)
            yield Pause(poll_s)
            poll_s = min(MOST_POLL_S, 2 * poll_s)
            job = yield from get_job(job)
        if wait and not job.scores:
            job = yield from get_job(job)
    except BaseException:
        yield from cancel_job(job)
        raise
    if wait and progress is not None:
        progress(job)
    return job


def _started(dataset: DatasetRef, fields: Mapping[str, Any]) -> Steps[Job]:
    call = Call(
        "POST",
        "/tune",
        is_repeatable=False,
        headers={"Prefer": "respond-async"},
        body=json_body({"dataset_id": id_of(dataset), **fields}),
    )
    reply = yield from reply_to(call)
    return Job(read_json(reply.content))


def get_job(job: str | Job) -> Steps[Job]:
    """Look at a search."""
    reply = yield from reply_to(Call("GET", _job_path(job)))
    return Job(read_json(reply.content))


def list_jobs() -> Steps[list[Job]]:
    """List the searches under way and the latest that have ended, the latest first."""
    reply = yield from reply_to(Call("GET", "/jobs"))
    return [Job(item) for item in read_json(reply.content)["jobs"]]


def cancel_job(job: str | Job) -> Steps[None]:
    """End a search; what it has found stays."""
    yield from reply_to(Call("DELETE", _job_path(job)))


def score(
    dataset: DatasetRef,
    data: Any = None,
    y: Any = None,
    *,
    weights: Any = None,
    interval_kind: str | None = "conformal",
    **fields: Any,
) -> Steps[Score]:
    """Judge a fit, by rows or by leave-one-out; `fields` are those of `POST /score`."""
    if data is not None:
        if y is None:
            raise TypeError("y is missing: rows to judge by need their targets.")
        fields["rows"] = _json_rows(data, y, weights)
    fields["interval_kind"] = NULL if interval_kind is None else interval_kind
    body = json_body({"dataset_id": id_of(dataset), **fields})
    reply = yield from reply_to(Call("POST", "/score", body=body))
    return Score(read_json(reply.content))


def minimize(dataset: DatasetRef, starts: Any, **fields: Any) -> Steps[Minimum]:
    """Descend on a fitted surface; `fields` are those of `POST /minimize`."""
    places = rows_of(starts, "starts").cells()
    body = json_body({"dataset_id": id_of(dataset), "starts": places, **fields})
    reply = yield from reply_to(Call("POST", "/minimize", body=body))
    return Minimum(read_json(reply.content))


def relevance(dataset: DatasetRef) -> Steps[Relevance]:
    """Ask how much each feature matters."""
    reply = yield from reply_to(Call("GET", f"{_path(dataset)}/relevance"))
    return Relevance(read_json(reply.content))


def get_limits() -> Steps[dict[str, Any]]:
    """Ask for the bounds of the service."""
    reply = yield from reply_to(Call("GET", "/limits"))
    return read_json(reply.content)


def _path(dataset: DatasetRef) -> str:
    return f"/datasets/{quote(id_of(dataset), safe='')}"


def _job_path(job: str | Job) -> str:
    return f"/jobs/{quote(job if isinstance(job, str) else job.id, safe='')}"


def _declared(categories: Categories) -> dict[str, list[str]]:
    """Return what is said of categories as the query parameters of a file."""
    said: dict[str, list[str]] = {}
    for name, order in categories.items():
        if isinstance(order, str):
            said.setdefault("categorical", []).append(name)
        else:
            said.setdefault("ordered", []).append(f"{name}:{'|'.join(map(str, order))}")
    return said


def _json_rows(data: Any, y: Any, weights: Any) -> dict[str, Any]:
    rows = {"x": rows_of(data).cells(), "y": rows_of(y, "y").cells()}
    if len(rows["y"][0]) == 1:
        rows["y"] = [cell for (cell,) in rows["y"]]
    if weights is not None:
        rows["weights"] = [cell for (cell,) in rows_of(weights, "weights").cells()]
    return rows
