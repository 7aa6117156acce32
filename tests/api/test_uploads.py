"""CSV files and forms, as people and programs write them."""

import json
import time
from typing import Any

import httpx
import numpy as np
import pytest

from service.api import multipart
from service.api.multipart import read_form
from service.api.tables import read_table
from service.domain.errors import InvalidInput
from service.engine.limits import Limits
from tests.api.problems import pointers, problem

CSV = {"Content-Type": "text/csv"}
ROWS = "a,b,y\n1,2,3.5\n4,5,6.5\n7,8,9.5\n"


def upload(api: httpx.Client, text: str | bytes, query: str = "") -> dict[str, Any]:
    """Upload a CSV file, look at the answer, and delete it again."""
    content = text.encode() if isinstance(text, str) else text
    answer = api.post(f"/datasets{query}", content=content, headers=CSV)
    assert answer.status_code == 201, answer.text
    api.delete(answer.headers["location"])
    described: dict[str, Any] = answer.json()
    return described


def columns(described: dict[str, Any]) -> dict[str, float]:
    """Return the maximum of each column, by name."""
    summary = described["summary"]
    return {column["name"]: column["max"] for column in summary["features"] + summary["targets"]}


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        ROWS.rstrip("\n"),
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\r"),
        "\ufeff" + ROWS,  # Excel's byte order mark
        "\n\n" + ROWS + "\n\n",  # blank lines
        ROWS.replace("\n", "\n\n"),
        ROWS.replace(",", ", "),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        '"a","b","y"\n"1","2","3.5"\n4,"5",6.5\n7,8,9.5\n',
        "a,b,y\n1.,2e0,.35E+1\n+4,5.0,65e-1\n7,8,9.5\n",
    ],
)
def test_the_dialects_of_csv_are_one_dataset(api: httpx.Client, text: str) -> None:
    described = upload(api, text)
    assert described["feature_names"] == ["a", "b"]
    assert described["target_names"] == ["y"]
    assert described["rows"] == 3
    assert columns(described) == {"a": 7, "b": 8, "y": 9.5}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_answer_says_which_delimiter_was_read(api: httpx.Client, delimiter: str) -> None:
    described = upload(api, ROWS.replace(",", delimiter))
    assert described["source"] == {
        "format": "csv",
        "delimiter": delimiter,
        "decimal": ".",
        "header": True,
        "encoding": "utf-8",
        "quote": None,
    }


def test_targets_are_named_in_the_address(api: httpx.Client) -> None:
    one = upload(api, ROWS, "?target=a&name=rows")
    assert (one["feature_names"], one["target_names"], one["name"]) == (["b", "y"], ["a"], "rows")
    two = upload(api, ROWS, "?target=y&target=a")
    assert (two["feature_names"], two["target_names"]) == (["b"], ["y", "a"])
    assert columns(two) == {"a": 7, "b": 8, "y": 9.5}


def test_names_may_be_any_printable_text(api: httpx.Client) -> None:
    described = upload(api, '"größe, cm",名前\n1,2\n3,4\n')
    assert described["feature_names"] == ["größe, cm"]
    assert described["target_names"] == ["名前"]


def test_csv_and_json_of_the_same_rows_are_one_dataset(api: httpx.Client) -> None:
    first = api.post("/datasets", content=ROWS, headers=CSV)
    second = api.post(
        "/datasets",
        json={
            "x": [[1, 2], [4, 5], [7, 8]],
            "y": [3.5, 6.5, 9.5],
            "feature_names": ["a", "b"],
            "name": "ignored, as the first upload named it",
        },
    )
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.json()["name"] is None
    assert first.headers["location"] == second.headers["location"]
    api.delete(first.headers["location"])


def test_every_digit_of_a_number_counts() -> None:
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(500, 2)) * 10.0 ** rng.integers(-300, 300, size=(500, 2))
    text = "a,y\n" + "".join(f"{a!r},{y!r}\n" for a, y in numbers.tolist())
    table = read_table(text.encode(), Limits())
    found = table.rows(("a",), ("y",))
    assert isinstance(found.points, np.ndarray)
    assert isinstance(found.targets, np.ndarray)
    assert np.array_equal(np.hstack([found.points, found.targets]), numbers)


@pytest.mark.parametrize("double", [False, True])
def test_a_wide_header_is_refused_at_once(double: bool) -> None:
    names = [f"c{j}" for j in range(100_000)]
    header = ",".join(names[:-1] + names[-1 - double :][:1])
    started = time.perf_counter()
    with pytest.raises(InvalidInput, match="100,000 columns, and the limit is 1,100"):
        read_table(f"{header}\n".encode(), Limits())
    assert time.perf_counter() - started < 2


def test_as_many_columns_as_the_limits_allow_are_read() -> None:
    limits = Limits(max_features=60_000, max_targets=1)
    names = [f"c{j}" for j in range(60_000)]
    text = ",".join([*names, "y"]) + "\n"
    started = time.perf_counter()
    with pytest.raises(InvalidInput, match="one line only"):
        read_table(text.encode(), limits)
    with pytest.raises(InvalidInput, match="'c0' stands twice, in columns 1 and 60001"):
        read_table(text.replace(",y", ",c0").encode(), limits)
    assert time.perf_counter() - started < 5


def test_a_fault_far_down_is_found_in_its_line(api: httpx.Client) -> None:
    rows = ["a,y"] + ["1,2"] * 200_000
    rows[150_000] = "1,oops"
    answer = api.post("/datasets", content="\n".join(rows), headers=CSV)
    assert pointers(problem(answer, 422)) == ["cell=150001,2"]


