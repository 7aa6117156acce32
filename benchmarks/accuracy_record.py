"""What the benchmark of accuracy found, as tables and targets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_peers import GP_ROWS, Tuned
from benchmarks.public_data import Split
from benchmarks.records import Comparison, Record, Samples, Target
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson

AT_ONCE, SOON, AUTO = "nearfit, auto, at once", "nearfit, auto, after 5 s", "nearfit, auto"
SOON_S = 5.0
LEVEL = 0.9

CALIFORNIA = "California Housing"
BOUNDS = {
    CALIFORNIA: ("S3", (0.46, 0.43)),
    "kin40k": ("S4", (0.15, 0.10)),
    "bike": ("S5", (0.074,)),
}
"""The row of the table of targets, and what the error has to reach and should aim at."""


@dataclass(frozen=True)
class Question:
    """A split of a data set.

    Attributes:
        data: The name of the data set.
        number: Of the split.
        read: Reads it.
    """

    data: str
    number: int
    read: Callable[[], Split]

    @property
    def title(self) -> str:
        """For the head of a column."""
        return f"{self.data}, split {self.number}"


@dataclass(frozen=True)
class Fitted:
    """How a fit does at the test rows.

    Attributes:
        rmse: Root of the mean squared error.
        coverage: Percentage of the targets within the conformal intervals; None where not asked.
        width: Mean width of these.
        predict_ms: Time of a prediction, all test rows in one request.
    """

    rmse: float
    coverage: float | None
    width: float | None
    predict_ms: float


@dataclass(frozen=True)
class Outcome:
    """What nearfit made of a split.

    Attributes:
        fitted: By contestant.
        fit: What `auto` came to mean.
        answered_s: From the upload's begin to the first answer of `auto`.
        compared_s: To the first one by a fit that came out of the comparison of all methods.
        searched_s: To the end of the search.
    """

    fitted: Mapping[str, Fitted]
    fit: Fit
    answered_s: float
    compared_s: float
    searched_s: float

    @property
    def auto(self) -> Fitted:
        """How the fit that the search has ended with does."""
        return self.fitted[AUTO]


Peers = Mapping[str, Tuned]


def record_of(
    outcomes: Mapping[Question, Outcome], peers: Mapping[Question, Peers], seconds: float
) -> Record:
    """Return the tables and targets."""
    of_data: dict[str, list[Question]] = {}
    for question in outcomes:
        of_data.setdefault(question.data, []).append(question)
    firsts = [(questions[0], outcomes[questions[0]]) for questions in of_data.values()]
    errors, times, predictions, coverages, widths = [], [], [], [], []
    for question, outcome in firsts:
        fitted, tuned, title = outcome.fitted, peers.get(question, {}), question.title
        both: dict[str, Fitted | Tuned] = {**fitted, **tuned}
        errors.append(_comparison(title, "", {n: one.rmse for n, one in both.items()}, AUTO))
        chosen = {AUTO: outcome.searched_s, **{n: one.tuning_s for n, one in tuned.items()}}
        times.append(_comparison(f"{title}: time of choosing", "s", chosen))
        each = {name: one.predict_ms for name, one in both.items()}
        predictions.append(_comparison(f"{title}: a prediction", "ms", each))
        coverage = {name: one.coverage for name, one in fitted.items()}
        coverages.append(_comparison(f"{title}: coverage", "%", coverage))
        width = {name: one.width for name, one in fitted.items()}
        widths.append(_comparison(f"{title}: mean width", "", width))
    repeated = [
        _of_all_splits(data, [outcomes[question] for question in questions])
        for data, questions in of_data.items()
        if len(questions) > 1
    ]
    targets = [
        target
        for data, questions in of_data.items()
        for target in targets_of(data, [outcomes[question] for question in questions])
    ]
    return Record(
        "accuracy",
        "S3-S8: the accuracy of fits that are chosen from the training rows",
        {"seconds": seconds, "level": LEVEL, "rows of the Gaussian process": GP_ROWS},
        (*errors, *repeated, *times, *predictions, *coverages, *widths),
        tuple(targets),
        tuple(told(question, outcome) for question, outcome in outcomes.items()),
    )


def targets_of(data: str, outcomes: list[Outcome]) -> Iterator[Target]:
    """Yield the figures of a data set that have a bound."""
    row, bounds = BOUNDS.get(data, ("", ()))
    error = float(np.mean([outcome.auto.rmse for outcome in outcomes]))
    splits = "" if len(outcomes) == 1 else f", mean of {len(outcomes)} splits"
    for bound, aim in zip(bounds, ("to reach", "the aim"), strict=False):
        yield Target(row, f"{data}: test RMSE of auto{splits}, {aim}", error, bound, True, "")
    for claim, seconds, bound in (
        ("until the search has ended", [one.searched_s for one in outcomes], 60.0),
        ("until auto answers", [one.answered_s for one in outcomes], SOON_S),
        ("until auto is a tuned fit", [one.compared_s for one in outcomes], SOON_S),
    ):
        yield Target("S6", f"{data}: {claim}", max(seconds), bound, True, "s")
    covered = [one.auto.coverage for one in outcomes if one.auto.coverage is not None]
    yield Target("S7", f"{data}: least coverage of 90 % intervals", min(covered), 88, unit="%")
    yield Target("S7", f"{data}: largest coverage", max(covered), 92, True, "%")


def told(question: Question, outcome: Outcome) -> str:
    """Return the outcome in a sentence."""
    return (
        f"{question.title}: `auto` became {described(outcome.fit)}; test RMSE "
        f"{outcome.auto.rmse:.3g}, coverage {outcome.auto.coverage:.1f} %, search "
        f"{outcome.searched_s:.1f} s."
    )


def name_of(fit: Fit) -> str:
    """Return what a row of a table calls the method."""
    match fit:
        case Knn():
            return "nearfit, knn"
        case NadarayaWatson():
            return "nearfit, Nadaraya-Watson"
        case LocalPolynomial():
            return f"nearfit, local {'linear' if fit.degree == 1 else f'degree {fit.degree}'}"
        case Kriging():
            return "nearfit, local kriging"
        case _:
            return "nearfit, linear"


def described(fit: Fit) -> str:
    """Return a fit in a few words."""
    words = [name_of(fit).partition(", ")[2]]
    if isinstance(fit, Kriging):
        words.append(fit.kernel.value)
    if fit.n_neighbors is not None:
        words.append(f"{fit.n_neighbors} rows")
    if isinstance(fit.metric, str):
        words.append(f"{fit.metric} metric")
    else:
        words.append("a full matrix" if isinstance(fit.metric[0], tuple) else "a scale a feature")
    return ", ".join(words)


def _of_all_splits(data: str, outcomes: list[Outcome]) -> Comparison:
    """Return the errors of the contestants that all splits have."""
    samples = {
        name: Samples(tuple(outcome.fitted[name].rmse for outcome in outcomes))
        for name in outcomes[0].fitted
        if all(name in outcome.fitted for outcome in outcomes)
    }
    return Comparison(f"{data}, {len(outcomes)} splits", "", samples, None)


def _comparison(
    title: str, unit: str, values: Mapping[str, float | None], baseline: str | None = None
) -> Comparison:
    samples = {name: Samples((value,)) for name, value in values.items() if value is not None}
    return Comparison(title, unit, samples, baseline)
