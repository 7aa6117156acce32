"""What the endpoints share: made when the service starts, gone when it stops."""

from typing import Annotated, TypedDict
from weakref import WeakKeyDictionary

from fastapi import Depends, Request

from service.api.media import check_accepts_json
from service.api.schemas.datasets import DatasetSummary, summarize
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.engine import Engine

# Summing so many numbers takes less time than a thread takes to begin.
INLINE_NUMBERS = 50_000


class Summaries:
    """The summary of each version of each dataset, made once, dropped with the version."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[Dataset, DatasetSummary] = WeakKeyDictionary()

    async def of(self, dataset: Dataset, engine: Engine) -> DatasetSummary:
        """Return the summary of this version."""
        summary = self._made.get(dataset)
        if summary is None:
            if dataset.x.size + dataset.y.size <= INLINE_NUMBERS:
                summary = summarize(dataset)
            else:
                summary = await engine.run_aside(lambda: summarize(dataset))
            self._made[dataset] = summary
        return summary


class State(TypedDict):
    """What a request finds in `request.state`."""

    engine: Engine
    summaries: Summaries


async def _engine(request: Request) -> Engine:
    engine: Engine = request.state.engine
    return engine


async def _summaries(request: Request) -> Summaries:
    summaries: Summaries = request.state.summaries
    return summaries


async def _accepts_json(request: Request) -> None:
    check_accepts_json(", ".join(request.headers.getlist("accept")))


async def _no_query(request: Request) -> None:
    for name in request.query_params:
        raise InvalidInput.at(
            name[:200], "The operation takes no query parameter; leave it out of the address."
        )


EngineDep = Annotated[Engine, Depends(_engine)]
SummariesDep = Annotated[Summaries, Depends(_summaries)]
ACCEPTS_JSON = Depends(_accepts_json)
NO_QUERY = Depends(_no_query)
