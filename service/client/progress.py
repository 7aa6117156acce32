"""Progress bars, on a terminal only, and only for what takes long."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from service.client.answers import Job
from service.client.operations import JobProgress
from service.client.steps import Progress

PATIENCE_S: Final = 0.5
"""What is over sooner needs no bar."""


@contextmanager
def upload_bar(*, is_wanted: bool) -> Iterator[Progress | None]:
    """Give what draws the bytes of an upload on stderr; None where nobody would see it."""
    if not (is_wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with _bar(*columns) as draw:
        yield draw


@contextmanager
def tuning_bar(*, is_wanted: bool) -> Iterator[JobProgress | None]:
    """Give what draws the progress of a search on stderr; None where nobody would see it."""
    if not (is_wanted and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Tuning"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with _bar(*columns) as draw:

        def draw_job(job: Job) -> None:
            best = job.best
            said = "" if best is None else f"{best['fit']['method']}, error {best['error']:.3g}"
            draw(round(1000 * job.progress), 1000, said=said)

        yield draw_job


@contextmanager
def _bar(*columns: Any) -> Iterator[Any]:
    """Give what sets a bar, which appears once the work has taken a while."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    bars = Bars(*columns, console=Console(stderr=True), transient=True)
    task = bars.add_task("", total=None, said="")
    begun = time.monotonic()
    is_shown = False

    def draw(done: int, total: int | None, **fields: Any) -> None:
        nonlocal is_shown
        if not is_shown and time.monotonic() - begun > PATIENCE_S:
            bars.start()
            is_shown = True
        bars.update(task, completed=done, total=total, **fields)

    try:
        yield draw
    finally:
        bars.stop()
