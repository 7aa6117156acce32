"""S3-S8: how good is a fit that the service chooses from the training rows alone?

    python -m benchmarks.accuracy --data FOLDER [--seconds 60] [--seeds 0 1 2 3 4]
        [--only california kin40k bike] [--without-peers]
    python -m benchmarks.accuracy --quick
    python -m benchmarks.page

The training rows are uploaded to the engine, with the settings that `nearfit serve` has; the search
for the best fit begins by itself, and `auto` is asked at once, after five seconds and when the
search has ended. Only then are test rows looked at, by these fits and by the best one of each
method, and by scikit-learn's, tuned on the same rows for as long as the search may take.

The folder holds the files named in `benchmarks/public_data.py`; NEARFIT_BENCHMARK_DATA names it as
well. The second line needs none: it runs on simulated rows and writes nothing. A full run writes
benchmarks/results/accuracy.json, and the last line the tables of docs/accuracy.md.
"""

import argparse
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.accuracy_peers import tuned_peers
from benchmarks.accuracy_record import (
    AT_ONCE,
    AUTO,
    CALIFORNIA,
    LEVEL,
    SOON,
    SOON_S,
    Fitted,
    Outcome,
    Question,
    name_of,
    record_of,
    told,
)
from benchmarks.engine_calls import EngineCalls, engine
from benchmarks.public_data import Split, california, uci
from benchmarks.records import RESULTS, Record
from benchmarks.tables import terminal
from service.domain.arrays import Floats
from service.domain.prediction import Wanted
from service.estimators.fits import Auto, Fit
from service.estimators.judging import Score

POLL_S = 0.05

COMPILING_S, COMPILED_FEATURES = 3.0, (3, 20)
"""A short search with a tree and one with a scan, before anything is measured."""


def asked(calls: EngineCalls, split: Split) -> Outcome:
    """Upload the training rows, wait for the search, and then judge its fits by the test rows."""
    started = time.perf_counter()
    dataset_id = calls.upload(split.x, split.y)
    probe = split.x[:1]

    def auto() -> Fit:
        return calls.answer(dataset_id, probe, Auto()).fit

    first = soon = auto()
    answered_s = time.perf_counter() - started
    job, compared_s = calls.search_of(dataset_id), None
    while not job.has_ended and (compared_s is None or time.perf_counter() - started < SOON_S):
        time.sleep(POLL_S)
        now, elapsed_s = auto(), time.perf_counter() - started
        if compared_s is None and now != first:
            compared_s = elapsed_s
        if elapsed_s <= SOON_S:
            soon = now
    job.over.result()
    searched_s = time.perf_counter() - started
    best = auto()
    contestants = {AUTO: best, SOON: soon, AT_ONCE: first, **best_by_name(job.scores)}
    fitted = {
        name: judged(calls, dataset_id, split, fit, has_interval=name not in {SOON, AT_ONCE})
        for name, fit in contestants.items()
    }
    calls.delete(dataset_id)
    return Outcome(fitted, best, answered_s, compared_s or searched_s, searched_s)


def judged(
    calls: EngineCalls, dataset_id: str, split: Split, fit: Fit, *, has_interval: bool
) -> Fitted:
    """Return how a fit does at the test rows."""
    calls.answer(dataset_id, split.x[:1], fit)  # prepares
    started = time.perf_counter()
    mean = calls.mean(dataset_id, split.test_x, fit)
    predict_ms = 1e3 * (time.perf_counter() - started) / len(split.test_x)
    rmse, coverage, width = rmse_of(mean, split), None, None
    if has_interval:
        wanted = Wanted(interval="conformal", level=LEVEL)
        found = calls.answer(dataset_id, split.test_x, fit, wanted).prediction.intervals
        if found is None:
            raise TypeError("intervals were asked for")
        is_inside = (found.lower <= split.test_y) & (split.test_y <= found.upper)
        coverage = 100.0 * float(np.mean(is_inside))
        width = float(np.mean(found.upper - found.lower))
    return Fitted(rmse, coverage, width, predict_ms)


def rmse_of(mean: Floats, split: Split) -> float:
    """Return the error of estimates (m, 1) at the test rows."""
    return float(np.sqrt(np.mean((mean - split.test_y) ** 2)))


def best_by_name(scores: tuple[Score, ...]) -> dict[str, Fit]:
    """Return the best fit of each method, of those that all the judging rows have judged."""
    best: dict[str, Score] = {}
    most = max(score.rows for score in scores)
    for score in scores:
        name = name_of(score.fit)
        if score.rows == most and (name not in best or score.error < best[name].error):
            best[name] = score
    return {name: best[name].fit for name in sorted(best)}


def public(folder: Path, names: list[str], seeds: list[int]) -> Iterator[Question]:
    """Yield the splits that S3 to S5 are about; seeds are those of California Housing."""
    if "california" in names:
        for seed in seeds:
            yield Question(CALIFORNIA, seed, partial(california, folder, seed))
    for name in ("kin40k", "bike"):
        if name in names:
            yield Question(name, 0, partial(uci, folder, name, 0))


def simulated() -> Iterator[Question]:
    """Yield splits of simulated rows."""
    for seed in (0, 1):
        yield Question("a wave", seed, partial(wave, 3, seed))


def wave(d: int, seed: int) -> Split:
    """Return rows drawn here: a wave across two of d features, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, d))
    y = np.sin(2 * x[:, :1] + x[:, 1:2]) + 0.1 * rng.normal(size=(600, 1))
    return Split(x[:400], y[:400], x[400:], y[400:])


def measure(questions: list[Question], seconds: float, *, has_peers: bool) -> Record:
    """Return what nearfit, and its peers on the first split of each data set, make of them."""
    outcomes, peers = {}, {}
    with engine(tune_s=COMPILING_S) as calls:
        for d in COMPILED_FEATURES:
            asked(calls, wave(d, 0))
    with engine(tune_s=seconds) as calls:
        for question in questions:
            with threadpool_limits(1, "blas"):
                outcomes[question] = asked(calls, question.read())
            print(told(question, outcomes[question]), flush=True)
    met = set()
    for question in questions:
        if has_peers and question.data not in met:
            met.add(question.data)
            peers[question] = tuned_peers(question.read(), seconds)
            for name, one in peers[question].items():
                print(f"{question.title}: {name}: {one}", flush=True)
    return record_of(outcomes, peers, seconds)


def main() -> None:
    """Read the command line, measure, print the tables and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("NEARFIT_BENCHMARK_DATA"))
    parser.add_argument("--seconds", type=float, help="of each search; default 60, 2 with --quick")
    parser.add_argument("--only", nargs="+", default=["california", "kin40k", "bike"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--quick", action="store_true", help="simulated rows; nothing to quote")
    parser.add_argument("--results", type=Path, help="where to write accuracy.json")
    given = parser.parse_args()
    if given.quick:
        questions = list(simulated())
    elif given.data is None:
        parser.error("name the folder with the data, by --data or NEARFIT_BENCHMARK_DATA")
    else:
        questions = list(public(given.data, given.only, given.seeds))
    seconds = given.seconds or (2.0 if given.quick else 60.0)
    record = measure(questions, seconds, has_peers=not given.without_peers)
    print(terminal(record), flush=True)
    folder = given.results or (None if given.quick else RESULTS)
    if folder is not None:
        print(f"written to {record.write(folder)}", flush=True)


if __name__ == "__main__":
    main()
