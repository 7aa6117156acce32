"""Rows at one place say what their mean is, and nothing of a slope."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from service.domain.kernels import Kernel
from service.domain.prediction import Status
from service.estimators.fits import LocalPolynomial
from tests.predicting import Predict


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_rows_at_one_place_give_their_mean(
    predict: Predict, copies: int, degree: int, ridge: float, d: int
) -> None:
    rng = np.random.default_rng(d)
    for _ in range(20):
        # Rounding makes a spread of some places and none of others.
        place, far = 0.5 * rng.random((1, d)), 10 + rng.random((4, d))
        x, y = np.vstack([np.repeat(place, copies, axis=0), far]), rng.normal(size=(copies + 4, 2))
        fit = LocalPolynomial(degree, Kernel.TRIWEIGHT, bandwidth=2.0, ridge=ridge)
        got = predict(x, y, fit, 0.5 * rng.random((1, d)))
        assert_allclose(got.mean[0], y[:copies].mean(axis=0), rtol=1e-12, atol=1e-12)
        advice = [issue.advice for issue in got.issues if issue.status is Status.DEGENERATE]
        assert len(advice) == 1
        assert "degree 0" in advice[0]
