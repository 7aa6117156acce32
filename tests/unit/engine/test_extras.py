"""What a prediction has beside the mean: in data units, and the same in any batch."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import stdtrit

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import IntervalKind, NoiseKind, PerQuery, Prediction, Status, Wanted
from service.engine.batches import split
from service.engine.wanted import check_wanted
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
)
from tests import naive
from tests.predicting import make_task, predict_here

RNG = np.random.default_rng(29)
X = RNG.random((90, 2))
Y = np.column_stack([np.sin(4 * X[:, 0]) + X[:, 1], X[:, 0] * X[:, 1]])
Y += 0.1 * RNG.normal(size=Y.shape)
Q = 0.1 + 0.8 * RNG.random((7, 2))
SCALE, MATRIX = (0.5, 2.0), ((2.0, 0.5), (-0.3, 1.0))

SMOOTHERS: list[Fit] = [
    Knn(7),
    Knn(8, "distance", metric=SCALE),
    NadarayaWatson(Kernel.GAUSSIAN, 0.2),
    NadarayaWatson(Kernel.TRICUBE, n_neighbors=15, metric=MATRIX),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=25),
    LocalPolynomial(2, Kernel.GAUSSIAN, 0.5, metric=MATRIX),
    LocalPolynomial(1, Kernel.GAUSSIAN, 0.3, ridge=0.1, metric=SCALE),
    LocalPolynomial(3, Kernel.TRICUBE, n_neighbors=60),
    Linear(),
]
KRIGINGS: list[Fit] = [
    Kriging(Covariance.MATERN52, 0.4, 0.05),
    Kriging(Covariance.GAUSSIAN, 0.4, 0.05, 20, metric=MATRIX),
    Kriging(Covariance.MATERN32, 0.4, 0.05, 20, mean="constant"),
]
KINDS: tuple[IntervalKind, ...] = ("confidence", "prediction", "conformal", "jackknife_plus")


def ask(fit: Fit, q: Floats = Q, **wanted: object) -> Prediction:
    task = make_task(X, Y, fit, q, wanted=Wanted(**wanted))  # type: ignore[arg-type]
    return predict_here(task, NativeBackend())


def all_of(fit: Fit, kind: IntervalKind = "conformal", noise: NoiseKind = "constant") -> Wanted:
    """Return all that the fit can give."""
    has_slope = isinstance(fit, Linear) or (isinstance(fit, LocalPolynomial) and fit.degree > 0)
    return Wanted(
        diagnostics=True,
        std=True,
        interval=kind,
        noise=noise,
        slope=has_slope,
        gradient=fit != Knn(7),
        quantiles=() if isinstance(fit, Kriging | Linear) else (0.2, 0.5),
    )


def hat_rows(fit: Fit, q: Floats) -> Floats:
    """Return l_i(x), (m, n): what the fit makes of targets that are 1 at one row each."""
    task = make_task(X, np.eye(len(X)), fit, q)
    return predict_here(task, NativeBackend()).mean


@pytest.mark.parametrize("fit", SMOOTHERS, ids=str)
def test_the_deviations_are_those_of_the_hat_matrix(fit: Fit) -> None:
    hat = hat_rows(fit, X)
    rest = np.eye(len(X)) - hat
    spare = float(np.trace(rest @ rest.T))
    got = ask(fit, std=True)
    assert got.deviations is not None
    assert got.noise is not None
    if spare < 1e-9:
        assert np.isnan(got.deviations.observation).all()
        assert [issue.status for issue in got.issues] == [Status.UNDETERMINED]
        return
    variance = np.square(rest @ Y).sum(axis=0) / spare
    norms = np.square(hat_rows(fit, Q)).sum(axis=1)
    assert_allclose(got.noise.scale, np.sqrt(variance), rtol=1e-8)
    assert got.noise.trace is not None
    assert_allclose(got.noise.trace, np.trace(hat), rtol=1e-8)
    assert_allclose(got.deviations.estimate, np.sqrt(np.outer(norms, variance)), rtol=1e-8)
    assert_allclose(got.deviations.observation, np.sqrt(np.outer(norms + 1, variance)), rtol=1e-8)


@pytest.mark.parametrize("fit", [*SMOOTHERS[2:5], Knn(7)], ids=str)
def test_local_noise_goes_through_the_weights(fit: Fit) -> None:
    """The variance about a place is the mean of the 50 nearest squared leave-one-out residuals."""
    residual = np.empty_like(Y)
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        q = X[i : i + 1].copy()
        residual[i] = Y[i] - predict_here(make_task(X[rest], Y[rest], fit, q), NativeBackend()).mean
    x, q = (X, Q) if fit.metric == "euclidean" else (X @ np.array(MATRIX).T, Q @ np.array(MATRIX).T)
    noise = np.array([np.square(residual[naive.nearest(x, at, 50)]).mean(axis=0) for at in x])
    here = np.array([np.square(residual[naive.nearest(x, at, 50)]).mean(axis=0) for at in q])
    expected = np.square(hat_rows(fit, Q)) @ noise
    got = ask(fit, std=True, interval="prediction", noise="local")
    assert got.deviations is not None
    assert got.intervals is not None
    assert_allclose(got.deviations.estimate, np.sqrt(expected), rtol=1e-7)
    assert_allclose(got.deviations.observation, np.sqrt(expected + here), rtol=1e-7)
    half = stdtrit(50, 0.95) * got.deviations.observation
    assert_allclose(got.intervals.upper, got.mean + half, rtol=1e-9)


def test_the_deviations_of_kriging_are_the_textbooks() -> None:
    fit = Kriging(Covariance.MATERN52, 0.4, 0.05)
    k_rows = naive.covariances(X, X, "matern52", 0.4)
    k_q = naive.covariances(Q, X, "matern52", 0.4)
    inverse = np.linalg.inv(k_rows + 0.05 * np.eye(len(X)))
    signal = np.mean(np.square(inverse @ Y) / np.diag(inverse)[:, None], axis=0)
    latent = 1 - np.sum(k_q @ inverse * k_q, axis=1)
    got = ask(fit, std=True)
    assert got.deviations is not None
    assert_allclose(got.deviations.estimate, np.sqrt(np.outer(latent, signal)), rtol=1e-6)
    assert_allclose(got.deviations.observation, np.sqrt(np.outer(latent + 0.05, signal)), rtol=1e-6)


@pytest.mark.parametrize("fit", [fit for fit in SMOOTHERS + KRIGINGS if fit != Knn(7)], ids=str)
def test_the_gradient_is_the_central_difference_in_data_units(fit: Fit) -> None:
    got = ask(fit, gradient=True).gradient
    assert got is not None
    step = 1e-5
    for j in range(2):
        shift = step * np.eye(2)[j]
        ahead, behind = ask(fit, Q + shift).mean, ask(fit, Q - shift).mean
        assert_allclose(got[:, :, j], (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", SCALE, MATRIX], ids=str)
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_slope_is_linear_in_the_targets_in_data_units(
    metric: tuple[float, ...], degree: int
) -> None:
    fit = LocalPolynomial(degree, Kernel.TRICUBE, n_neighbors=60, metric=metric)
    got = ask(fit, slope=True)
    units = predict_here(
        make_task(X, np.eye(len(X)), fit, Q, wanted=Wanted(slope=True)), NativeBackend()
    )
    assert got.slopes is not None
    assert got.noise is not None
    assert units.slopes is not None
    influence = units.slopes.slope  # (m, n, d)
    assert_allclose(got.slopes.slope, np.einsum("mnd,nt->mtd", influence, Y), rtol=1e-9, atol=1e-9)
    norm = np.sqrt(np.square(influence).sum(axis=1))
    expected = got.noise.scale[:, None] * norm[:, None, :]
    assert_allclose(got.slopes.standard_error, expected, rtol=1e-9)


@pytest.mark.parametrize("metric", [SCALE, MATRIX], ids=str)
def test_a_plane_has_the_same_slope_in_any_metric(metric: tuple[float, ...]) -> None:
    got, expected = ask(Linear(metric=metric), slope=True), ask(Linear(), slope=True)
    assert got.slopes is not None
    assert expected.slopes is not None
    assert_allclose(got.slopes.slope, expected.slopes.slope, rtol=1e-9)
    assert_allclose(got.slopes.standard_error, expected.slopes.standard_error, rtol=1e-9)


def arrays(part: object, path: str = "") -> dict[str, np.ndarray]:
    """Return the arrays with an entry a query, by their names."""
    found = {}
    for name, value in vars(part).items():
        if isinstance(value, np.ndarray):
            found[path + name] = value
        elif isinstance(value, PerQuery):
            found.update(arrays(value, f"{path}{name}."))
    return found


@pytest.mark.parametrize("fit", SMOOTHERS + KRIGINGS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_query_gets_the_same_bits_alone_in_blocks_and_in_a_batch(
    fit: Fit, kind: IntervalKind
) -> None:
    q = np.vstack([Q, [[3.0, 3.0]]])
    if kind == "jackknife_plus" and isinstance(fit, Linear):
        kind = "conformal"
    # Each kind with one supposition, where the fit can have both.
    is_local = kind == "prediction" and not isinstance(fit, Kriging | Linear)
    wanted = all_of(fit, kind, "local" if is_local else "constant")
    task = make_task(X, Y, fit, q, wanted=wanted)
    together = predict_here(task, NativeBackend())
    in_blocks = predict_here(replace(task, plan=replace(task.plan, block_size=3)), NativeBackend())
    alone = [predict_here(replace(task, q=q[i : i + 1]), NativeBackend()) for i in range(len(q))]
    apart = split(together, [1] * len(q))
    assert arrays(together).keys() >= {"mean", "deviations.estimate", "intervals.lower"}
    for name, values in arrays(together).items():
        assert_array_equal(arrays(in_blocks)[name], values, err_msg=name)
        for i in range(len(q)):
            assert_array_equal(arrays(alone[i])[name], values[i : i + 1], err_msg=name)
            assert_array_equal(arrays(apart[i])[name], values[i : i + 1], err_msg=name)


def test_the_isolation_of_a_far_query_is_beyond_all_rows() -> None:
    got = ask(Knn(7), np.vstack([X[:1], [[9.0, 9.0]]]), interval="conformal").intervals
    assert got is not None
    assert (got.distance[0], got.rank[0], got.rank[1]) == (0.0, 0.0, 1.0)


def test_too_few_rows_for_the_level_bound_nothing_and_say_so() -> None:
    wanted = Wanted(interval="conformal", level=0.95)
    task = make_task(X[:15], Y[:15], Knn(3), Q, wanted=wanted)
    got = predict_here(task, NativeBackend())
    assert got.intervals is not None
    assert np.isinf(got.intervals.lower).all()
    assert [issue.status for issue in got.issues if issue.status is Status.UNBOUNDED]


@pytest.mark.parametrize("fit", [Knn(7), SMOOTHERS[2], SMOOTHERS[4], *KRIGINGS[:2]], ids=str)
def test_the_jackknife_is_that_of_fits_without_each_row(fit: Fit) -> None:
    """By its definition: all fits made anew, and their bounds sorted."""
    x = X if fit.metric == "euclidean" else X @ np.array(MATRIX).T
    q = Q if fit.metric == "euclidean" else Q @ np.array(MATRIX).T
    n, level = len(X), 0.8
    residual, without = np.empty_like(Y), np.empty((len(Q), *Y.shape))
    for i in range(n):
        rest = np.arange(n) != i
        task = make_task(X[rest], Y[rest], fit, np.vstack([X[i], Q]))
        mean = predict_here(task, NativeBackend()).mean
        residual[i], without[:, i] = np.abs(Y[i] - mean[0]), mean[1:]
    floor = 0.1 * residual.mean(axis=0)
    own = [residual[naive.nearest(x, at, 21)[1:]].mean(axis=0) + floor for at in x]
    here = np.array([residual[naive.nearest(x, at, 20)].mean(axis=0) + floor for at in q])
    half = (residual / np.array(own)) * here[:, None]
    rank = int(np.ceil(level * (n + 1)))
    upper = np.sort(without + half, axis=1)[:, rank - 1]
    lower = np.sort(without - half, axis=1)[:, n - rank]
    got = ask(fit, interval="jackknife_plus", level=level).intervals
    assert got is not None
    assert_allclose(got.upper, upper, rtol=1e-7, atol=1e-7)
    assert_allclose(got.lower, lower, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["conformal", "jackknife_plus"])
def test_rows_without_a_prediction_of_their_own_count_as_worst(kind: IntervalKind) -> None:
    x = np.linspace(0, 1, 40)[:, None]
    x[:6] -= 100 * np.arange(1, 7)[:, None]  # six rows alone: 15 % of all
    fit = NadarayaWatson(Kernel.TRICUBE, 0.1)
    bounds = []
    for level in (0.8, 0.9):
        wanted = Wanted(interval=kind, level=level)
        task = make_task(x, np.sin(5 * x), fit, x[20:21], wanted=wanted)
        found = predict_here(task, NativeBackend()).intervals
        assert found is not None
        bounds.append(float(found.upper[0, 0]))
    assert np.isfinite(bounds[0])
    assert np.isinf(bounds[1])


def test_a_query_without_support_has_nothing() -> None:
    fit = NadarayaWatson(Kernel.TRICUBE, 0.3)
    task = make_task(X, Y, fit, np.array([[9.0, 9.0]]), wanted=all_of(fit))
    got = predict_here(task, NativeBackend())
    for name, values in arrays(got).items():
        if name.startswith(("mean", "deviations.estimate", "intervals.l", "grad", "quantiles")):
            assert np.isnan(values).all(), name
    assert {issue.status for issue in got.issues} == {Status.NO_SUPPORT}


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        (Knn(5), Wanted(gradient=True)),
        (Knn(1, "distance"), Wanted(gradient=True)),
        (NadarayaWatson(Kernel.UNIFORM, 0.3), Wanted(gradient=True)),
        (Knn(5), Wanted(slope=True)),
        (NadarayaWatson(bandwidth=0.3), Wanted(slope=True)),
        (LocalPolynomial(0, bandwidth=0.3), Wanted(slope=True)),
        (Kriging(), Wanted(slope=True)),
        (Kriging(), Wanted(quantiles=(0.5,))),
        (Linear(), Wanted(quantiles=(0.5,))),
        (Kriging(), Wanted(std=True, noise="local")),
        (Linear(), Wanted(std=True, noise="local")),
        (Linear(), Wanted(interval="jackknife_plus")),
    ],
)
def test_what_a_fit_cannot_give_is_refused(fit: Fit, wanted: Wanted) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_wanted(wanted, fit)
    pointer = "/noise" if wanted.noise == "local" else "/include"
    pointer = "/interval_kind" if wanted.interval else pointer
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    check_wanted(Wanted(std=True), fit)
