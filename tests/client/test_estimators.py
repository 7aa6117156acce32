"""The estimators are scikit-learn's to the letter, and their rows are deleted again."""

import gc
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_sample_weight_equivalence_on_dense_data,
)

from service.client import Client, InvalidInput
from service.client.estimators import EXPECTED_FAILED_CHECKS, LocalClassifier, LocalRegressor

rng = np.random.default_rng(5)
X = rng.random((60, 2))
Y = np.sin(3 * X[:, 0]) + X[:, 1]
KINDS = np.where(Y > 1, "high", "low")

WEIGHTS_ARE_ROWS = "check_sample_weight_equivalence_on_dense_data"
WITHOUT_ARRAY_API = "check_array_api_input"
"""scikit-learn skips it unless SciPy's support of other arrays is switched on."""


@pytest.fixture(autouse=True)
def _address(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEARFIT_URL", url)
    yield
    gc.collect()


@pytest.mark.parametrize("kind", [LocalRegressor, LocalClassifier])
@pytest.mark.filterwarnings("ignore")  # the checks warn of what they try
def test_scikit_learn_checks_the_defaults(kind: type) -> None:
    checks = check_estimator(
        kind(), on_fail=None, on_skip=None, expected_failed_checks=EXPECTED_FAILED_CHECKS
    )
    assert len(checks) > 50
    others = [
        (check["check_name"], check["status"], check["exception"])
        for check in checks
        if check["status"] != "passed" and check["check_name"] != WITHOUT_ARRAY_API
    ]
    assert [other[:2] for other in others] == [(WEIGHTS_ARE_ROWS, "xfail")], others


@pytest.mark.filterwarnings("ignore")
def test_with_a_bandwidth_a_weight_of_two_is_two_rows_for_scikit_learn_too() -> None:
    assert "bandwidth" in EXPECTED_FAILED_CHECKS[WEIGHTS_ARE_ROWS]
    for estimator in (
        LocalRegressor("local_linear", kernel="gaussian", bandwidth=2.0),
        LocalClassifier("nadaraya_watson", bandwidth=2.0),
        LocalRegressor("kriging", options={"length_scale": 2.0}),
    ):
        check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)


def test_the_predictions_are_those_of_the_service(nearfit: Client) -> None:
    line = LocalRegressor("local_linear", n_neighbors=15, metric="standardized").fit(X, Y)
    answer = nearfit.predict(line.dataset_id_, X[:7], fit=line.fit_)
    assert line.predict(X[:7]).tolist() == answer.estimates.tolist()
    assert line.fit_["n_neighbors"] == 15
    assert line.score(X, Y) > 0.9
    kinds = LocalClassifier("knn", n_neighbors=3).fit(X, KINDS)
    assert kinds.classes_.tolist() == ["high", "low"]
    assert kinds.predict_proba(X[:7]).sum(axis=1).tolist() == pytest.approx([1.0] * 7)
    assert kinds.score(X, KINDS) > 0.8


def test_the_rows_of_a_frame_have_their_names() -> None:
    frame = pd.DataFrame(X, columns=["width", "height"])
    line = LocalRegressor("local_linear", n_neighbors=15).fit(frame, Y)
    assert line.feature_names_in_.tolist() == ["width", "height"]
    with pytest.raises(ValueError, match="feature names"):
        line.predict(frame[["height", "width"]])


def test_several_targets_and_one_in_a_column_keep_their_shape() -> None:
    line = LocalRegressor("local_linear", n_neighbors=15)
    assert line.fit(X, np.column_stack([Y, -Y])).predict(X[:3]).shape == (3, 2)
    assert line.fit(X, Y[:, None]).predict(X[:3]).shape == (3, 1)
    assert line.fit(X, Y).predict(X[:3]).shape == (3,)


