"""Metrics, and what slopes say about them."""

import time

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.engine.portions import SerialBlocks
from service.estimators.fits import LocalPolynomial
from service.estimators.metric import (
    LEAST_RELEVANCE,
    MetricMap,
    average_outer_product,
    gradient_outer_product,
    matrix_metric,
    metric_map,
    relevance,
    relevance_of,
    relevant_matrix,
    relevant_scale,
    scale_metric,
)

RNG = np.random.default_rng(4)
X = RNG.normal(size=(300, 3)) * np.array([1.0, 10.0, 0.1])
MATRIX = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [0.3, 0.0, 1.0]])


def test_a_matrix_maps_points_and_maps_gradients_back() -> None:
    mapped = metric_map(matrix_metric(MATRIX), X)
    assert_allclose(mapped.of(X), X @ MATRIX.T, rtol=1e-13, atol=1e-13)
    # f(x) = cᵀAx has the gradient c by z and Aᵀc by x.
    c = np.array([1.0, -2.0, 0.5])
    assert_allclose(mapped.gradient(c[None]), (MATRIX.T @ c)[None], rtol=1e-14)


def test_a_diagonal_matrix_is_a_scale() -> None:
    scale = np.array([2.0, 0.5, 7.0])
    by_matrix = metric_map(matrix_metric(np.diag(1 / scale)), X)
    by_scale = metric_map(scale_metric(scale), X)
    assert_allclose(by_matrix.of(X), by_scale.of(X), rtol=1e-15)
    assert_allclose(by_matrix.gradient(X), by_scale.gradient(X), rtol=1e-15)


def test_no_metric_changes_nothing() -> None:
    mapped = metric_map("euclidean", X)
    assert mapped.of(X) is X
    assert mapped.gradient(X) is X


def test_a_point_has_the_same_bits_alone_and_in_a_block() -> None:
    mapped = MetricMap(matrix=MATRIX)
    together = mapped.of(X)
    for i in range(0, 300, 37):
        assert_array_equal(mapped.of(X[i : i + 1])[0], together[i])


def test_the_outer_product_of_a_plane_is_that_of_its_slope() -> None:
    slope = np.array([3.0, -0.2, 5.0])
    y = np.column_stack([X @ slope, 2 * (X @ slope)])
    mapped = metric_map("standardized", X)
    rows = NativeBackend().load(mapped.of(X), y)
    line = LocalPolynomial(1, n_neighbors=50, metric="standardized")
    blocks = SerialBlocks(time.monotonic() + 60)
    # In units of their deviations both targets have the same slope.
    got = average_outer_product(rows, line, np.arange(0, 300, 3), mapped, y.std(axis=0), blocks)
    expected = slope / y[:, 0].std()
    assert_allclose(got, np.outer(expected, expected), rtol=1e-8)


def test_rows_without_a_slope_are_left_out() -> None:
    slope = np.array([[[1.0, 2.0]], [[np.nan, np.nan]]])
    assert_allclose(gradient_outer_product(slope, np.ones(1)), [[1.0, 2.0], [2.0, 4.0]])


def test_relevance_is_what_a_typical_step_does() -> None:
    outer = np.diag([4.0, 0.01, 0.0])
    assert_allclose(relevance(outer, np.array([1.0, 10.0, 5.0])), [2 / 3, 1 / 3, 0.0])
    assert_allclose(relevance(np.zeros((2, 2)), np.ones(2)), [0.5, 0.5])


def test_scales_are_short_where_the_slopes_are_steep() -> None:
    deviation = np.array([1.0, 10.0, 5.0])
    got = relevant_scale(np.diag([4.0, 0.01, 0.0]), deviation)
    assert_allclose(got / got[0], [1.0, 20.0, 5.0 / LEAST_RELEVANCE])
    assert_array_equal(relevant_scale(np.zeros((3, 3)), deviation), deviation)


def test_the_root_of_the_outer_product_measures_by_it() -> None:
    outer, deviation = MATRIX.T @ MATRIX, np.array([1.0, 10.0, 5.0])
    root = relevant_matrix(outer, deviation)
    got = root.T @ root
    assert_allclose(got * outer[0, 0] / got[0, 0], outer, rtol=1e-9, atol=1e-9)
    assert_array_equal(relevant_matrix(np.zeros((3, 3)), deviation), np.diag(1 / deviation))


def test_the_root_does_not_depend_on_the_units() -> None:
    outer, units = MATRIX.T @ MATRIX, np.array([1e3, 1e-2, 1.0])
    changed = relevant_matrix(outer / np.outer(units, units), units)
    assert_allclose(changed * units, relevant_matrix(outer, np.ones(3)), rtol=1e-9, atol=1e-12)


def test_the_relevance_of_a_learned_metric_is_that_of_its_steps() -> None:
    deviation = np.array([1.0, 10.0, 5.0])
    by_scale = relevance_of(MetricMap(scale=np.array([0.5, 10.0, 1e9])), deviation)
    assert_allclose(by_scale, [2 / 3, 1 / 3, 0.0], atol=1e-8)
    by_matrix = relevance_of(MetricMap(matrix=np.diag([2.0, 0.1, 0.0])), deviation)
    assert_allclose(by_matrix, [2 / 3, 1 / 3, 0.0])
