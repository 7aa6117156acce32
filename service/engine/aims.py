"""What a search for a fit is to choose among, checked against the dataset."""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Rows
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.commands import TuneCommand
from service.estimators.fits import Fit, Smoother
from service.estimators.selection import Selector, check_selectable


@dataclass(frozen=True, eq=False)
class Aim:
    """What a search is to choose among.

    Attributes:
        methods: Those that the search tries; None for all.
        groups: The group of each row, (n,), from 0, if a row's whole group is left out with it.
        selector: By what the reach of a smoother is chosen; None for the search among methods.
        smoother: Whose reach that is.
    """

    methods: frozenset[type[Fit]] | None = None
    groups: Rows | None = None
    selector: Selector | None = None
    smoother: Smoother | None = None


EVERYTHING = Aim()


def aim_of(command: TuneCommand, dataset: Dataset, fit: Fit | None) -> Aim:
    """Return the aim of a command for a dataset, with its fit as resolved.

    Raises:
        InvalidInput: The groups are not one a row, or all one; the selector cannot choose the reach
            of the fit.
    """
    n, groups = dataset.n_rows, command.groups
    if groups is not None and len(groups) != n:
        raise InvalidInput.at(
            "/groups",
            f"groups has {len(groups)} labels, but the dataset has {n} rows; send one for each.",
        )
    if groups is not None and int(np.max(groups)) == 0:
        raise InvalidInput.at(
            "/groups",
            "groups has one label for all rows, and nothing would be left to predict them from; "
            "send two labels at least, or no groups.",
        )
    if command.selector == "search" or fit is None:
        return Aim(methods=command.methods, groups=groups)
    smoother = check_selectable(fit, command.selector, n, d=dataset.n_features, t=dataset.n_targets)
    return Aim(groups=groups, selector=command.selector, smoother=smoother)
