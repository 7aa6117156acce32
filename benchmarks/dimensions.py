"""K2: is nearfit the fastest to find neighbours in every dimension, from 1 to 128?

1,000 queries of k = 32 on 200,000 rows, against trees and against scans of all rows. Trees run up
to d = 8 only: at d = 16 they visit nearly every row, and take several times as long as a scan.

    python -m benchmarks.dimensions [--quick]
"""

from benchmarks.data import sample
from benchmarks.engine_calls import EngineCalls, engine
from benchmarks.neighbor_searches import scans, trees
from benchmarks.racing import Contestant, race
from benchmarks.records import Comparison, Record, Target
from benchmarks.script import Options, run
from service.estimators.fits import Knn

DIMENSIONS = (1, 2, 3, 8, 16, 32, 64, 128)
QUICK_DIMENSIONS = (1, 3, 16, 128)
MOST_FOR_TREES = 8


def compare(calls: EngineCalls, n: int, d: int, m: int, k: int, rounds: int) -> Comparison:
    """Return the times in one dimension."""
    data = sample(n, d, m)
    dataset_id = calls.upload(data.x, data.y)
    contestants = {
        "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, Knn(n_neighbors=k)))
    }
    if d <= MOST_FOR_TREES:
        contestants |= trees(data, k)
    contestants |= scans(data, k)
    times = race(f"d = {d}", contestants, rounds=rounds)
    calls.delete(dataset_id)
    return times


def measure(options: Options) -> Record:
    """Return the times in each dimension."""
    n, m, k = (5_000 if options.quick else 200_000), 1_000, 32
    dimensions = QUICK_DIMENSIONS if options.quick else DIMENSIONS
    with engine() as calls:
        columns = [compare(calls, n, d, m, k, options.rounds) for d in dimensions]
    targets = []
    for d, times in zip(dimensions, columns, strict=True):
        fastest = times.least()
        claim = f"d = {d}: time of the fastest peer, {fastest}, ÷ nearfit's"
        targets.append(Target("K2", claim, times.ratio(fastest), 1))
    return Record(
        "dimensions",
        "K2: the mean of the nearest neighbours in 1 to 128 dimensions",
        {"n": n, "m": m, "k": k},
        tuple(columns),
        tuple(targets),
    )


if __name__ == "__main__":
    run(measure, __doc__, rounds=3)
