"""K1: how fast is a mean of the nearest neighbours, beside the trees of other libraries?

10,000 queries of k = 32 on a million rows in three dimensions. Every tree is built beforehand;
nearfit's time is that of an engine call, the others' that of their search and the mean of y.

    python -m benchmarks.neighbors [--quick]
"""

from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.neighbor_searches import trees
from benchmarks.racing import Contestant, race
from benchmarks.records import Record, Target
from benchmarks.script import Options, run
from service.estimators.fits import Knn


def measure(options: Options) -> Record:
    """Return the times of nearfit and of each tree."""
    n, d, m, k = (20_000 if options.quick else 1_000_000), 3, 10_000, 32
    data = sample(n, d, m)
    with engine() as calls:
        dataset_id = calls.upload(data.x, data.y)
        fit = Knn(n_neighbors=k)
        contestants = {
            "nearfit": Contestant(lambda: calls.mean(dataset_id, data.queries, fit)),
            **trees(data, k),
        }
        times = race("knn mean", contestants, rounds=options.rounds)
    fastest = times.least()
    claim = f"time of the fastest peer, {fastest}, ÷ nearfit's"
    scikit_learn = min(times.ratio(name) for name in times.samples if "scikit-learn" in name)
    return Record(
        "neighbors",
        "K1: the mean of the nearest neighbours",
        {"n": n, "d": d, "m": m, "k": k},
        (times,),
        (
            Target("K1", "scikit-learn's time ÷ nearfit's", scikit_learn, 2),
            Target("K1", claim, times.ratio(fastest), 1),
        ),
    )


if __name__ == "__main__":
    run(measure, __doc__)
