"""What an answer cannot include, since its fit does not have it."""

from service.domain.errors import InvalidInput
from service.domain.prediction import Wanted
from service.estimators.fits import (
    Fit,
    Kriging,
    Linear,
    LocalPolynomial,
    NadarayaWatson,
    Smoother,
    has_row_bandwidths,
    is_robust,
)
from service.estimators.gradients import check_has_gradient, check_has_slope
from service.estimators.linear import NO_FACTORS


def check_wanted(wanted: Wanted, fit: Fit) -> None:
    """Refuse what the fit cannot give, before anything is computed.

    Raises:
        InvalidInput: At /include, or at the field of the fit.
    """
    if isinstance(fit, NadarayaWatson | LocalPolynomial):
        _check_smoother(wanted, fit)
    if isinstance(fit, Linear) and fit.solver == "gradient_descent":
        if wanted.neighbor_limit is not None or wanted.std or wanted.interval or wanted.slope:
            raise InvalidInput.at("/include", NO_FACTORS)
    if wanted.slope:
        check_has_slope(fit)
    if wanted.gradient:
        try:
            check_has_gradient(fit)
        except InvalidInput as refused:
            raise InvalidInput.at("/include", f"include has gradient. {refused.detail}") from None
    if wanted.noise == "local" and isinstance(fit, Kriging | Linear):
        raise InvalidInput.at(
            "/noise",
            "noise is 'local', and this method supposes the same noise everywhere: send "
            "'constant', or ask for interval_kind conformal, which follows the noise.",
        )
    if wanted.interval == "jackknife_plus" and isinstance(fit, Linear):
        raise InvalidInput.at(
            "/interval_kind",
            "interval_kind is 'jackknife_plus', which linear regression does not have here: send "
            "'conformal', or another method.",
        )
    if wanted.quantiles and isinstance(fit, Kriging | Linear):
        raise InvalidInput.at(
            "/include",
            "include has quantiles, which are those of the rows about a query, and this method "
            "looks at all of them alike: ask for an interval, or send another method.",
        )


def _check_smoother(wanted: Wanted, fit: Smoother) -> None:
    """Refuse what a robust fit, or one with bandwidths of the rows, cannot give."""
    if wanted.noise == "local" and is_robust(fit):
        raise InvalidInput.at(
            "/noise",
            "noise is 'local', and of a robust fit it would be that of the rows which it weighs "
            "down: send 'constant', or ask for interval_kind conformal.",
        )
    if wanted.interval == "jackknife_plus" and has_row_bandwidths(fit):
        raise InvalidInput.at(
            "/interval_kind",
            "interval_kind is 'jackknife_plus', which a fit with bandwidth_at 'row' does not have: "
            "send 'conformal', or bandwidth_at 'query'.",
        )
