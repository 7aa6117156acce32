"""What a still picture is asked for with: the fields of a fit and of the picture, in one list."""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.api.faults import closest, query_faults, refusal, shown
from service.api.schemas.fits import FitField, fit_to_domain
from service.domain.dataset import MAX_NAME_LENGTH, Dataset
from service.domain.errors import FieldFault, InvalidInput
from service.domain.kernels import Covariance, Kernel
from service.domain.prediction import IntervalKind
from service.estimators.fits import AnyFit, Auto
from service.plots.picture import Theme
from service.plots.slices import numeric_features

METHODS: Final[Mapping[str, type[BaseModel]]] = {
    get_args(model.model_fields["method"].annotation)[0]: model
    for model in get_args(get_args(FitField)[0])
}
"""The schema of each method, by its name."""

KERNELS: Final = tuple(dict.fromkeys([*map(str, Kernel), *map(str, Covariance)]))

LEAST_WIDTH, LEAST_HEIGHT, MOST_SIDE = 320, 270, 2_400
"""Of a picture, in pixels: less would be all text."""

_FITS: Final[TypeAdapter[FitField]] = TypeAdapter(FitField)


class PlotQuery(BaseModel):
    """The choices of one picture.

    Those of the fit mean what they mean in `fit` of `/predict`, where their bounds are checked.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: (
        Literal[
            "auto",
            "knn",
            "nadaraya_watson",
            "local_polynomial",
            "local_linear",
            "kriging",
            "linear",
        ]
        | None
    ) = Field(
        None,
        description="How to predict. Default: `auto`. What follows, up to `mean`, are the fields "
        "of a `fit` in `/predict`; send those that the method has.",
        examples=["local_linear"],
    )
    n_neighbors: int | None = Field(
        None, description="k, from 1 to the number of rows.", examples=[20]
    )
    bandwidth: float | None = Field(
        None, description="Reach of the kernel, in the unit of the metric; above 0."
    )
    kernel: str | None = Field(
        None,
        description="The weight function; of kriging, the covariance.",
        json_schema_extra={"enum": list(KERNELS)},
    )
    degree: int | None = Field(None, description="Of `local_polynomial`, from 0 to 3.")
    metric: Literal["euclidean", "standardized", "learned"] | None = Field(
        None, description="How distances are measured. Default: `euclidean`, in data units."
    )
    weights: Literal["uniform", "distance"] | None = Field(
        None, description="Of `knn`: a plain mean, or one by inverse distance."
    )
    ridge: float | None = Field(
        None,
        description="Relative penalty on the slopes of local polynomials, without a unit; 0 for "
        "none.",
    )
    robust: int | None = Field(
        None, description="How often rows are weighed down by their residuals, from 0 to 20."
    )
    bandwidth_at: Literal["query", "row"] | None = Field(
        None, description="With `n_neighbors`: one bandwidth a query, or one a row."
    )
    length_scale: float | None = Field(
        None, description="Of kriging, in the unit of the metric; above 0."
    )
    alpha: float | None = Field(
        None, description="Of kriging: noise variance over that of the surface, from 0 to 1e150."
    )
    mean: Literal["zero", "constant"] | None = Field(
        None, description="Of kriging: what the surface goes to far from the rows."
    )
    feature: list[str] = Field(
        default_factory=list,
        description="The feature to go along, by its name; once more for a second, which makes a "
        "map. The others are held at their medians. Default: both of two, else the first that is "
        "of numbers.",
        max_length=2,
    )
    target: str | None = Field(
        None,
        description="The target by its name; of classes, the class whose probability is shown. "
        "Default: the first; in curves all classes.",
    )
    interval: Literal["none", "confidence", "prediction", "conformal", "jackknife_plus"] | None = (
        Field(
            None,
            description="The band about a curve, as `interval_kind` in `/predict`. Default: "
            "`conformal`; `none` of maps and of classes.",
        )
    )
    level: float | None = Field(
        None, gt=0, lt=1, description="How often the interval is meant to hold. Default: 0.9."
    )
    width: int = Field(720, ge=LEAST_WIDTH, le=MOST_SIDE, description="In pixels.")
    height: int = Field(480, ge=LEAST_HEIGHT, le=MOST_SIDE, description="In pixels.")
    theme: Theme = Field("light", description="Dark ink on a light sheet, or the other way round.")
    title: str | None = Field(
        None,
        max_length=MAX_NAME_LENGTH,
        description="The first line; empty for none. Default: the name of the dataset.",
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="Seconds that the picture may take. Default and cap are in /limits.",
    )

    def fit(self) -> AnyFit:
        """Return the fit that is asked for, in the domain's form.

        Raises:
            InvalidInput: A parameter does not suit the method, or is out of its bounds.
        """
        method = self.method or "auto"
        sent = {name: getattr(self, name) for name in FIT_PARAMETERS}
        sent = {name: value for name, value in sent.items() if value is not None}
        foreign = [name for name in sent if name not in METHODS[method].model_fields]
        if foreign:
            raise refusal([_foreign(name, sent[name], self.method) for name in foreign])
        if method == "auto":
            return Auto()
        try:
            return fit_to_domain(_FITS.validate_python({"method": method, **sent}))
        except ValidationError as error:
            raise refusal(query_faults(_of_parameters(error))) from None

    def features(self, dataset: Dataset) -> tuple[int, ...]:
        """Return the places of the features to go along.

        Raises:
            InvalidInput: There is no such feature, it is a category, or it stands twice.
        """
        usable = numeric_features(dataset)
        names = dataset.feature_names
        if not usable:
            raise InvalidInput.at(
                "feature",
                "All features of the dataset are categories, and a curve goes along one of "
                "numbers; ask POST /predict for estimates at levels.",
            )
        if not self.feature:
            return usable if len(names) == 2 == len(usable) else usable[:1]
        for name in self.feature:
            _check_known("feature", name, names)
            if names.index(name) not in usable:
                raise InvalidInput.at(
                    "feature",
                    f"The feature {shown(name)} is a category, and a picture goes along features "
                    f"of numbers; send one of {', '.join(names[j] for j in usable[:8])}.",
                )
        if len(set(self.feature)) < len(self.feature):
            raise InvalidInput.at(
                "feature", f"The feature {shown(self.feature[0])} stands twice; send two, or one."
            )
        return tuple(names.index(name) for name in self.feature)

    def target_of(self, dataset: Dataset) -> int | None:
        """Return the place of the target; None where none is named.

        Raises:
            InvalidInput: There is no such target.
        """
        if self.target is None:
            return None
        _check_known("target", self.target, dataset.target_names)
        return dataset.target_names.index(self.target)

    def interval_of(self, dataset: Dataset, n_features: int) -> IntervalKind | None:
        """Return the kind of the band; None where there is none.

        Raises:
            InvalidInput: A band, or its level, is asked for where there is none.
        """
        why = "interval is none"
        if n_features > 1:
            why = "a map of two features has no band"
        elif dataset.classes is not None:
            why = "probabilities of classes have no band"
        elif self.interval != "none":
            return self.interval or "conformal"
        name = "level" if self.interval in (None, "none") else "interval"
        if (value := getattr(self, name)) is not None:
            raise InvalidInput.at(name, f"{name} is {shown(value)}, and {why}; leave {name} out.")
        return None

    def title_of(self, dataset: Dataset) -> str:
        """Return the first line of the picture.

        Raises:
            InvalidInput: A character of it cannot be printed.
        """
        if self.title is None:
            return dataset.name or dataset.id
        if not self.title.isprintable():
            raise InvalidInput.at(
                "title",
                f"title is {shown(self.title)}, of which a character cannot be printed; leave it "
                "out.",
            )
        return self.title


FIT_PARAMETERS: Final = tuple(
    name
    for name in PlotQuery.model_fields
    if name != "method" and any(name in model.model_fields for model in METHODS.values())
)
"""The parameters that are fields of some fit."""

_RENAMED: Final = {"include": "interval", "interval_kind": "interval"}


def as_parameters(refused: InvalidInput) -> InvalidInput:
    """Return what the engine found wrong, each fault at the parameter that brought it."""
    faults = []
    for fault in refused.faults:
        first, *rest = fault.pointer.strip("/").split("/")
        name = (rest[0] if rest else "method") if first == "fit" else first
        faults.append(FieldFault(_RENAMED.get(name, name), fault.detail))
    return InvalidInput(refused.detail, faults=tuple(faults))


def _foreign(name: str, value: Any, method: str | None) -> FieldFault:
    having = [known for known, model in METHODS.items() if name in model.model_fields]
    chosen = f"the method {shown(method)} has no such field" if method else "no method is chosen"
    return FieldFault(
        name,
        f"{name} is {shown(value)}, and {chosen}; leave it out, or send a method that has it: "
        f"{', '.join(having)}.",
    )


def _of_parameters(error: ValidationError) -> list[Any]:
    """Return pydantic's findings at the parameters; those about a whole fit at `method`."""
    return [
        {**found, "loc": found["loc"][1:] or ("method",)}
        for found in error.errors(include_url=False)
    ]


def _check_known(parameter: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        listed = ", ".join(known[:8]) + ", …" * (len(known) > 8)
        raise InvalidInput.at(
            parameter,
            f"{parameter} is {shown(name)}, which the dataset does not have"
            f"{closest(name, known) or '.'} It has {listed}.",
        )
