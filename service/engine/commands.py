"""What clients ask the engine for, and what they get."""

from dataclasses import dataclass, field

from service.domain.arrays import Floats
from service.domain.dataset import Dataset
from service.domain.prediction import Prediction
from service.engine.plan import Plan
from service.estimators.fits import AnyFit, Auto, Fit


@dataclass(frozen=True, eq=False)
class PredictCommand:
    """A prediction as a client asks for it.

    Attributes:
        queries: (m, d), or (m,) for one feature.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
        fit: What to fit.
        include: "neighbors", "diagnostics".
        timeout_s: How long it may take; None for the service's default.
    """

    queries: Floats
    dataset_id: str | None = None
    dataset: Dataset | None = None
    fit: AnyFit = field(default_factory=Auto)
    include: frozenset[str] = frozenset()
    timeout_s: float | None = None


@dataclass(frozen=True, eq=False)
class TuneCommand:
    """A search as a client asks for it.

    Attributes:
        budget_s: When no further candidate is begun.
        dataset_id: A stored dataset; or else
        dataset: rows sent along.
    """

    budget_s: float
    dataset_id: str | None = None
    dataset: Dataset | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """A prediction and how it came about.

    Attributes:
        dataset: The version that was looked at; its id is "" for rows sent along.
        fit: As resolved.
        prediction: The estimates.
        plan: Where and in which portions they were computed.
        queue_s: Seconds of waiting: for a batch under way, a thread, or another preparing the same.
        compute_s: Seconds of computing, of the batch that it was part of.
    """

    dataset: Dataset
    fit: Fit
    prediction: Prediction
    plan: Plan
    queue_s: float
    compute_s: float
