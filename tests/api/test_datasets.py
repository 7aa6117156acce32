"""Datasets over HTTP: upload, list, describe, append, delete."""

import statistics
from typing import Any

import httpx
import pytest

from tests.api.problems import problem

ROWS: dict[str, Any] = {"name": "rows", "x": [[1, 2], [3, 4], [5, 7]], "y": [1, 2, 4]}


def test_an_upload_is_described_and_found_again(api: httpx.Client) -> None:
    answer = api.post("/datasets", json=ROWS)
    assert answer.status_code == 201
    described = answer.json()
    assert answer.headers["location"] == f"/datasets/{described['id']}"
    assert answer.headers["etag"] == f'"{described["digest"]}"'
    assert described["name"] == "rows"
    assert (described["rows"], described["features"], described["targets"]) == (3, 2, 1)
    assert described["bytes"] == 3 * 3 * 8
    assert described["version"] == 1
    column = described["summary"]["features"][1]
    assert (column["name"], column["min"], column["max"]) == ("x2", 2.0, 7.0)
    assert column["mean"] == pytest.approx(13 / 3, rel=1e-14)
    assert column["standard_deviation"] == pytest.approx(statistics.stdev([2, 4, 7]), rel=1e-14)
    assert "source" not in described
    assert api.get(answer.headers["location"]).json() == described
    again = api.post("/datasets", json=ROWS)
    assert again.status_code == 200
    assert again.json() == described
    api.delete(answer.headers["location"])


def test_a_digest_that_is_known_already_is_not_sent_again(api: httpx.Client) -> None:
    answer = api.post("/datasets", json=ROWS)
    address, tag = answer.headers["location"], answer.headers["etag"]
    for names in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        same = api.get(address, headers={"If-None-Match": names})
        assert (same.status_code, same.content) == (304, b""), names
        assert same.headers["etag"] == tag
    assert api.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    appended = api.post(f"{address}/rows", json={"x": [[8, 9]], "y": [5]})
    assert appended.headers["etag"] != tag
    assert api.get(address, headers={"If-None-Match": tag}).status_code == 200
    api.delete(address)


def test_appended_rows_are_live_at_once(api: httpx.Client) -> None:
    address = api.post("/datasets", json={"x": [0, 1], "y": [0, 1]}).headers["location"]
    request = {
        "dataset_id": address.rpartition("/")[2],
        "queries": [10],
        "fit": {"method": "knn", "n_neighbors": 1},
    }
    assert api.post("/predict", json=request).json()["mean"] == [1]
    appended = api.post(f"{address}/rows", json={"x": [[10]], "y": [[7]]}).json()
    assert (appended["version"], appended["rows"]) == (2, 3)
    assert appended["summary"]["features"][0]["max"] == 10
    answer = api.post("/predict", json=request).json()
    assert (answer["mean"], answer["dataset_version"]) == ([7], 2)
    api.delete(address)


def test_a_deleted_dataset_is_gone(api: httpx.Client) -> None:
    address = api.post("/datasets", json=ROWS).headers["location"]
    used = api.get("/limits").json()["memory_used_bytes"]
    answer = api.delete(address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get("/limits").json()["memory_used_bytes"] == used - 72
    problem(api.get(address), 404)
    problem(api.delete(address), 404)


def test_the_list_is_paged(api: httpx.Client) -> None:
    addresses = [
        api.post("/datasets", json={"x": [0, i], "y": [0, 1]}).headers["location"]
        for i in range(1, 6)
    ]
    found: list[str] = []
    target = "/datasets?limit=2"
    while target:
        answer = api.get(target)
        page = answer.json()
        assert 1 <= len(page["datasets"]) <= 2
        found += [item["id"] for item in page["datasets"]]
        target = answer.links["next"]["url"] if page["next"] else ""
        assert bool(target) == ("link" in answer.headers)
    ids = [address.rpartition("/")[2] for address in addresses]
    assert [each for each in found if each in ids] == ids
    assert len(found) == len(set(found))
    assert "summary" not in page["datasets"][0]
    for address in addresses:
        api.delete(address)


def test_numbers_at_the_ends_of_the_range_are_described(api: httpx.Client) -> None:
    answer = api.post("/datasets", json={"x": [1e-308, 1e140, -1e140], "y": [0, 0, 0]})
    assert answer.status_code == 201, answer.text
    assert answer.json()["summary"]["targets"][0]["standard_deviation"] == 0
    api.delete(answer.headers["location"])
