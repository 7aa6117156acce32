"""What query parameters say of the categories among the columns of a file or table."""

from collections.abc import Callable, Sequence

from service.api.faults import closest, shown
from service.domain.categories import Declared, Level
from service.domain.errors import InvalidInput


def named_column(spec: str, names: Sequence[str]) -> str:
    """Return the column that `ordered=NAME:LEVEL|LEVEL…` is of: the longest name that fits.

    Raises:
        InvalidInput: There is none.
    """
    found = [name for name in names if spec.startswith(f"{name}:")]
    if not found:
        name = spec.partition(":")[0]
        raise InvalidInput.at(
            "ordered",
            f"ordered is {shown(spec)}, and there is no feature {shown(name)}"
            f"{closest(name, names) or '.'} Send its name, a colon, and its levels in their order "
            "with | between, as size:small|medium|large.",
        )
    return max(found, key=len)


def declared_categories(
    categorical: Sequence[str],
    ordered: Sequence[str],
    features: Sequence[str],
    has_texts: Callable[[str], bool],
) -> dict[str, Declared]:
    """Return what the parameters say, by feature.

    Args:
        categorical: Names of unordered features.
        ordered: Names and levels of ordered ones.
        features: The names of all.
        has_texts: Whether the column of a feature is of texts; else its levels are numbers.

    Raises:
        InvalidInput: There is no such feature, one stands twice, or a level is no number.
    """
    found: dict[str, Declared] = {}
    for name in categorical:
        if name not in features:
            raise InvalidInput.at(
                "categorical",
                f"There is no feature {shown(name)}{closest(name, features) or '.'} The features "
                f"are {', '.join(shown(known) for known in features[:20])}.",
            )
        _check_new(name, found, "categorical")
        found[name] = "unordered"
    for spec in ordered:
        name = named_column(spec, features)
        _check_new(name, found, "ordered")
        texts = [level.strip() for level in spec[len(name) + 1 :].split("|")]
        found[name] = texts if has_texts(name) else [_number(level, spec) for level in texts]
    return found


def _check_new(name: str, found: dict[str, Declared], parameter: str) -> None:
    if name in found:
        raise InvalidInput.at(
            parameter, f"The feature {shown(name)} stands twice; say once what it is."
        )


def _number(level: str, spec: str) -> Level:
    try:
        return float(level)
    except ValueError:
        raise InvalidInput.at(
            "ordered",
            f"ordered is {shown(spec)}, and the column is of numbers, which {shown(level)} is not: "
            "list its numbers.",
        ) from None
