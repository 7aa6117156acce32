"""Linear regression by factors and by gradient descent, against NumPy and against each other."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import DeadlineExceeded, InvalidInput
from service.domain.prediction import Prediction, Status
from service.engine.portions import SerialBlocks
from service.estimators.fits import Linear
from service.estimators.linear import (
    LinearModel,
    predict,
    prepare,
    residual_variance,
    slope_norm,
    slopes,
    squared_norms,
)
from service.estimators.linear_system import BLOCK_ROWS

FACTORS = Linear()
DESCENT = Linear("gradient_descent")


def sample(n: int = 200, d: int = 4, t: int = 2) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(n + d)
    x = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, size=d) + rng.normal(size=d)
    return x, x @ rng.normal(size=(d, t)) + 5 + rng.normal(size=(n, t))


def fitted(x: Floats, y: Floats, fit: Linear, row_weights: Floats | None = None) -> LinearModel:
    blocks = SerialBlocks(time.monotonic() + 60)
    return prepare(NativeBackend().load(x, y, row_weights=row_weights), fit, blocks)


def predicted(
    x: Floats,
    y: Floats,
    fit: Linear,
    q: Floats,
    *,
    row_weights: Floats | None = None,
    limit: int | None = None,
    diagnostics: bool = False,
) -> Prediction:
    model = fitted(x, y, fit, row_weights)
    rows = NativeBackend().load(x, y, row_weights=row_weights)
    return predict(rows, fit, model, q, neighbor_limit=limit, diagnostics=diagnostics)


def naive(x: Floats, y: Floats, q: Floats, row_weights: Floats | None = None) -> Floats:
    """Return the least-squares plane at q, by NumPy on columns of unit size."""
    root = np.ones(len(x)) if row_weights is None else np.sqrt(row_weights)
    size = np.abs(x).max(axis=0)
    design = np.column_stack([np.ones(len(x)), x / size])
    coefficients = np.linalg.lstsq(design * root[:, None], y * root[:, None], rcond=None)[0]
    return np.asarray(np.column_stack([np.ones(len(q)), q / size]) @ coefficients)


@pytest.mark.parametrize("d", [1, 4, 9, 60])
@pytest.mark.parametrize("fit", [FACTORS, DESCENT], ids=lambda fit: str(fit.solver))
def test_it_is_the_plane_of_least_squares(fit: Linear, d: int) -> None:
    x, y = sample(d=d)
    assert_allclose(predicted(x, y, fit, x[:20]).mean, naive(x, y, x[:20]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fit", [FACTORS, DESCENT], ids=lambda fit: str(fit.solver))
def test_row_weights_count_rows(fit: Linear) -> None:
    rng = np.random.default_rng(3)
    x, y = sample()
    p = rng.integers(1, 4, size=len(x)).astype(np.float64)
    repeated = np.repeat(np.arange(len(x)), p.astype(int))
    got = predicted(x, y, fit, x[:20], row_weights=p).mean
    assert_allclose(got, naive(x, y, x[:20], p), rtol=1e-9, atol=1e-9)
    assert_allclose(got, predicted(x[repeated], y[repeated], fit, x[:20]).mean, rtol=1e-9)


def test_many_blocks_of_rows_are_one_problem() -> None:
    x, y = sample(2 * BLOCK_ROWS + 1000, 3)
    assert_allclose(predicted(x, y, FACTORS, x[:20]).mean, naive(x, y, x[:20]), rtol=1e-10)


@pytest.mark.parametrize("rate", [None, 0.05])
@pytest.mark.parametrize("momentum", [None, 0.0, 0.9])
def test_both_solvers_agree(momentum: float | None, rate: float | None) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 6)) @ (np.eye(6) + 0.3 * rng.normal(size=(6, 6)))
    y = x @ rng.normal(size=(6, 2)) + rng.normal(size=(500, 2))
    direct = fitted(x, y, FACTORS)
    fit = Linear("gradient_descent", rate, momentum, max_steps=20_000)
    descended = fitted(x, y, fit)
    assert descended.relative_gradient <= fit.tolerance
    assert_allclose(descended.slope, direct.slope, rtol=1e-6, atol=1e-6 * np.abs(y).max())


def test_both_solvers_agree_on_nearly_dependent_features() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3))
    x = np.column_stack([x, x[:, 0] + 1e-2 * rng.normal(size=300)])
    y = x @ np.array([[1.0], [2.0], [3.0], [4.0]]) + rng.normal(size=(300, 1))
    direct, descended = fitted(x, y, FACTORS), fitted(x, y, DESCENT)
    assert np.linalg.cond(np.corrcoef(x.T)) > 1e4
    assert_allclose(descended.slope, direct.slope, rtol=1e-6)


def test_normal_equations_could_not_be_trusted_with_this() -> None:
    rng = np.random.default_rng(3)
    # The condition number of the features is 1e9, and its square beyond 64-bit numbers.
    s = rng.normal(size=(1000, 1))
    x = np.column_stack([s, s + 1e-9 * rng.normal(size=(1000, 1))])
    y = x @ np.array([[3.0], [-2.0]])
    model = fitted(x, y, FACTORS)
    assert_allclose(model.slope[:, 0], [3, -2], rtol=1e-6)
    assert not model.is_degenerate


def test_the_losses_are_the_mean_squared_residuals_of_each_step() -> None:
    x, y = sample(t=2)
    fit = Linear("gradient_descent", momentum=0.0, tolerance=0, max_steps=50)
    model = fitted(x, y, fit)
    for c, losses in enumerate(model.loss_history):
        assert losses.shape == (51,)
        assert_allclose(losses[0], np.var(y[:, c]), rtol=1e-12)
        assert (np.diff(losses) <= 1e-12 * losses[0]).all()
        shorter = Linear("gradient_descent", momentum=0.0, tolerance=0, max_steps=20)
        mean = predicted(x, y, shorter, x).mean[:, c]
        assert_allclose(losses[20], np.mean((y[:, c] - mean) ** 2), rtol=1e-10)


def test_acceleration_takes_fewer_steps() -> None:
    rng = np.random.default_rng(3)
    s = rng.normal(size=(400, 1))
    x = np.column_stack([s, s + 0.1 * rng.normal(size=(400, 1))])
    y = x @ np.array([[1.0], [-1.0]]) + 0.1 * rng.normal(size=(400, 1))
    plain = fitted(x, y, Linear("gradient_descent", momentum=0.0, max_steps=100_000))
    accelerated = fitted(x, y, DESCENT)
    assert 5 * len(accelerated.loss_history[0]) < len(plain.loss_history[0])


@pytest.mark.parametrize("fit", [FACTORS, DESCENT], ids=lambda fit: str(fit.solver))
def test_dependent_features_share_what_they_explain(fit: Linear) -> None:
    rng = np.random.default_rng(3)
    s, other = rng.normal(size=(100, 1)), rng.normal(size=(100, 1))
    x = np.column_stack([s, 10 * s, other, np.full(100, 7.0)])
    y = 2 * s + other
    model = fitted(x, y, fit)
    # In deviations both copies have the same share: 1 and 1, so 1 and 0.1 in data units.
    assert_allclose(model.slope[:, 0], [1, 0.1, 1, 0], rtol=1e-9, atol=1e-12)


def test_dependent_features_are_told_of() -> None:
    rng = np.random.default_rng(3)
    s = rng.normal(size=(100, 1))
    x = np.column_stack([s, 10 * s])
    assert fitted(x, s, FACTORS).is_degenerate
    got = predicted(x, s, FACTORS, x[:3])
    assert [(issue.status, issue.queries.tolist()) for issue in got.issues] == [
        (Status.DEGENERATE, [0, 1, 2])
    ]


def test_fewer_rows_than_features_are_interpolated() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(4, 6)), rng.normal(size=(4, 1))
    got = predicted(x, y, FACTORS, x)
    assert_allclose(got.mean, y, rtol=1e-10)
    assert got.issues[0].status is Status.DEGENERATE


@pytest.mark.parametrize("fit", [FACTORS, DESCENT], ids=lambda fit: str(fit.solver))
@pytest.mark.parametrize("n", [1, 5])
def test_rows_at_one_place_give_their_mean(fit: Linear, n: int) -> None:
    rng = np.random.default_rng(3)
    x, y = np.full((n, 2), 0.1), rng.normal(size=(n, 1))
    got = predicted(x, y, fit, np.array([[3.0, 4.0]]))
    assert_allclose(got.mean, [y.mean(axis=0)])


def test_a_far_origin_costs_no_digits() -> None:
    x, y = sample(d=3)
    far = x / np.abs(x).max(axis=0) + 1e6
    there = predicted(far, y, FACTORS, far[:5]).mean
    assert_allclose(there, predicted(far - 1e6, y, FACTORS, far[:5] - 1e6).mean, rtol=1e-9)


def test_the_weights_reproduce_the_prediction() -> None:
    rng = np.random.default_rng(3)
    x, y = sample(50)
    q = x[:7] + 0.1
    p = rng.random(50) + 0.5
    for row_weights in (None, p):
        got = predicted(x, y, FACTORS, q, row_weights=row_weights, limit=350, diagnostics=True)
        listed, told = got.neighbors, got.diagnostics
        assert listed is not None
        assert told is not None
        for i in range(len(q)):
            part = slice(listed.offsets[i], listed.offsets[i + 1])
            weights, rows = listed.weights[part], listed.rows[part]
            scale = np.abs(weights) @ np.abs(y[rows])
            assert (np.abs(weights @ y[rows] - got.mean[i]) <= 1e-12 * scale).all()
            assert_allclose(weights.sum(), 1, atol=1e-12)
            own = np.ones(50) if row_weights is None else row_weights
            assert_allclose(told.effective_rows[i], 1 / np.sum(weights**2 / own[rows]))
            assert (np.diff(listed.distances[part]) >= 0).all()


def test_a_query_has_the_same_bits_alone_and_in_a_batch() -> None:
    x, y = sample()
    together = predicted(x, y, FACTORS, x[:30], limit=10**6)
    for i in range(30):
        alone = predicted(x, y, FACTORS, x[i : i + 1], limit=10**6)
        assert_array_equal(alone.mean[0], together.mean[i])
        assert alone.neighbors is not None
        assert together.neighbors is not None
        assert_array_equal(
            alone.neighbors.weights, together.neighbors.weights[200 * i : 200 * (i + 1)]
        )


def test_standard_errors_of_the_slopes_are_those_of_the_textbook() -> None:
    x, y = sample(d=3)
    model = fitted(x, y, FACTORS)
    size = np.abs(x).max(axis=0)
    design = np.column_stack([np.ones(len(x)), x / size])
    expected = np.sqrt(np.diag(np.linalg.inv(design.T @ design))[1:]) / size
    assert_allclose(slope_norm(model), expected, rtol=1e-9)


def test_the_noise_has_the_degrees_of_freedom_of_the_textbook() -> None:
    x, y = sample(d=3)
    model, rows = fitted(x, y, FACTORS), NativeBackend().load(x, y)
    noise = residual_variance(rows, model)
    design = np.column_stack([np.ones(len(x)), x / np.abs(x).max(axis=0)])
    squares = np.linalg.lstsq(design, y, rcond=None)[1]
    assert (noise.freedom, noise.trace, noise.is_estimate) == (196.0, 4.0, False)
    assert_allclose(noise.variance, squares / 196, rtol=1e-9)
    assert_allclose(squared_norms(model, x).sum(), noise.trace_of_squares)
    assert_array_equal(slopes(model, 2).slope, [model.slope.T] * 2)


def test_a_plane_through_its_rows_says_nothing_of_the_noise() -> None:
    x, y = sample(n=5, d=4)
    noise = residual_variance(NativeBackend().load(x, y), fitted(x, y, FACTORS))
    assert noise.freedom == 0
    assert np.isnan(noise.variance).all()


def test_too_high_a_rate_is_refused() -> None:
    x, y = sample()
    with pytest.raises(InvalidInput, match="diverges at the rate 3") as refused:
        fitted(x, y, Linear("gradient_descent", rate=3.0, momentum=0.0))
    assert refused.value.faults[0].pointer == "/fit/rate"


def test_too_few_steps_are_told_of() -> None:
    x, y = sample()
    got = predicted(x, y, Linear("gradient_descent", max_steps=2), x[:2])
    assert [issue.status for issue in got.issues] == [Status.NOT_CONVERGED]
    assert "max_steps" in got.issues[0].advice


def test_gradient_descent_has_no_weights_to_list() -> None:
    x, y = sample()
    with pytest.raises(InvalidInput, match="least_squares"):
        predicted(x, y, DESCENT, x[:1], limit=1000)
    model = fitted(x, y, DESCENT)
    with pytest.raises(InvalidInput, match="least_squares"):
        slope_norm(model)
    with pytest.raises(InvalidInput, match="least_squares"):
        squared_norms(model, x[:1])
    with pytest.raises(InvalidInput, match="least_squares"):
        residual_variance(NativeBackend().load(x, y), model)
    told = predicted(x, y, DESCENT, x[:1], diagnostics=True).diagnostics
    assert told is not None
    assert np.isnan(told.effective_rows).all()


def test_it_stops_at_the_deadline() -> None:
    x, y = sample()
    with pytest.raises(DeadlineExceeded):
        prepare(NativeBackend().load(x, y), DESCENT, SerialBlocks(time.monotonic() - 1))
