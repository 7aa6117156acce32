"""docs/benchmarks.md and docs/accuracy.md: tables come from results, prose from people.

    python -m benchmarks.page

writes the tables anew. In a page, what stands between `<!-- overview -->` or
`<!-- results NAME -->` and `<!-- end -->` is generated; NAME may have a `*`, for results that are
named after a machine.
"""

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.records import Record, read_records
from benchmarks.tables import aligned, markdown, overview_rows, tables, target_rows

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "benchmarks.md", DOCS / "accuracy.md")
BLOCK = re.compile(r"(<!-- (overview|results (\S+)) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, records: Mapping[str, Record]) -> str:
    """Return the page with each block written anew from the records."""

    def block(found: re.Match[str]) -> str:
        opening, kind, pattern, end = found.groups()
        content = overview(records) if kind == "overview" else results(pattern, records)
        return f"{opening}{content}\n{end}"

    return BLOCK.sub(block, text)


def overview(records: Mapping[str, Record]) -> str:
    """Return the table of all targets."""
    return markdown(overview_rows(records))


def results(pattern: str, records: Mapping[str, Record]) -> str:
    """Return all that the records of this name, or pattern, say."""
    chosen = [record for name, record in records.items() if fnmatch.fnmatch(name, pattern)]
    if not chosen:
        return "There are no results of this here."
    return "\n\n".join(section(record) for record in chosen)


def section(record: Record) -> str:
    """Return the tables of one record, its targets, its notes, and where it was measured."""
    parts = []
    for rows, below in tables(record):
        parts.append(markdown(rows))
        if below:
            parts.append(below)
    if record.targets:
        parts.append(markdown(target_rows(record.targets)))
    parts.extend(record.notes)
    parts.append(provenance(record))
    return "\n\n".join(parts)


def provenance(record: Record) -> str:
    """Return sizes, machine and date, and where the single times and all versions stand."""
    setting = ", ".join(f"{name} = {_shown(value)}" for name, value in record.setting.items())
    machine = record.machine
    return (
        f"<sub>{setting}{'. ' if setting else ''}{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB; {record.date[:10]}. Each round and all versions: "
        f"[{record.name}.json](../benchmarks/results/{record.name}.json)</sub>"
    )


def main() -> None:
    """Write the pages anew and print the overview."""
    records = read_records()
    for page in PAGES:
        page.write_text(rendered(page.read_text("utf-8"), records), "utf-8")
    print(aligned(overview_rows(records)))
    print(f"\nwritten to {' and '.join(map(str, PAGES))}")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
