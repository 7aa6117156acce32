"""`nearfit predict`."""

import json
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet
import pytest

from tests.cli.conftest import Nearfit

TIMES = [15.0, 25.0, 90.0]
FIT = {"method": "nadaraya_watson", "kernel": "epanechnikov", "bandwidth": 3}
"""Nothing is in its reach at the last of the times."""

OPTIONS = ("--method", "nadaraya_watson", "--kernel", "epanechnikov", "--bandwidth", "3")


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries.csv"
    path.write_text("times,note\n15,a\n25,b\n90,c\n")
    return path


@pytest.fixture(scope="module")
def means(service_url: str) -> list[float | None]:
    """What /predict answers."""
    body = {"dataset_id": "motorcycle", "queries": TIMES, "fit": FIT}
    answer = httpx.post(f"{service_url}/predict", json=body, trust_env=False).json()
    found: list[float | None] = answer["mean"]
    return found


def test_a_pipe_gets_the_columns_of_the_file_and_the_estimates(
    nearfit: Nearfit, queries: Path, means: list[float | None]
) -> None:
    ran = nearfit("predict", "motorcycle", queries, *OPTIONS)
    assert ran.code == 0, ran.err
    header, *rows = ran.rows
    assert header == ["times", "note", "mean", "issues"]
    assert [row[1] for row in rows] == ["a", "b", "c"]
    assert [float(row[2]) if row[2] else None for row in rows] == means
    assert rows[2][3] == "no_support"


def test_issues_are_said_on_stderr_with_their_advice(nearfit: Nearfit, queries: Path) -> None:
    ran = nearfit("predict", "motorcycle", queries, *OPTIONS)
    assert ran.err.startswith("nearfit: no_support at query 2 (from 0). No row carries weight")


def read_npz(path: Path) -> dict[str, list[object]]:
    with np.load(path) as arrays:
        return {name: arrays[name].tolist() for name in arrays.files}


READERS = {
    "csv": lambda path: pyarrow.csv.read_csv(path).to_pydict(),
    "tsv": lambda path: (
        pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter="\t"))
    ).to_pydict(),
    "parquet": lambda path: pyarrow.parquet.read_table(path).to_pydict(),
    "arrow": lambda path: pa.ipc.open_file(path).read_all().to_pydict(),
    "feather": lambda path: pyarrow.feather.read_table(path).to_pydict(),
    "arrows": lambda path: pa.ipc.open_stream(path).read_all().to_pydict(),
    "ndjson": lambda path: pyarrow.json.read_json(path).to_pydict(),
    "jsonl": lambda path: pyarrow.json.read_json(path).to_pydict(),
    "json": lambda path: pa.Table.from_pylist(json.loads(path.read_text())).to_pydict(),
    "npz": read_npz,
}


@pytest.mark.parametrize("suffix", READERS)
def test_a_file_is_written_in_the_format_of_its_suffix(
    suffix: str, nearfit: Nearfit, queries: Path, means: list[float | None], tmp_path: Path
) -> None:
    path = tmp_path / f"out.{suffix}"
    ran = nearfit("predict", "motorcycle", queries, *OPTIONS, "-o", path)
    assert (ran.code, ran.out) == (0, "")
    written = READERS[suffix](path)
    assert list(written) == ["times", "note", "mean", "issues"]
    assert written["times"] == TIMES
    assert written["note"] == ["a", "b", "c"]
    assert written["mean"][:2] == means[:2]
    assert written["mean"][2] is None or np.isnan(written["mean"][2])


@pytest.mark.parametrize("suffix", READERS)
def test_what_was_written_is_read_as_queries(
    suffix: str, nearfit: Nearfit, tmp_path: Path, means: list[float | None]
) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / "second.json"
    source = tmp_path / "queries.csv"
    source.write_text("times\n15\n25\n")
    assert nearfit("predict", "motorcycle", source, "--method", "knn", "-o", first).code == 0
    ran = nearfit("predict", "motorcycle", first, *OPTIONS, "-o", second)
    assert ran.code == 0, ran.err
    assert [row["times"] for row in json.loads(second.read_text())] == TIMES[:2]


def test_stdin_and_stdout_take_the_named_formats(
    nearfit: Nearfit, queries: Path, means: list[float | None]
) -> None:
    ran = nearfit(
        *("predict", "motorcycle", "-", "--format", "csv", *OPTIONS),
        *("-o", "-", "--output-format", "parquet"),
        stdin=queries.read_bytes(),
    )
    assert ran.code == 0, ran.err
    table = pyarrow.parquet.read_table(pa.BufferReader(ran.raw))
    assert table["mean"].to_pylist() == means


