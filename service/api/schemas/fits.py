"""The `fit` of a request and of an answer: a union on `method`, in scikit-learn's words.

Over 300 lines: the members of one union, which share their fields and are read side by side.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.base import RequestModel, Whole
from service.domain.kernels import Covariance, Kernel
from service.estimators.fits import (
    AnyFit,
    Auto,
    BandwidthAt,
    Fit,
    Knn,
    Kriging,
    Learned,
    Linear,
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

MOST_WEIGHINGS = 20
"""Of a robust fit, each as dear as predictions at all rows; the weights hardly move after a few."""

DESCENT_FIELDS = {"rate", "momentum", "tolerance", "max_steps"}
"""Of linear regression by gradient descent only."""


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
        if not any(any(row) for row in self.matrix):
            raise PydanticCustomError(
                "zero_matrix",
                "The matrix is all zeros, in which all points are one; send one with a number "
                "other than 0, or the metric standardized",
            )
        return self


def _metric_kind(value: Any) -> str:
    if isinstance(value, MatrixMetric) or (isinstance(value, dict) and "matrix" in value):
        return "matrix"
    return "scale" if isinstance(value, dict | ScaleMetric) else "name"


MetricField: TypeAlias = Annotated[
    Annotated[Literal["euclidean", "standardized", "learned"], Tag("name")]
    | Annotated[ScaleMetric, Tag("scale")]
    | Annotated[MatrixMetric, Tag("matrix")],
    Discriminator(_metric_kind),
    Field(
        description="How distances are measured: `euclidean` in data units, `standardized` with "
        "each feature over its standard deviation, `{'scale': [...]}` with each feature over a "
        "number of yours, `{'matrix': [[...]]}` after a linear map, or `learned` as in the best "
        "fit that tuning has found for this version of the dataset (`standardized` until it has "
        "found one); the answer has the scale or matrix itself."
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
            case "learned":
                return "standardized"  # until it is resolved, see `Learned`
            case name:
                return name


class _Smoother(_Method):
    """A fit whose reach is either a bandwidth or a number of neighbours."""

    bandwidth: Length | None = Field(
        None,
        description="Reach of the kernel, in the unit of the metric, from 1e-150 to 1e150. For "
        "gaussian its standard deviation; the other kernels are zero beyond it. Send this or "
        "`n_neighbors`. For a bandwidth a feature send 1 here, and the bandwidths as `metric: "
        "{'scale': [...]}`.",
        examples=[2.5],
    )
    n_neighbors: Count | None = Field(
        None,
        description="Let the bandwidth at each query be the distance to its k-th nearest row. "
        "Send this or `bandwidth`.",
        examples=[20],
    )
    bandwidth_at: BandwidthAt = Field(
        "query",
        description="With `n_neighbors`: `query` for one bandwidth a query (generalized nearest "
        "neighbours), `row` for one a row (adaptive nearest neighbours): the distance of each row "
        "to its k-th nearest other row, k at most the number of rows less 2. A row is then heard "
        "from as far as its surroundings are sparse, and some queries may be in the reach of none. "
        "A row at whose place k others lie counts at that place only.",
    )
    robust: Annotated[int, Field(ge=0, le=MOST_WEIGHINGS), Whole] = Field(
        0,
        description="How often the rows are weighed down by their residuals, by Tukey's bisquare, "
        "and fitted again, so that outliers do not pull: 0 for never; 3 is usual. Slopes, errors, "
        "intervals and leave-one-out hold these weights fixed.",
        examples=[3],
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
        if self.bandwidth_at == "row" and self.n_neighbors is None:
            raise PydanticCustomError(
                "no_row_bandwidths",
                "The fit has bandwidth_at 'row', which takes the bandwidth of each row from its "
                "neighbours, but no n_neighbors; send n_neighbors in the place of bandwidth",
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
        return NadarayaWatson(
            self.kernel,
            self.bandwidth,
            self.n_neighbors,
            self.domain_metric,
            self.robust,
            self.bandwidth_at,
        )


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
    degree: Annotated[int, Field(ge=0, le=3), Whole] = Field(
        1, description="0: locally constant, 1: linear, 2: quadratic, 3: cubic, with all products."
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
            self.robust,
            self.bandwidth_at,
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
            self.robust,
            self.bandwidth_at,
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


class LinearFit(_Method):
    """Linear regression: one plane through all rows."""

    model_config = ConfigDict(title="LinearFit")

    method: Literal["linear"]
    solver: Literal["least_squares", "gradient_descent"] = Field(
        "least_squares",
        description="`least_squares`: by orthogonal factors, without the normal equations. "
        "`gradient_descent`: step by step down the mean squared residual; the answer has its "
        "history under `solver`.",
    )
    rate: float | None = Field(
        None,
        gt=0,
        le=1e150,
        description="Of gradient descent, for features and targets in units of their standard "
        "deviations. null for the largest that is safe.",
    )
    momentum: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Of gradient descent: the share of the last step that is taken again; null for "
        "Nesterov's acceleration.",
    )
    tolerance: float = Field(
        1e-12,
        ge=0,
        lt=1,
        description="Gradient descent ends when no entry of the gradient is larger than this times "
        "the largest at the start.",
    )
    max_steps: Annotated[int, Field(ge=1, le=100_000), Whole] = Field(
        10_000, description="Of gradient descent, from 1 to 100,000."
    )

    @model_validator(mode="after")
    def _descends(self) -> "LinearFit":
        given = sorted(DESCENT_FIELDS & self.model_fields_set)
        if self.solver == "least_squares" and given:
            raise PydanticCustomError(
                "no_descent",
                "The fit has {given}, which least_squares has no use for; leave it out, or send "
                "the solver gradient_descent",
                {"given": " and ".join(given)},
            )
        return self

    def to_domain(self) -> Linear:
        """Return the fit in the domain's form."""
        return Linear(
            self.solver,
            self.rate,
            self.momentum,
            self.tolerance,
            self.max_steps,
            self.domain_metric,
        )


