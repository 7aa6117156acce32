"""scikit-learn estimators whose work is done by a nearfit service.

    LocalRegressor(method="local_linear", n_neighbors=30).fit(X, y).predict(X)

`fit` uploads the rows, or finds them there by their digest, and trains nothing; `predict` asks the
service. They work in Pipeline, GridSearchCV (in processes too), clone and pickle.

scikit-learn is imported here and nowhere else in the package.

Over 300 lines: both estimators are what they share, and a page of documentation each.
"""

import os
import warnings
from functools import lru_cache, partial
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from service.client.client import Client
from service.client.errors import NotFound
from service.client.held_datasets import hold
from service.client.predictions import Prediction
from service.client.transport import address

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ImportError(
        "The estimators need scikit-learn 1.6 or later: pip install 'nearfit[sklearn]'."
    ) from error

NEED_EVERY_CELL: Final = frozenset({"kriging", "linear"})
"""Methods that refuse rows with missing cells."""

OF_FIT: Final = ("n_neighbors", "bandwidth", "kernel", "degree", "metric")

EXPECTED_FAILED_CHECKS: Final = {
    "check_sample_weight_equivalence_on_dense_data": (
        "n_neighbors counts rows, whatever they weigh, as R's loess does: with a row twice the "
        "nearest k reach less far. With a bandwidth the check passes."
    ),
}
"""For scikit-learn's `check_estimator`: what the default, which goes by n_neighbors, cannot pass.

A `method` with a `bandwidth` passes all checks.
"""


class _LocalEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the regressor and the classifier have in common."""

    def __init__(
        self,
        method: str = "auto",
        *,
        n_neighbors: int | None = None,
        bandwidth: float | None = None,
        kernel: str | None = None,
        degree: int | None = None,
        metric: Any = None,
        options: dict[str, Any] | None = None,
        tune_s: float | None = None,
        timeout_s: float | None = None,
        url: str | None = None,
    ) -> None:
        self.method = method
        self.n_neighbors = n_neighbors
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.degree = degree
        self.metric = metric
        self.options = options
        self.tune_s = tune_s
        self.timeout_s = timeout_s
        self.url = url

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._may_miss()
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_finalizer", None)  # the copy holds nothing until it has to upload again
        return state

    def close(self) -> None:
        """Let go of the dataset, which is then deleted unless others hold it.

        The same happens when the estimator is collected, and at the end of the process. The
        estimator keeps its rows, and uploads them again when it is asked to predict.
        """
        finalizer = self.__dict__.pop("_finalizer", None)
        if finalizer is not None:
            finalizer()

    def _may_miss(self) -> bool:
        return not (isinstance(self.method, str) and self.method in NEED_EVERY_CELL)

    def _finite(self) -> bool | str:
        return "allow-nan" if self._may_miss() else True

    def _keep(
        self, X: NDArray[np.float64], y: NDArray[Any], sample_weight: Any, task: str | None
    ) -> None:
        """Upload the rows, and settle the fit."""
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            counts = weights > 0
            if not counts.any():
                raise ValueError("All sample weights are zero; at least one must be above zero.")
            X, y, weights = X[counts], y[counts], weights[counts]
            if len(X) < 2:
                raise ValueError("Only 1 sample has a weight above zero; at least 2 are needed.")
        self._rows = (X, y, weights, task)
        self._upload()
        self._settle(X)

    def _settle(self, X: NDArray[np.float64]) -> None:
        """Say which fit is used, with every choice made."""
        fit: dict[str, Any] = {"method": self.method, **(self.options or {})}
        fit |= {name: getattr(self, name) for name in OF_FIT if getattr(self, name) is not None}
        if self.tune_s is not None:
            methods = None if self.method == "auto" else [self.method]
            job = self._asked("tune", budget_s=self.tune_s, methods=methods)
            if job.fit is None:
                raise ValueError(f"The search has found no fit: {job.document['detail']}")
            fit = job.fit
        # The answer to one query has the fit as it was resolved, and refuses what cannot be.
        answer = self._asked("predict", X[:1], fit=fit, timeout_s=self.timeout_s)
        self.fit_ = answer.fit

    def _upload(self) -> None:
        X, y, weights, task = self._rows
        url, name = address(self.url), type(self).__name__
        # Under names of its own it is another dataset than one that somebody uploads to keep.
        targets = {f"y{j + 1} of {name}": column for j, column in enumerate(_as_columns(y).T)}
        upload = partial(
            _client(url, os.getpid()).datasets.upload,
            X,
            targets,
            weights=weights,
            task=task,
            name=name,
        )
        dataset, finalizer = hold(self, url, upload)
        self.close()  # after the new one is held, which may be the same
        self._finalizer = finalizer
        self.dataset_id_ = dataset.id

    def _ask(self, X: Any) -> Prediction:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite=self._finite())
        answer: Prediction = self._asked("predict", X, fit=self.fit_, timeout_s=self.timeout_s)
        return answer

    def _asked(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Return what a method of the client says of the dataset, uploaded again where it is gone.

        The service may have begun anew, or another process have deleted what it had uploaded.
        """
        ask = getattr(_client(address(self.url), os.getpid()), method)
        try:
            return ask(self.dataset_id_, *arguments, **options)
        except NotFound as error:
            # Frames that a traceback names would keep this estimator until a collection of garbage,
            # and with it the dataset.
            error.with_traceback(None)
        self._upload()
        return ask(self.dataset_id_, *arguments, **options)


