"""The `fit` of a request and of an answer: a union on `method`, in scikit-learn's words."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import RequestModel, Whole
from service.domain.kernels import Covariance, Kernel
from service.estimators.fits import (
    AnyFit,
    Auto,
    Fit,
    Knn,
    Kriging,
    LocalPolynomial,
    Metric,
    NadarayaWatson,
)

# Strict mode would ask for members of the enumeration, which JSON does not have.
KernelName: TypeAlias = Annotated[Kernel, Field(strict=False)]
CovarianceName: TypeAlias = Annotated[Covariance, Field(strict=False)]

# The square of a length must be a normal double: 1e-308 to 1.8e308.
Length: TypeAlias = Annotated[float, Field(ge=1e-150, le=1e150)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1), Whole]


class ScaleMetric(RequestModel):
    """Distances after dividing each feature by a scale of your own."""

    scale: list[Length] = Field(
        description="One divisor a feature, in the unit of the feature, from 1e-150 to 1e150.",
        min_length=1,
        examples=[[2.0]],
    )


class MatrixMetric(RequestModel):
    """Distances after a linear map of your own, or one that the service has learned."""

    matrix: list[list[float]] = Field(
        description="A, d rows of d finite numbers: the distance of two points is the length of A "
        "times their difference.",
        min_length=1,
        examples=[[[0.5]]],
    )

    @model_validator(mode="after")
    def _square(self) -> "MatrixMetric":
        for row in self.matrix:
            if len(row) != len(self.matrix):
                raise PydanticCustomError(
                    "not_square",
                    "The matrix has {rows} rows, and one of them {found} numbers; send as many",
                    {"rows": len(self.matrix), "found": len(row)},
                )
        return self


def _metric_kind(value: Any) -> str:
    if isinstance(value, MatrixMetric) or (isinstance(value, dict) and "matrix" in value):
        return "matrix"
    return "scale" if isinstance(value, dict | ScaleMetric) else "name"


MetricField: TypeAlias = Annotated[
    Annotated[Literal["euclidean", "standardized"], Tag("name")]
    | Annotated[ScaleMetric, Tag("scale")]
    | Annotated[MatrixMetric, Tag("matrix")],
    Discriminator(_metric_kind),
    Field(
        description="How distances are measured: `euclidean` in data units, `standardized` with "
        "each feature over its standard deviation, `{'scale': [...]}` with each feature over a "
        "number of yours, or `{'matrix': [[...]]}` after a linear map."
    ),
]


class _Method(RequestModel):
    """A fit and how it measures distances."""

    # The answer has the same form, and a client may send it back as it is.
    model_config = ConfigDict(title="Fit")

    method: str  # named here so that it is written first
    metric: MetricField = "euclidean"

    @property
    def domain_metric(self) -> Metric:
        """The metric in the domain's form."""
        match self.metric:
            case ScaleMetric(scale=scale):
                return tuple(scale)
            case MatrixMetric(matrix=matrix):
                return tuple(tuple(row) for row in matrix)
            case name:
                return name


class _Smoother(_Method):
    """A fit whose reach is either a bandwidth or a number of neighbours."""

    bandwidth: Length | None = Field(
        None,
        description="Reach of the kernel, in the unit of the metric, from 1e-150 to 1e150. For "
        "gaussian its standard deviation; the other kernels are zero beyond it. Send this or "
        "`n_neighbors`.",
        examples=[2.5],
    )
    n_neighbors: Count | None = Field(
        None,
        description="Let the bandwidth at each query be the distance to its k-th nearest row. "
        "Send this or `bandwidth`.",
        examples=[20],
    )

    @model_validator(mode="after")
    def _one_reach(self) -> "_Smoother":
        if self.bandwidth is None and self.n_neighbors is None:
            raise PydanticCustomError(
                "no_reach", "The fit has no reach; send either bandwidth or n_neighbors"
            )
        if self.bandwidth is not None and self.n_neighbors is not None:
            raise PydanticCustomError(
                "two_reaches",
                "The fit has both bandwidth and n_neighbors; send one of them",
            )
        return self


class KnnFit(_Method):
    """The mean of the k nearest rows."""

    model_config = ConfigDict(title="KnnFit")

    method: Literal["knn"]
    n_neighbors: Count = Field(5, description="k, from 1 to the number of rows.", examples=[5])
    weights: Literal["uniform", "distance"] = Field(
        "uniform",
        description="`uniform`: a plain mean. `distance`: each row weighs as the inverse of its "
        "distance; rows at distance zero take it all.",
    )

    def to_domain(self) -> Knn:
        """Return the fit in the domain's form."""
        return Knn(self.n_neighbors, self.weights, self.domain_metric)


class NadarayaWatsonFit(_Smoother):
    """The kernel-weighted mean of the rows in reach."""

    model_config = ConfigDict(title="NadarayaWatsonFit")

    method: Literal["nadaraya_watson"]
    kernel: KernelName = Field(Kernel.GAUSSIAN, description="The weight function.")

    def to_domain(self) -> NadarayaWatson:
        """Return the fit in the domain's form."""
        return NadarayaWatson(self.kernel, self.bandwidth, self.n_neighbors, self.domain_metric)


