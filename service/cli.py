"""The command `nearfit`: chooses what runs, and says how it ended.

A command is imported when it is asked for: `serve` loads no client, and a client no engine.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from service.commands.failures import ExitCode, Failure
from service.commands.options import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code, see `ExitCode`."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return ExitCode.USAGE
    try:
        code = _run(options)
        sys.stdout.flush()
    except Failure as failure:
        _complain(failure, as_json=getattr(options, "json", False))
        return failure.code
    except BrokenPipeError:
        # Python would complain once more when it closes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.NOBODY_READS
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal has echoed ^C
        return ExitCode.INTERRUPTED
    return code


def _run(options: Namespace) -> int:
    match options.command:
        case "serve":
            from service.commands.serve import serve as run
        case "demo":
            from service.commands.serve import demo as run
        case "doctor":
            from service.commands.doctor import doctor as run
        case "upload":
            from service.commands.datasets import upload as run
        case "predict":
            from service.commands.predict import predict as run
        case "tune":
            from service.commands.tune import tune as run
        case "list":
            from service.commands.datasets import list_datasets as run
        case _:
            from service.commands.datasets import remove as run
    return run(options)


def _complain(failure: Failure, *, as_json: bool) -> None:
    """Say on stderr why a command failed: a line each, or the problem document as JSON."""
    if as_json:
        problem = failure.problem or {"detail": failure.sentence}
        print(json.dumps({**problem, "exit_code": failure.code}), file=sys.stderr)
        return
    for line in failure.sentence.splitlines():
        print(f"nearfit: {line.strip()}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
