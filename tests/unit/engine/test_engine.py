"""The use-cases: what is kept, what is refused, what a prediction says about itself."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from service.backends.native.backend import NativeBackend
from service.domain.dataset import Dataset, make_dataset
from service.domain.errors import DatasetNotFound, InvalidInput, NotReady, Overloaded, StoreFull
from service.domain.kernels import Kernel
from service.engine.commands import Answer, PredictCommand, TuneCommand
from service.engine.engine import Engine
from service.engine.jobs import JobState
from service.engine.limits import Limits
from service.engine.tuner import Tuner
from service.engine.workers.thread import ThreadWorker
from service.estimators.fits import Knn, LocalPolynomial, default_n_neighbors
from service.storage.store import DatasetStore

RNG = np.random.default_rng(3)
X, Y = RNG.random((60, 2)), RNG.normal(size=60)


def dataset() -> Dataset:
    return make_dataset(X.copy(), Y.copy())


def with_engine(
    scenario: Callable[[Engine], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def run() -> None:
        native = ThreadWorker(
            NativeBackend(), cores=2, prepared_budget_bytes=10**7, warm_up=lambda: None
        )
        bounds = limits or Limits()
        engine = Engine(
            DatasetStore(bounds.memory_budget_bytes),
            {"native": native},
            bounds,
            native=native,
            tuner=Tuner(NativeBackend()),
        )
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()
            await engine.close()

    asyncio.run(run())


def test_a_prediction_names_the_version_the_fit_and_the_plan() -> None:
    async def scenario(engine: Engine) -> None:
        stored, created = await engine.upload(dataset())
        assert created
        answer: Answer = await engine.predict(PredictCommand(X[:3].copy(), stored.id))
        assert (answer.dataset.id, answer.dataset.version) == (stored.id, 1)
        assert answer.plan.backend == "native"
        assert answer.fit == LocalPolynomial(
            1, Kernel.TRICUBE, n_neighbors=15, metric="standardized"
        )

    with_engine(scenario)


@pytest.mark.parametrize(
    ("n", "d", "expected"),
    [
        (100, 1, 20),  # ½ · 100^(4/5) = 19.9
        (10, 1, 10),  # five rows a coefficient
        (6, 1, 6),  # never above n
        (20_640, 8, 45),
        (10_000_000, 1, 500),
    ],
)
def test_the_rule_of_auto(n: int, d: int, expected: int) -> None:
    assert default_n_neighbors(n, d) == expected


def test_appended_rows_are_live_at_once() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        at = PredictCommand(np.array([[9.0, 9.0]]), stored.id, fit=Knn(1))
        before = await engine.predict(at)
        newer = await engine.append(stored.id, np.array([[9.0, 9.0]]), np.array([77.0]))
        assert (newer.id, newer.version, newer.n_rows) == (stored.id, 2, 61)
        after = await engine.predict(at)
        assert before.prediction.mean[0, 0] != 77
        assert after.prediction.mean[0, 0] == 77
        assert after.dataset.version == 2

    with_engine(scenario)


def test_appends_at_the_same_time_lose_nothing() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        await asyncio.gather(
            *(engine.append(stored.id, np.full((1, 2), i), np.array([i])) for i in range(20))
        )
        newest = engine.describe(stored.id)
        assert (newest.n_rows, newest.version) == (80, 21)
        assert sorted(newest.y[60:, 0].tolist()) == list(range(20))

    with_engine(scenario)


def test_a_deleted_dataset_is_gone_and_its_bytes_are_free() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        assert engine.memory_used_bytes == stored.nbytes
        engine.delete(stored.id)
        assert engine.memory_used_bytes == 0
        for refused in (
            engine.predict(PredictCommand(X[:1].copy(), stored.id)),
            engine.append(stored.id, X[:1].copy(), Y[:1].copy()),
        ):
            with pytest.raises(DatasetNotFound, match=stored.id):
                await refused

    with_engine(scenario)


@pytest.mark.parametrize(
    ("command", "pointer", "words"),
    [
        (PredictCommand(np.zeros((1, 3)), dataset=dataset()), "/queries", "3 features, but"),
        (PredictCommand(np.zeros(2), dataset=dataset()), "/queries", "another pair of brackets"),
        (PredictCommand(np.zeros((0, 2)), dataset=dataset()), "/queries", "no rows"),
        (PredictCommand(np.full((1, 2), np.inf), dataset=dataset()), "/queries/0/0", "finite"),
        (PredictCommand(np.zeros((11, 2)), dataset=dataset()), "/queries", "more than the 10"),
        (
            PredictCommand(np.zeros((1, 2)), dataset=dataset(), fit=Knn(61)),
            "/fit/n_neighbors",
            "from 1 to 60",
        ),
        (
            PredictCommand(np.zeros((1, 2)), dataset=dataset(), fit=Knn(3, metric=(1.0,))),
            "/fit/metric/scale",
            "one for each",
        ),
    ],
)
def test_what_does_not_fit_the_dataset_is_refused_by_pointer(
    command: PredictCommand, pointer: str, words: str
) -> None:
    async def scenario(engine: Engine) -> None:
        with pytest.raises(InvalidInput) as refused:
            await engine.predict(command)
        assert refused.value.faults[0].pointer == pointer
        assert words in refused.value.detail

    with_engine(scenario, Limits(max_queries=10))


def test_too_many_columns_are_refused() -> None:
    async def scenario(engine: Engine) -> None:
        with pytest.raises(InvalidInput, match="2 features, and the limit is 1 "):
            await engine.upload(dataset())

    with_engine(scenario, Limits(max_features=1))


def test_a_full_store_refuses_an_append_before_it_copies() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        with pytest.raises(StoreFull, match="DELETE would free"):
            await engine.append(stored.id, np.zeros((100, 2)), np.zeros(100))
        assert engine.describe(stored.id) is stored

    with_engine(scenario, Limits(memory_budget_bytes=2000))


def test_more_waiting_predictions_than_the_limit_are_refused() -> None:
    async def scenario(engine: Engine) -> None:
        commands = [PredictCommand(X.copy(), dataset=dataset(), fit=Knn(5)) for _ in range(5)]
        outcomes = await asyncio.gather(
            *(engine.predict(command) for command in commands), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert len(refused) == 2
        assert refused[0].retry_after_s == 1
        assert (await engine.predict(commands[0])).prediction.mean.shape == (60, 1)

    with_engine(scenario, Limits(max_pending_requests=3))


def test_more_waiting_searches_than_the_limit_are_refused() -> None:
    async def scenario(engine: Engine) -> None:
        command = TuneCommand(dataset=dataset(), budget_s=60)
        jobs = [engine.tune(command)]
        while jobs[0].state is JobState.WAITING:
            await asyncio.sleep(0.001)
        jobs += [engine.tune(command) for _ in range(2)]
        with pytest.raises(Overloaded, match="2 searches wait already"):
            engine.tune(command)
        jobs[1].cancel()
        assert engine.tune(command).state is JobState.WAITING

    with_engine(scenario, Limits(max_pending_requests=2))


def test_a_closed_engine_refuses() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.close()
        assert not engine.is_ready
        with pytest.raises(NotReady, match="shutting down"):
            await engine.run_aside(lambda: None)
        with pytest.raises(NotReady, match="shutting down"):
            await engine.predict(PredictCommand(X.copy(), dataset=dataset()))

    with_engine(scenario)


@pytest.mark.parametrize(("d", "degree"), [(44, 2), (1000, 2)])
def test_a_polynomial_of_too_many_coefficients_is_refused(d: int, degree: int) -> None:
    async def scenario(engine: Engine) -> None:
        rows = make_dataset(RNG.random((5, d)), RNG.random(5))
        fit = LocalPolynomial(degree, n_neighbors=5)
        with pytest.raises(InvalidInput, match="coefficients, more than the 1001") as refused:
            await engine.predict(PredictCommand(RNG.random((1, d)), dataset=rows, fit=fit))
        assert refused.value.faults[0].pointer == "/fit/degree"

    with_engine(scenario)


def test_the_widest_polynomial_is_fitted() -> None:
    async def scenario(engine: Engine) -> None:
        x = RNG.normal(size=(1200, 43))
        y = x[:, 0] * x[:, 1] + x[:, 2]
        fit = LocalPolynomial(2, Kernel.GAUSSIAN, bandwidth=50.0)
        q = RNG.normal(size=(1, 43))
        command = PredictCommand(q, dataset=make_dataset(x, y), fit=fit)
        answer = await engine.predict(command)
        expected = q[0, 0] * q[0, 1] + q[0, 2]
        np.testing.assert_allclose(answer.prediction.mean, [[expected]], rtol=1e-6)

    with_engine(scenario)


def test_a_small_request_on_rows_that_are_ready_is_answered_at_once() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        at = PredictCommand(X[:2].copy(), stored.id, fit=Knn(3))
        assert engine.predict_now(at) is None  # no tree yet
        for _ in range(2):
            first = await engine.predict(at)
        again = engine.predict_now(at)
        assert again is not None
        np.testing.assert_array_equal(again.prediction.mean, first.prediction.mean)
        assert again.queue_s < 0.1
        assert again.compute_s < 0.1
        inline = PredictCommand(X[:2].copy(), dataset=dataset(), fit=Knn(3))
        assert engine.predict_now(inline) is None
        with pytest.raises(InvalidInput, match="features"):
            engine.predict_now(PredictCommand(np.zeros((1, 3)), stored.id, fit=Knn(3)))

    with_engine(scenario)


def test_appended_rows_lie_beside_the_tree_until_a_new_one_pays() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        assert stored.indexed_rows == 60
        newer = await engine.append(stored.id, X[:5].copy(), Y[:5].copy())
        assert (newer.n_rows, newer.indexed_rows) == (65, 60)
        many = RNG.random((20_000, 2))
        newest = await engine.append(stored.id, many, many[:, 0].copy())
        assert newest.indexed_rows == newest.n_rows == 20_065

    with_engine(scenario)


def test_a_prediction_that_ends_after_its_dataset_leaves_nothing_behind() -> None:
    async def scenario(engine: Engine) -> None:
        stored, _ = await engine.upload(dataset())
        asked = [
            asyncio.ensure_future(engine.predict(PredictCommand(X.copy(), stored.id, fit=Knn(k))))
            for k in range(1, 9)
        ]
        await asyncio.sleep(0)
        engine.delete(stored.id)
        for answer in await asyncio.gather(*asked):
            assert answer.prediction.mean.shape == (60, 1)
        assert engine.memory_used_bytes == 0
        assert engine.prepared_bytes == 0
        assert engine.pending_requests == 0

    with_engine(scenario)
