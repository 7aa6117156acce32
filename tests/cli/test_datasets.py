"""`nearfit upload`, `nearfit list` and `nearfit rm`."""

import json
from pathlib import Path

import pytest

from service.commands.datasets import COLUMNS
from tests.cli.conftest import Nearfit

ROWS = "area,rooms,price\n30,1,300\n45,2,410\n60,2,500\n80,3,640\n"


@pytest.fixture
def flats(tmp_path: Path) -> Path:
    path = tmp_path / "flats.csv"
    path.write_text(ROWS)
    return path


def test_a_file_becomes_a_dataset_that_is_listed_and_removed(nearfit: Nearfit, flats: Path) -> None:
    uploaded = nearfit("upload", flats, "--target", "rooms", "--name", "Flats")
    assert (uploaded.code, uploaded.err) == (0, "")
    (row,) = uploaded.rows
    dataset = dict(zip(COLUMNS, row, strict=True))
    assert dataset["name"] == "Flats"
    assert (dataset["rows"], dataset["features"], dataset["targets"]) == ("4", "2", "1")
    assert row in nearfit("list").rows
    removed = nearfit("rm", dataset["id"])
    assert (removed.code, removed.out, removed.err) == (0, f"{dataset['id']}\n", "")
    assert row not in nearfit("list").rows


def test_options_say_what_the_columns_are(nearfit: Nearfit, tmp_path: Path) -> None:
    path = tmp_path / "shirts.csv"
    path.write_text("zip,size,count,sold,left\n1,small,1,5,9\n2,large,2,6,8\n1,large,1,7,7\n")
    ran = nearfit(
        *("upload", path, "--target", "sold,left", "--weights", "count", "--categorical", "zip"),
        *("--ordered", "size:small|large", "--json"),
    )
    assert ran.code == 0, ran.err
    dataset = json.loads(ran.out)
    assert dataset["target_names"] == ["sold", "left"]
    assert dataset["weights"]["column"] == "count"
    kinds = [feature["kind"] for feature in dataset["summary"]["features"]]
    assert kinds == ["unordered", "ordered"]


def test_stdin_is_uploaded_with_its_format(nearfit: Nearfit, flats: Path) -> None:
    by_name = json.loads(nearfit("upload", flats, "--json").out)
    by_stdin = json.loads(
        nearfit("upload", "-", "--format", "csv", "--json", stdin=ROWS.encode()).out
    )
    assert by_stdin["id"] == by_name["id"]


def test_a_fault_in_the_file_is_said_with_its_line(nearfit: Nearfit, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3,4,5\n")
    ran = nearfit("upload", path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("nearfit: ")
    assert "3" in ran.err
    assert "Traceback" not in ran.err


def test_json_is_the_answer_of_the_service(nearfit: Nearfit) -> None:
    listed = json.loads(nearfit("list", "--json").out)
    assert "motorcycle" in [dataset["id"] for dataset in listed["datasets"]]
    ran = nearfit("rm", "ds-not-there", "--json")
    assert (ran.code, ran.out) == (1, "")
    problem = json.loads(ran.err)
    assert (problem["status"], problem["exit_code"]) == (404, 1)
    assert "ds-not-there" in problem["detail"]


def test_what_was_removed_is_said_where_the_next_one_cannot_be(
    nearfit: Nearfit, flats: Path
) -> None:
    dataset_id = json.loads(nearfit("upload", flats, "--json").out)["id"]
    ran = nearfit("rm", dataset_id, "ds-not-there")
    assert (ran.code, ran.out) == (1, f"{dataset_id}\n")
    assert "ds-not-there" in ran.err


@pytest.mark.parametrize("command", [["upload"], ["predict", "motorcycle"]])
def test_a_file_that_is_not_there_is_a_usage_error(nearfit: Nearfit, command: list[str]) -> None:
    ran = nearfit(*command, "not-there.csv")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "nearfit: not-there.csv cannot be read (No such file or directory); name a file that can.\n"
    )


def test_an_unknown_format_is_refused_with_those_known(nearfit: Nearfit, flats: Path) -> None:
    ran = nearfit("upload", flats, "--format", "xlsx")
    assert ran.code == 2
    assert "'xlsx'" in ran.err
    assert "parquet" in ran.err
