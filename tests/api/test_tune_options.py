"""The options of POST /tune: selectors by name, groups, and a choice of methods."""

from typing import Any

import httpx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.api.problems import pointers, problem

LINE = {"method": "local_linear", "kernel": "gaussian", "bandwidth": 1.0}
RNG = np.random.default_rng(23)
X = RNG.random(60)
Y = np.sin(6 * X) + 0.2 * RNG.normal(size=60)
ROWS = {"x": X.tolist(), "y": Y.tolist()}
LEVEL = {"x": [[value, 1.0] for value in X], "y": Y.tolist()}
PLANE = {"x": RNG.random((20, 2)).tolist(), "y": RNG.random(20).tolist()}


def tuned(api: httpx.Client, **request: Any) -> Any:
    answer = api.post("/tune", json={"dataset": ROWS, "budget_s": 30, **request})
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["state"] == "done", job["detail"]
    return job


@pytest.mark.parametrize("selector", ["cv_ls", "gcv", "aicc"])
def test_a_selector_answers_its_curve_and_the_least_of_it(api: httpx.Client, selector: str) -> None:
    job = tuned(api, selector=selector, fit=LINE)
    assert {score["fit"]["kernel"] for score in job["scores"]} == {"gaussian"}
    assert len({score["fit"]["bandwidth"] for score in job["scores"]}) == len(job["scores"]) > 20
    known = [s["criterion"] for s in job["scores"] if s["criterion"] is not None]
    assert job["best"]["criterion"] == min(known)
    assert 0.02 < job["best"]["fit"]["bandwidth"] < 0.3
    query = {"dataset": ROWS, "queries": [0.5], "fit": job["best"]["fit"]}
    assert abs(api.post("/predict", json=query).json()["mean"][0] - np.sin(3)) < 0.3


def test_cv_ls_is_the_mean_squared_leave_one_out_error(api: httpx.Client) -> None:
    for score in tuned(api, selector="cv_ls", fit=LINE)["scores"]:
        if score["criterion"] is not None:
            assert_allclose(score["criterion"], score["rmse"][0] ** 2)


def test_a_number_of_neighbours_is_chosen_whatever_was_sent(api: httpx.Client) -> None:
    found = [
        tuned(api, selector="gcv", fit={"method": "nadaraya_watson", "n_neighbors": k})["best"]
        for k in (2, 40)
    ]
    assert found[0]["fit"] == found[1]["fit"]
    assert found[0]["fit"]["n_neighbors"] > 2


def test_dpill_is_one_bandwidth(api: httpx.Client) -> None:
    job = tuned(api, selector="dpill", fit=LINE)
    (score,) = job["scores"]
    assert score == job["best"]
    assert score["step"] == "plug_in"
    assert "criterion" not in score
    assert 0.01 < score["fit"]["bandwidth"] < 0.3


def test_only_these_methods_are_compared(api: httpx.Client) -> None:
    job = tuned(api, methods=["knn", "nadaraya_watson"])
    assert {s["fit"]["method"] for s in job["scores"]} == {"knn", "nadaraya_watson"}
    assert all("criterion" not in score for score in job["scores"])


