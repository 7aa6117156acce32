"""What a benchmark found: samples, comparisons, targets, and the file that keeps them."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, versions

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Samples:
    """One quantity, measured once a round.

    Attributes:
        values: In the unit of the comparison.
        note: What a reader of the figure must know, as half a sentence.
    """

    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """The figure that is quoted."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Comparison:
    """The same quantity of several contestants, measured in one run.

    Attributes:
        title: What was measured; the head of a column where a record has several of one kind.
        unit: "s", "requests/s", "MB", …
        samples: By contestant.
        baseline: The contestant that the others are divided by; None for no ratios.
        left_out: Contestants that were not timed, and why.
    """

    title: str
    unit: str
    samples: Mapping[str, Samples]
    baseline: str | None = "nearfit"
    left_out: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, contestant: str) -> float:
        """Return the median of the contestant over that of the baseline."""
        if self.baseline is None:
            raise ValueError(f"'{self.title}' has no baseline to divide by")
        return self.samples[contestant].median / self.samples[self.baseline].median

    def least(self, *excluded: str) -> str:
        """Return the contestant of the least median, beside the baseline and those excluded."""
        others = [name for name in self.samples if name not in {self.baseline, *excluded}]
        return min(others, key=lambda name: self.samples[name].median)


@dataclass(frozen=True)
class Target:
    """A figure to reach, and what was measured.

    Attributes:
        id: The row of a table of targets, K1 to K12 or S3 to S7.
        claim: What the figure is, such as "scikit-learn's time over nearfit's".
        measured: The figure.
        bound: What it has to reach.
        at_most: Whether it has to stay below the bound instead.
        unit: Of both; "×" for ratios.
    """

    id: str
    claim: str
    measured: float
    bound: float
    at_most: bool = False
    unit: str = "×"

    @property
    def is_reached(self) -> bool:
        """True where the figure is on the right side of the bound."""
        if self.at_most:
            return self.measured <= self.bound
        return self.measured >= self.bound


@dataclass(frozen=True)
class Record:
    """All that one benchmark found, with where and when.

    Attributes:
        name: Of the script, and of the file.
        title: The question, for people.
        setting: Sizes and seeds.
        comparisons: The figures.
        targets: Those that have one.
        notes: Sentences that belong under the table.
    """

    name: str
    title: str
    setting: Mapping[str, Any]
    comparisons: tuple[Comparison, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def write(self, folder: Path = RESULTS) -> Path:
        """Write <folder>/<name>.json and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path


def read_record(path: Path) -> Record:
    """Return what `Record.write` wrote."""
    stored = json.loads(path.read_text("utf-8"))
    comparisons = tuple(
        Comparison(**{**one, "samples": _samples(one["samples"])})
        for one in stored.pop("comparisons")
    )
    targets = tuple(Target(**target) for target in stored.pop("targets"))
    notes = tuple(stored.pop("notes"))
    return Record(comparisons=comparisons, targets=targets, notes=notes, **stored)


def read_records(folder: Path = RESULTS) -> dict[str, Record]:
    """Return all records of the folder, by name."""
    return {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}


def _samples(stored: Mapping[str, Any]) -> dict[str, Samples]:
    return {name: Samples(tuple(one["values"]), one["note"]) for name, one in stored.items()}
