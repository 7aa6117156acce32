"""`nearfit tune`: search for the best fit to a dataset."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from service.client import Job
from service.commands.connection import connected
from service.commands.failures import ExitCode
from service.commands.output import Cell, Table, remark, show

COLUMNS: Final = ("error", "rmse", "step", "fit")

SHOWN_FITS: Final = 10
"""On a terminal; a pipe gets all of them."""


def tune(options: argparse.Namespace) -> int:
    """Search, with a bar on a terminal, and print the candidates, the best first."""
    with connected(options) as client:
        job = client.tune(
            options.dataset,
            budget_s=options.budget,
            selector=options.selector,
            methods=options.methods or None,
            fit=options.fit,
            group_by=options.group_by,
            blocks=options.blocks,
        )
    show(_table(job), job.document, as_json=options.json)
    if job.document["detail"]:
        remark(job.document["detail"])
    if job.state == "failed":
        return ExitCode.REFUSED
    if sys.stdout.isatty() and job.fit is not None and not options.json:
        remark(f"the best fit is --fit '{json.dumps(job.fit, ensure_ascii=False)}'")
    return ExitCode.DONE


def _table(job: Job) -> Table:
    ranked = sorted(job.scores, key=_rank)
    title = f"The best of {len(ranked)} fits"
    if not sys.stdout.isatty():
        return Table(COLUMNS, [_row(score, json.dumps) for score in ranked], title)
    best = [_row(score, _in_words) for score in ranked[:SHOWN_FITS]]
    return Table(COLUMNS, best, title, more_rows=len(ranked) - len(best))


def _rank(score: Mapping[str, Any]) -> tuple[bool, float]:
    """Return what puts the best first, by its criterion where it has one, and no error last."""
    judged = score["criterion"] if "criterion" in score else score["error"]
    return judged is None, 0.0 if judged is None else float(judged)


def _row(score: Mapping[str, Any], write_fit: Callable[[Any], str]) -> list[Cell]:
    rmse = " ".join("" if value is None else f"{value:g}" for value in score["rmse"])
    return [score["error"], rmse, score["step"], write_fit(score["fit"])]


def _in_words(fit: Mapping[str, Any]) -> str:
    """Return a fit for people; JSON has all of its digits."""
    words = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in fit.items()
        if isinstance(value, str | int | float) and name != "method"
    ]
    return f"{fit['method']}: {', '.join(words)}" if words else str(fit["method"])
