"""S3-S6: how good is the fit that is chosen from the training rows alone, and when is it known?

    python -m benchmarks.tuning --data FOLDER [--seconds 60] [--cores 2]
        [--only california kin40k bike] [--seeds 0 1 2 3 4]

The folder holds the files named in `benchmarks/public_data.py`; NEARFIT_BENCHMARK_DATA names it as
well. Test rows are looked at once, by the fits that the search has ended with: the best one, the
best of each method, and the best one of the first five seconds.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.public_data import Split, california, uci
from service.backends.base import Resident
from service.backends.native.backend import NativeBackend
from service.backends.native.planning import preferred_search
from service.domain.arrays import Floats
from service.estimators import kriging, local_polynomial, nadaraya_watson, neighbors
from service.estimators.blocks import Blocks
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from service.estimators.judging import Score, best_of, best_of_each_method
from service.estimators.metric import metric_map
from service.estimators.tuning import search

T = TypeVar("T")

SOON_S = 5.0
WARMED_FEATURES = (2, 20)
"""With a tree and with a scan."""

AT_ONCE = 64


class ThreadBlocks:
    """Pieces of work on some threads, without a deadline."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def __call__(
        self, work: Callable[[slice], T], m: int, block_size: int, first: int = 1
    ) -> list[T]:
        """Return what `work` gives for each slice, in order."""
        parts = [slice(start, min(start + block_size, m)) for start in range(0, m, block_size)]
        return list(self._pool.map(work, parts))

    def inside(self) -> Blocks:
        """Return these blocks."""
        return self

    def check(self) -> None:
        """Do nothing: there is no deadline."""


def loader(y: Floats) -> Callable[[Floats], Resident]:
    """Return what makes rows in any metric resident with these targets."""

    def load(z: Floats) -> Resident:
        way, _ = preferred_search(*z.shape)
        return NativeBackend().load(z, y, way)

    return load


def test_rmse(split: Split, fit: Fit, blocks: Blocks) -> float:
    """Return the error of a fit to the training rows at the test rows."""
    metric = metric_map(fit.metric, split.x)
    rows = loader(split.y)(np.ascontiguousarray(metric.of(split.x)))
    q = np.ascontiguousarray(metric.of(split.test_x))

    def predicted(part: slice) -> Floats:
        match fit:
            case Knn():
                method = neighbors.predict(
                    rows, fit, q[part], neighbor_limit=None, diagnostics=False
                )
            case NadarayaWatson():
                method = nadaraya_watson.predict(
                    rows, fit, q[part], neighbor_limit=None, diagnostics=False
                )
            case LocalPolynomial():
                method = local_polynomial.predict(
                    rows, fit, q[part], neighbor_limit=None, diagnostics=False
                )
            case Kriging():
                method = kriging.predict(
                    rows, fit, kriging.prepare(rows, fit, None, blocks), q[part],
                    neighbor_limit=None, diagnostics=False, blocks=blocks,
                )  # fmt: skip
        return method.mean

    mean = np.concatenate(blocks(predicted, len(q), AT_ONCE))
    return float(np.sqrt(np.mean((mean - split.test_y) ** 2)))


def described(fit: Fit) -> str:
    """Return a fit in a few words."""
    kind = type(fit).__name__
    if isinstance(fit, LocalPolynomial):
        kind += f" {fit.degree}"
    if isinstance(fit, Kriging):
        kind += f" {fit.kernel.value}"
    metric: str = fit.metric if isinstance(fit.metric, str) else "scale"
    if isinstance(fit.metric, tuple) and isinstance(fit.metric[0], tuple):
        metric = "matrix"
    return f"{kind}, {fit.n_neighbors} rows, {metric}"


def report(name: str, split: Split, seconds: float, blocks: Blocks) -> float:
    """Tune, print what was found, and return the error at the test rows."""
    started = time.perf_counter()
    scores: list[Score] = list(search(split.x, split.y, loader(split.y), blocks, seconds=seconds))
    elapsed = time.perf_counter() - started
    best = best_of(scores)
    error = test_rmse(split, best.fit, blocks)
    print(f"{name}: {elapsed:.1f} s, {len(scores)} scores")
    soon = [score for score in scores if score.elapsed_s <= SOON_S]
    if soon:
        first = best_of(soon)
        print(
            f"  after {first.elapsed_s:4.1f} s: leave-one-out {first.rmse[0]:.4f}, "
            f"test {test_rmse(split, first.fit, blocks):.4f}: {described(first.fit)}"
        )
    judged = [score for score in scores if score.rows == best.rows]
    for score in best_of_each_method(judged):
        at_test = error if score is best else test_rmse(split, score.fit, blocks)
        print(
            f"  found {score.elapsed_s:4.1f} s: leave-one-out {score.rmse[0]:.4f}, "
            f"test {at_test:.4f}: {described(score.fit)}",
            flush=True,
        )
    return error


def splits(folder: Path, names: list[str], seeds: list[int]) -> Iterator[tuple[str, Split]]:
    """Yield the splits that S3 to S5 are about; seeds are those of California Housing."""
    if "california" in names:
        for seed in seeds:
            yield f"california {seed}", california(folder, seed)
    for name in ("kin40k", "bike"):
        if name in names:
            yield name, uci(folder, name, 0)


def main() -> None:
    """Read the command line and report on each split."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.environ.get("NEARFIT_BENCHMARK_DATA")
    parser.add_argument("--data", type=Path, default=default, required=default is None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", default=["california", "kin40k", "bike"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    with ThreadPoolExecutor(given.cores) as pool:
        blocks = ThreadBlocks(pool)
        for d in WARMED_FEATURES:
            x = np.random.default_rng(0).random((300, d))
            y = x[:, :1].copy()
            for _ in search(x, y, loader(y), blocks, seconds=20.0):
                pass  # compiles
        california_errors = []
        for name, split in splits(given.data, given.only, given.seeds):
            error = report(name, split, given.seconds, blocks)
            if name.startswith("california"):
                california_errors.append(error)
        if california_errors:
            print(f"california, mean of {len(california_errors)}: {np.mean(california_errors):.4f}")


if __name__ == "__main__":
    main()
