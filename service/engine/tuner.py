"""Runs searches for the best fit, behind all predictions."""

import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import final

import numpy as np

from service.backends.base import Backend, Resident
from service.backends.native.planning import preferred_search
from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.engine.aims import EVERYTHING, Aim
from service.engine.jobs import CANCELLED, Jobs, JobState, TuningJob
from service.engine.portions import SerialBlocks
from service.engine.workers.priority import work_when_idle
from service.estimators.fits import Fit
from service.estimators.judging import Judge
from service.estimators.selection import select
from service.estimators.tuning import search

LEAST_ROWS = 10
"""Fewer say nothing about which fit is better."""

OVERTIME = 1.5
"""A candidate under way at the end of the time may take so much of it before it is given up."""

REMEMBERED = 10_000
"""Tuned fits that are kept: a few hundred bytes each."""

_log = logging.getLogger(__name__)


@final
class Tuner:
    """Searches, one after the other, in a thread that runs where a core is idle.

    Args:
        backend: Where candidates are computed.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = Jobs()
        self._asked = ThreadPoolExecutor(1, "nearfit-tune", initializer=work_when_idle)
        self._automatic = ThreadPoolExecutor(1, "nearfit-auto", initializer=work_when_idle)
        self._tuned: OrderedDict[tuple[str, str], Fit] = OrderedDict()
        self._is_closed = False

    @property
    def jobs(self) -> Jobs:
        """The searches under way and the latest that have ended."""
        return self._jobs

    def begin(
        self,
        dataset: Dataset,
        seconds: float,
        *,
        is_automatic: bool = False,
        aim: Aim = EVERYTHING,
    ) -> TuningJob:
        """Begin a search, behind those that were begun before.

        Args:
            dataset: The version to fit.
            seconds: When no further candidate is begun.
            is_automatic: Nobody waits for it.
            aim: What to choose among.

        Raises:
            InvalidInput: The dataset has too few rows.
        """
        if dataset.n_rows < LEAST_ROWS:
            raise InvalidInput.at(
                "/dataset_id" if dataset.id else "/dataset",
                f"The dataset has {dataset.n_rows} rows, and fits are compared on at least "
                f"{LEAST_ROWS}: append rows, or predict without a search, by a fit of your own or "
                "the one that /predict takes without any.",
            )
        job = TuningJob(dataset, seconds, is_automatic, aim)
        self._jobs.add(job)
        pool = self._automatic if is_automatic else self._asked
        pool.submit(self._run, job)
        return job

    def tuned(self, dataset: Dataset) -> Fit | None:
        """Return the best fit that was found for this version, also by a search under way."""
        return self._tuned.get((dataset.id, dataset.digest))

    def carry_over(self, old: Dataset, new: Dataset) -> None:
        """Let the next version use the fit of the one before, until its own search has ended."""
        fit = self.tuned(old)
        if fit is not None and (fit.n_neighbors or 0) <= new.n_rows:
            self._keep(new, fit)

    def forget(self, dataset_id: str) -> None:
        """Stop all searches for the dataset, and drop what they found."""
        for job in self._jobs.of(dataset_id):
            job.cancel()
        for key in [key for key in self._tuned if key[0] == dataset_id]:
            self._tuned.pop(key, None)

    def close(self) -> None:
        """Stop all searches, and wait for the candidates under way."""
        self._is_closed = True
        for job in self._jobs.latest_first():
            job.cancel()
        for pool in (self._asked, self._automatic):
            pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: TuningJob) -> None:
        dataset = job.begin()
        if dataset is None:
            return
        try:
            self._search(job, dataset)
        except DeadlineExceeded:
            self._end(job)
        except InvalidInput as refused:  # found out only on the way
            job.end(JobState.FAILED, refused.detail)
        except Exception:
            _log.exception("The search for a fit to dataset '%s' failed.", job.dataset_id)
            job.end(JobState.FAILED, "The search failed; the log of the service says why.")
        else:
            self._end(job)

    def _end(self, job: TuningJob) -> None:
        """Note how a search ended that did not fail."""
        if job.is_cancelled:
            job.end(JobState.CANCELLED, CANCELLED)
        elif not job.scores:
            job.end(JobState.FAILED, "The time was over before one candidate was judged.")
        else:
            in_time = job.elapsed_s < job.seconds
            detail = "" if in_time else "The time was over; more of it may find a better fit."
            job.end(JobState.DONE, detail)

    def _search(self, job: TuningJob, dataset: Dataset) -> None:
        kind = preferred_search(*dataset.x.shape)[0]

        def load(x: Floats) -> Resident:
            return self._backend.load(
                np.ascontiguousarray(x),
                dataset.y,
                kind,
                n_sloped=dataset.n_sloped,
                row_weights=dataset.row_weights,
            )

        blocks = SerialBlocks(
            time.monotonic() + OVERTIME * job.seconds, lambda: job.is_cancelled or self._is_closed
        )
        x, y, aim = dataset.x, dataset.y, job.aim
        of_classes = dataset.classes is not None
        if aim.selector is not None and aim.smoother is not None:
            judge = Judge(
                x,
                y,
                load,
                blocks,
                groups=aim.groups,
                of_classes=of_classes,
                row_weights=dataset.row_weights,
                seconds=job.seconds,
                features=dataset.features,
            )
            for score in select(judge, aim.smoother, aim.selector):
                blocks.check()
                job.scores = (*job.scores, score)
            return  # one smoother's reach; `auto` stays the best of all methods
        found = search(
            x,
            y,
            load,
            blocks,
            methods=aim.methods,
            groups=aim.groups,
            of_classes=of_classes,
            row_weights=dataset.row_weights,
            seconds=job.seconds,
            features=dataset.features,
        )
        for score in found:
            blocks.check()
            job.scores = (*job.scores, score)
            if score.step != "grid":  # all methods are compared by then
                self._adopt(job, dataset)
        self._adopt(job, dataset)

    def _adopt(self, job: TuningJob, dataset: Dataset) -> None:
        """Let `auto` be the best fit so far from now on."""
        if dataset.id and job.best is not None and np.isfinite(job.best.error):
            self._keep(dataset, job.best.fit)

    def _keep(self, dataset: Dataset, fit: Fit) -> None:
        self._tuned[dataset.id, dataset.digest] = fit
        while len(self._tuned) > REMEMBERED:
            self._tuned.popitem(last=False)
