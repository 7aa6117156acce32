"""The blocking client.

Over 300 lines: the operations of one service, which are read beside each other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import httpx

from service.client import operations
from service.client.answers import DatasetInfo, Job, Minimum, Relevance, Score
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
from service.client.transport import address, run

DEADLINE_S: Final = 300.0


class Client:
    """A nearfit service, as Python sees it.

    Rows and queries are NumPy arrays, frames of pandas or polars, Arrow tables, whatever else
    speaks the Arrow PyCapsule interface or the dataframe interchange protocol, or lists; they
    travel as Arrow. Threads may share a client.

        with Client() as nearfit:
            bikes = nearfit.datasets.upload(df, target="rentals")
            df["expected"] = nearfit.predict(bikes, df.drop(columns="rentals")).mean

    Args:
        url: Of the service. Default: the environment variable NEARFIT_URL, or this machine's
            port 8000.
        deadline_s: Seconds that a call may take, over all its tries; a search that is waited for
            may take longer, its single calls not. None for no end.
        retry: How often a call is tried that failed and can be repeated safely.
        headers: Sent with each call, as a proxy may need.
        progress: Whether long uploads and searches draw a bar, on stderr where that is a terminal.
        transport: In place of the network, as httpx has them.

    Attributes:
        datasets: What can be done with datasets.
        jobs: What can be done with searches under way.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = address(url)
        self.datasets = Datasets(self)
        self.jobs = Jobs(self)
        self.progress = progress
        self._deadline_s = deadline_s
        self._retry = retry or Retry()
        self._http = httpx.Client(base_url=self.url, headers=headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
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
        """Return the estimates at the queries X.

        Args:
            dataset: The id of a dataset, or what `datasets.upload` returned.
            X: m queries, (m, d), or (m,) for one feature; a frame's columns go by their names.
            fit: The method and its parameters, as in `POST /predict`; without it the service
                chooses.
            include: Of `std`, `interval`, `slope`, `gradient`, `quantiles`, `neighbors`,
                `diagnostics`: what to add.
            level: How often the interval is meant to hold; with `interval`.
            interval_kind: `conformal`, `jackknife_plus`, `prediction` or `confidence`; with
                `interval`.
            noise: `constant` or `local`; with `std` or `interval`.
            quantiles: The levels; with `quantiles`.
            timeout_s: Seconds that the service may take for it.

        Raises:
            NearfitError: The service refuses, or cannot answer; see `service.client.errors`.
            TypeError: X is nothing with rows.
        """
        return self.run(
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

    def predict_file(
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
        """Return the estimates at the queries in a file, which the service reads.

        Args:
            dataset: As for `predict`.
            file: Its path, or the file open for reading bytes; in any format that can be uploaded.
            fit: As for `predict`, and so are the next six.
            include: What to add.
            level: Of the interval.
            interval_kind: Of the interval.
            noise: What `std` supposes.
            quantiles: The levels.
            timeout_s: Seconds that the service may take for it.
            with_queries: Whether the answer has the columns of the file too.
            media_type: Of a file whose name does not end as .csv, .parquet and so on do.
            options: Further query parameters of `POST /predict` for a file, such as `delimiter`.
            progress: As for `datasets.upload`.

        Raises:
            NearfitError: The service refuses, or cannot answer.
            ValueError: Nothing says what the file holds.
        """
        with upload_bar(is_wanted=self.progress and progress is None) as bar:
            return self.run(
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

    def tune(
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
        """Search for the best fit, and return what was found.

        Args:
            dataset: As for `predict`.
            budget_s: Seconds after which no further candidate is begun.
            methods: Those to compare; default all.
            selector: `search`, or by what the reach of `fit` is chosen.
            fit: For the other selectors: the smoother whose reach is chosen.
            groups: A label for each row; rows of one label are left out together.
            group_by: In place of `groups`, the name of a feature.
            blocks: In place of `groups`, a number of stretches of rows.
            wait: Whether to wait for the end. Else the job is returned as it begins, for
                `jobs.get`. An interrupt while waiting cancels it.
            progress: Told how far it is; default a bar, see `Client`.

        Raises:
            NearfitError: The service refuses, or cannot answer.
        """
        with tuning_bar(is_wanted=wait and self.progress and progress is None) as bar:
            return self.run(
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

    def score(
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
        """Return how good a fit is, on targets that it has not seen.

        Args:
            dataset: As for `predict`.
            X: Rows to judge by that the dataset does not have; without them each of its own rows,
                or of a sample, is predicted by all the others.
            y: Their targets.
            fit: What to judge; without it what the service chooses.
            weights: What each row counts, (m,).
            interval_kind: Which intervals to judge; None for none.
            level: How often they are meant to hold.
            timeout_s: Seconds that the service may take for it.

        Raises:
            NearfitError: The service refuses, or cannot answer.
        """
        return self.run(
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

    def minimize(
        self,
        dataset: DatasetRef,
        starts: Any,
        *,
        fit: Fit | None = None,
        target: str | None = None,
        ascent: bool = False,
        **options: Any,
    ) -> Minimum:
        """Return the paths down a fitted surface, one from each start.

        Args:
            dataset: As for `predict`.
            starts: Where to begin, (s, d), or (s,) for one feature.
            fit: The surface; without it what the service chooses.
            target: Which one; needed where there are several.
            ascent: Go up, to a maximum.
            options: Further fields of `POST /minimize`, such as `rate`, `bounds`, `max_steps`.

        Raises:
            NearfitError: The service refuses, or cannot answer.
        """
        return self.run(
            operations.minimize(dataset, starts, fit=fit, target=target, ascent=ascent, **options)
        )

    def relevance(self, dataset: DatasetRef) -> Relevance:
        """Return how much each feature of a dataset matters."""
        return self.run(operations.relevance(dataset))

    def limits(self) -> dict[str, Any]:
        """Return the bounds of the service."""
        return self.run(operations.get_limits())

    def run(self, steps: Steps[Result]) -> Result:
        """Take the steps of an operation, with the tries and the deadline of this client."""
        return run(persistently(steps, self._retry, self._deadline_s, self.url), self._http)


class Datasets:
    """What can be done with the datasets of a service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def upload(
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
        """Keep rows in the service. The same content uploaded twice is one dataset.

        Args:
            data: A frame with all columns; or the features, with `y`; or a `pathlib.Path` or a file
                open for reading bytes, which is sent as it is and read by the service.
            y: The targets, (n,), or (n, t) for several: numbers, or texts for classes.
            target: The column to predict, or several, in place of `y`; default the last one.
            name: A label for people.
            task: `classification` where the classes are whole numbers.
            weights: What each row counts: the name of a column, or (n,).
            categories: Features that are categories, each `unordered` or the list of its levels in
                their order. Columns of texts are such without, and ordered categories of pandas and
                polars keep their order.
            media_type: Of a file whose name does not end as .csv, .parquet and so on do.
            options: Query parameters of `POST /datasets` for a file, such as its `delimiter`.
            progress: Told the bytes as they are sent; default a bar, see `Client`.

        Raises:
            NearfitError: The service refuses, or cannot answer.
            TypeError: An array has no y, or `data` is nothing with rows.
            ValueError: Lengths differ, or nothing says what a file holds.
        """
        client = self._client
        with upload_bar(is_wanted=client.progress and progress is None) as bar:
            return client.run(
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

    def get(self, dataset: DatasetRef) -> DatasetInfo:
        """Return what a dataset is, and what its columns hold."""
        return self._client.run(operations.get_dataset(dataset))

    def list(self) -> list[DatasetInfo]:
        """Return all datasets, in the order of their upload."""
        return self._client.run(operations.list_datasets())

    def append(
        self,
        dataset: DatasetRef,
        data: Any,
        y: Any = None,
        *,
        weights: Any = None,
        media_type: str | None = None,
        progress: Progress | None = None,
    ) -> DatasetInfo:
        """Add rows, which the next prediction looks at, and return the new version.

        It is not tried again where the connection broke, for the rows may be there already.

        Args:
            dataset: As for `predict`.
            data: As for `upload`.
            y: As for `upload`.
            weights: (n,), where the rows of the dataset have weights and `data` is no frame.
            media_type: As for `upload`.
            progress: As for `upload`.

        Raises:
            NearfitError: The service refuses, or cannot answer.
        """
        client = self._client
        with upload_bar(is_wanted=client.progress and progress is None) as bar:
            return client.run(
                operations.append_rows(
                    dataset,
                    data,
                    y,
                    weights=weights,
                    media_type=media_type,
                    progress=progress or bar,
                )
            )

    def delete(self, dataset: DatasetRef) -> None:
        """Remove a dataset with all its versions."""
        self._client.run(operations.delete_dataset(dataset))


class Jobs:
    """What can be done with the searches of a service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, job: str | Job) -> Job:
        """Return how far a search is, and what it has found."""
        return self._client.run(operations.get_job(job))

    def list(self) -> list[Job]:
        """Return the searches under way and the latest that have ended, the latest first."""
        return self._client.run(operations.list_jobs())

    def cancel(self, job: str | Job) -> None:
        """End a search; what it has found stays."""
        self._client.run(operations.cancel_job(job))