def test_a_form_uploads_a_file(api: httpx.Client) -> None:
    answer = api.post(
        "/datasets",
        files={"file": ("rows.csv", ROWS, "text/csv")},
        data={"name": "from a form", "target": ["y", "b"]},
    )
    described = answer.json()
    assert answer.status_code == 201, answer.text
    assert described["name"] == "from a form"
    assert described["target_names"] == ["y", "b"]
    api.delete(answer.headers["location"])


@pytest.mark.parametrize("label", ["application/octet-stream", "application/vnd.ms-excel", None])
def test_a_form_file_may_be_labelled_as_browsers_do(api: httpx.Client, label: str | None) -> None:
    file = ("rows.csv", ROWS, label) if label else ("rows.csv", ROWS)
    # Swagger UI sends fields that were left empty.
    answer = api.post("/datasets", files={"file": file}, data={"name": "", "target": ""})
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] is None
    api.delete(answer.headers["location"])


@pytest.mark.parametrize(
    ("files", "data", "status", "pointer"),
    [
        ({"other": ("a", b"1", "text/csv"), "file": ("b", b"2", "text/csv")}, {}, 422, "file"),
        ({"file": ("a.csv", b"a,y\nx,1\n2,3\n", "text/csv")}, {}, 422, "cell=2,1"),
        ({"file": ("a.csv", ROWS.encode(), "text/csv")}, {"targets": "y"}, 422, "targets"),
        ({"file": ("a.csv", ROWS.encode(), "text/csv")}, {"target": "z"}, 422, "target"),
        ({"file": ("a.csv", ROWS.encode(), "text/csv")}, {"name": "a\0"}, 422, "/name"),
        ({"file": ("a.csv", ROWS.encode(), "text/csv")}, {"name": "a" * 99_999}, 422, "name"),
        ({"file": ("a.csv", b"", "text/csv")}, {}, 400, None),
        ({"file": ("a.parquet", b"PAR1", "application/vnd.apache.parquet")}, {}, 400, None),
        ({"file": ("a.csv", ROWS.encode(), "text/csv; charset=ebcdic")}, {}, 415, None),
        ({"file": ("a.csv", ROWS.encode())}, {"decimal": "dot"}, 422, "decimal"),
        ({"file": ("a.csv", ROWS.encode())}, {"header": "maybe"}, 422, "header"),
    ],
)
def test_a_bad_form_is_refused(
    api: httpx.Client, files: Any, data: Any, status: int, pointer: str | None
) -> None:
    found = problem(api.post("/datasets", files=files, data=data), status)
    if pointer is not None:
        assert pointers(found) == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\na,y\n1,2\n",  # no end
        b"--b\r\nbad header\r\n\r\n--b--\r\n",
        b"--c\r\n\r\n\r\n--c--\r\n",
        b"--b\r\n" + b"A: b\r\n" * 1_000 + b"\r\n\r\n--b--\r\n",
        b"--b\r\n\r\n\r\n" * 2_000 + b"--b--\r\n",
    ],
)
def test_a_broken_form_is_malformed(api: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(api.post("/datasets", content=body, headers=headers), 400)


def test_a_form_without_a_file_is_refused(api: httpx.Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    found = problem(api.post("/datasets", content=body, headers=headers), 422)
    assert "0 files" in found["detail"]


@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_the_same_however_it_is_sliced(
    slice_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "SLICE_BYTES", slice_bytes)
    # Data that begin like the boundary, again and again.
    text = b"\r\n--bound\r\n--boun\r\r\n--boundar\r\n--\r\n" * 3
    body = (
        b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + text
        + b'\r\n--boundary\r\nContent-Disposition: form-data; name="name"\r\n\r\n\r\nn\r'
        + b"\r\n--boundary--\r\n"
    )
    form = read_form(bytearray(body), b"boundary")
    assert bytes(form.file) == text
    assert form.fields == {"name": ["\r\nn\r"]}


def test_appended_columns_are_matched_by_name(api: httpx.Client) -> None:
    answer = api.post("/datasets", content=ROWS, headers=CSV)
    address = answer.headers["location"]
    appended = api.post(f"{address}/rows", content="y;a;b\n12.5;10;11\n", headers=CSV)
    assert appended.status_code == 200, appended.text
    assert appended.json()["version"] == 2
    assert appended.json()["source"]["delimiter"] == ";"
    assert columns(appended.json()) == {"a": 10, "b": 11, "y": 12.5}
    form = api.post(f"{address}/rows", files={"file": ("r.csv", "a,y,b\n13,15.5,14\n")})
    assert columns(form.json()) == {"a": 13, "b": 14, "y": 15.5}
    named = api.post(f"{address}/rows", files={"file": ("r.csv", ROWS)}, data={"name": "b"})
    assert pointers(problem(named, 422)) == ["name"]
    api.delete(address)


@pytest.mark.parametrize("suffix", ["", "; charset=utf-8", ";charset=UTF-8"])
def test_json_may_be_labelled_in_several_ways(api: httpx.Client, suffix: str) -> None:
    body = json.dumps({"dataset_id": "motorcycle", "queries": [15]})
    for media_type in ("application/json", "application/vnd.nearfit+json", "APPLICATION/JSON"):
        headers = {"Content-Type": media_type + suffix}
        assert api.post("/predict", content=body, headers=headers).is_success
