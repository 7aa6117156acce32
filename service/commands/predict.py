"""`nearfit predict`: predictions at the rows of a file."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from service.client import FilePrediction
from service.commands.connection import connected
from service.commands.failures import ExitCode, Failure
from service.commands.inputs import STANDARD, sent_queries
from service.commands.options import FIT_OPTIONS
from service.commands.output import SHOWN_ROWS, Table, remark, show
from service.commands.outputs import output_format, records, write

NO_TABLE: Final = Table((), ())

NAMED_QUERIES: Final = 5
"""Of an issue's queries, those that are listed."""


def predict(options: argparse.Namespace) -> int:
    """Ask at the rows of a file, and write the estimates behind the file's own columns."""
    if options.output is not None:  # before anything is computed
        output_format(options.output, options.output_format)
    fit = fit_of(options)
    with (
        connected(options) as client,
        sent_queries(options.queries, options.format) as (source, kind),
    ):
        prediction = client.predict_file(
            options.dataset,
            source,
            media_type=kind,
            fit=fit,
            include=options.include,
            level=options.level,
            interval_kind=options.interval_kind,
            noise=options.noise,
            quantiles=options.quantiles,
            timeout_s=options.timeout,
        )
    _print(prediction, options)
    for issue in prediction.document["issues"]:
        remark(_sentence(issue))
    return ExitCode.DONE


def fit_of(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the fit of `--fit` and of the options for its fields; None where there is none.

    Raises:
        Failure: The options say something of a fit, but no method.
    """
    named = {field: getattr(options, field) for field, *_ in FIT_OPTIONS}
    fit = {
        **(options.fit or {}),
        **{field: value for field, value in named.items() if value is not None},
    }
    if fit and "method" not in fit:
        given = " and ".join(f"--{field.replace('_', '-')}" for field in named if field in fit)
        raise Failure(
            ExitCode.USAGE,
            f"{given or 'The fields of --fit'} need a method; add one, such as "
            "--method local_linear.",
        )
    return fit or None


def _print(prediction: FilePrediction, options: argparse.Namespace) -> None:
    table, document = prediction.table, prediction.document
    if options.output is not None:
        write(table, options.output, options.output_format)
        if options.json and options.output != STANDARD:
            show(NO_TABLE, document, as_json=True)
    elif options.json:
        show(NO_TABLE, {**document, "rows": list(records(table))}, as_json=True)
    elif sys.stdout.isatty():
        show(_for_people(table, document), document, as_json=False)
    else:
        write(table, STANDARD, options.output_format)


def _for_people(table: pa.Table, document: Mapping[str, Any]) -> Table:
    """Return the first rows, below what they are."""
    shown = table.slice(0, SHOWN_ROWS)
    rows = list(zip(*(column.to_pylist() for column in shown.columns), strict=True))
    chosen = f", chosen by {document['chosen_by']}" if "chosen_by" in document else ""
    title = f"{', '.join(document['target_names'])} by {document['fit']['method']}{chosen}"
    return Table(table.column_names, rows, title, more_rows=len(table) - len(rows))


def _sentence(issue: dict[str, Any]) -> str:
    queries = issue["queries"]
    places = ", ".join(map(str, queries[:NAMED_QUERIES]))
    rest = f" and {len(queries) - NAMED_QUERIES:,} more" if len(queries) > NAMED_QUERIES else ""
    return f"{issue['status']} at query {places}{rest} (from 0). {issue['advice']}"
