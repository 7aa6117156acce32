"""The k-nearest-neighbour means that a user of Python would else take, at their best settings."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from pykdtree.kdtree import KDTree as PyKDTree
from scipy.spatial import cKDTree
from sklearn.neighbors import KNeighborsRegressor

from benchmarks.data import Sample
from benchmarks.racing import Contestant
from service.domain.arrays import Floats
from service.settings import available_cores


def trees(sample: Sample, k: int) -> dict[str, Contestant]:
    """Return the contestants with a tree, built; each query runs on all cores."""
    x, y, queries = sample.x, sample.y, sample.queries
    scipy_tree = cKDTree(x)
    pykdtree, pykdtree_32 = PyKDTree(x), PyKDTree(x.astype(np.float32))
    queries_32 = queries.astype(np.float32)
    return {
        "scikit-learn kd_tree": Contestant(_regressor(x, y, queries, k, "kd_tree")),
        "scikit-learn ball_tree": Contestant(_regressor(x, y, queries, k, "ball_tree")),
        "SciPy cKDTree": Contestant(lambda: _mean(y, scipy_tree.query(queries, k, workers=-1)[1])),
        "pykdtree": Contestant(lambda: _mean(y, pykdtree.query(queries, k)[1])),
        "pykdtree, float32": Contestant(
            lambda: _mean(y, pykdtree_32.query(queries_32, k)[1]), is_rounded=True
        ),
    }


def scans(sample: Sample, k: int) -> dict[str, Contestant]:
    """Return the contestants that look at every row, on all cores.

    FAISS takes distances from a matrix product, ‖q‖² - 2qᵀx + ‖x‖² in float32, which loses small
    distances in low dimension; without BLAS it sums squared differences.
    """
    y, x_32, queries_32 = sample.y, sample.x.astype(np.float32), sample.queries.astype(np.float32)
    faiss.omp_set_num_threads(available_cores())
    index = faiss.IndexFlatL2(x_32.shape[1])
    index.add(x_32)
    matrix_product_from = faiss.cvar.distance_compute_blas_threshold

    def search(least_queries: int) -> Floats:
        faiss.cvar.distance_compute_blas_threshold = least_queries
        return _mean(y, index.search(queries_32, k)[1])

    return {
        "scikit-learn brute": Contestant(
            _regressor(sample.x, y, sample.queries, k, "brute"), rtol=1e-6
        ),
        "scikit-learn brute, float32": Contestant(
            _regressor(x_32, y, queries_32, k, "brute"), is_rounded=True
        ),
        "FAISS IndexFlatL2": Contestant(lambda: search(matrix_product_from), is_rounded=True),
        "FAISS IndexFlatL2, no BLAS": Contestant(
            lambda: search(len(queries_32) + 1), is_rounded=True
        ),
    }


def _regressor(x: Any, y: Floats, queries: Any, k: int, algorithm: str) -> Callable[[], Floats]:
    fitted = KNeighborsRegressor(k, algorithm=algorithm, n_jobs=-1).fit(x, y)

    def predict() -> Floats:
        mean: Floats = fitted.predict(queries)
        return mean

    return predict


def _mean(y: Floats, rows: Any) -> Floats:
    mean: Floats = y[rows].mean(axis=1)
    return mean
