"""The law of gradients, on random data: they are the limit of differences of the prediction."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_less

from service.backends.native.backend import NativeBackend
from service.domain.arrays import Floats
from service.domain.errors import InvalidInput
from service.domain.prediction import Status
from service.estimators.fits import Fit, Kriging, Linear
from service.estimators.gradients import check_has_gradient, gradient
from tests import naive, strategies
from tests.predicting import Predict
from tests.strategies import Sample

STEP = 1e-4


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sample, Fit]:
    sample = draw(strategies.samples(min_rows=12))
    fit = draw(strategies.fits(len(sample.x)))
    try:
        check_has_gradient(fit)
    except InvalidInput:
        assume(False)
    return sample, fit


def differences(predict: Predict, sample: Sample, fit: Fit, step: float) -> Floats:
    """Return the central differences of the predictions, (m, t, d)."""
    parts = []
    for j in range(sample.q.shape[1]):
        move = step * np.eye(sample.q.shape[1])[j]
        ahead = predict(sample.x, sample.y, fit, sample.q + move).mean
        behind = predict(sample.x, sample.y, fit, sample.q - move).mean
        parts.append((ahead - behind) / (2 * step))
    return np.stack(parts, axis=2)


def coefficients(sample: Sample, fit: Fit) -> Floats | None:
    if isinstance(fit, Linear):
        return naive.plane(sample.x, sample.y)[1:]
    if not isinstance(fit, Kriging) or fit.n_neighbors is not None:
        return None
    matrix = naive.covariances(sample.x, sample.x, fit.kernel, fit.length_scale)
    return np.asarray(np.linalg.solve(matrix + fit.alpha * np.eye(len(matrix)), sample.y))


@given(case=cases())
def test_the_gradient_is_the_limit_of_differences(
    predict_natively: Predict, case: tuple[Sample, Fit]
) -> None:
    """Where differences of two steps agree to less than that, no more can be asked."""
    sample, fit = case
    here = predict_natively(sample.x, sample.y, fit, sample.q)
    settled = np.isfinite(here.mean[:, 0])
    for issue in here.issues:
        if issue.status is not Status.EXTRAPOLATED:
            settled[issue.queries] = False
    rows = NativeBackend().load(sample.x, sample.y)
    got = gradient(rows, fit, sample.q, coefficients=coefficients(sample, fit)).gradient
    coarse = differences(predict_natively, sample, fit, STEP)
    fine = differences(predict_natively, sample, fit, STEP / 2)
    # The errors go as the square of the step: a quarter, and so this combination has next to none.
    limit = (4 * fine - coarse) / 3
    scale = 1 + np.abs(fine) + np.abs(sample.y).max() / np.ptp(sample.x)
    unsure = np.abs(fine - coarse)
    keep = settled[:, None, None] & (unsure < 1e-3 * scale)
    error = np.abs(got - limit)
    assert_array_less(error[keep], (1e-6 * scale + 3 * unsure)[keep])
