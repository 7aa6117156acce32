"""What a command prints: a table on a terminal, tab-separated lines in a pipe, or JSON.

Results go to stdout; what is said about them, and progress, to stderr.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

Cell: TypeAlias = str | int | float | None

SHOWN_ROWS: Final = 40
"""Of a table on a terminal; a pipe gets all of them."""

ESCAPED: Final[Mapping[str, str]] = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
"""What would break a tab-separated line, and what stands for it."""

ESCAPES: Final = str.maketrans(dict(ESCAPED))


@final
@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns.

    Attributes:
        columns: Their names.
        rows: Each as long as the columns; None where there is no value.
        title: A line above it, on a terminal only.
        more_rows: How many there are beside these, for people.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    more_rows: int = 0


def show(table: Table, document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result: the document as JSON where that is wanted, else the table."""
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    elif sys.stdout.isatty():
        _show_on_terminal(table)
    else:
        for row in table.rows:
            print("\t".join(_plain(cell) for cell in row))


def remark(sentence: str) -> None:
    """Say something about a result, on stderr."""
    print(f"nearfit: {sentence}", file=sys.stderr)


def _plain(cell: Cell) -> str:
    """Return a cell for programs: all digits, nothing where there is no value."""
    return "" if cell is None else str(cell).translate(ESCAPES)


def _for_people(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case float():
            return f"{cell:.6g}"
        case int():
            return f"{cell:,}"
        case _:
            return cell


def _show_on_terminal(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=table.title or None, title_justify="left", box=box.SIMPLE_HEAD)
    rows = table.rows[:SHOWN_ROWS]
    # Columns without a value would only take room from the others.
    shown = [j for j in range(len(table.columns)) if any(row[j] not in (None, "") for row in rows)]
    for j in shown:
        is_number = any(isinstance(row[j], int | float) for row in rows)
        # The first column names the row, and is to be copied: it is never cut.
        drawn.add_column(
            Text(table.columns[j]),
            justify="right" if is_number else "left",
            no_wrap=j == 0,
            overflow="fold",
        )
    for row in rows:
        # As texts: a name with brackets is no markup.
        drawn.add_row(*(Text(_for_people(row[j])) for j in shown))
    console = Console()
    console.print(drawn)
    left_out = len(table.rows[SHOWN_ROWS:]) + table.more_rows
    if left_out:
        console.print(f"… and {left_out:,} more rows, which a pipe or a file gets too")
