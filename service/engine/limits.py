"""What the service takes, in numbers; `GET /limits` shows them."""

from dataclasses import dataclass

from service.domain.arrays import Floats
from service.domain.categories import Points
from service.domain.dataset import Dataset, as_points
from service.domain.errors import InvalidInput
from service.domain.labels import Labels


@dataclass(frozen=True)
class Limits:
    """The bounds of one service.

    Attributes:
        max_body_bytes: Of one request.
        max_queries: Rows of queries in one request.
        max_features: Columns of x.
        max_targets: Columns of y.
        max_neighbor_entries: Rows listed in one answer with include = ["neighbors"].
        default_timeout_s: For a prediction that names none.
        max_timeout_s: The most that a prediction may ask for.
        memory_budget_bytes: All datasets together.
        max_pending_requests: Predictions under way or waiting.
        max_batch_rows: Queries of several requests that are computed together; 1: none are.
    """

    max_body_bytes: int = 256 * 2**20
    max_queries: int = 1_000_000
    max_features: int = 1_000
    max_targets: int = 100
    max_neighbor_entries: int = 1_000_000
    default_timeout_s: float = 30.0
    max_timeout_s: float = 300.0
    memory_budget_bytes: int = 2**32
    max_pending_requests: int = 2_000
    max_batch_rows: int = 8_192


def check_columns(limits: Limits, *, features: int, targets: int, parent: str = "") -> None:
    """Check that a dataset has no more columns than the limits allow.

    Args:
        limits: What is taken.
        features: Columns of x.
        targets: Columns of y.
        parent: JSON pointer to what holds x and y.

    Raises:
        InvalidInput: It has more.
    """
    for name, kind, number, limit in (
        ("x", "features", features, limits.max_features),
        ("y", "targets", targets, limits.max_targets),
    ):
        if number > limit:
            raise InvalidInput.at(
                f"{parent}/{name}",
                f"There are {number:,} {kind}, and the limit is {limit:,} (max_{kind} in /limits); "
                "send fewer columns.",
            )


def checked_queries(
    queries: Points, dataset: Dataset, limits: Limits, name: str = "queries"
) -> Floats:
    """Return the queries in the dataset's coordinates, (m, D), finite, and as many as may be.

    Args:
        queries: (m, d), or (m,) for one feature.
        dataset: Where they ask.
        limits: What is taken.
        name: Of the field that they come from.

    Raises:
        InvalidInput: They are not.
    """
    q = as_points(queries, f"/{name}")
    if q.shape[1] != dataset.n_features:
        hint = (
            " For one query, wrap it in another pair of brackets."
            if queries.ndim == 1 and len(queries) == dataset.n_features
            else ""
        )
        raise InvalidInput.at(
            f"/{name}",
            f"The {name} have {q.shape[1]} features, but the dataset has "
            f"{dataset.n_features} ({', '.join(dataset.feature_names[:8])}); "
            f"send as many.{hint}",
        )
    if len(q) > limits.max_queries:
        raise InvalidInput.at(
            f"/{name}",
            f"There are {len(q):,} {name}, more than the {limits.max_queries:,} that "
            "one request may have (max_queries in /limits); send them in several.",
        )
    return dataset.coordinates(q, f"/{name}")


def checked_rows(
    x: Points,
    y: Floats | Labels,
    row_weights: Floats | None,
    dataset: Dataset,
    limits: Limits,
    pointer: str = "/rows",
) -> tuple[Floats, Floats, Floats | None]:
    """Return rows beside a dataset, x (m, D) and y (m, t), finite, and as many as may be queried.

    And their weights, (m,), if they have some.

    Raises:
        InvalidInput: They are not.
    """
    rows, targets, weights = dataset.matching(x, y, pointer, row_weights=row_weights)
    if len(rows) > limits.max_queries:
        raise InvalidInput.at(
            f"{pointer}/x",
            f"There are {len(rows):,} rows, more than the {limits.max_queries:,} queries that "
            "one request may have (max_queries in /limits); send them in several.",
        )
    if weights is not None and not weights.any():
        raise InvalidInput.at(
            f"{pointer}/weights", "All weights are 0, so that no row counts; send one above 0."
        )
    return rows, targets, weights