def test_a_grid_is_searched_in_a_pipeline_by_several_processes(nearfit: Client) -> None:
    before = {dataset.id for dataset in nearfit.datasets.list()}
    steps = make_pipeline(StandardScaler(), LocalRegressor("local_linear"))
    grid = {"localregressor__n_neighbors": [10, 30]}
    search = GridSearchCV(steps, grid, cv=2, n_jobs=2).fit(X, Y)
    alone = GridSearchCV(steps, grid, cv=2).fit(X, Y)
    assert search.best_params_ == {"localregressor__n_neighbors": 10}
    scores = "mean_test_score"
    assert search.cv_results_[scores].tolist() == alone.cv_results_[scores].tolist()
    assert search.predict(X[:3]).tolist() == alone.predict(X[:3]).tolist()
    del search, alone
    gc.collect()
    wait_until(lambda: {dataset.id for dataset in nearfit.datasets.list()} <= before)


def test_a_clone_is_unfitted_and_a_pickle_is_whole(nearfit: Client) -> None:
    line = LocalRegressor("local_linear", n_neighbors=15).fit(X, Y)
    expected = line.predict(X[:5]).tolist()
    with pytest.raises(NotFittedError):
        clone(line).predict(X)
    text = pickle.dumps(line)
    dataset_id = line.dataset_id_
    del line
    gc.collect()
    wait_until(lambda: not is_there(nearfit, dataset_id))
    again = pickle.loads(text)
    assert again.predict(X[:5]).tolist() == expected  # it has uploaded its rows again
    assert is_there(nearfit, dataset_id)


def test_what_was_uploaded_again_is_deleted_without_a_collection_of_garbage(
    nearfit: Client,
) -> None:
    line = LocalRegressor("local_linear", n_neighbors=15).fit(X, Y)
    dataset_id = line.dataset_id_
    nearfit.datasets.delete(dataset_id)
    gc.collect()
    gc.disable()
    try:
        line.predict(X[:5])
        assert is_there(nearfit, dataset_id)
        del line
        wait_until(lambda: not is_there(nearfit, dataset_id))
    finally:
        gc.enable()


def test_what_was_uploaded_is_deleted_with_the_last_estimator_that_holds_it(
    nearfit: Client,
) -> None:
    one = LocalRegressor("knn").fit(X, Y)
    other = LocalRegressor("local_linear", n_neighbors=15).fit(X, Y)
    dataset_id = one.dataset_id_
    assert other.dataset_id_ == dataset_id
    one.close()
    forget_another()
    assert is_there(nearfit, dataset_id)
    del other
    gc.collect()
    wait_until(lambda: not is_there(nearfit, dataset_id))
    assert one.predict(X[:1]).shape == (1,)


def test_what_somebody_keeps_stays_though_its_rows_are_the_same(nearfit: Client) -> None:
    line = LocalRegressor("knn").fit(X, Y)
    mine = nearfit.datasets.upload(X, Y)
    assert mine.is_new
    line.close()
    forget_another()
    assert is_there(nearfit, mine.id)
    nearfit.datasets.delete(mine)


def test_what_another_process_has_uploaded_is_its_own_to_delete(nearfit: Client) -> None:
    targets = {"y1 of LocalRegressor": -Y}
    of_another = nearfit.datasets.upload(X, targets)
    line = LocalRegressor("knn").fit(X, -Y)
    assert line.dataset_id_ == of_another.id
    line.close()
    forget_another()
    assert is_there(nearfit, of_another.id)
    nearfit.datasets.delete(of_another)


def test_the_end_of_a_process_deletes_what_it_has_uploaded(nearfit: Client) -> None:
    before = [dataset.id for dataset in nearfit.datasets.list()]
    code = """
from service.client import Client
from service.client.held_datasets import hold

class Estimator:
    pass

holder, client = Estimator(), Client()
rows = [1.0, 2.0, 4.0], [3.0, 1.0, 2.0]
dataset, _ = hold(holder, client.url, lambda: client.datasets.upload(*rows))
client.datasets.get(dataset)
print(dataset.is_new)
"""
    output = subprocess.check_output([sys.executable, "-W", "error", "-c", code], text=True)
    assert output == "True\n"
    assert [dataset.id for dataset in nearfit.datasets.list()] == before


