"""Laws of categorical features: kernels of levels, written plainly, against coordinates."""

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats, Rows
from service.domain.categories import Category, Encoding, MixedRows
from service.domain.dataset import Dataset, make_dataset
from service.domain.kernels import Covariance, Kernel
from service.domain.labels import Labels
from service.domain.prediction import Prediction, Status, Wanted
from service.engine.portions import SerialBlocks
from service.engine.prepared import PreparedCache
from service.engine.task import run_task
from service.engine.workers.base import Task
from service.estimators.fits import (
    Fit,
    Knn,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    resolved,
)
from service.estimators.metric import metric_map
from tests.predicting import plan_of

COLORS = ("blue", "green", "red")
SIZES = ("s", "m", "l", "xl")
N, M = 150, 25
RNG = np.random.default_rng(28)
NUMBER, COLOR, SIZE = RNG.normal(size=N), RNG.integers(0, 3, N), RNG.integers(0, 4, N)
Y = np.sin(2.0 * NUMBER) + 0.7 * (COLOR == 1) + 0.2 * SIZE + 0.1 * RNG.normal(size=N)
Q_NUMBER, Q_COLOR, Q_SIZE = RNG.normal(size=M), RNG.integers(0, 3, M), RNG.integers(0, 4, M)


def rows_of(color: Rows, number: Floats, size: Rows) -> MixedRows:
    """Return rows (color, number, size) as a client sends them."""
    nothing = np.full(len(number), np.nan)
    numbers = np.column_stack([nothing, number, nothing])
    return MixedRows(numbers, {0: Labels(COLORS, color), 2: Labels(SIZES, size)})


DATASET = make_dataset(rows_of(COLOR, NUMBER, SIZE), Y, categories={"2": SIZES})
QUERIES = DATASET.coordinates(rows_of(Q_COLOR, Q_NUMBER, Q_SIZE), "/queries")


def predicted(
    fit: Fit,
    dataset: Dataset = DATASET,
    q: Floats = QUERIES,
    *,
    slope: bool = False,
    gradient: bool = False,
) -> Prediction:
    """Return the prediction at coordinates q."""
    fit = resolved(fit, dataset)
    task = Task(dataset, fit, q, plan_of(fit, dataset), Wanted(slope=slope, gradient=gradient))
    return run_task(task, NativeBackend(), PreparedCache(0), SerialBlocks(time.monotonic() + 60))


def product_kernel(h: float) -> Floats:
    """Return the weights of all rows at all queries: Gaussian times two of Racine and Li's."""
    level = np.exp(-0.5 / h**2)
    gaussian = np.exp(-0.5 * ((Q_NUMBER[:, None] - NUMBER) / h) ** 2)
    unordered = np.where(Q_COLOR[:, None] == COLOR, 1.0, level)
    ordered = level ** np.abs(Q_SIZE[:, None] - SIZE)
    return np.asarray(gaussian * unordered * ordered)


@pytest.mark.parametrize("h", [0.3, 0.6, 1.5])
def test_the_gaussian_is_the_product_of_the_kernels_of_all_features(h: float) -> None:
    w = product_kernel(h)
    got = predicted(NadarayaWatson(Kernel.GAUSSIAN, bandwidth=h)).mean[:, 0]
    assert_allclose(got, w @ Y / w.sum(axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2])
def test_polynomials_have_slopes_in_numbers_alone(degree: int) -> None:
    """As np's local linear regression: categories take part by their weights."""
    w, h = product_kernel(0.8), 0.8
    expected = []
    for i in range(M):
        basis = np.vander(NUMBER - Q_NUMBER[i], degree + 1, increasing=True)
        root = np.sqrt(w[i])
        expected.append(np.linalg.lstsq(basis * root[:, None], Y * root, rcond=None)[0])
    fit = LocalPolynomial(degree, Kernel.GAUSSIAN, bandwidth=h)
    found = predicted(fit, slope=True, gradient=True)
    assert_allclose(found.mean[:, 0], np.array(expected)[:, 0], rtol=0, atol=1e-10)
    assert found.slopes is not None
    assert found.gradient is not None
    assert_allclose(found.slopes.slope[:, 0, 1], np.array(expected)[:, 1], rtol=0, atol=1e-9)
    for derivatives in (found.slopes.slope, found.slopes.standard_error, found.gradient):
        assert derivatives.shape == (M, 1, 3)
        assert np.isnan(derivatives[:, :, [0, 2]]).all()
        assert np.isfinite(derivatives[:, :, 1]).all()


