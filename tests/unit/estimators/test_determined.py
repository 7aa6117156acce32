"""Which slopes the rows tell: those that all least-squares solutions agree on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.kernels import Kernel
from service.domain.prediction import Prediction, Status, Wanted
from service.estimators.determined import told_by
from service.estimators.fits import Fit, Linear, LocalPolynomial, Metric
from tests.predicting import make_task, predict_here

LINE = LocalPolynomial(1, Kernel.TRICUBE, n_neighbors=40)


def predicted(x: Floats, y: Floats, fit: Fit, q: Floats) -> Prediction:
    return predict_here(make_task(x, y, fit, q, wanted=Wanted(slope=True)), NativeBackend())


def sample() -> tuple[Floats, Floats]:
    """Return rows whose last features are constant, and the first two's sum."""
    rng = np.random.default_rng(3)
    free = rng.random((60, 3))
    x = np.column_stack([free, free[:, 0] + free[:, 1], np.full(60, 7.0)])
    return x, (free @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=60))[:, None]


def test_a_direction_is_told_where_it_is_at_right_angles_to_all_that_do_not_vary() -> None:
    null = np.array([[0.6], [-0.8], [1e-9], [0.0]])
    assert told_by(null, np.ones(4)).tolist() == [False, False, True, True]
    # z = Ax: the first feature moves z along (4, 3), the second along (3, -4).
    turned = np.array([[0.8, 0.6, 0, 0], [0.6, -0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    assert told_by(null, np.ones(4), turned).tolist() == [True, False, True, True]
    # In units in which the second is a thousand times longer, (4, 3) is no such direction.
    assert not told_by(null, np.array([1.0, 1e3, 1.0, 1.0]), turned)[0]


@pytest.mark.parametrize(
    "fit", [LINE, LocalPolynomial(2, Kernel.TRICUBE, n_neighbors=50), Linear()]
)
@pytest.mark.parametrize("metric", ["euclidean", "standardized", "matrix"])
def test_a_slope_that_no_row_tells_is_null_and_the_others_are_those_without_the_feature(
    fit: Fit, metric: str
) -> None:
    x, y = sample()
    turn: Metric = tuple(tuple(row) for row in np.random.default_rng(0).random((5, 5)).tolist())
    used = turn if metric == "matrix" else metric
    got = predicted(x, y, type(fit)(**{**vars(fit), "metric": used}), x[:4])
    assert got.slopes is not None
    told = [False, False, True, False, False]
    assert_array_equal(np.isnan(got.slopes.slope[:, 0]), np.tile(np.logical_not(told), (4, 1)))
    assert_array_equal(np.isnan(got.slopes.standard_error), np.isnan(got.slopes.slope))
    untold = [issue for issue in got.issues if issue.status is Status.UNDETERMINED]
    assert [issue.queries.tolist() for issue in untold] == [[0, 1, 2, 3]]
    assert "null" in untold[0].advice
    if isinstance(fit, Linear):
        alone = predicted(x[:, :3], y, Linear(), x[:4, :3]).slopes
        assert alone is not None
        assert_allclose(got.slopes.slope[:, 0, 2], alone.slope[:, 0, 2], rtol=1e-9)
        assert_allclose(
            got.slopes.standard_error[:, 0, 2], alone.standard_error[:, 0, 2], rtol=1e-9
        )


def test_a_ridge_tells_how_what_follows_from_others_shares_a_slope_but_not_that_of_a_constant() -> (
    None
):
    x, y = sample()
    got = predicted(x, y, LocalPolynomial(1, n_neighbors=40, ridge=0.1), x[:2])
    assert got.slopes is not None
    untold = [[False, False, False, False, True]] * 2
    assert_array_equal(np.isnan(got.slopes.slope[:, 0]), untold)


def test_where_every_row_varies_in_all_features_nothing_is_said() -> None:
    x, y = sample()
    got = predicted(x[:, :3], y, LINE, x[:4, :3])
    assert got.slopes is not None
    assert np.isfinite(got.slopes.slope).all()
    assert got.issues == ()


def test_rows_at_one_place_tell_no_slope() -> None:
    for fit in (Linear(), LocalPolynomial(1, Kernel.UNIFORM, bandwidth=1.0)):
        got = predicted(np.full((6, 2), 3.0), np.arange(6.0)[:, None], fit, np.full((1, 2), 3.0))
        assert got.slopes is not None
        assert np.isnan(got.slopes.slope).all()
        assert Status.UNDETERMINED in [issue.status for issue in got.issues]


@pytest.mark.parametrize(
    ("x", "metric"),
    [
        (np.array([[0.0, 1.0], [0.0, 2.0]]), ((1.0, 0.0), (0.0, 0.0))),
        (np.array([[1e-200, 0.0], [2e-200, 0.0]]), (1e150, 1.0)),
    ],
)
def test_a_metric_in_which_rows_that_differ_are_at_one_place_is_refused(
    x: Floats, metric: Metric
) -> None:
    fit = LocalPolynomial(1, n_neighbors=2, metric=metric)
    with pytest.raises(InvalidInput, match="all rows are at one place") as refused:
        predicted(x, np.arange(2.0)[:, None], fit, x)
    assert [fault.pointer for fault in refused.value.faults] == ["/fit/metric"]
