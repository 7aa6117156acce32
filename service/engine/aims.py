"""What a search for a fit is to choose among, checked against the dataset."""

from dataclasses import dataclass

import numpy as np

from service.domain.arrays import Rows
from service.domain.dataset import Dataset
from service.domain.errors import InvalidInput
from service.engine.commands import TuneCommand
from service.estimators.fits import NEED_ALL_CELLS, Fit, Smoother, has_row_bandwidths
from service.estimators.leave_one_out import GROUPS_OF_ROW_BANDWIDTHS
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
    groups = _groups(command, dataset)
    if dataset.has_gaps and command.methods is not None and command.methods <= NEED_ALL_CELLS:
        raise InvalidInput.at(
            "/methods",
            "The dataset has rows with missing cells, and these methods need all of them: send "
            "knn, nadaraya_watson or local_polynomial too, or a dataset without these rows.",
        )
    if command.selector == "search" or fit is None:
        return Aim(methods=command.methods, groups=groups)
    n, d, t = dataset.n_rows, dataset.n_coordinates, dataset.n_targets
    has_weights = dataset.row_weights is not None
    smoother = check_selectable(fit, command.selector, n, d=d, t=t, has_weights=has_weights)
    if groups is not None and has_row_bandwidths(smoother):
        raise InvalidInput.at("/fit/bandwidth_at", GROUPS_OF_ROW_BANDWIDTHS)
    return Aim(groups=groups, selector=command.selector, smoother=smoother)


def _groups(command: TuneCommand, dataset: Dataset) -> Rows | None:
    """Return the group of each row, (n,), from 0; None where rows are left out one by one."""
    n = dataset.n_rows
    if command.blocks is not None:
        if command.blocks > n:
            raise InvalidInput.at(
                "/blocks",
                f"blocks is {command.blocks}, but the dataset has {n} rows; send at most so many.",
            )
        return np.arange(n, dtype=np.int64) * command.blocks // n
    if command.group_by is not None:
        return _groups_by(command.group_by, dataset)
    groups = command.groups
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
    return groups


def _groups_by(name: str, dataset: Dataset) -> Rows:
    """Return groups of rows with the same value of a feature; a missing one is a value too."""
    names = dataset.feature_names
    if name not in names:
        known = ", ".join(names[:8]) + ", …" * (len(names) > 8)
        raise InvalidInput.at(
            "/group_by",
            f"The dataset has no feature {name!r:.60} to group by; its features are {known}.",
        )
    feature = names.index(name)
    columns = np.arange(len(names)) if dataset.features is None else dataset.features
    values = dataset.x[:, columns == feature]
    found, groups = np.unique(
        np.where(np.isnan(values), np.inf, values), axis=0, return_inverse=True
    )
    if len(found) == 1:
        raise InvalidInput.at(
            "/group_by",
            f"All rows have the same '{name}', and nothing would be left to predict them from; "
            "name another feature, or none.",
        )
    return np.asarray(groups.reshape(-1), dtype=np.int64)