class LocalRegressor(RegressorMixin, _LocalEstimator):  # type: ignore[misc]
    """Regression by small fits around each query, made by a nearfit service.

    What concerns the fit is as in `POST /predict`; None leaves it to the service, and what the
    method does not have is refused by it in `fit`.

    Args:
        method: `knn`, `nadaraya_watson`, `local_polynomial`, `local_linear`, `kriging`, `linear`,
            or `auto`, what the service chooses at the time of `fit`.
        n_neighbors: How many rows are in reach.
        bandwidth: How far they are, in place of `n_neighbors`.
        kernel: How their weights fall with the distance.
        degree: Of local polynomials.
        metric: How distances are measured.
        options: Further fields of the fit, such as `{"length_scale": 2.0, "alpha": 0.1}` of
            kriging.
        tune_s: Seconds that `fit` may search for the best fit by leave-one-out, among those of
            `method`, or of all methods with `auto`; the other parameters are then not looked at.
        timeout_s: Seconds that the service may take for a prediction.
        url: Of the service. Default: the environment variable NEARFIT_URL, or this machine's
            port 8000.

    Attributes:
        fit_: The fit that is used, with every choice made.
        dataset_id_: The id of the rows in the service.
        n_features_in_: d.
        feature_names_in_: The names of the columns, where `fit` was given a frame with names.

    A query that no row supports has the prediction NaN, with a warning. The rows are kept in the
    estimator, as scikit-learn's neighbours do, so that a pickle is whole; they are uploaded again
    when the service has lost them. Missing cells (NaN) are taken by the methods that the service
    takes them with. See `close` for when the dataset is deleted.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Upload the rows, and return the estimator.

        Args:
            X: (n, d).
            y: (n,), or (n, t) for several targets.
            sample_weight: What each row counts, (n,); rows of weight 0 are left out.

        Raises:
            ValueError: The rows or a parameter cannot be used; of the service, `InvalidInput`.
            NearfitError: The service cannot answer.
        """
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_all_finite=self._finite(),
            ensure_min_samples=2,
            multi_output=True,
            y_numeric=True,
        )
        self._keep(X, np.asarray(y, dtype=np.float64), sample_weight, None)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the estimates at X, (m,), or (m, t) for several targets; NaN where there is none.

        Raises:
            ValueError: X does not fit the rows.
            NearfitError: The service cannot answer.
        """
        answer = self._ask(X)
        mean = answer.mean
        assert mean is not None
        if self._rows[1].ndim == 2:
            mean = _as_columns(mean)  # one target in a column stays in it
        if np.isnan(mean).any():
            warnings.warn(_without(answer), stacklevel=2)
        return mean


class LocalClassifier(ClassifierMixin, _LocalEstimator):  # type: ignore[misc]
    """Classification by small fits around each query, made by a nearfit service.

    The parameters and attributes are those of `LocalRegressor`, and `classes_`. The probabilities
    are from the weights that a mean of the rows would have. A query that no row supports has none:
    `predict_proba` gives NaN with a warning, and `predict` refuses it.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Upload the rows, and return the estimator.

        Args:
            X: (n, d).
            y: The class of each row, (n,); of any type that scikit-learn takes.
            sample_weight: What each row counts, (n,); rows of weight 0 are left out.

        Raises:
            ValueError: The rows or a parameter cannot be used; of the service, `InvalidInput`.
            NearfitError: The service cannot answer.
        """
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            ensure_all_finite=self._finite(),
            ensure_min_samples=2,
            multi_output=True,
        )
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if sample_weight is not None:
            counts = _check_sample_weight(sample_weight, X) > 0
            n_left = len(np.unique(codes[counts]))
        else:
            n_left = len(self.classes_)
        if n_left == 1:
            raise ValueError("All rows are of 1 class; at least 2 classes are needed.")
        # By their places: a class may be of a type that the service does not know.
        self._keep(X, codes.astype(np.float64), sample_weight, "classification")
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class at X, (m, C), in the order of `classes_`.

        Raises:
            ValueError: X does not fit the rows.
            NearfitError: The service cannot answer.
        """
        answer, shares = self._shares(X)
        if np.isnan(shares).any():
            warnings.warn(_without(answer), stacklevel=2)
        return shares

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class at X, (m,); of equal ones the first.

        Raises:
            ValueError: X does not fit the rows, or no row supports a query.
            NearfitError: The service cannot answer.
        """
        answer, shares = self._shares(X)
        if np.isnan(shares).any():
            raise ValueError(_without(answer))
        classes: NDArray[Any] = self.classes_[np.argmax(shares, axis=1)]
        return classes

    def _shares(self, X: Any) -> tuple[Prediction, NDArray[np.float64]]:
        answer = self._ask(X)
        found = answer.probabilities
        assert found is not None
        # A class of which rows were left out for their weight of 0 has no column there.
        shares = np.zeros((len(found), len(self.classes_)))
        shares[:, answer.classes] = found
        return answer, shares


def _as_columns(values: NDArray[Any]) -> NDArray[Any]:
    """Return targets, (n,) or (n, t), as (n, t)."""
    return values.reshape(len(values), -1)


def _without(answer: Prediction) -> str:
    """Return which queries have no estimate, and why."""
    for issue in answer.issues:
        if issue["status"] in ("no_support", "missing_cells"):
            places = ", ".join(map(str, issue["queries"][:5]))
            return f"No estimate at {len(issue['queries'])} queries ({places}): {issue['advice']}"
    return "Some queries have no estimate."


@lru_cache(maxsize=8)
def _client(url: str, pid: int) -> Client:
    """Return a client that the estimators of one process share."""
    return Client(url, progress=False)
