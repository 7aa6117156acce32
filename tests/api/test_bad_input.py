"""Bad input gets a clear 4xx problem document; nothing is lost, and nothing is a 500."""

import socket
from typing import Any

import httpx
import pytest

from tests.api.bad_requests import BAD, JSON, Bad
from tests.api.problems import pointers, problem


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_refused_with_a_clear_problem(api: httpx.Client, bad: Bad) -> None:
    before = api.get("/datasets").json()
    body = bad.body.encode() if isinstance(bad.body, str) else bad.body
    headers = {"Content-Type": bad.media_type} if bad.media_type else {}
    answer = api.post(bad.path, content=body, headers=headers)
    found = problem(answer, bad.status)
    if bad.pointer is not None:
        assert bad.pointer in pointers(found), found
    sentences = found["detail"] + "".join(fault["detail"] for fault in found.get("errors", []))
    assert bad.says in sentences
    assert len(answer.content) < 3_000, "a problem is short, whatever was sent"
    assert api.get("/datasets").json() == before


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),  # a browser
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json;q=0, */*", 406),  # the more specific wish counts
        ("*/*;q=0", 406),
        ("application/problem+json", 406),
        ("nonsense", 406),
        ("application/json;q=x", 406),
        (";;,", 406),
    ],
)
def test_accept_decides_whether_json_may_be_sent(
    api: httpx.Client, accept: str, status: int
) -> None:
    for path in ("/limits", "/livez", "/datasets", "/datasets/motorcycle"):
        answer = api.get(path, headers={"Accept": accept})
        assert answer.status_code == status, path
        if status == 406:
            assert "application/json" in problem(answer, 406)["detail"]


@pytest.mark.parametrize(
    "dataset_id", ["%00", "%F0%9F%99%88", "%FF", "..%2F..", "a" * 5_000, "%0d%0a"]
)
def test_strange_ids_are_unknown_ids(api: httpx.Client, dataset_id: str) -> None:
    problem(api.get(f"/datasets/{dataset_id}"), 404)
    problem(api.delete(f"/datasets/{dataset_id}"), 404)


@pytest.mark.parametrize("value", ["0", "-1", "1001", "x", "1e3", "9" * 5_000, "", "NaN"])
def test_a_bad_page_size_is_refused(api: httpx.Client, value: str) -> None:
    found = problem(api.get("/datasets", params={"limit": value}), 422)
    assert pointers(found) == ["limit"]


def test_a_bad_cursor_is_refused(api: httpx.Client) -> None:
    assert pointers(problem(api.get("/datasets", params={"after": "x"}), 422)) == ["after"]


def test_unknown_paths_and_methods_are_problems(api: httpx.Client) -> None:
    problem(api.get("/nothing"), 404)
    problem(api.post("/predict/", json={}), 404)
    for method, path, allowed in [
        ("GET", "/predict", {"POST"}),
        ("DELETE", "/datasets", {"GET", "POST"}),
        ("PUT", "/datasets/motorcycle", {"GET", "DELETE"}),
        ("POST", "/docs", {"GET"}),
    ]:
        answer = api.request(method, path)
        problem(answer, 405)
        assert set(answer.headers["allow"].split(", ")) == allowed


def test_an_unknown_content_encoding_is_refused(api: httpx.Client) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "br"}
    found = problem(api.post("/predict", content=b"{}", headers=headers), 415)
    assert "Content-Encoding" in found["detail"]


def test_a_request_that_is_no_http_does_not_disturb(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80)) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        connection.recv(1000)
    assert api.get("/livez").is_success


def test_limits_on_numbers_name_the_limit(small: httpx.Client) -> None:
    wide: dict[str, Any] = {"x": [[1, 2, 3, 4]] * 2, "y": [1, 2]}
    many_targets = {"x": [1, 2], "y": [[1, 2, 3]] * 2}
    for upload, pointer, limit in (
        (wide, "/x", "max_features"),
        (many_targets, "/y", "max_targets"),
    ):
        found = problem(small.post("/datasets", json=upload), 422)
        assert pointers(found) == [pointer]
        assert limit in found["detail"]
        inline = {"dataset": upload, "queries": [[1, 2, 3, 4]]}
        found = problem(small.post("/predict", json=inline), 422)
        assert pointers(found) == [f"/dataset{pointer}"]
    too_much: list[tuple[dict[str, Any], str, str]] = [
        ({"queries": [1, 2, 3, 4, 5, 6]}, "/queries", " 5 "),
        ({"queries": [1], "timeout_s": 11}, "/timeout_s", "max_timeout_s"),
    ]
    for request, pointer, limit in too_much:
        found = problem(small.post("/predict", json={"dataset_id": "motorcycle", **request}), 422)
        assert pointers(found) == [pointer]
        assert limit in found["detail"]


def test_a_full_store_says_what_would_free_memory(small: httpx.Client) -> None:
    rows = list(range(200))
    found = problem(small.post("/datasets", json={"x": rows, "y": rows}), 507)
    assert "motorcycle" in found["detail"]
    # Nothing was dropped, and what fits is still taken.
    assert small.get("/datasets/motorcycle").is_success


def test_too_many_neighbors_in_one_answer_are_refused(small: httpx.Client) -> None:
    request = {
        "dataset_id": "motorcycle",
        "queries": [15.0, 25.0],
        "fit": {"method": "knn", "n_neighbors": 7},
        "include": ["neighbors"],
    }
    assert "12" in problem(small.post("/predict", json=request), 422)["detail"]
    request["queries"] = [15.0]
    assert small.post("/predict", json=request).is_success
