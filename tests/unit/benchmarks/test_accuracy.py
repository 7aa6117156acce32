from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy import asked, best_by_name, wave
from benchmarks.accuracy_peers import tuned_peers
from benchmarks.accuracy_record import (
    AT_ONCE,
    AUTO,
    CALIFORNIA,
    Fitted,
    Outcome,
    Question,
    record_of,
)
from benchmarks.engine_calls import engine
from benchmarks.public_data import Split
from benchmarks.records import read_record
from service.domain.kernels import Kernel
from service.estimators.fits import Knn, LocalPolynomial
from service.estimators.judging import Score

FULL = wave(3, 0)
SPLIT = Split(FULL.x[:150], FULL.y[:150], FULL.test_x, FULL.test_y)


def question(number: int) -> Question:
    return Question(CALIFORNIA, number, lambda: SPLIT)


def outcome(rmse: float, searched_s: float) -> Outcome:
    return Outcome({AUTO: Fitted(rmse, 90.0, 1.0, 0.1)}, Knn(5), 0.1, 2.0, searched_s)


def test_a_search_and_its_peers_are_told_as_they_were(tmp_path: Path) -> None:
    with engine(tune_s=1.0) as calls:
        found = asked(calls, SPLIT)
    auto = found.auto
    assert auto.rmse < found.fitted[AT_ONCE].rmse
    assert found.answered_s <= found.compared_s <= found.searched_s
    assert auto.coverage is not None
    assert 80 < auto.coverage < 98
    peers = tuned_peers(SPLIT, 0.1)
    assert all(0.1 < peer.rmse < SPLIT.test_y.std() for peer in peers.values())
    first = question(0)
    record = record_of({first: found}, {first: peers}, 1.0)
    errors = read_record(record.write(tmp_path)).comparisons[0]
    assert errors.samples[AUTO].values == (auto.rmse,)
    for name, peer in peers.items():
        assert errors.samples[name].values == (peer.rmse,)


def test_the_mean_of_the_splits_and_the_slowest_search_have_to_reach_the_bounds() -> None:
    outcomes = {question(0): outcome(0.25, 40.0), question(1): outcome(0.625, 61.0)}
    targets = record_of(outcomes, {}, 60.0).targets
    assert [(t.measured, t.is_reached) for t in targets if t.id == "S3"] == [
        (0.4375, True),
        (0.4375, False),
    ]
    (ended,) = (t for t in targets if "ended" in t.claim)
    assert (ended.measured, ended.is_reached) == (61.0, False)


def test_the_best_of_each_method_is_one_that_all_rows_have_judged() -> None:
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=9)
    first = Score(fit, 0.3, (0.3,), 100, "grid", 0.0)
    scores = (
        first,
        replace(first, fit=replace(fit, n_neighbors=8), error=0.2),
        replace(first, fit=replace(fit, n_neighbors=7), error=0.1, rows=50),
        replace(first, fit=Knn(3), error=0.1, rows=50),
    )
    assert best_by_name(scores) == {"nearfit, local linear": scores[1].fit}
