"""Work that outlasts a request: what it has reached, and how it ends."""

import threading
import time
import uuid
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import final

from service.domain.dataset import Dataset
from service.domain.errors import JobNotFound
from service.engine.aims import EVERYTHING, Aim
from service.estimators.judging import Score, best_of


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED = frozenset({JobState.DONE, JobState.CANCELLED, JobState.FAILED})

CANCELLED = "Somebody cancelled it, or the dataset is gone."


@final
@dataclass(eq=False)
class TuningJob:
    """A search for the best fit to one version of a dataset. Safe to read from any thread.

    Attributes:
        dataset: The version; None once the job has ended, so that it holds no rows.
        seconds: The time it may take.
        is_automatic: Begun at an upload, not by a request.
        aim: What it is to choose among.
        id: Names the job.
        state: How far it is.
        scores: All candidates judged so far, in their order.
        detail: Why it ended as it did, where that needs saying.
        over: Done when the job has ended.
        dataset_id: Of the dataset, "" for an inline one.
        dataset_version: Of the dataset.
    """

    dataset: Dataset | None
    seconds: float
    is_automatic: bool = False
    aim: Aim = EVERYTHING
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: JobState = JobState.WAITING
    scores: tuple[Score, ...] = ()
    detail: str = ""
    over: Future[None] = field(default_factory=Future)
    _started: float | None = None
    _ended: float | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    dataset_id: str = field(init=False)
    dataset_version: int = field(init=False)

    def __post_init__(self) -> None:
        if self.dataset is None:
            raise TypeError("a job begins with a dataset")
        self.dataset_id, self.dataset_version = self.dataset.id, self.dataset.version

    @property
    def best(self) -> Score | None:
        """The best candidate so far."""
        return best_of(list(self.scores)) if self.scores else None

    @property
    def is_cancelled(self) -> bool:
        """True once somebody asked it to stop."""
        return self._cancelled.is_set()

    @property
    def has_ended(self) -> bool:
        """True once nothing more will come."""
        return self.state in ENDED

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began, up to its end."""
        if self._started is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._started

    @property
    def progress(self) -> float:
        """The share of its time that has passed, or 1 at its end."""
        return 1.0 if self.has_ended else min(self.elapsed_s / self.seconds, 0.99)

    def cancel(self) -> None:
        """Ask it to stop; what it has found stays. One that waits ends at once."""
        with self._turn:
            self._cancelled.set()
            if self.state is JobState.WAITING:
                self.end(JobState.CANCELLED, CANCELLED)

    def begin(self) -> Dataset | None:
        """Note that it runs now, and return its dataset; None if it was cancelled while waiting."""
        with self._turn:
            if not self.has_ended:
                self._started, self.state = time.monotonic(), JobState.RUNNING
            return self.dataset

    def end(self, state: JobState, detail: str = "") -> None:
        """Note that it is over."""
        self._ended, self.detail, self.state = time.monotonic(), detail, state
        self.dataset = None
        self.over.set_result(None)


@final
class Jobs:
    """The jobs under way and the latest that have ended.

    Args:
        kept: Ended jobs that can still be looked at.
    """

    def __init__(self, kept: int = 200) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, TuningJob] = OrderedDict()

    def add(self, job: TuningJob) -> None:
        """Keep a job, and drop the oldest ended one where there are too many."""
        with self._lock:
            self._jobs[job.id] = job
            ended = [key for key, other in self._jobs.items() if other.has_ended]
            for key in ended[: max(0, len(ended) - self._kept)]:
                del self._jobs[key]

    def get(self, job_id: str) -> TuningJob:
        """Return a job. Raises `JobNotFound`."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(
                f"There is no job '{job_id[:200]}': it was never begun, or ended long ago; "
                "GET /jobs lists those there are."
            )
        return job

    def waiting(self) -> int:
        """Return how many have not begun."""
        return sum(job.state is JobState.WAITING for job in self.latest_first())

    def latest_first(self) -> list[TuningJob]:
        """Return all jobs, the latest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def of(self, dataset_id: str) -> list[TuningJob]:
        """Return the jobs of a dataset that have not ended, whichever its version."""
        return [
            job for job in self.latest_first() if job.dataset_id == dataset_id and not job.has_ended
        ]
