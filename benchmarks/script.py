"""The command line that every benchmark has."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import RESULTS, Record
from benchmarks.tables import terminal


@dataclass(frozen=True)
class Options:
    """How a benchmark is to be run.

    Attributes:
        quick: Smaller sizes, to see that it works; its figures are not those that are quoted.
        rounds: How often each contestant runs.
    """

    quick: bool
    rounds: int


def run(measure: Callable[[Options], Record], description: str | None, *, rounds: int = 7) -> None:
    """Read the command line, measure, print the tables and write the record.

    Args:
        measure: The benchmark.
        description: The docstring of the script.
        rounds: The default of a full run; a quick one has 2.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes; nothing to quote")
    parser.add_argument("--rounds", type=int, help=f"default {rounds}, or 2 with --quick")
    parser.add_argument(
        "--results", type=Path, help="where to write <name>.json; with --quick default nowhere"
    )
    given = parser.parse_args()
    chosen = given.rounds or (2 if given.quick else rounds)
    record = measure(Options(given.quick, chosen))
    print(terminal(record), flush=True)
    folder = given.results or (None if given.quick else RESULTS)
    if folder is not None:
        print(f"written to {record.write(folder)}", flush=True)
