"""`nearfit upload`, `nearfit list` and `nearfit rm`."""

import argparse
from typing import Any, Final

from service.client import DatasetInfo
from service.commands.connection import connected
from service.commands.failures import ExitCode
from service.commands.inputs import sent_file
from service.commands.output import Cell, Table, show

COLUMNS: Final = ("id", "name", "version", "rows", "features", "targets", "task", "bytes")
"""Fields of the service's answer; in a pipe the columns stand in this order, without names."""


def upload(options: argparse.Namespace) -> int:
    """Send a file as it is, so that the service reads it, and print what it made of it."""
    lists = {name: getattr(options, name) for name in ("columns", "categorical", "ordered")}
    with connected(options) as client, sent_file(options.file, options.format) as (source, kind):
        dataset = client.datasets.upload(
            source,
            media_type=kind,
            target=options.target,
            name=options.name,
            task=options.task,
            weights=options.weights,
            options={name: values for name, values in lists.items() if values},
        )
    title = "Uploaded" if dataset.is_new else "The same content is there already"
    show(_table([dataset], title), dataset.document, as_json=options.json)
    return ExitCode.DONE


def list_datasets(options: argparse.Namespace) -> int:
    """Print the datasets in the order of their upload."""
    with connected(options) as client:
        found = client.datasets.list()
    document = {"datasets": [dataset.document for dataset in found]}
    show(_table(found), document, as_json=options.json)
    return ExitCode.DONE


def remove(options: argparse.Namespace) -> int:
    """Remove datasets one by one, up to the first that cannot be, and print which are gone."""
    removed: list[str] = []
    try:
        with connected(options) as client:
            for dataset_id in options.datasets:
                client.datasets.delete(dataset_id)
                removed.append(dataset_id)
    finally:
        if removed:
            rows = [(dataset_id,) for dataset_id in removed]
            show(Table(("removed",), rows), {"removed": removed}, as_json=options.json)
    return ExitCode.DONE


def _table(datasets: list[DatasetInfo], title: str = "") -> Table:
    def row(document: dict[str, Any]) -> list[Cell]:
        return [document[column] for column in COLUMNS]

    return Table(COLUMNS, [row(dataset.document) for dataset in datasets], title)
