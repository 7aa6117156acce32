"""Predictions as the service makes them: through its engine, with all of its overhead."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

from service.domain.arrays import Floats
from service.domain.dataset import make_dataset
from service.domain.prediction import MEAN_ALONE, Wanted
from service.engine.commands import Answer, PredictCommand
from service.engine.engine import Engine
from service.engine.jobs import TuningJob
from service.estimators.fits import AnyFit, Fit
from service.main import build_engine
from service.settings import Settings

TIMEOUT_S = 600.0


class EngineCalls:
    """An engine and the event loop that it runs on.

    Args:
        engine: Started.
        loop: Its loop, idle between the calls. (`asyncio.run` and its Runner would write every
            answer out as text, for the handler of Ctrl-C.)
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._libraries = ThreadpoolController()

    def upload(self, x: Floats, y: Floats) -> str:
        """Keep the rows and return the id of the dataset."""
        dataset, _ = self._loop.run_until_complete(self._engine.upload(make_dataset(x, y)))
        return dataset.id

    def delete(self, dataset_id: str) -> None:
        """Drop the dataset and all that was prepared from it."""
        self._engine.delete(dataset_id)

    def search_of(self, dataset_id: str) -> TuningJob:
        """Return the latest search for the best fit to the dataset."""
        jobs = self._engine.jobs.latest_first()
        return next(job for job in jobs if job.dataset_id == dataset_id)

    def answer(
        self, dataset_id: str, queries: Floats, fit: AnyFit, wanted: Wanted = MEAN_ALONE
    ) -> Answer:
        """Return the engine's whole answer."""
        command = PredictCommand(queries, dataset_id=dataset_id, fit=fit, wanted=wanted)
        # As `nearfit serve` has it: the engine shares the cores out itself. Peers keep them all.
        with self._libraries.limit(limits=1, user_api="blas"):
            return self._loop.run_until_complete(self._engine.predict(command))

    def mean(self, dataset_id: str, queries: Floats, fit: Fit) -> Floats:
        """Return the estimates, (m, t)."""
        return self.answer(dataset_id, queries, fit).prediction.mean


@contextmanager
def engine(**settings: Any) -> Iterator[EngineCalls]:
    """Start an engine with these settings beside the defaults; end it afterwards."""
    chosen = Settings(
        **{
            "sample": False,
            "tune_s": 0.0,  # it would run beside what is measured
            "default_timeout_s": TIMEOUT_S,
            "max_timeout_s": TIMEOUT_S,
            **settings,
        }
    )
    loop = asyncio.new_event_loop()
    started = build_engine(chosen)
    try:
        loop.run_until_complete(_start(started))
        yield EngineCalls(started, loop)
    finally:
        loop.run_until_complete(started.close())
        loop.close()


async def _start(engine: Engine) -> None:
    await engine.start()
    while not engine.is_ready:
        await asyncio.sleep(0.01)