@pytest.mark.parametrize(
    "options",
    [
        {"methods": ["knn"]},
        {"selector": "cv_ls", "fit": {"method": "local_linear", "n_neighbors": 5}},
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_rows_of_one_label_are_left_out_together(
    api: httpx.Client, options: dict[str, Any], named: bool
) -> None:
    twice = {"x": np.repeat(X, 2).tolist(), "y": np.repeat(Y, 2).tolist()}
    labels = [f"place {i // 2}" if named else i // 2 for i in range(120)]
    alone = tuned(api, dataset=twice, **options)["best"]
    grouped = tuned(api, dataset=twice, groups=labels, **options)["best"]
    # Its copy predicts a row without an error, unless it is left out with it.
    assert alone["rmse"][0] < 0.05
    assert grouped["rmse"][0] > 0.15


@pytest.mark.parametrize(
    ("short", "labels"),
    [
        ({"group_by": "place"}, [i % 5 for i in range(60)]),
        ({"blocks": 4}, [i // 15 for i in range(60)]),
        ({"blocks": 60}, list(range(60))),
    ],
)
def test_groups_may_be_the_values_of_a_feature_or_blocks_of_rows(
    api: httpx.Client, short: dict[str, Any], labels: list[int]
) -> None:
    rows = {
        "x": [[value, float(i % 5)] for i, value in enumerate(X)],
        "y": Y.tolist(),
        "feature_names": ["size", "place"],
    }
    fit = {"method": "nadaraya_watson", "kernel": "gaussian", "bandwidth": 1.0}
    options = {"dataset": rows, "selector": "cv_ls", "fit": fit}
    curves = [
        [(score["fit"]["bandwidth"], score["criterion"]) for score in job["scores"]]
        for job in (tuned(api, **options, **short), tuned(api, **options, groups=labels))
    ]
    assert curves[0] == curves[1]


def test_groups_may_be_the_levels_of_a_category(api: httpx.Client) -> None:
    levels = ["north", "south", "west"]
    rows = {"x": [[value, levels[i % 3]] for i, value in enumerate(X)], "y": Y.tolist()}
    options = {"dataset": rows, "methods": ["knn"]}
    found = [
        tuned(api, **options, **grouping)["best"]["rmse"]
        for grouping in ({"group_by": "x2"}, {"groups": [levels[i % 3] for i in range(60)]})
    ]
    assert found[0] == found[1]


def test_a_selector_leaves_auto_alone_and_a_search_does_not(api: httpx.Client) -> None:
    uploaded = api.post("/datasets", json=ROWS).json()["id"]

    def auto() -> Any:
        return api.post("/predict", json={"dataset_id": uploaded, "queries": [0.5]}).json()["fit"]

    before = auto()
    request: dict[str, Any] = {"dataset_id": uploaded, "budget_s": 30}
    api.post("/tune", json={**request, "selector": "gcv", "fit": LINE})
    assert auto() == before
    best = api.post("/tune", json={**request, "methods": ["knn"]}).json()["best"]["fit"]
    assert auto() == best
    api.delete(f"/datasets/{uploaded}")


@pytest.mark.parametrize(
    ("request_", "pointer", "words"),
    [
        ({"selector": "gcv"}, "/fit", "send one"),
        ({"selector": "loo", "fit": LINE}, "/selector", "it must be"),
        ({"fit": LINE}, "/fit", "leave fit out"),
        ({"selector": "gcv", "fit": {"method": "knn"}}, "/fit/method", "none"),
        ({"selector": "gcv", "fit": LINE, "methods": ["knn"]}, "/methods", "leave"),
        ({"selector": "gcv", "fit": LINE, "groups": [0, 1] * 30}, "/groups", "cv_ls"),
        ({"selector": "dpill", "fit": {**LINE, "kernel": "tricube"}}, "/selector", "Gaussian"),
        ({"selector": "dpill", "fit": LINE, "dataset": PLANE}, "/selector", "one feature"),
        ({"groups": [1, 2]}, "/groups", "2 labels, but the dataset has 60 rows"),
        ({"groups": ["a"] * 60}, "/groups", "two labels at least"),
        ({"groups": [1.5] * 60}, "/groups/0", "a string or a whole number"),
        ({"groups": []}, "/groups", "at least 1"),
        ({"groups": [[1], [2]] * 30}, "/groups", "one flat list"),
        ({"groups": [1, None] * 30}, "/groups/1", "Row 1 has no label"),
        ({"groups": ["a", None] * 30}, "/groups/1", "Row 1 has no label"),
        ({"groups": ["a", 1] * 30}, "/groups/1", "texts alone"),
        ({"groups": [1, "a"] * 30}, "/groups/1", "not a number"),
        ({"groups": [2**70] * 60}, "/groups/0", "send it as a text"),
        ({"groups": "a"}, "/groups", "a list"),
        ({"groups": [0, 1] * 30, "blocks": 2}, "/blocks", "send one of them"),
        ({"selector": "gcv", "fit": LINE, "blocks": 2}, "/blocks", "cv_ls"),
        ({"blocks": 1}, "/blocks", "at least 2"),
        ({"blocks": 61}, "/blocks", "the dataset has 60 rows"),
        ({"group_by": "z"}, "/group_by", "its features are x1"),
        ({"group_by": "x2", "dataset": LEVEL}, "/group_by", "the same 'x2'"),
        ({"methods": []}, "/methods", "at least 1"),
        ({"methods": ["forest"]}, "/methods/0", "it must be"),
    ],
)
def test_what_does_not_go_together_is_refused(
    api: httpx.Client, request_: dict[str, Any], pointer: str, words: str
) -> None:
    answer = api.post("/tune", json={"dataset": ROWS, **request_})
    document = problem(answer, 422)
    assert pointers(document)[0] == pointer
    assert words in document["detail"]


def test_what_only_the_rows_tell_ends_the_job_with_a_reason(api: httpx.Client) -> None:
    one_place = {"x": [1.0] * 12, "y": list(range(12))}
    for selector, words in (("gcv", "one place"), ("dpill", "distinct places")):
        request = {"dataset": one_place, "selector": selector, "fit": LINE}
        job = api.post("/tune", json=request).json()
        assert job["state"] == "failed"
        assert words in job["detail"]
        assert job["best"] is None


def test_groups_of_many_rows_may_be_as_long_as_the_rows(api: httpx.Client) -> None:
    n = 60_000  # of which the labels alone have more bytes than may stand beside arrays
    rows = {"x": np.arange(n).tolist(), "y": (np.arange(n) % 7).tolist()}
    for labels in ([f"patient {i % 500:06}" for i in range(n)], [10**9 + i // 3 for i in range(n)]):
        assert len(str(labels)) > 600_000
        begun = api.post(
            "/tune",
            json={"dataset": rows, "groups": labels},
            headers={"Prefer": "respond-async"},
        )
        assert begun.status_code == 202, begun.text
        api.delete(begun.headers["location"])
