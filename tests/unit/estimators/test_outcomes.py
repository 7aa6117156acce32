"""Numerical outcomes of single queries are values with advice."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Prediction, Status
from service.estimators.fits import Fit, Knn, Kriging, LocalPolynomial, NadarayaWatson
from tests.predicting import Predict


def column(*values: float) -> Floats:
    return np.array(values)[:, None]


def statuses(prediction: Prediction, query: int = 0) -> set[Status]:
    return {issue.status for issue in prediction.issues if query in issue.queries}


def advice(prediction: Prediction, status: Status) -> str:
    return next(issue.advice for issue in prediction.issues if issue.status is status)


@pytest.mark.parametrize("kernel", [kernel for kernel in Kernel if kernel.is_compact])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_no_row_in_reach_is_null_with_an_issue(
    predict: Predict, kernel: Kernel, degree: int
) -> None:
    fit = LocalPolynomial(degree, kernel, bandwidth=0.5)
    got = predict(column(0, 1, 2), column(1, 2, 3), fit, column(5, 1))
    assert np.isnan(got.mean[0, 0])
    assert statuses(got, 0) == {Status.NO_SUPPORT}
    assert Status.NO_SUPPORT not in statuses(got, 1)


def test_one_place_in_reach_of_a_line_gives_the_mean(predict: Predict) -> None:
    fit = LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.5)
    got = predict(column(0, 0, 1, 2), column(1, 3, 7, 9), fit, column(0.1))
    assert_allclose(got.mean, [[2.0]], rtol=1e-12)
    assert statuses(got) == {Status.DEGENERATE}
    assert "degree 0" in advice(got, Status.DEGENERATE)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_far_rows_have_no_say_when_the_nearest_lie_at_the_query(
    predict_natively: Predict, degree: int
) -> None:
    # The bandwidth is that of an exact hit, in which the products of far monomials are infinite.
    fit = LocalPolynomial(degree, Kernel.GAUSSIAN, n_neighbors=1)
    got = predict_natively(column(0, 0, 0, 2e4), column(1, 2, 3, 9), fit, column(0))
    assert_allclose(got.mean, [[2.0]], rtol=1e-12)
    assert statuses(got) == {Status.DEGENERATE}


def test_two_places_in_reach_of_a_quadratic_give_the_line(predict: Predict) -> None:
    fit = LocalPolynomial(2, Kernel.UNIFORM, bandwidth=1.1)
    got = predict(column(0, 1, 5), column(1, 3, 7), fit, column(0.5), diagnostics=True)
    assert_allclose(got.mean, [[2.0]], rtol=1e-12)
    assert statuses(got) == {Status.DEGENERATE}
    assert "degree 1 was used" in advice(got, Status.DEGENERATE)
    assert got.diagnostics is not None
    assert got.diagnostics.degree.tolist() == [1]


@pytest.mark.parametrize(("places", "degree"), [(4, 3), (3, 2), (2, 1), (1, 0)])
def test_a_cubic_takes_the_highest_degree_that_its_rows_determine(
    predict_natively: Predict, places: int, degree: int
) -> None:
    x = column(*range(places), 50)
    fit = LocalPolynomial(3, Kernel.UNIFORM, bandwidth=10.0)
    got = predict_natively(x, (1 + x) ** degree, fit, column(0.5), diagnostics=True)
    assert_allclose(got.mean, [[1.5**degree]], rtol=1e-9)
    assert got.diagnostics is not None
    assert got.diagnostics.degree.tolist() == [degree]
    if degree == 3:
        assert statuses(got) == set()
    else:
        assert statuses(got) == {Status.DEGENERATE}
        said = advice(got, Status.DEGENERATE)
        if degree > 0:
            assert f"a polynomial of degree 3, so degree {degree} was used" in said


def test_a_constant_feature_leaves_the_fit_in_the_others(predict: Predict) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((50, 1))
    flat = np.column_stack([x[:, 0], np.full(50, 0.1)])
    fit = LocalPolynomial(1, Kernel.TRICUBE, bandwidth=0.7)
    got = predict(flat, 2 + 3 * x, fit, np.array([[0.5, 0.1], [0.5, 0.3]]))
    assert_allclose(got.mean[:, 0], 3.5, rtol=1e-9)
    assert statuses(got) == {Status.DEGENERATE}
    assert "flat" in advice(got, Status.DEGENERATE)
    assert Status.EXTRAPOLATED in statuses(got, 1)


def test_rows_on_a_line_in_the_plane_leave_the_fit_along_it(predict: Predict) -> None:
    s = np.linspace(0, 1, 30)
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3)
    x = np.column_stack([s, 2 * s])
    got = predict(x, column(*(1 + s)), fit, np.array([[0.5, 1.0], [0.52, 0.99]]))
    assert_allclose(got.mean[0, 0], 1.5, rtol=1e-9)
    assert np.isfinite(got.mean).all()
    assert statuses(got) == {Status.DEGENERATE}


def test_a_ridge_determines_what_the_rows_do_not(predict: Predict) -> None:
    s = np.linspace(0, 1, 30)
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=0.3, ridge=1e-6)
    got = predict(np.column_stack([s, s]), column(*s), fit, np.array([[0.4, 0.4]]))
    assert_allclose(got.mean[0, 0], 0.4, rtol=1e-4)
    assert got.issues == ()


@pytest.mark.parametrize("kernel", Kernel)
def test_all_rows_equal_give_their_mean(predict: Predict, kernel: Kernel) -> None:
    fit = LocalPolynomial(1, kernel, n_neighbors=3)
    got = predict(np.ones((5, 2)), column(1, 2, 3, 4, 5), fit, np.ones((1, 2)))
    assert_allclose(got.mean, [[3.0]], rtol=1e-12)
    assert statuses(got) == {Status.DEGENERATE}


def test_a_query_far_off_its_rows_keeps_its_digits(predict: Predict) -> None:
    x = column(1000, 1000.001, 1000.002, 1000.003)
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=500.0)
    got = predict(x, 3 + 2 * x, fit, column(0))
    assert_allclose(got.mean, [[3.0]], atol=1e-5)
    assert statuses(got) == {Status.EXTRAPOLATED}


def test_a_gaussian_far_away_answers_the_nearest_row_and_says_so(predict: Predict) -> None:
    fit = NadarayaWatson(Kernel.GAUSSIAN, bandwidth=0.1)
    got = predict(column(0, 1, 2), column(1, 2, 3), fit, column(100, 1))
    assert got.mean[0, 0] == 3
    assert statuses(got, 0) == {Status.EXTRAPOLATED}
    assert "5 bandwidths" in advice(got, Status.EXTRAPOLATED)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_ties_go_to_the_smaller_row(predict: Predict, weights: str) -> None:
    fit = Knn(2, "distance" if weights == "distance" else "uniform")
    got = predict(column(-1, 1, 1, -1), column(10, 20, 30, 40), fit, column(0), neighbors=True)
    assert got.neighbors is not None
    assert got.neighbors.rows.tolist() == [0, 1]
    assert got.mean[0, 0] == 15


def test_an_exact_hit_is_the_mean_of_the_rows_there(predict: Predict) -> None:
    got = predict(column(0, 0, 1, 2), column(1, 3, 100, 100), Knn(3, "distance"), column(0))
    assert got.mean[0, 0] == 2


def test_distances_near_the_smallest_number_do_not_overflow(predict: Predict) -> None:
    got = predict(column(1e-160, 1, 2), column(7, 1, 1), Knn(2, "distance"), column(0))
    assert np.isfinite(got.mean).all()
    assert_allclose(got.mean, [[7.0]])


@pytest.mark.parametrize("n_neighbors", [None, 3])
def test_duplicates_without_noise_are_refused_by_row(
    predict: Predict, n_neighbors: int | None
) -> None:
    fit = Kriging(Covariance.GAUSSIAN, 1.0, 0.0, n_neighbors)
    with pytest.raises(InvalidInput, match="rows 1 and 3") as refused:
        predict(column(0, 1, 2, 1), column(1, 2, 3, 4), fit, column(0.5))
    assert refused.value.faults[0].pointer == "/fit/alpha"


@pytest.mark.parametrize("n_neighbors", [None, 40])
def test_a_singular_kriging_system_is_remedied_and_says_how(
    predict: Predict, n_neighbors: int | None
) -> None:
    x = np.linspace(0, 1, 60)[:, None]
    fit = Kriging(Covariance.GAUSSIAN, 10.0, 0.0, n_neighbors)
    got = predict(x, np.sin(x), fit, column(0.505))
    assert_allclose(got.mean, np.sin([[0.505]]), rtol=1e-3)
    assert Status.DEGENERATE in statuses(got)
    assert "added to alpha" in advice(got, Status.DEGENERATE)


def test_kriging_beyond_the_length_scale_says_that_it_decays(predict: Predict) -> None:
    fit = Kriging(Covariance.LAPLACIAN, 0.1, 0.1)
    got = predict(column(0, 1), column(5, 6), fit, column(3))
    assert abs(got.mean[0, 0]) < 0.1
    assert statuses(got) == {Status.EXTRAPOLATED}


@pytest.mark.parametrize(
    "fit",
    [Knn(10), NadarayaWatson(Kernel.GAUSSIAN, bandwidth=1.0), Kriging(), Kriging(n_neighbors=10)],
)
def test_more_neighbours_than_an_answer_lists_are_refused(predict: Predict, fit: Fit) -> None:
    x = np.linspace(0, 1, 2000)[:, None]
    with pytest.raises(InvalidInput, match="more than the 1000000") as refused:
        predict(x, x, fit, np.zeros((100_001, 1)), neighbors=True, block_size=200_000)
    assert refused.value.faults[0].pointer == "/include"


def test_the_limit_counts_the_neighbours_of_all_blocks(predict: Predict) -> None:
    x = np.linspace(0, 1, 2000)[:, None]
    fit = NadarayaWatson(Kernel.TRICUBE, bandwidth=2.0)
    with pytest.raises(InvalidInput, match="more than the 1000000"):
        predict(x, x, fit, np.zeros((1000, 1)), neighbors=True, block_size=100)


@pytest.mark.parametrize("bandwidth", [1e20, 1e81, 1e150])
@pytest.mark.parametrize("kernel", Kernel)
def test_a_huge_bandwidth_is_the_global_fit(
    predict: Predict, kernel: Kernel, bandwidth: float
) -> None:
    x = np.linspace(0, 1, 30)[:, None]
    got = predict(x, x * x, LocalPolynomial(2, kernel, bandwidth), column(0.55))
    assert_allclose(got.mean, [[0.3025]], rtol=1e-8)
    assert got.issues == ()


def test_a_tiny_gaussian_bandwidth_far_away_keeps_the_nearest_row(predict: Predict) -> None:
    rng = np.random.default_rng(0)
    x, q = rng.random((40, 2)), 100 + 100 * rng.random((300, 2))
    got = predict(x, x[:, :1], NadarayaWatson(Kernel.GAUSSIAN, 1e-7), q)
    assert np.isfinite(got.mean).all()
    assert all(issue.status is Status.EXTRAPOLATED for issue in got.issues)


@pytest.mark.parametrize("kernel", Covariance)
@pytest.mark.parametrize("n_neighbors", [None, 5])
def test_a_tiny_length_scale_decays_to_zero_and_says_so(
    predict: Predict, kernel: Covariance, n_neighbors: int | None
) -> None:
    x = 1e6 * np.arange(10.0)[:, None]
    got = predict(x, x, Kriging(kernel, 1e-150, 0.1, n_neighbors), column(5e5))
    assert_allclose(got.mean, 0)
    assert statuses(got) == {Status.EXTRAPOLATED}


@pytest.mark.parametrize(("x_size", "q_size"), [(1.0, 1e10), (1e10, 1.0)])
def test_a_scale_that_leaves_the_range_of_numbers_is_refused(
    predict: Predict, x_size: float, q_size: float
) -> None:
    fit = Knn(2, "distance", metric=(1e-145,))
    with pytest.raises(InvalidInput, match="send a larger scale") as refused:
        predict(x_size * column(1, 2, 3), column(1, 2, 3), fit, q_size * column(1))
    assert refused.value.faults[0].pointer == "/fit/metric"


def test_many_rows_at_one_place_are_counted_before_they_are_listed(predict: Predict) -> None:
    x = np.repeat(np.arange(5.0), 8000)[:, None]
    fit = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=30)
    with pytest.raises(InvalidInput, match="more than the 1000000"):
        predict(x, x, fit, np.tile(np.arange(5.0), 60)[:, None], neighbors=True)


def test_rows_that_all_but_coincide_under_a_huge_bandwidth_are_answered(predict: Predict) -> None:
    x = 3e-121 * column(1, -1, -1, 0)
    fit = LocalPolynomial(1, Kernel.GAUSSIAN, bandwidth=1e-3, metric=(6.7e132,))
    got = predict(x, column(1, 2, 3, 4), fit, 1.5e-121 * column(1, 0))
    assert np.isfinite(got.mean).all()
