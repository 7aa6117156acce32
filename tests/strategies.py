"""Random data for the laws."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from service.domain.arrays import Floats
from service.domain.kernels import Covariance, Kernel
from service.estimators.fits import Fit, Knn, Kriging, Linear, LocalPolynomial, NadarayaWatson


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows, targets and queries."""

    x: Floats
    y: Floats
    q: Floats

    def __repr__(self) -> str:
        return f"Sample(x={self.x.tolist()}, y={self.y.tolist()}, q={self.q.tolist()})"


@st.composite
def samples(draw: st.DrawFn, *, min_rows: int = 6, max_rows: int = 40, max_d: int = 3) -> Sample:
    """Return rows and queries in the unit cube, without ties, and noisy targets."""
    n = draw(st.integers(min_rows, max_rows))
    d = draw(st.integers(1, max_d))
    t = draw(st.integers(1, 2))
    m = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Sample(rng.random((n, d)), rng.normal(size=(n, t)), rng.random((m, d)))


@st.composite
def smoothers(draw: st.DrawFn, rows: int, *, max_degree: int = 2) -> Fit:
    """Return a Nadaraya-Watson or local polynomial fit that reaches a good part of the rows."""
    kernel = draw(st.sampled_from(Kernel))
    degree = draw(st.integers(-1, max_degree))
    bandwidth: float | None = None
    n_neighbors: int | None = None
    if draw(st.booleans()):
        bandwidth = draw(st.floats(0.3, 2.0))
    else:
        n_neighbors = draw(st.integers(min(3, rows), rows))
    if degree < 0:
        return NadarayaWatson(kernel, bandwidth, n_neighbors)
    return LocalPolynomial(degree, kernel, bandwidth, n_neighbors)


@st.composite
def krigings(draw: st.DrawFn, rows: int) -> Fit:
    """Return a well-conditioned kriging fit."""
    return Kriging(
        draw(st.sampled_from(Covariance)),
        draw(st.floats(0.05, 1.0)),
        draw(st.floats(0.05, 10.0)),
        draw(st.none() | st.integers(1, rows)),
    )


@st.composite
def knns(draw: st.DrawFn, rows: int) -> Fit:
    """Return a k-nearest-neighbour fit."""
    return Knn(draw(st.integers(1, rows)), draw(st.sampled_from(["uniform", "distance"])))


@st.composite
def fits(draw: st.DrawFn, rows: int) -> Fit:
    """Return any fit."""
    return draw(st.one_of(knns(rows), smoothers(rows), krigings(rows), st.just(Linear())))
