"""The client for event loops: the operations of `Client`, awaited.

Over 300 lines, for the same reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

from service.client import operations
from service.client.answers import DatasetInfo, Job, Minimum, Relevance, Score
from service.client.client import DEADLINE_S
from service.client.operations import (
    NO_OPTIONS,
    Categories,
    DatasetRef,
    Fit,
    JobProgress,
    Names,
)
from service.client.predictions import FilePrediction, Prediction
from service.client.progress import tuning_bar, upload_bar
from service.client.retrying import Retry, persistently
from service.client.steps import Progress, Result, Steps
from service.client.transport import address, run_async


class AsyncClient:
    """`Client` for event loops: the same arguments, attributes and methods, each awaited.

        async with AsyncClient() as nearfit:
            answer = await nearfit.predict("motorcycle", [15.0, 25.0])

    Frames are made Arrow, and answers read, on the event loop; files are read in a thread.

    Args:
        url: As for `Client`, and so are all but the last.
        deadline_s: Seconds for a call.
        retry: How often a call is tried.
        headers: Sent with each call.
        progress: Whether long work draws a bar.
        transport: In place of the network, an asynchronous one of httpx.

    Raises:
        ValueError: `url` is no address.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        deadline_s: float | None = DEADLINE_S,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        progress: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = address(url)
        self.datasets = AsyncDatasets(self)
        self.jobs = AsyncJobs(self)
        self.progress = progress
        self._deadline_s = deadline_s
        self._retry = retry or Retry()
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
        self,
        dataset: DatasetRef,
        X: Any,
        *,
        fit: Fit | None = None,
        include: Sequence[str] = (),
        level: float | None = None,
        interval_kind: str | None = None,
        noise: str | None = None,
        quantiles: Sequence[float] | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """As `Client.predict`."""
        return await self.run(
            operations.predict(
                dataset,
                X,
                fit=fit,
                include=include,
                level=level,
                interval_kind=interval_kind,
                noise=noise,
                quantiles=quantiles,
                timeout_s=timeout_s,
            )
        )

    async def predict_file(
        self,
        dataset: DatasetRef,
        file: Path | BinaryIO,
        *,
        fit: Fit | None = None,
        include: Sequence[str] = (),
        level: float | None = None,
        interval_kind: str | None = None,
        noise: str | None = None,
        quantiles: Sequence[float] | None = None,
        timeout_s: float | None = None,
        with_queries: bool = True,
        media_type: str | None = None,
        options: Mapping[str, str | list[str]] = NO_OPTIONS,
        progress: Progress | None = None,
    ) -> FilePrediction:
        """As `Client.predict_file`."""
        with upload_bar(is_wanted=self.progress and progress is None) as bar:
            return await self.run(
                operations.predict_file(
                    dataset,
                    file,
                    fit=fit,
                    with_queries=with_queries,
                    media_type=media_type,
                    progress=progress or bar,
                    options=options,
                    include=include,
                    level=level,
                    interval_kind=interval_kind,
                    noise=noise,
                    quantiles=quantiles,
                    timeout_s=timeout_s,
                )
            )

    async def tune(
        self,
        dataset: DatasetRef,
        *,
        budget_s: float | None = None,
        methods: Sequence[str] | None = None,
        selector: str | None = None,
        fit: Fit | None = None,
        groups: Sequence[Any] | None = None,
        group_by: str | None = None,
        blocks: int | None = None,
        wait: bool = True,
        progress: JobProgress | None = None,
    ) -> Job:
        """As `Client.tune`."""
        with tuning_bar(is_wanted=wait and self.progress and progress is None) as bar:
            return await self.run(
                operations.tune(
                    dataset,
                    wait=wait,
                    progress=progress or bar,
                    budget_s=budget_s,
                    methods=methods,
                    selector=selector,
                    fit=fit,
                    groups=groups,
                    group_by=group_by,
                    blocks=blocks,
                )
            )

    async def score(
        self,
        dataset: DatasetRef,
        X: Any = None,
        y: Any = None,
        *,
        fit: Fit | None = None,
        weights: Any = None,
        interval_kind: str | None = "conformal",
        level: float | None = None,
        timeout_s: float | None = None,
    ) -> Score:
        """As `Client.score`."""
        return await self.run(
            operations.score(
                dataset,
                X,
                y,
                weights=weights,
                interval_kind=interval_kind,
                fit=fit,
                level=level,
                timeout_s=timeout_s,
            )
        )

    async def minimize(
        self,
        dataset: DatasetRef,
        starts: Any,
        *,
        fit: Fit | None = None,
        target: str | None = None,
        ascent: bool = False,
        **options: Any,
    ) -> Minimum:
        """As `Client.minimize`."""
        return await self.run(
            operations.minimize(dataset, starts, fit=fit, target=target, ascent=ascent, **options)
        )

    async def relevance(self, dataset: DatasetRef) -> Relevance:
        """Return how much each feature of a dataset matters."""
        return await self.run(operations.relevance(dataset))

    async def limits(self) -> dict[str, Any]:
        """Return the bounds of the service."""
        return await self.run(operations.get_limits())

    async def run(self, steps: Steps[Result]) -> Result:
        """Take the steps of an operation, with the tries and the deadline of this client."""
        steps = persistently(steps, self._retry, self._deadline_s, self.url)
        return await run_async(steps, self._http)


class AsyncDatasets:
    """What can be done with the datasets of a service."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def upload(
        self,
        data: Any,
        y: Any = None,
        *,
        target: Names = (),
        name: str | None = None,
        task: str | None = None,
        weights: Any = None,
        categories: Categories | None = None,
        media_type: str | None = None,
        options: Mapping[str, str | list[str]] = NO_OPTIONS,
        progress: Progress | None = None,
    ) -> DatasetInfo:
        """As `Client.datasets.upload`."""
        client = self._client
        with upload_bar(is_wanted=client.progress and progress is None) as bar:
            return await client.run(
                operations.upload(
                    data,
                    y,
                    target=target,
                    name=name,
                    task=task,
                    weights=weights,
                    categories=categories,
                    media_type=media_type,
                    options=options,
                    progress=progress or bar,
                )
            )

    async def get(self, dataset: DatasetRef) -> DatasetInfo:
        """Return what a dataset is, and what its columns hold."""
        return await self._client.run(operations.get_dataset(dataset))

    async def list(self) -> list[DatasetInfo]:
        """Return all datasets, in the order of their upload."""
        return await self._client.run(operations.list_datasets())

    async def append(
        self,
        dataset: DatasetRef,
        data: Any,
        y: Any = None,
        *,
        weights: Any = None,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> DatasetInfo:
        """As `Client.datasets.append`."""
        client = self._client
        with upload_bar(is_wanted=client.progress and progress is None) as bar:
            return await client.run(
                operations.append_rows(
                    dataset,
                    data,
                    y,
                    weights=weights,
                    media_type=media_type,
                    progress=progress or bar,
                )
            )

    async def delete(self, dataset: DatasetRef) -> None:
        """Remove a dataset with all its versions."""
        await self._client.run(operations.delete_dataset(dataset))


class AsyncJobs:
    """What can be done with the searches of a service."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def get(self, job: str | Job) -> Job:
        """Return how far a search is, and what it has found."""
        return await self._client.run(operations.get_job(job))

    async def list(self) -> list[Job]:
        """Return the searches under way and the latest that have ended, the latest first."""
        return await self._client.run(operations.list_jobs())

    async def cancel(self, job: str | Job) -> None:
        """End a search; what it has found stays."""
        await self._client.run(operations.cancel_job(job))
