"""The client against a live service: all kinds of frames, all operations, both clients."""

import asyncio
import inspect
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from service.client import AsyncClient, Client, InvalidInput, Job, NotFound, transport
from service.client.client import Datasets

rng = np.random.default_rng(11)
X = rng.random((40, 2))
Y = np.sin(3 * X[:, 0]) + X[:, 1]
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y})
LINE = {"method": "local_linear", "n_neighbors": 15}
EVERYTHING = ["std", "interval", "slope", "gradient", "quantiles", "neighbors", "diagnostics"]


def test_the_same_rows_of_any_library_are_one_dataset(nearfit: Client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    FRAME.to_csv(file, index=False)
    first = nearfit.datasets.upload(FRAME, target="y", name="Sines")
    assert (first.is_new, first.name, first.rows) == (True, "Sines", 40)
    assert (first.feature_names, first.target_names) == (["a", "b"], ["y"])
    others = [
        nearfit.datasets.upload(FRAME[["a", "b"]], FRAME["y"]),
        nearfit.datasets.upload(pl.from_pandas(FRAME), target=["y"]),
        nearfit.datasets.upload(pa.Table.from_pandas(FRAME)),
        nearfit.datasets.upload(FRAME[["y", "a", "b"]], target="y"),
        nearfit.datasets.upload(file),
        nearfit.datasets.upload(io.BytesIO(file.read_bytes()), media_type="text/csv"),
    ]
    assert {other.id for other in others} == {first.id}
    assert not any(other.is_new for other in others)
    assert nearfit.datasets.get(first).digest == first.digest
    assert first.id in [dataset.id for dataset in nearfit.datasets.list()]
    nearfit.datasets.delete(first)
    with pytest.raises(NotFound, match=first.id):
        nearfit.datasets.get(first)


def test_arrays_of_several_targets_and_weights(nearfit: Client) -> None:
    dataset = nearfit.datasets.upload(X, np.column_stack([Y, -Y]), weights=np.arange(40) + 1.0)
    assert dataset.target_names == ["y1", "y2"]
    assert dataset.document["weights"]["sum"] == 820.0
    answer = nearfit.predict(dataset, X[:3], fit=LINE)
    assert answer.estimates.shape == (3, 2)
    assert np.allclose(answer.estimates[:, 0], -answer.estimates[:, 1], rtol=1e-12)
    framed = nearfit.datasets.upload(FRAME.assign(w=1.0), target="y", weights="w")
    assert framed.document["weights"]["column"] == "w"
    for made in (dataset, framed):
        nearfit.datasets.delete(made)


@pytest.fixture
def sines(nearfit: Client) -> Any:
    dataset = nearfit.datasets.upload(FRAME, target="y")
    yield dataset
    nearfit.datasets.delete(dataset)


def test_an_answer_is_what_json_says(nearfit: Client, url: str, sines: Any) -> None:
    answer = nearfit.predict(sines, X[:4], fit=LINE, include=EVERYTHING, quantiles=[0.25])
    request = {
        "dataset_id": sines.id,
        "queries": X[:4].tolist(),
        "fit": LINE,
        "include": EVERYTHING,
        "quantiles": [0.25],
    }
    wanted = httpx.post(f"{url}/predict", json=request).json()
    for name in ("mean", "std", "std_observation", "slope", "gradient"):
        assert getattr(answer, name).tolist() == wanted[name], name
    for name in ("lower", "upper"):
        assert getattr(answer, name).tolist() == wanted["interval"][name]
    assert answer.quantiles is not None
    assert answer.quantiles.tolist() == wanted["quantiles"]["values"]
    assert answer.neighbors == wanted["neighbors"]
    assert (answer.fit, answer.issues) == (wanted["fit"], wanted["issues"])
    table = answer.table.to_pydict()
    assert table["slope_b"] == [slope[1] for slope in wanted["slope"]]
    assert table["quantile_0.25"] == [row[0] for row in wanted["quantiles"]["values"]]
    assert table["bandwidth"] == wanted["diagnostics"]["bandwidth"]
    assert table["distance"] == wanted["interval"]["distance"]


def test_the_answer_is_of_the_kind_of_the_queries(nearfit: Client, sines: Any) -> None:
    queries = FRAME.loc[[7, 3, 5], ["b", "a"]]  # another order, and an index of its own
    from_pandas = nearfit.predict(sines, queries, fit=LINE).estimates
    assert from_pandas.index.tolist() == [7, 3, 5]
    means = nearfit.predict(sines, X[[7, 3, 5]], fit=LINE).estimates
    assert from_pandas["mean"].tolist() == means.tolist()
    from_polars = nearfit.predict(sines, pl.from_pandas(queries), fit=LINE).estimates
    assert isinstance(from_polars, pl.DataFrame)
    assert from_polars["mean"].to_list() == means.tolist()
    table = pa.Table.from_pandas(queries, preserve_index=False)
    from_arrow = nearfit.predict(sines, table, fit=LINE)
    assert from_arrow.estimates.column("mean").to_pylist() == means.tolist()


@pytest.mark.parametrize("target", ["one", "several", "classes"])
def test_the_columns_of_an_answer_are_those_that_the_service_writes(
    nearfit: Client, tmp_path: Path, target: str
) -> None:
    y = {"one": Y, "several": np.column_stack([Y, -Y]), "classes": np.where(Y > 1, "u", "v")}
    dataset = nearfit.datasets.upload(FRAME[["a", "b"]], y[target])
    file = tmp_path / "queries.csv"
    queries = FRAME.loc[:6, ["b", "a"]].round(3)
    queries.to_csv(file, index=False)
    wanted: dict[str, Any] = {"fit": {**LINE, "kernel": "gaussian"}, "include": EVERYTHING[:5]}
    here = nearfit.predict(dataset, queries, **wanted).table
    there = nearfit.predict_file(dataset, file, **wanted, with_queries=False)
    assert here.column_names == there.table.column_names
    assert here.to_pydict() == there.table.to_pydict()
    assert there.document["fit"]["kernel"] == "gaussian"
    both = nearfit.predict_file(dataset, file, fit=LINE).table
    assert both.column_names[:2] == ["b", "a"]
    assert both.column("a").to_pylist() == queries["a"].tolist()
    nearfit.datasets.delete(dataset)


def test_what_has_no_estimate_is_missing_and_said(nearfit: Client, sines: Any) -> None:
    fit = {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 0.3}
    answer = nearfit.predict(sines, pd.DataFrame({"a": [0.5, 99.0], "b": [0.5, 99.0]}), fit=fit)
    assert answer.mean is not None
    assert np.isnan(answer.mean).tolist() == [False, True]
    assert answer.table.column("issues").to_pylist() == [None, "no_support"]
    assert answer.issues[0]["queries"] == [1]


def test_classes_are_labels_and_probabilities(nearfit: Client) -> None:
    kinds = np.where(Y > 1, "high", "low")
    dataset = nearfit.datasets.upload(X, kinds)
    answer = nearfit.predict(dataset, X[:5], fit={"method": "knn", "n_neighbors": 1})
    assert answer.estimates.tolist() == kinds[:5].tolist()
    assert answer.classes == ["high", "low"]
    assert answer.probabilities is not None
    assert answer.probabilities[:, 0].tolist() == (kinds[:5] == "high").tolist()
    assert answer.table.column("probability_low").to_pylist() == (kinds[:5] == "low").tolist()
    nearfit.datasets.delete(dataset)


def test_rows_are_appended(nearfit: Client, sines: Any) -> None:
    assert nearfit.datasets.append(sines, FRAME[:3]).version == 2
    assert nearfit.datasets.append(sines, X[:2], Y[:2]).rows == 45


def test_scores_descents_and_relevance(nearfit: Client, sines: Any) -> None:
    own = nearfit.score(sines, fit=LINE)
    assert (own.document["by"], own.document["rows"]) == ("leave_one_out", 40)
    held = nearfit.score(sines, X[:5], Y[:5] + 1, fit=LINE, interval_kind=None)
    assert held.document["by"] == "rows"
    assert 0.5 < held.targets[0]["rmse"] < 1.5
    found = nearfit.minimize(sines, X[:2], fit={**LINE, "kernel": "gaussian"}, max_steps=5)
    assert len(found.paths) == 2
    assert found.best is not None
    assert found.best.values[-1] == min(path.values[-1] for path in found.paths)
    assert found.paths[0].points[0].tolist() == X[0].tolist()
    assert sum(nearfit.relevance(sines).shares.values()) == pytest.approx(1.0)
    assert nearfit.limits()["max_queries"] > 0


def test_a_search_is_waited_for_and_told_of(nearfit: Client, sines: Any) -> None:
    told: list[Job] = []
    job = nearfit.tune(sines, budget_s=5, methods=["knn"], progress=told.append)
    assert job.state == "done"
    assert job.fit is not None
    assert job.fit["method"] == "knn"
    assert job.scores
    assert [seen.id for seen in told] == [job.id] * len(told)
    assert told[-1].progress == 1.0
    nearfit.predict(sines, X[:2], fit=job.fit)


def test_a_search_need_not_be_waited_for(nearfit: Client, sines: Any) -> None:
    job = nearfit.tune(sines, budget_s=30, wait=False)
    assert job.id in [other.id for other in nearfit.jobs.list()]
    nearfit.jobs.cancel(job)
    assert ended(nearfit, job).state == "cancelled"


def test_an_interrupt_while_waiting_cancels_the_search(
    nearfit: Client, sines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Job] = []

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(transport, "time", SimpleNamespace(sleep=interrupt))
        with pytest.raises(KeyboardInterrupt):
            nearfit.tune(sines, budget_s=30, progress=started.append)
    assert ended(nearfit, started[0]).state == "cancelled"


def ended(nearfit: Client, job: Job) -> Job:
    """Return the job once it is over."""
    until = time.monotonic() + 20.0
    while not (job := nearfit.jobs.get(job)).is_over:
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def test_the_asynchronous_client_does_the_same(url: str) -> None:
    async def both() -> None:
        async with AsyncClient(url) as nearfit:
            dataset = await nearfit.datasets.upload(FRAME, target="y")
            answers = await asyncio.gather(
                *(nearfit.predict(dataset, X[j : j + 1], fit=LINE) for j in range(5))
            )
            together = await nearfit.predict(dataset, X[:5], fit=LINE)
            assert [answer.estimates[0] for answer in answers] == together.estimates.tolist()
            job = await nearfit.tune(dataset, budget_s=5, methods=["knn"])
            assert job.state == "done"
            search = asyncio.create_task(nearfit.tune(dataset, budget_s=30))
            await asyncio.sleep(0.3)
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
            (latest, *_) = await nearfit.jobs.list()
            until = time.monotonic() + 20.0
            while not (latest := await nearfit.jobs.get(latest)).is_over:
                assert time.monotonic() < until
                await asyncio.sleep(0.02)
            assert latest.state == "cancelled"
            await nearfit.datasets.delete(dataset)
            with pytest.raises(NotFound):
                await nearfit.datasets.get(dataset)

    asyncio.run(both())


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    from service.client.async_client import AsyncDatasets, AsyncJobs
    from service.client.client import Jobs

    for one, other in ((Client, AsyncClient), (Datasets, AsyncDatasets), (Jobs, AsyncJobs)):
        names = {name for name in vars(one) if not name.startswith("_")}
        assert names == {name for name in vars(other) if not name.startswith("_")}
        for name in names:
            here, there = (inspect.signature(getattr(kind, name)) for kind in (one, other))
            assert here == there, name


def test_what_is_wrong_is_said_with_its_place(nearfit: Client) -> None:
    with pytest.raises(InvalidInput, match="n_neighbors is 0") as caught:
        nearfit.predict("motorcycle", [15.0], fit={"method": "knn", "n_neighbors": np.int64(0)})
    assert caught.value.errors[0]["pointer"] == "/fit/n_neighbors"
    assert caught.value.problem["request_id"] == caught.value.request_id
    with pytest.raises(TypeError, match="y is missing"):
        nearfit.datasets.upload(X)
    with pytest.raises(ValueError, match="X has 40 rows, and y has 39"):
        nearfit.datasets.upload(X, Y[1:])
    with pytest.raises(TypeError, match=r"give a list, such as \['std'\]"):
        nearfit.predict("motorcycle", [15.0], include="std")
    with pytest.raises(ValueError, match=r"'\.xlsx'.*media_type"):
        nearfit.datasets.upload(Path("rows.xlsx"))
    with pytest.raises(ValueError, match="ftp"):
        Client("ftp://somewhere")


def test_an_upload_tells_how_far_it_is(nearfit: Client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    text = "a,y\n" + "".join(f"{j},{j % 7}\n" for j in range(100_000))
    file.write_text(text)
    told: list[tuple[int, int | None]] = []
    dataset = nearfit.datasets.upload(file, progress=lambda *seen: told.append(seen))
    assert len(told) > 2
    assert [sent for sent, _ in told] == sorted({sent for sent, _ in told})
    assert told[-1] == (len(text), len(text))
    nearfit.datasets.delete(dataset)


def test_nothing_is_drawn_where_there_is_no_terminal(
    nearfit: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    nearfit.tune("motorcycle", budget_s=1, methods=["knn"])
    assert capfd.readouterr() == ("", "")


def test_the_client_imports_little() -> None:
    heavy = ["fastapi", "numba", "pandas", "polars", "pydantic", "scipy", "sklearn"]
    code = (
        "import json, sys; import service.client; "
        f"print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    )
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []


def test_predictions_of_a_file_are_read_without_threads(url: str, tmp_path: Path) -> None:
    # One that still holds the answer when Python comes to its end would abort the process.
    code = f"""
import pathlib, psutil
from service.client import Client

queries = pathlib.Path("{tmp_path}/queries.csv")
queries.write_text("times\\n20\\n")
with Client("{url}") as nearfit:
    nearfit.limits()
    before = psutil.Process().num_threads()
    nearfit.predict_file("motorcycle", queries)
    print(psutil.Process().num_threads() - before)
"""
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}  # which has no threads
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True, env=environment) == "0\n"
