"""Records as tables, for a terminal and for a page."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.records import Comparison, Record, Samples, Target

Rows = list[list[str]]
"""The cells of a table; the first row is its head."""

QUESTIONS = tuple(f"K{row}" for row in range(1, 13))
"""The rows of the table of targets."""

SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def figure(value: float, unit: str) -> str:
    """Return three significant digits and the unit; seconds in the unit that suits them."""
    if unit == "s":
        scale, unit = next(
            ((scale, name) for scale, name in SECONDS if abs(value) >= 0.9995 * scale), SECONDS[-1]
        )
        value /= scale
    return f"{number(value)}{'' if unit in {'×', ''} else ' '}{unit}"


def number(value: float) -> str:
    """Return three significant digits, or all digits before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    text = f"{value:#.3g}"
    return f"{value:.1e}" if "e" in text else text.rstrip(".")


def comparison_rows(comparison: Comparison) -> Rows:
    """Return a contestant a row: median, spread, and the ratio to the baseline."""
    unit, has_ratio = comparison.unit, comparison.baseline is not None
    is_repeated = any(len(samples.values) > 1 for samples in comparison.samples.values())
    spread, ratio = ["least to most"] * is_repeated, [f"÷ {comparison.baseline}"] * has_ratio
    rows = [[comparison.title, "median" if is_repeated else "", *spread, *ratio]]
    for name, samples in comparison.samples.items():
        row = [_named(name, samples), figure(samples.median, unit)]
        if is_repeated:
            least, most = min(samples.values), max(samples.values)
            row.append(f"{figure(least, unit)} to {figure(most, unit)}")
        if has_ratio:
            row.append(figure(comparison.ratio(name), "×"))
        rows.append(row)
    for name, why in comparison.left_out.items():
        rows.append([f"{name}: {why}", *[""] * (len(rows[0]) - 1)])
    return rows


def matrix_rows(comparisons: Sequence[Comparison]) -> Rows:
    """Return a contestant a row and a comparison a column: medians, and ratios in brackets."""
    baseline = comparisons[0].baseline
    head = "" if baseline is None else f"median (÷ {baseline})"
    rows = [[head, *(one.title for one in comparisons)]]
    names = dict.fromkeys(name for one in comparisons for name in [*one.samples, *one.left_out])
    for name in names:
        note = next((one.samples[name].note for one in comparisons if name in one.samples), "")
        rows.append([_named(name, Samples((), note)), *(_cell(one, name) for one in comparisons)])
    return rows


def groups(comparisons: Iterable[Comparison]) -> list[list[Comparison]]:
    """Return runs of comparisons that can share a table: one unit, and contestants in common."""
    found: list[list[Comparison]] = []
    for one in comparisons:
        if found and _belong_together(found[-1][-1], one):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def tables(record: Record) -> list[tuple[Rows, str]]:
    """Return each table of the record, with the sentence that belongs under it, or ""."""
    shown = []
    for group in groups(record.comparisons):
        if len(group) == 1:
            shown.append((comparison_rows(group[0]), ""))
        else:
            shown.append((matrix_rows(group), _spread(group)))
    return shown


def target_rows(targets: Iterable[Target]) -> Rows:
    """Return a target a row."""
    rows = [["", "figure", "measured", "to reach", ""]]
    for target in targets:
        rows.append(
            [
                target.id,
                target.claim,
                figure(target.measured, target.unit),
                f"{'≤' if target.at_most else '≥'} {figure(target.bound, target.unit)}",
                "reached" if target.is_reached else "**falls short**",
            ]
        )
    return rows


def overview_rows(records: Mapping[str, Record]) -> Rows:
    """Return all targets of all records by number, and the numbers that have none."""
    targets = [target for record in records.values() for target in record.targets]
    rows = target_rows([])
    for question in QUESTIONS:
        found = target_rows(target for target in targets if target.id == question)[1:]
        rows.extend(found or [[question, "not measured on this machine", "", "", ""]])
    return rows


def aligned(rows: Rows) -> str:
    """Return the table as text: the first column to the left, the others to the right."""
    plain = [[cell.replace("**", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    lines = []
    for first, *others in plain:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)


def markdown(rows: Rows) -> str:
    """Return the table as Markdown."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def terminal(record: Record) -> str:
    """Return all that the record says, as text."""
    setting = ", ".join(f"{name} {value}" for name, value in record.setting.items())
    parts = [f"\n{record.title}\n{setting}".rstrip()]
    for rows, below in tables(record):
        parts.append(f"{aligned(rows)}\n{below}".rstrip())
    if record.targets:
        parts.append(aligned(target_rows(record.targets)))
    parts.extend(record.notes)
    return "\n\n".join(parts)


def _named(name: str, samples: Samples) -> str:
    return f"{name} ({samples.note})" if samples.note else name


def _cell(comparison: Comparison, name: str) -> str:
    if name not in comparison.samples:
        return "wrong" if name in comparison.left_out else ""
    median = figure(comparison.samples[name].median, comparison.unit)
    if comparison.baseline in {None, name}:
        return median
    return f"{median} ({figure(comparison.ratio(name), '×')})"


def _belong_together(one: Comparison, other: Comparison) -> bool:
    common = (one.samples.keys() | one.left_out) & (other.samples.keys() | other.left_out)
    same_kind = (one.unit, one.baseline) == (other.unit, other.baseline)
    return same_kind and bool(common - {one.baseline, "all others"})


def _spread(comparisons: Iterable[Comparison]) -> str:
    """Return how far the middle half of the rounds lies from the median, at worst."""
    worst = 0.0
    for comparison in comparisons:
        for samples in comparison.samples.values():
            if len(samples.values) < 3:
                continue
            low, _, high = statistics.quantiles(samples.values, n=4, method="inclusive")
            off = max(samples.median - low, high - samples.median)
            worst = max(worst, off / abs(samples.median) if samples.median else 0.0)
    if worst == 0:
        return ""
    return f"In every cell, half of the rounds lie within {100 * worst:.0f} % of the median."