def test_rows_of_weight_zero_are_as_if_they_were_not_there() -> None:
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    fit = LocalRegressor("local_linear", n_neighbors=15)
    weighted = clone(fit).fit(X, Y, sample_weight=weights)
    without = clone(fit).fit(X[:40], Y[:40])
    assert weighted.predict(X).tolist() == pytest.approx(without.predict(X).tolist(), rel=1e-12)
    with pytest.raises(ValueError, match="Only 1 sample"):
        fit.fit(X, Y, sample_weight=np.arange(60) == 3)
    kinds = LocalClassifier("knn", n_neighbors=3)
    with pytest.raises(ValueError, match="1 class"):
        kinds.fit(X, KINDS, sample_weight=KINDS == "low")


def test_a_class_of_weight_zero_has_the_probability_zero() -> None:
    kinds = np.where(X[:, 0] < 0.2, "none", KINDS)
    model = LocalClassifier("knn", n_neighbors=3)
    model.fit(X, kinds, sample_weight=np.where(kinds == "none", 0.0, 1.0))
    assert model.classes_.tolist() == ["high", "low", "none"]
    assert model.predict_proba(X)[:, 2].tolist() == [0.0] * 60


def test_missing_cells_are_taken_where_the_method_takes_them() -> None:
    gaps = X.copy()
    gaps[3, 0] = np.nan
    assert np.isfinite(LocalRegressor("knn").fit(gaps, Y).predict(gaps)).all()
    with pytest.raises(ValueError, match="NaN"):
        LocalRegressor("kriging").fit(gaps, Y)


def test_where_no_row_is_near_there_is_no_guess() -> None:
    far = np.array([[0.5, 0.5], [99.0, 99.0]])
    narrow: dict[str, Any] = {"kernel": "epanechnikov", "bandwidth": 0.3}
    line = LocalRegressor("nadaraya_watson", **narrow).fit(X, Y)
    with pytest.warns(UserWarning, match=r"No estimate at 1 queries \(1\): .*widen bandwidth"):
        assert np.isnan(line.predict(far)).tolist() == [False, True]
    kinds = LocalClassifier("nadaraya_watson", **narrow).fit(X, KINDS)
    with pytest.warns(UserWarning, match="No estimate"):
        assert np.isnan(kinds.predict_proba(far)).all(axis=1).tolist() == [False, True]
    with pytest.raises(ValueError, match="No estimate"):
        kinds.predict(far)


def test_the_best_fit_is_searched_for_if_wanted() -> None:
    line = LocalRegressor("knn", tune_s=5).fit(X, Y)
    assert line.fit_["method"] == "knn"
    chosen = LocalRegressor("auto").fit(X, Y)
    assert chosen.fit_["method"] in ("local_polynomial", "knn")


def test_what_the_method_does_not_have_is_refused_at_the_fit() -> None:
    with pytest.raises(InvalidInput, match="bandwidth") as caught:
        LocalRegressor("knn", bandwidth=1.0).fit(X, Y)
    assert caught.value.errors[0]["pointer"] == "/fit/bandwidth"


def is_there(nearfit: Client, dataset_id: str) -> bool:
    return dataset_id in [dataset.id for dataset in nearfit.datasets.list()]


def wait_until(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20.0
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def forget_another() -> None:
    """Return once all that was let go of before is deleted: deletions go by turn."""
    x = rng.random((3, 1))
    other = LocalRegressor("knn", n_neighbors=1).fit(x, x[:, 0])
    dataset_id = other.dataset_id_
    other.close()
    with Client() as nearfit:
        wait_until(lambda: not is_there(nearfit, dataset_id))
