"""POST /tune and /jobs: what a search answers, what it changes, and how it ends."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.live import live_client, upload

RNG = np.random.default_rng(17)
ASYNC = {"Prefer": "respond-async"}
WITHIN_S = 30.0

LONG_S = 3600.0
"""No search of these tests takes it."""


def surface(n: int) -> tuple[Any, Any]:
    """Return rows of three features, of which the first matters most and the last not at all."""
    x = RNG.random((n, 3)) * [1.0, 10.0, 100.0]
    y = np.sin(6 * x[:, 0]) + 0.05 * x[:, 1] + 0.05 * RNG.normal(size=n)
    return x.tolist(), y.tolist()


TRAINING, TEST = surface(200), surface(200)
LARGE = surface(3000)


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    with live_client() as client:
        yield client


@pytest.fixture(scope="module")
def untuned(service: httpx.Client) -> Any:
    """The score of `auto` before any search."""
    dataset_id = upload(service, *TRAINING)
    return score(service, dataset_id)


@pytest.fixture(scope="module")
def tuned(service: httpx.Client, untuned: Any) -> Any:
    """The answer of a search; those who use it come after it."""
    body = {"dataset_id": untuned["dataset_id"], "budget_s": 6}
    answer = service.post("/tune", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def score(service: httpx.Client, dataset_id: str, **request: Any) -> Any:
    rows = {"x": TEST[0], "y": TEST[1]}
    answer = service.post("/score", json={"dataset_id": dataset_id, "rows": rows, **request})
    assert answer.status_code == 200, answer.text
    return answer.json()


def predicted(service: httpx.Client, dataset_id: str, **request: Any) -> Any:
    body = {"dataset_id": dataset_id, "queries": TEST[0][:5], **request}
    answer = service.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def job(service: httpx.Client, job_id: str) -> Any:
    return service.get(f"/jobs/{job_id}").json()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_search_answers_with_the_best_fit_and_all_scores(untuned: Any, tuned: Any) -> None:
    assert (tuned["kind"], tuned["state"], tuned["progress"]) == ("tuning", "done", 1.0)
    assert (tuned["dataset_id"], tuned["dataset_version"]) == (untuned["dataset_id"], 1)
    assert not tuned["automatic"]
    best, scores = tuned["best"], tuned["scores"]
    assert best in scores
    assert best["rows"] == 200
    assert best["error"] == min(each["error"] for each in scores)
    assert {each["fit"]["method"] for each in scores} == {
        "knn",
        "nadaraya_watson",
        "local_polynomial",
        "kriging",
        "linear",
    }
    elapsed = [each["elapsed_s"] for each in scores]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] <= tuned["elapsed_s"]


def test_auto_is_a_line_before_the_search_and_the_best_fit_after(
    service: httpx.Client, untuned: Any, tuned: Any
) -> None:
    assert untuned["fit"]["method"] == "local_polynomial"
    assert untuned["fit"]["metric"] == "standardized"
    after = score(service, tuned["dataset_id"])
    assert after["fit"] == tuned["best"]["fit"]
    answer = predicted(service, tuned["dataset_id"])
    assert answer["fit"] == tuned["best"]["fit"]
    assert answer["chosen_by"] == "search"
    assert after["targets"][0]["rmse"] < 0.8 * untuned["targets"][0]["rmse"]


def test_before_any_search_the_answer_says_that_a_rule_chose(api: httpx.Client) -> None:
    body = {"dataset_id": "motorcycle", "queries": [15.0]}
    assert api.post("/predict", json=body).json()["chosen_by"] == "rule"


def test_each_fit_can_be_sent_back(service: httpx.Client, tuned: Any) -> None:
    fits = [each["fit"] for each in tuned["scores"]]
    for fit in fits:
        answer = predicted(service, tuned["dataset_id"], fit=fit)
        assert answer["fit"] == fit
        assert "chosen_by" not in answer
        assert None not in answer["mean"]
    assert any("matrix" in fit["metric"] for fit in fits if isinstance(fit["metric"], dict))
    assert any(fit.get("mean") == "constant" for fit in fits)


def test_the_learned_metric_is_that_of_the_best_fit(
    service: httpx.Client, untuned: Any, tuned: Any
) -> None:
    fit = {"method": "knn", "n_neighbors": 4, "metric": "learned"}
    answer = predicted(service, tuned["dataset_id"], fit=fit)
    assert answer["fit"] == {
        **fit,
        "metric": tuned["best"]["fit"]["metric"],
        "weights": "uniform",
    }
    assert isinstance(answer["fit"]["metric"], dict)
    learned = score(service, tuned["dataset_id"], fit=fit)["targets"][0]["rmse"]
    standardized = {**fit, "metric": "standardized"}
    plain = score(service, tuned["dataset_id"], fit=standardized)["targets"][0]["rmse"]
    assert learned < 0.8 * plain
    elsewhere = upload(service, TRAINING[0][:50], TRAINING[1][:50])
    assert predicted(service, elsewhere, fit=fit)["fit"]["metric"] == "standardized"


def test_the_relevance_is_that_of_the_learned_metric(service: httpx.Client, tuned: Any) -> None:
    found = service.get(f"/datasets/{tuned['dataset_id']}/relevance").json()
    assert (found["by"], found["rows"]) == ("learned_metric", 0)
    assert found["fit"] == tuned["best"]["fit"]
    shares = [feature["share"] for feature in found["features"]]
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] > 0.6
    assert shares[2] < 0.1


def test_appended_rows_are_predicted_by_the_fit_of_the_version_before(
    service: httpx.Client, tuned: Any
) -> None:
    copy = upload(service, TRAINING[0][1:], TRAINING[1][1:])
    service.post("/tune", json={"dataset_id": copy, "budget_s": 0.5}).raise_for_status()
    before = predicted(service, copy)
    rows = {"x": TRAINING[0][:1], "y": TRAINING[1][:1]}
    service.post(f"/datasets/{copy}/rows", json=rows).raise_for_status()
    after = predicted(service, copy)
    assert after["dataset_version"] == 2
    assert after["fit"] == before["fit"]


def test_a_search_over_rows_sent_along_leaves_nothing(service: httpx.Client) -> None:
    rows = {"x": TRAINING[0][:20], "y": TRAINING[1][:20]}
    found = service.post("/tune", json={"dataset": rows, "budget_s": 0.3}).json()
    assert found["dataset_id"] is None
    body = {"dataset": rows, "queries": TEST[0][:3]}
    body["fit"] = found["best"]["fit"]
    assert service.post("/predict", json=body).json()["fit"] == found["best"]["fit"]
    del body["fit"]
    assert service.post("/predict", json=body).json()["fit"]["metric"] == "standardized"


def test_a_client_may_leave_the_search_to_itself(service: httpx.Client) -> None:
    dataset_id = upload(service, *LARGE)
    begun = service.post(
        "/tune", json={"dataset_id": dataset_id, "budget_s": LONG_S}, headers=ASYNC
    )
    assert begun.status_code == 202
    assert begun.headers["Preference-Applied"] == "respond-async"
    item = begun.json()
    assert begun.headers["Location"] == f"/jobs/{item['id']}"
    assert "scores" not in item
    wait_for(lambda: len(job(service, item["id"])["scores"]) >= 3)
    under_way = job(service, item["id"])
    assert under_way["state"] == "running"
    assert 0.0 <= under_way["progress"] < 1.0
    assert under_way["best"] in under_way["scores"]
    listed = service.get("/jobs").json()["jobs"]
    assert listed[0]["id"] == item["id"]
    assert "scores" not in listed[0]
    # Predictions come meanwhile.
    assert None not in predicted(service, dataset_id)["mean"]

    second = service.post("/tune", json={"dataset_id": dataset_id}, headers=ASYNC).json()
    assert second["state"] == "waiting"
    assert service.delete(f"/jobs/{second['id']}").status_code == 204
    assert job(service, second["id"])["state"] == "cancelled"

    assert service.delete(f"/jobs/{item['id']}").status_code == 204
    wait_for(lambda: job(service, item["id"])["state"] == "cancelled")
    over = job(service, item["id"])
    assert over["progress"] == 1.0
    assert len(over["scores"]) >= 3
    # To cancel what is over changes nothing.
    assert service.delete(f"/jobs/{item['id']}").status_code == 204
    assert job(service, item["id"]) == over


def test_a_search_ends_with_its_dataset(service: httpx.Client) -> None:
    dataset_id = upload(service, *(part[:2000] for part in LARGE))
    body = {"dataset_id": dataset_id, "budget_s": LONG_S}
    begun = service.post("/tune", json=body, headers=ASYNC).json()
    wait_for(lambda: job(service, begun["id"])["state"] == "running")
    assert service.delete(f"/datasets/{dataset_id}").status_code == 204
    wait_for(lambda: job(service, begun["id"])["state"] == "cancelled")


def test_a_search_ends_when_its_client_goes_away(service: httpx.Client) -> None:
    dataset_id = upload(service, *(part[:2500] for part in LARGE))
    body = json.dumps({"dataset_id": dataset_id, "budget_s": LONG_S}).encode()
    host, port = service.base_url.host, service.base_url.port
    assert port is not None

    def jobs() -> list[Any]:
        listed = service.get("/jobs").json()["jobs"]
        return [each for each in listed if each["dataset_id"] == dataset_id]

    with socket.create_connection((host, port)) as connection:
        head = (
            f"POST /tune HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        wait_for(lambda: [each["state"] for each in jobs()] == ["running"])
    wait_for(lambda: [each["state"] for each in jobs()] == ["cancelled"])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_job_that_never_was_is_not_found(service: httpx.Client, method: str) -> None:
    answer = service.request(method, "/jobs/nothing")
    assert answer.status_code == 404
    assert answer.json()["type"] == "/guide/troubleshooting/#job-not-found"
    assert "GET /jobs" in answer.json()["detail"]


def test_behind_an_upload_a_search_begins_by_itself() -> None:
    with live_client(tune_s=LONG_S) as service:
        dataset_id = upload(service, *LARGE)
        first = predicted(service, dataset_id)
        assert None not in first["mean"]  # at once, by whatever is known
        (begun,) = service.get("/jobs").json()["jobs"]
        assert begun["automatic"]
        assert begun["dataset_id"] == dataset_id
        fit = {"method": "local_linear", "n_neighbors": 30}
        while job(service, begun["id"])["best"] is None:  # answers come while it runs
            predicted(service, dataset_id, fit=fit)
        wait_for(lambda: predicted(service, dataset_id)["fit"] != first["fit"])
        assert job(service, begun["id"])["state"] == "running"
        assert service.delete(f"/datasets/{dataset_id}").status_code == 204
        wait_for(lambda: job(service, begun["id"])["state"] == "cancelled")
        # Too few rows are not worth a search, nor an error.
        upload(service, [1, 2, 3], [1, 2, 3])
        assert len(service.get("/jobs").json()["jobs"]) == 1
