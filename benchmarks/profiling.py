"""Where the time of K1, K5 and K8 goes: a profile by py-spy, as shares of functions.

The work runs in a process of its own, prepared and warm; py-spy looks at it from outside, 200 times
a second, and counts what each thread does that does not wait. A compiled loop counts for the
function that calls it. Needs the right to trace a process of the same user, as root has.

    python -m benchmarks.profiling [neighbors | local_linear | serving] [--quick]
"""

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

from benchmarks.data import sample
from benchmarks.engine_calls import engine
from benchmarks.load import keep_busy
from benchmarks.records import Comparison, Record, Samples
from benchmarks.running import service_process
from benchmarks.script import Options, run
from service.domain.kernels import Kernel
from service.estimators.fits import Fit, Knn, LocalPolynomial

RATE = 200
SHOWN = 12
CHECKOUT = Path(__file__).parents[1]
ENGINE_WORK: dict[str, tuple[str, Fit]] = {
    "neighbors": ("K1: knn mean", Knn(n_neighbors=32)),
    "local_linear": (
        "K5: local linear",
        LocalPolynomial(degree=1, kernel=Kernel.TRICUBE, n_neighbors=100),
    ),
}
SERVING = "serving"
WAITING = {
    ("_worker", "concurrent/futures/thread.py"),
    ("Condition.wait", "threading.py"),
    ("Event.wait", "asyncio/locks.py"),
    ("EpollSelector.select", "selectors.py"),
    ("Runner.run", "asyncio/runners.py"),
    ("repeat.<locals>.wait_for_the_end", "benchmarks/profiling.py"),
}
"""Functions in which a thread waits for work, which py-spy does not always see."""


def innermost(stacks: str) -> Counter[tuple[str, str]]:
    """Return how many samples ended in each function, as (name, file).

    Those in which a thread waits for work do not count.

    Args:
        stacks: py-spy's raw format: frames from the outermost to the innermost, separated by
            semicolons, and a count at the end of each line.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        function = _function(frames.rsplit(";", 1)[-1])
        if function not in WAITING:
            counts[function] += int(count)
    return counts


def by_part(counts: Counter[tuple[str, str]]) -> Counter[str]:
    """Return the samples of each part of nearfit, each package, and Python itself."""
    parts: Counter[str] = Counter()
    for (_, file), count in counts.items():
        folder, *deeper = Path(file).parent.parts or ("",)
        if folder == "service":
            parts["/".join(["nearfit: service", *deeper[:1]])] += count
        elif not folder or folder in sys.stdlib_module_names:
            parts["Python"] += count
        else:
            parts[folder] += count
    return parts


def shares(title: str, counts: Counter[str]) -> Comparison:
    """Return the percentages, the largest first, and those beyond `SHOWN` together."""
    most = counts.most_common(SHOWN)
    rest = counts.total() - sum(count for _, count in most)
    shown = [*most, ("all others", rest)] if rest else most
    samples = {name: Samples((100 * count / counts.total(),)) for name, count in shown}
    return Comparison(title, "%", samples, None)


def sampled(process_id: int, seconds: float) -> str:
    """Return the stacks of the process during some seconds, in py-spy's raw format."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stacks"
        options = ["--format", "raw", "--rate", str(RATE), "--duration", str(round(seconds))]
        spy = str(Path(sys.executable).parent / "py-spy")
        subprocess.run(
            [spy, "record", *options, "--pid", str(process_id), "--output", str(file)],
            check=True,
            capture_output=True,
        )
        return file.read_text("utf-8")


@contextmanager
def engine_at_work(name: str, rows: int) -> Iterator[int]:
    """Start a process that repeats an engine call; give its id once it is warm."""
    program = f"from benchmarks.profiling import repeat; repeat({name!r}, {rows})"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        if process.stdout.readline().strip() != "warm":
            raise RuntimeError(f"the process that was to repeat {name} has ended")
        yield process.pid
        process.stdin.close()


def repeat(name: str, rows: int) -> None:
    """Repeat an engine call until the input ends."""
    data = sample(rows, 3, 10_000)
    _, fit = ENGINE_WORK[name]
    ended = Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    with engine() as calls:
        dataset_id = calls.upload(data.x, data.y)
        calls.mean(dataset_id, data.queries, fit)
        print("warm", flush=True)
        Thread(target=wait_for_the_end).start()
        while not ended.is_set():
            calls.mean(dataset_id, data.queries, fit)


@contextmanager
def service_at_work(seconds: float) -> Iterator[int]:
    """Start the service and keep it busy with single queries; give its process' id."""
    with service_process() as (client, process_id):
        load = Thread(target=keep_busy, args=(str(client.base_url), seconds))
        load.start()
        time.sleep(1)  # it is warm then
        yield process_id
        load.join()


def profile(name: str, options: Options) -> Record:
    """Return the shares of functions in one work."""
    seconds = 3.0 if options.quick else 15.0
    rows = 100_000 if options.quick else 1_000_000
    if name == SERVING:
        title, at_work = "K8: one query a request", service_at_work(seconds + 3)
    else:
        title, at_work = ENGINE_WORK[name][0], engine_at_work(name, rows)
    with at_work as process_id:
        counts = innermost(sampled(process_id, seconds))
    functions = Counter({f"{name} ({file})": count for (name, file), count in counts.items()})
    return Record(
        f"profile_{name}",
        f"{title}, a profile",
        {"seconds": seconds, "samples a second": RATE},
        (shares("part", by_part(counts)), shares("function", functions)),
    )


def _function(frame: str) -> tuple[str, str]:
    """Return name and file of a frame such as `predict (service/engine/engine.py:12)`."""
    found = re.fullmatch(r"(.+) \((.+?)(?::\d+)?\)", frame)
    if found is None:
        return frame, ""
    file = found[2].removeprefix(f"{CHECKOUT}/")
    return found[1], re.sub(r".*/(?:site-packages|python3\.\d+)/", "", file)


def main() -> None:
    """Profile the works that the command line names, or all."""
    works = [*ENGINE_WORK, SERVING]
    chosen = [argument for argument in sys.argv[1:] if argument in works]
    sys.argv = [argument for argument in sys.argv if argument not in works]
    for name in chosen or works:
        measure: Callable[[Options], Record] = partial(profile, name)
        run(measure, __doc__)


if __name__ == "__main__":
    main()