def test_aitchison_and_aitkens_kernel_is_the_same_up_to_a_factor_of_all_weights() -> None:
    """(1 - l) where levels are equal, l / (c - 1) where not: λ = l / ((c - 1)(1 - l))."""
    share, c = 0.3, len(COLORS)
    h = float(np.sqrt(-0.5 / np.log(share / ((c - 1) * (1.0 - share)))))
    dataset = make_dataset(MixedRows(np.full((N, 1), np.nan), {0: Labels(COLORS, COLOR)}), Y)
    w = np.where(Q_COLOR[:, None] == COLOR, 1.0 - share, share / (c - 1))
    q = dataset.coordinates(MixedRows(np.full((M, 1), np.nan), {0: Labels(COLORS, Q_COLOR)}), "")
    got = predicted(NadarayaWatson(Kernel.GAUSSIAN, bandwidth=h), dataset, q).mean[:, 0]
    assert_allclose(got, w @ Y / w.sum(axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("c", [1, 2, 3, 7, 40])
def test_levels_are_as_far_apart_as_they_are_different(c: int) -> None:
    levels, places = tuple(range(c)), np.arange(c)
    for is_ordered, expected in (
        (False, 1.0 - np.eye(c)),
        (True, np.abs(places[:, None] - places).astype(np.float64)),
    ):
        at = Category(levels, is_ordered).vertices()
        assert at.shape == (c, max(1, c - 1))
        squares = np.sum((at[:, None] - at) ** 2, axis=2)
        assert_allclose(squares, expected, rtol=0, atol=1e-14)


def test_a_level_comes_back_from_its_coordinates() -> None:
    encoding = DATASET.encoding
    assert encoding is not None
    assert_array_equal(encoding.levels_of(DATASET.x, 0), COLOR)
    assert_array_equal(encoding.levels_of(DATASET.x, 2), SIZE)
    assert_array_equal(DATASET.x[:, encoding.starts[1]], NUMBER)


def test_standardized_features_differ_by_two_in_mean_squared_distance() -> None:
    """Whatever they are: two rows at random, of numbers or of levels."""
    z = metric_map("standardized", DATASET.x, DATASET.features).of(DATASET.x)
    squares = (z[:, None] - z) ** 2
    for feature in range(3):
        columns = DATASET.features == feature
        pairs = squares[:, :, columns].sum(axis=2)
        assert_allclose(pairs.sum() / (N * (N - 1)), 2.0, rtol=1e-12)


FITS: list[Fit] = [
    Knn(7, "distance", "standardized"),
    NadarayaWatson(Kernel.TRICUBE, n_neighbors=30, metric="standardized"),
    LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=40, metric="standardized"),
    LocalPolynomial(2, Kernel.EPANECHNIKOV, n_neighbors=60, ridge=0.01),
    LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.7, robust=2),
    Kriging(Covariance.MATERN52, 1.0, 0.1),
    Kriging(Covariance.GAUSSIAN, 1.0, 0.1, n_neighbors=20, mean="constant"),
    Linear(),
]


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: type(fit).__name__)
def test_names_and_order_of_unordered_levels_change_nothing(fit: Fit) -> None:
    names = ("z", "y", "x")  # sorted the other way around
    nothing = np.full(N, np.nan)
    rows = MixedRows(
        np.column_stack([nothing, NUMBER, nothing]),
        {0: Labels(names, COLOR), 2: Labels(SIZES, SIZE)},
    )
    renamed = make_dataset(rows, Y, categories={"2": SIZES})
    none = np.full(M, np.nan)
    q = MixedRows(
        np.column_stack([none, Q_NUMBER, none]),
        {0: Labels(names, Q_COLOR), 2: Labels(SIZES, Q_SIZE)},
    )
    got = predicted(fit, renamed, renamed.coordinates(q, "/queries")).mean
    assert_allclose(got, predicted(fit).mean, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: type(fit).__name__)
