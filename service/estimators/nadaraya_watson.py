"""The kernel-weighted mean.

    f(x) = Σ w_i y_i / Σ w_i,     w_i = K(‖x_i - x‖ / h)

Sources: Nadaraya (1964), Theory of Probability and its Applications 9(1), 141-142; Watson (1964),
Sankhya A 26, 359-372.
"""

from service.backends.base import Resident
from service.domain.arrays import Floats
from service.domain.prediction import Prediction
from service.estimators import local_polynomial
from service.estimators.fits import NadarayaWatson, as_polynomial


def predict(
    rows: Resident,
    fit: NadarayaWatson,
    q: Floats,
    *,
    neighbor_limit: int | None,
    diagnostics: bool,
) -> Prediction:
    """Return the kernel-weighted mean at each query: the local polynomial of degree 0.

    Arguments and cost as for `local_polynomial.predict`.
    """
    return local_polynomial.predict(
        rows, as_polynomial(fit), q, neighbor_limit=neighbor_limit, diagnostics=diagnostics
    )