class _LocalRegression(_Smoother):
    """A kernel-weighted least-squares polynomial around each query."""

    kernel: KernelName = Field(Kernel.TRICUBE, description="The weight function.")
    ridge: float = Field(
        0.0,
        ge=0,
        le=1e150,
        description="Penalty on the slopes, relative to the mean variance of the monomials in "
        "reach; no unit, 0 for none.",
    )


class LocalPolynomialFit(_LocalRegression):
    """A kernel-weighted polynomial around each query."""

    model_config = ConfigDict(title="LocalPolynomialFit")

    method: Literal["local_polynomial"]
    degree: Annotated[int, Field(ge=0, le=2), Whole] = Field(
        1, description="0: locally constant, 1: linear, 2: quadratic with all products."
    )

    def to_domain(self) -> LocalPolynomial:
        """Return the fit in the domain's form."""
        return LocalPolynomial(
            self.degree,
            self.kernel,
            self.bandwidth,
            self.n_neighbors,
            self.ridge,
            self.domain_metric,
        )


class LocalLinearFit(_LocalRegression):
    """A kernel-weighted line or plane around each query: `local_polynomial` of degree 1."""

    model_config = ConfigDict(title="LocalLinearFit")

    method: Literal["local_linear"]

    def to_domain(self) -> LocalPolynomial:
        """Return the fit in the domain's form."""
        return LocalPolynomial(
            1,
            self.kernel,
            self.bandwidth,
            self.n_neighbors,
            self.ridge,
            self.domain_metric,
        )


class KrigingFit(_Method):
    """Kriging: k(q) (K + alpha I)^-1 (y - mean) + mean."""

    model_config = ConfigDict(title="KrigingFit")

    method: Literal["kriging"]
    kernel: CovarianceName = Field(
        Covariance.GAUSSIAN,
        description="Covariance at the distance r: gaussian exp(-r^2 / 2 l^2), laplacian "
        "exp(-r / l), or Matern of order 3/2 or 5/2.",
    )
    length_scale: Length = Field(
        1.0,
        description="l, in the unit of the metric, from 1e-150 to 1e150.",
        examples=[4.0],
    )
    alpha: float = Field(
        1.0,
        ge=0,
        le=1e150,
        description="Noise variance over the variance of the surface, added to the diagonal; "
        "0 to pass through the rows.",
    )
    n_neighbors: Count | None = Field(
        None, description="Use only the k nearest rows at each query; null for all rows."
    )
    mean: Literal["zero", "constant"] = Field(
        "zero",
        description="Of the surface far from the rows: `zero` (simple kriging), or `constant`, "
        "estimated from the k nearest rows (ordinary kriging; needs `n_neighbors`).",
    )

    def to_domain(self) -> Kriging:
        """Return the fit in the domain's form."""
        return Kriging(
            self.kernel,
            self.length_scale,
            self.alpha,
            self.n_neighbors,
            self.domain_metric,
            self.mean,
        )


class AutoFit(RequestModel):
    """Let the service choose; the answer names the fit that was used."""

    method: Literal["auto"]

    def to_domain(self) -> Auto:
        """Return the fit in the domain's form."""
        return Auto()


FitField: TypeAlias = Annotated[
    KnnFit | NadarayaWatsonFit | LocalPolynomialFit | LocalLinearFit | KrigingFit | AutoFit,
    Field(discriminator="method"),
]

ResolvedFit: TypeAlias = Annotated[
    KnnFit | NadarayaWatsonFit | LocalPolynomialFit | KrigingFit, Field(discriminator="method")
]


def fit_to_domain(fit: FitField | None) -> AnyFit:
    """Return the fit in the domain's form; none asks for `auto`."""
    return Auto() if fit is None else fit.to_domain()


def fit_from_domain(fit: Fit) -> ResolvedFit:
    """Return the fit as the answer names it, with every choice that was made."""
    metric = _metric_from_domain(fit.metric)
    match fit:
        case Knn():
            return KnnFit(
                method="knn", n_neighbors=fit.n_neighbors, weights=fit.weights, metric=metric
            )
        case NadarayaWatson():
            return NadarayaWatsonFit(
                method="nadaraya_watson", kernel=fit.kernel, metric=metric, **_reach(fit)
            )
        case LocalPolynomial():
            return LocalPolynomialFit(
                method="local_polynomial",
                degree=fit.degree,
                kernel=fit.kernel,
                ridge=fit.ridge,
                metric=metric,
                **_reach(fit),
            )
        case Kriging():
            return KrigingFit(
                method="kriging",
                kernel=fit.kernel,
                length_scale=fit.length_scale,
                alpha=fit.alpha,
                n_neighbors=fit.n_neighbors,
                mean=fit.mean,
                metric=metric,
            )


def _metric_from_domain(metric: Metric) -> MetricField:
    """Return the metric as the answer names it."""
    if isinstance(metric, str):
        return metric
    rows = [list(row) for row in metric if isinstance(row, tuple)]
    if rows:
        return MatrixMetric(matrix=rows)
    return ScaleMetric(scale=[scale for scale in metric if not isinstance(scale, tuple)])


def _reach(fit: NadarayaWatson | LocalPolynomial) -> dict[str, Any]:
    """Return the one of bandwidth and n_neighbors that the fit has, so that it alone is written."""
    if fit.bandwidth is not None:
        return {"bandwidth": fit.bandwidth}
    return {"n_neighbors": fit.n_neighbors}
