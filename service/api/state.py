"""What the endpoints share: made when the service starts, gone when it stops."""

from typing import TypedDict
from weakref import WeakKeyDictionary

from starlette.requests import Request

from service.api.media import Format, accepted
from service.api.progress import Uploads
from service.api.schemas.datasets import DatasetSummary, summarize
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.engine import Engine
from service.plots.studio import Studio

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
    uploads: Uploads
    studio: Studio


# Plain functions, called by each endpoint: as dependencies of FastAPI they would take a quarter of
# the time of a small request.


def engine_of(request: Request) -> Engine:
    """Return the engine that answers the request."""
    engine: Engine = request.state.engine
    return engine


def summaries_of(request: Request) -> Summaries:
    """Return the summaries of the datasets."""
    summaries: Summaries = request.state.summaries
    return summaries


def uploads_of(request: Request) -> Uploads:
    """Return the uploads that can be asked about."""
    uploads: Uploads = request.state.uploads
    return uploads


def studio_of(request: Request) -> Studio:
    """Return where pictures are drawn."""
    studio: Studio = request.state.studio
    return studio


def answer_format(request: Request, *offered: Format) -> Format:
    """Return the format of the answer, which is the first where nothing is said.

    Raises:
        NotAcceptable: The request accepts none of them.
    """
    return accepted(", ".join(request.headers.getlist("accept")), *offered)


def check_no_query(request: Request) -> None:
    """Check that the address has no query parameter.

    Raises:
        InvalidInput: It has one.
    """
    if request.scope["query_string"]:
        for name in request.query_params:
            raise InvalidInput.at(
                name[:200], "The operation takes no query parameter; leave it out of the address."
            )


def asked(request: Request) -> Engine:
    """Return the engine, for a request without query parameters whose answer is JSON.

    Raises:
        NotAcceptable, InvalidInput: As `answer_format` and `check_no_query` do.
    """
    answer_format(request, Format.JSON)
    check_no_query(request)
    return engine_of(request)
