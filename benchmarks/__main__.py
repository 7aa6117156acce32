"""Run every benchmark, one process after the other, and end with the table of all targets.

    python -m benchmarks [--quick]

A full run writes benchmarks/results/*.json and the tables of docs/benchmarks.md. A quick one has
smaller sizes, and leaves both alone.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import page
from benchmarks.records import RESULTS, read_records
from benchmarks.tables import aligned, overview_rows

SCRIPTS = (
    "agreement",
    "neighbors",
    "dimensions",
    "kernel_sums",
    "compact_kernels",
    "local_linear",
    "kriging",
    "local_kriging",
    "serving",
    "wire",
    "uploads",
    "explorer",
    "growth",
    "batching",
    "gpu",
    "fairness",
    "beside_search",
    "soak",
    "million_rows",
    "busy_worker",
    "profiling",
)
NOT_QUICK = frozenset(
    {"explorer", "fairness", "beside_search", "soak", "million_rows", "busy_worker", "profiling"}
)
"""These answer no row of the table of targets, and take long even when quick."""


def run_all(folder: Path, *, quick: bool) -> list[str]:
    """Run the scripts; return those that failed."""
    failed = []
    for script in SCRIPTS:
        if quick and script in NOT_QUICK:
            continue
        options = ["--results", str(folder), *["--quick"] * quick]
        started = time.perf_counter()
        run = subprocess.run([sys.executable, "-m", f"benchmarks.{script}", *options], check=False)
        print(f"{script}: {time.perf_counter() - started:.0f} s", flush=True)
        if run.returncode:
            failed.append(script)
    return failed


def main() -> None:
    """Run all and say how it went."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes; nothing to quote")
    if parser.parse_args().quick:
        with tempfile.TemporaryDirectory() as folder:
            failed = run_all(Path(folder), quick=True)
            print(f"\n{aligned(overview_rows(read_records(Path(folder))))}")
    else:
        failed = run_all(RESULTS, quick=False)
        print()
        page.main()
    if failed:
        sys.exit(f"these failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
