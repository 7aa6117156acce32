"""The rows of K12: who is asked what, on a card."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import gpu_limits
from benchmarks.data import Sample, sample
from benchmarks.engine_calls import EngineCalls
from benchmarks.gpu_limits import Work
from benchmarks.racing import Contestant, race
from benchmarks.records import Comparison, Samples
from service.backends.keops.formulas import moments_formula, weight_parameters
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson

BANDWIDTH, NEIGHBORS, BATCHES = 0.05, 32, 1_000
ROUNDED = "in float32"


@dataclass(frozen=True)
class Question:
    """One row of K12.

    Attributes:
        name: For the table.
        fit: What nearfit is asked for.
        data: Rows and queries.
        work: What each pair needs at least; None where the work is more than one pass.
        peers: Others who do it, by name, and whether they compute in float32.
        has_limit: Whether it is held to the card's limit.
    """

    name: str
    fit: Fit
    data: Sample
    work: Work | None
    peers: Mapping[str, tuple[Callable[[], Floats], bool]]
    has_limit: bool = False


def k12(card: Any, *, n: int, m: int) -> list[Question]:
    """Return the questions, with the peers' rows on the card."""
    data = sample(n, 3, m)
    plain, rounded = (card.peers(data.x, data.y[:, None], is_rounded=r) for r in (False, True))
    found = []
    for queries in (m, 1):
        part = Sample(data.x, data.y, data.queries[:queries])
        size = f"n={n:,}, m={queries:,}"

        def by_both(
            call: Callable[[Any, Floats], Floats], q: Floats = part.queries
        ) -> dict[str, tuple[Callable[[], Floats], bool]]:
            return {
                "KeOps plainly": (lambda: call(plain, q), False),
                f"KeOps plainly, {ROUNDED}": (lambda: call(rounded, q), True),
            }

        found += [
            Question(
                f"Nadaraya-Watson, {size}",
                NadarayaWatson(Kernel.GAUSSIAN, bandwidth=BANDWIDTH),
                part,
                gpu_limits.moments(3, 0),
                by_both(lambda peers, q: peers.nadaraya_watson(q, BANDWIDTH)),
                has_limit=queries == m,
            ),
            Question(
                f"local linear, {size}",
                LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=BANDWIDTH),
                part,
                gpu_limits.moments(3, 1),
                by_both(lambda peers, q: peers.local_linear(q, BANDWIDTH)),
                has_limit=queries == m,
            ),
        ]
    found.append(
        Question(
            f"knn, k={NEIGHBORS}, n={n:,}, m={m:,}",
            Knn(NEIGHBORS),
            data,
            gpu_limits.search(3),
            {
                "KeOps plainly": (lambda: plain.knn(data.queries, NEIGHBORS), False),
                f"KeOps plainly, {ROUNDED}": (lambda: rounded.knn(data.queries, NEIGHBORS), True),
                "torch cdist and topk": (lambda: plain.knn_cdist(data.queries, NEIGHBORS), False),
                f"torch cdist and topk, {ROUNDED}": (
                    lambda: rounded.knn_cdist(data.queries, NEIGHBORS),
                    True,
                ),
            },
            has_limit=True,
        )
    )
    solves = (
        (1, n // 100, Covariance.GAUSSIAN, 1.0),
        (2, n // 100, Covariance.LAPLACIAN, 10.0),
        (1, n, Covariance.GAUSSIAN, 1.0),
    )
    for d, rows, kernel, alpha in solves:
        found.append(_kriging(card, d, rows, kernel, alpha, has_peer=rows < n))
    return found


def _kriging(
    card: Any, d: int, n: int, kernel: Covariance, alpha: float, *, has_peer: bool
) -> Question:
    """Return the question of a solve; KeOps' own solver has no cap, so it gets small ones only."""
    data = sample(n, d, 1_000, seed=d)
    peers = card.peers(data.x, data.y[:, None], is_rounded=False)

    def solve() -> Floats:
        return np.asarray(peers.kriging(data.queries, kernel.value, 0.1, alpha))

    return Question(
        f"kriging, {d}-D {kernel}, n={n:,}, solve and 1,000 queries",
        Kriging(kernel, length_scale=0.1, alpha=alpha),
        data,
        None,
        {"KeOps plainly": (solve, False)} if has_peer else {},
    )


def contestants(
    question: Question, ours: EngineCalls, native: EngineCalls
) -> dict[str, Contestant]:
    """Return nearfit on the card, on this machine's cores, and the peers."""
    return {
        "nearfit": _through_engine(ours, question),
        "nearfit, native": _through_engine(native, question),
        **{
            name: Contestant(
                call,
                # cdist takes differences of squares; KeOps' solver stops at 1e-6 in absolute terms.
                rtol=1e-2 if is_rounded else 1e-4,
                is_rounded=is_rounded,
            )
            for name, (call, is_rounded) in question.peers.items()
        },
    }


def _through_engine(calls: EngineCalls, question: Question) -> Contestant:
    """Return the engine's answer; where a system is solved, of rows that it has not seen yet."""
    data, fit = question.data, question.fit
    if not isinstance(fit, Kriging):
        dataset_id = calls.upload(data.x, data.y)
        return Contestant(lambda: calls.mean(dataset_id, data.queries, fit))
    known: list[str] = []

    def forget() -> None:
        while known:
            calls.delete(known.pop())

    def solve() -> Floats:
        known.append(calls.upload(data.x, data.y))
        return calls.mean(known[0], data.queries, fit)

    return Contestant(solve, before=forget, note="with the upload")


def few_queries(
    card: Any, library: Any, *, n: int, few: Sequence[int], rounds: int
) -> list[Comparison]:
    """Return how KeOps' schemes and nearfit's parts sum over n rows for few queries."""
    formula = moments_formula(3, 0)
    data = sample(n, 3, max(few), seed=3)
    y = np.ascontiguousarray(data.y[:, None])
    p = weight_parameters(Kernel.GAUSSIAN, 3)
    schemes = card.by_scheme(formula, data.x, {"y": y, "p": p}, BATCHES)
    placed = {"x": library.place(data.x), "y": library.place(y), "p": p}
    found = []
    for m in few:
        given = {
            "q": data.queries[:m],
            "h": np.full((m, 1), BANDWIDTH),
            "s": np.zeros((m, 1)),
        }

        def in_parts(given: Mapping[str, Floats] = given) -> Floats:
            arguments = {**placed, **given}
            return np.asarray(
                library.reduce(formula, *(arguments[name] for name, _, _ in formula.arguments))
            )

        def by(scheme: str, given: Mapping[str, Floats] = given) -> Floats:
            tensors = {name: card.place(value) for name, value in given.items()}
            return np.asarray(schemes[scheme](**tensors).cpu())

        # The 2-D scheme holds a partial result for every 192 rows and every query.
        fitting = [scheme for scheme in schemes if m <= 1_000 or scheme != "GPU_2D"]
        racing = {
            "nearfit": Contestant(in_parts),
            **{f"KeOps, {scheme}": Contestant(partial(by, scheme)) for scheme in fitting},
        }
        found.append(race(f"Gaussian sums, n={n:,}, m={m:,}", racing, rounds=rounds))
    return found


def moving(card: Any, library: Any, *, n: int, rounds: int) -> Comparison:
    """Return what it takes to bring rows to the card and numbers back."""
    x = sample(n, 3, 1).x
    there = library.place(x)
    seconds = {
        "to the card": tuple(card.seconds(lambda: library.place(x), 1) for _ in range(rounds)),
        "back": tuple(card.seconds(lambda: there.cpu(), 1) for _ in range(rounds)),
    }
    samples = {name: Samples(found) for name, found in seconds.items()}
    return Comparison(f"moving {n:,} × 3 numbers", "s", samples, baseline=None)