def test_json_has_the_answer_and_its_rows(
    nearfit: Nearfit, queries: Path, means: list[float | None]
) -> None:
    ran = nearfit("predict", "motorcycle", queries, "--fit", json.dumps(FIT), "--json")
    answer = json.loads(ran.out)
    assert answer["fit"]["method"] == "nadaraya_watson"
    assert [row["mean"] for row in answer["rows"]] == means
    assert answer["issues"][0]["queries"] == [2]


def test_more_is_added_where_it_is_asked_for(nearfit: Nearfit, queries: Path) -> None:
    ran = nearfit(
        *("predict", "motorcycle", queries, "--method", "local_linear", "--n-neighbors", "25"),
        *("--include", "std,interval", "--include", "quantiles"),
        *("--level", "0.8", "--quantiles", "0.25,0.75", "--json"),
    )
    assert ran.code == 0, ran.err
    first = json.loads(ran.out)["rows"][0]
    assert first["lower"] < first["mean"] < first["upper"]
    assert first["quantile_0.25"] <= first["quantile_0.75"]
    assert first["std"] > 0


def test_options_complete_the_fit_and_come_before_it(nearfit: Nearfit, queries: Path) -> None:
    fit = json.dumps({"method": "knn", "n_neighbors": 3})
    ran = nearfit("predict", "motorcycle", queries, "--fit", fit, "--n-neighbors", 7, "--json")
    assert json.loads(ran.out)["fit"]["n_neighbors"] == 7


def test_a_fit_without_a_method_is_a_usage_error(nearfit: Nearfit, queries: Path) -> None:
    ran = nearfit("predict", "motorcycle", queries, "--n-neighbors", "5", "--bandwidth", "2")
    assert ran.code == 2
    assert ran.err.startswith("nearfit: --n-neighbors and --bandwidth need a method; add one")


def test_a_refusal_names_the_value_and_the_remedy(nearfit: Nearfit, queries: Path) -> None:
    ran = nearfit("predict", "motorcycle", queries, "--method", "knn", "--n-neighbors", "-4")
    assert (ran.code, ran.out) == (1, "")
    assert "n_neighbors is -4" in ran.err


def test_a_deadline_has_its_own_code(nearfit: Nearfit, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("times\n" + "20.5\n" * 200_000)
    ran = nearfit(
        *("predict", "motorcycle", path, "--method", "local_linear", "--n-neighbors", "100"),
        *("--timeout", "0.001"),
    )
    assert (ran.code, ran.out) == (4, "")


@pytest.mark.parametrize("output", ["out.xlsx", "out"])
def test_an_output_without_a_known_format_is_refused_before_anything_is_asked(
    output: str, run_nearfit: Nearfit, queries: Path
) -> None:
    ran = run_nearfit("predict", "x", queries, "-o", output, "--url", "http://127.0.0.1:1")
    assert ran.code == 2
    assert output in ran.err
    assert "parquet" in ran.err


def test_an_output_that_cannot_be_written_is_said(
    nearfit: Nearfit, queries: Path, tmp_path: Path
) -> None:
    path = tmp_path / "no-such-folder" / "out.csv"
    ran = nearfit("predict", "motorcycle", queries, *OPTIONS, "-o", path)
    assert ran.code == 2
    assert f"{path} cannot be written" in ran.err


def test_a_cell_never_breaks_a_line(nearfit: Nearfit, tmp_path: Path) -> None:
    path = tmp_path / "queries.ndjson"
    path.write_text(json.dumps({"times": 15, "note": "a\tb\nc"}))
    ran = nearfit("predict", "motorcycle", path, "--method", "knn")
    assert ran.code == 0, ran.err
    assert [len(row) for row in ran.rows] == [4, 4]
    assert ran.rows[1][1] == "a\\tb\\nc"


@pytest.mark.parametrize("content", ["[15, 25]", "{", '{"times": 3}'])
def test_queries_in_json_without_columns_are_refused(
    content: str, nearfit: Nearfit, tmp_path: Path
) -> None:
    path = tmp_path / "queries.json"
    path.write_text(content)
    ran = nearfit("predict", "motorcycle", path, "--method", "knn")
    assert (ran.code, ran.out) == (2, "")
    assert '[{"times": 15}]' in ran.err