def test_a_query_has_the_same_bits_alone_and_in_a_batch(fit: Fit) -> None:
    together = predicted(fit).mean
    for i in (0, 7, M - 1):
        assert_array_equal(predicted(fit, q=QUERIES[i : i + 1].copy()).mean[0], together[i])


def test_levels_that_are_not_in_reach_are_no_reason_for_a_warning() -> None:
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=15, metric="standardized")
    inside = (Q_NUMBER > -1.0) & (Q_NUMBER < 1.0)
    found = predicted(fit, q=QUERIES[inside])
    assert Status.DEGENERATE not in {issue.status for issue in found.issues}
    truth = np.sin(2 * Q_NUMBER) + 0.7 * (Q_COLOR == 1) + 0.2 * Q_SIZE
    assert np.sqrt(np.mean((found.mean[:, 0] - truth[inside]) ** 2)) < 0.35


def test_rows_of_categories_alone_are_averaged_by_level() -> None:
    dataset = make_dataset(MixedRows(np.full((N, 1), np.nan), {0: Labels(COLORS, COLOR)}), Y)
    q = dataset.x[:10].copy()
    line = LocalPolynomial(1, Kernel.EPANECHNIKOV, bandwidth=0.5)
    found = predicted(line, dataset, q, slope=True, gradient=True)
    expected = [Y[COLOR == COLOR[i]].mean() for i in range(10)]
    assert_allclose(found.mean[:, 0], expected, rtol=1e-12)
    assert found.slopes is not None
    assert np.isnan(found.slopes.slope).all()
    assert found.gradient is not None
    assert np.isnan(found.gradient).all()


def test_linear_regression_has_an_effect_for_each_level() -> None:
    dummies = np.column_stack([np.ones(N), NUMBER, COLOR == 1, COLOR == 2])
    nothing = np.full(N, np.nan)
    rows = MixedRows(np.column_stack([nothing, NUMBER]), {0: Labels(COLORS, COLOR)})
    dataset = make_dataset(rows, Y)
    expected = dummies @ np.linalg.lstsq(dummies, Y, rcond=None)[0]
    assert_allclose(predicted(Linear(), dataset, dataset.x.copy()).mean[:, 0], expected, rtol=1e-9)


def test_gradients_are_central_differences() -> None:
    encoding = DATASET.encoding
    assert encoding is not None
    j, step = encoding.starts[1], 1e-5
    up, down = QUERIES.copy(), QUERIES.copy()
    up[:, j] += step
    down[:, j] -= step
    for fit in (
        NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.8),
        LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.8, ridge=0.1),
        LocalPolynomial(2, Kernel.TRICUBE, bandwidth=2.5, ridge=0.1),
        Kriging(Covariance.MATERN52, 1.0, 0.1),
    ):
        found = predicted(fit, gradient=True).gradient
        assert found is not None
        difference = (predicted(fit, q=up).mean - predicted(fit, q=down).mean) / (2 * step)
        assert_allclose(found[:, 0, 1], difference[:, 0], rtol=1e-5, atol=1e-6)


def test_a_scale_is_one_number_a_feature() -> None:
    scale = (2.0, 0.5, 4.0)
    expected = np.concatenate([[0.5], [2.0] * 2, [4.0] * 3])
    mapped = metric_map(scale, DATASET.x, DATASET.features)
    assert mapped.scale is not None
    assert_array_equal(mapped.scale, expected)
    got = predicted(replace(FITS[1], metric=scale)).mean
    assert np.isfinite(got).all()


def test_numbers_come_first_among_the_coordinates() -> None:
    encoding = Encoding((Category(COLORS, False), None, Category(("a",), False), None))
    assert_array_equal(encoding.features, [1, 3, 0, 0, 2])
    assert_array_equal(encoding.starts, [2, 0, 4, 1])
    assert encoding.n_numbers == 2
