"""What is left out for ordinary queries is left out for no other."""

import numpy as np
import pytest

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import Prediction, Status
from service.estimators import local_polynomial
from service.estimators.fits import LocalPolynomial
from service.estimators.kernels import covariance
from service.estimators.kriging import FAINT_CORRELATION, NEAR_LENGTH_SCALES


@pytest.mark.parametrize("kind", Covariance)
def test_no_correlation_is_faint_where_none_is_looked_for(kind: Covariance) -> None:
    nearest = np.linspace(0.0, NEAR_LENGTH_SCALES, 100)

    assert (covariance(kind, nearest, 1.0) >= FAINT_CORRELATION).all()


@pytest.mark.parametrize("degree", [0, 1])
def test_a_query_without_rows_changes_nothing_beside_it(degree: int) -> None:
    x = np.random.default_rng(0).random((50, 2))
    rows = NativeBackend().load(x, x.sum(axis=1, keepdims=True))
    fit = LocalPolynomial(degree=degree, kernel=Kernel.TRICUBE, bandwidth=0.5)
    inside, outside = np.array([[0.5, 0.5]]), np.array([[9.0, 9.0]])

    def predict(q: Floats) -> Prediction:
        return local_polynomial.predict(rows, fit, q, neighbor_limit=None, diagnostics=False)

    alone, together = predict(inside), predict(np.concatenate([inside, outside]))

    assert alone.issues == ()
    assert together.mean[0] == alone.mean[0]
    assert [(issue.status, issue.queries.tolist()) for issue in together.issues] == [
        (Status.NO_SUPPORT, [1])
    ]