class AutoFit(RequestModel):
    """Let the service choose; the answer names the fit that was used."""

    method: Literal["auto"]


FitField: TypeAlias = Annotated[
    KnnFit
    | NadarayaWatsonFit
    | LocalPolynomialFit
    | LocalLinearFit
    | KrigingFit
    | LinearFit
    | AutoFit,
    Field(discriminator="method"),
]

ResolvedFit: TypeAlias = Annotated[
    KnnFit | NadarayaWatsonFit | LocalPolynomialFit | KrigingFit | LinearFit,
    Field(discriminator="method"),
]


def fit_to_domain(fit: FitField | None) -> AnyFit:
    """Return the fit in the domain's form; none asks for `auto`."""
    if fit is None or isinstance(fit, AutoFit):
        return Auto()
    found = fit.to_domain()
    return Learned(found) if fit.metric == "learned" else found


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
        case Linear():
            descent = {name: getattr(fit, name) for name in DESCENT_FIELDS}
            if fit.solver == "least_squares":
                descent = {}
            return LinearFit(method="linear", solver=fit.solver, metric=metric, **descent)


def _metric_from_domain(metric: Metric) -> MetricField:
    """Return the metric as the answer names it."""
    if isinstance(metric, str):
        return metric
    rows = [list(row) for row in metric if isinstance(row, tuple)]
    if rows:
        return MatrixMetric(matrix=rows)
    return ScaleMetric(scale=[scale for scale in metric if not isinstance(scale, tuple)])


def _reach(fit: NadarayaWatson | LocalPolynomial) -> dict[str, Any]:
    """Return the one of bandwidth and n_neighbors that the fit has, so that it alone is written.

    Also `robust` and `bandwidth_at`, where they are not the defaults.
    """
    reach: dict[str, Any] = {"n_neighbors": fit.n_neighbors}
    if fit.bandwidth is not None:
        reach = {"bandwidth": fit.bandwidth}
    if fit.bandwidth_at != "query":
        reach["bandwidth_at"] = fit.bandwidth_at
    return {**reach, "robust": fit.robust} if fit.robust else reach
