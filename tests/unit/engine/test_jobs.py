"""A job: its states, its progress, and how long it can still be looked at."""

import gc
import time
import weakref

import numpy as np
import pytest

from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import JobNotFound
from service.engine.jobs import Jobs, JobState, TuningJob
from service.estimators.fits import Knn
from service.estimators.judging import Score


def job(seconds: float = 10.0) -> TuningJob:
    return TuningJob(make_dataset(np.arange(12.0), np.arange(12.0)), seconds)


def score(error: float, rows: int = 12) -> Score:
    return Score(Knn(3), error, (error,), rows, "grid", 0.1)


def test_a_job_waits_runs_and_ends() -> None:
    one = job()
    assert (one.state, one.progress, one.elapsed_s) == (JobState.WAITING, 0.0, 0.0)
    assert one.begin()
    assert one.state is JobState.RUNNING
    assert not one.over.done()
    one.end(JobState.DONE)
    assert one.has_ended
    assert one.over.done()
    assert one.progress == 1.0
    elapsed = one.elapsed_s
    time.sleep(0.01)
    assert one.elapsed_s == elapsed  # the clock stands still


def test_the_progress_is_the_share_of_the_time_and_1_only_at_the_end() -> None:
    one = job(seconds=0.02)
    one.begin()
    before = one.progress
    time.sleep(0.03)
    assert before < one.progress == 0.99
    one.end(JobState.FAILED)
    assert one.progress == 1.0


def test_the_best_so_far_is_among_the_scores_over_the_most_rows() -> None:
    one = job()
    assert one.best is None
    one.scores = (score(0.1, rows=5), score(0.5), score(0.3))
    assert one.best == one.scores[2]


def test_a_job_that_waits_is_over_as_soon_as_it_is_cancelled() -> None:
    one = job()
    one.cancel()
    assert one.state is JobState.CANCELLED
    assert one.over.done()
    assert not one.begin()
    one.cancel()  # once more changes nothing
    assert one.state is JobState.CANCELLED


def test_a_job_that_runs_is_asked_to_stop() -> None:
    one = job()
    one.begin()
    one.cancel()
    assert one.is_cancelled
    assert one.state is JobState.RUNNING  # until whoever runs it has looked


def test_the_oldest_jobs_that_have_ended_are_forgotten() -> None:
    jobs, waiting, ended = Jobs(kept=2), job(), [job() for _ in range(4)]
    jobs.add(waiting)
    for one in ended:
        one.begin()
        one.end(JobState.DONE)
        jobs.add(one)
    last = job()
    jobs.add(last)
    assert jobs.latest_first() == [last, ended[3], ended[2], waiting]
    with pytest.raises(JobNotFound, match=ended[0].id):
        jobs.get(ended[0].id)
    assert jobs.get(waiting.id) is waiting


def test_the_jobs_of_a_dataset_are_those_under_way() -> None:
    jobs, one, other = Jobs(), job(), job()
    for each in (one, other):
        jobs.add(each)
    other.cancel()
    assert jobs.of(one.dataset_id) == [one]
    assert jobs.of("another") == []


def test_a_job_that_has_ended_holds_no_rows() -> None:
    def held(one: TuningJob) -> "weakref.ref[Dataset]":
        assert one.dataset is not None
        return weakref.ref(one.dataset)

    done, cancelled = job(), job()
    rows = held(done), held(cancelled)
    assert done.begin() is rows[0]()
    done.end(JobState.DONE)
    cancelled.cancel()
    gc.collect()
    assert [each() for each in rows] == [None, None]
    assert done.dataset_version == cancelled.dataset_version == 1


def test_those_that_wait_are_counted() -> None:
    jobs, waits, runs, over = Jobs(), job(), job(), job()
    for each in (waits, runs, over):
        jobs.add(each)
    runs.begin()
    over.cancel()
    assert jobs.waiting() == 1
