"""Searches behind all predictions: how they go on, how they end, and what is kept of them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.backends.native.backend import NativeBackend
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import InvalidInput
from service.engine.jobs import JobState, TuningJob
from service.engine.tuner import OVERTIME, Tuner
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit, Knn
from service.estimators.judging import Score, Step

Search = Callable[[Blocks], Iterator[Score]]

WITHIN_S = 30.0


def dataset(n: int = 60, dataset_id: str = "ds-1") -> Dataset:
    x = np.linspace(0, 6, n)
    noise = np.random.default_rng(5).normal(size=n)
    return replace(make_dataset(x, np.sin(x) + 0.1 * noise), id=dataset_id)


def score(k: int, error: float, step: Step = "grid") -> Score:
    return Score(Knn(k), error, (error,), 60, step, 0.0)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture
def tuner() -> Iterator[Tuner]:
    tuner = Tuner(NativeBackend())
    yield tuner
    tuner.close()


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch) -> Callable[[Search], None]:
    """Put another search in the place of the true one."""

    def put(search: Search) -> None:
        def instead(*args: Any, **_: Any) -> Iterator[Score]:
            return search(args[3])

        monkeypatch.setattr("service.engine.tuner.search", instead)

    return put


def ended(job: TuningJob) -> TuningJob:
    job.over.result(WITHIN_S)
    return job


def endless(blocks: Blocks) -> Iterator[Score]:
    """Find a fit, and then nothing more."""
    yield score(3, 0.5, "refinement")
    while True:
        blocks.check()
        time.sleep(0.002)


def test_the_best_fit_is_what_auto_means_from_then_on(tuner: Tuner) -> None:
    rows = dataset()
    assert tuner.tuned(rows) is None
    job = ended(tuner.begin(rows, 20.0))
    assert (job.state, job.detail) == (JobState.DONE, "")
    assert job.best is not None
    assert job.best.error == min(each.error for each in job.scores if each.rows == 60)
    assert tuner.tuned(rows) == job.best.fit
    assert tuner.tuned(replace(rows, digest="another version")) is None
    assert tuner.jobs.get(job.id) is job


def test_the_best_so_far_is_used_once_all_methods_are_compared(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    rows, go_on = dataset(), threading.Semaphore(0)

    def search(_: Blocks) -> Iterator[Score]:
        for each in (score(1, 0.9), score(5, 0.4), score(7, 0.3, "refinement")):
            yield each
            assert go_on.acquire(timeout=WITHIN_S)

    searching(search)
    job = tuner.begin(rows, 60.0)
    found: list[Fit | None] = []
    for count in (1, 2, 3):
        wait_for(lambda: len(job.scores) == count)  # noqa: B023 (called at once)
        assert job.state is JobState.RUNNING
        assert 0.0 < job.progress < 1.0
        if count == 3:
            wait_for(lambda: tuner.tuned(rows) is not None)
        found.append(tuner.tuned(rows))
        go_on.release()
    ended(job)
    assert found == [None, None, Knn(7)]
    assert tuner.tuned(rows) == Knn(7)


def test_a_cancelled_search_ends_and_leaves_what_it_has_found(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(endless)
    rows = dataset()
    job = tuner.begin(rows, 3600.0)
    wait_for(lambda: tuner.tuned(rows) is not None)
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert "cancelled" in job.detail
    assert len(job.scores) == 1
    assert tuner.tuned(rows) == Knn(3)


def test_a_search_ends_with_its_dataset_and_nothing_is_kept(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(endless)
    rows, others = dataset(), dataset(dataset_id="ds-2")
    running, waiting = tuner.begin(rows, 3600.0), tuner.begin(rows, 3600.0)
    elsewhere = tuner.begin(others, 3600.0, is_automatic=True)
    wait_for(lambda: None not in (tuner.tuned(rows), tuner.tuned(others)))
    tuner.forget(rows.id)
    assert {ended(job).state for job in (running, waiting)} == {JobState.CANCELLED}
    assert tuner.tuned(rows) is None
    assert elsewhere.state is JobState.RUNNING
    assert tuner.tuned(others) == Knn(3)


def test_the_next_version_uses_the_fit_of_the_one_before(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(lambda _: iter([score(9, 0.5)]))
    rows = dataset()
    longer, shorter = replace(dataset(80), version=2), replace(dataset(8), version=2)
    tuner.carry_over(rows, longer)
    assert tuner.tuned(longer) is None  # there is nothing to carry yet
    ended(tuner.begin(rows, 1.0))
    tuner.carry_over(rows, longer)
    assert tuner.tuned(longer) == Knn(9)
    tuner.carry_over(rows, shorter)
    assert tuner.tuned(shorter) is None  # it has no 9 neighbours


def test_a_search_that_does_not_look_at_its_time_is_given_up(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(endless)
    job = ended(tuner.begin(dataset(), 0.1))
    assert job.state is JobState.DONE
    assert "time was over" in job.detail
    assert OVERTIME * 0.1 <= job.elapsed_s < 5.0


def test_a_search_keeps_its_time(tuner: Tuner) -> None:
    rng = np.random.default_rng(6)
    x = rng.random((4000, 5))
    rows = replace(make_dataset(x, np.sin(6 * x[:, 0]) + x[:, 1] ** 2), id="ds-3")
    job = ended(tuner.begin(rows, 0.4))
    assert job.state is JobState.DONE
    assert job.elapsed_s < 5.0
    assert job.best is not None
    assert tuner.tuned(rows) == job.best.fit
    assert "time was over" in job.detail


def test_a_search_without_any_candidate_has_failed(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(lambda _: iter([]))
    job = ended(tuner.begin(dataset(), 1.0))
    assert job.state is JobState.FAILED
    assert "before one candidate" in job.detail


def test_a_failure_is_logged_and_the_next_search_goes_on(
    tuner: Tuner, searching: Callable[[Search], None], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Blocks) -> Iterator[Score]:
        yield score(3, 0.5)
        raise ZeroDivisionError

    searching(broken)
    with caplog.at_level(logging.ERROR):
        job = ended(tuner.begin(dataset(), 1.0))
    assert job.state is JobState.FAILED
    assert "log" in job.detail
    assert "ZeroDivisionError" in caplog.text
    searching(lambda _: iter([score(4, 0.5)]))
    assert ended(tuner.begin(dataset(), 1.0)).state is JobState.DONE


def test_no_fit_with_an_infinite_error_is_used(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(lambda _: iter([score(4, float("inf"))]))
    rows = dataset()
    ended(tuner.begin(rows, 1.0))
    assert tuner.tuned(rows) is None


def test_of_rows_sent_along_nothing_is_kept(
    tuner: Tuner, searching: Callable[[Search], None]
) -> None:
    searching(lambda _: iter([score(4, 0.5)]))
    rows = dataset(dataset_id="")
    job = ended(tuner.begin(rows, 1.0))
    assert job.best is not None
    assert tuner.tuned(rows) is None


def test_too_few_rows_are_refused(tuner: Tuner) -> None:
    with pytest.raises(InvalidInput, match="9 rows, and fits are compared on at least 10"):
        tuner.begin(dataset(9), 1.0)
    assert tuner.jobs.latest_first() == []


def test_at_the_end_all_searches_are_over(searching: Callable[[Search], None]) -> None:
    searching(endless)
    tuner = Tuner(NativeBackend())
    jobs = [tuner.begin(dataset(), 3600.0) for _ in range(3)]
    wait_for(lambda: jobs[0].state is JobState.RUNNING)
    tuner.close()
    assert [job.state for job in jobs] == [JobState.CANCELLED] * 3
