"""What the service takes, in numbers; `GET /limits` shows them."""

from dataclasses import dataclass


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
