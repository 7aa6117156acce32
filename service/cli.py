"""The command `nearfit`: serve, demo."""

import argparse
import logging
import sys
from collections.abc import Container, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from service import __version__
from service.settings import Settings, prepare_process

USAGE_ERROR = 2  # as argparse has it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0 done, 1 could not, 2 wrong arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return USAGE_ERROR
    given = {
        name: value
        for name, value in vars(options).items()
        if name in Settings.model_fields and value is not None
    }
    try:
        settings = Settings(**given)
    except ValidationError as refused:
        for error in refused.errors():
            print(f"nearfit: {_complaint(error, given)}", file=sys.stderr)
        return USAGE_ERROR
    # Only a service that stays has something to say about itself while all is well.
    level = logging.INFO if options.command == "serve" else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s")
    prepare_process(settings.cache_dir)  # before anything is imported that computes
    if options.command == "demo":
        from service.demo import run_demo  # its table and client are for this command alone

        return run_demo(settings)
    return _serve(settings)


def _complaint(error: Mapping[str, Any], given: Container[str]) -> str:
    """Return what is wrong with a setting, named as the person who set it knows it."""
    if not error["loc"]:
        return f"the settings contradict each other: {error['msg'].removeprefix('Value error, ')}"
    name = str(error["loc"][0])
    # An option stands in the arguments, all else in the environment.
    source = f"--{name}" if name in given else f"NEARFIT_{name.upper()}"
    return f"{source} is {error['input']!r}: {error['msg']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nearfit",
        description="Predictions without training: a REST service of local fits.",
        epilog="More settings are environment variables, NEARFIT_…; see docs/http.md.",
    )
    parser.add_argument("--version", action="version", version=f"nearfit {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="command")
    serve = commands.add_parser("serve", help="start the service and keep it running")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help="port to listen on, 0 for a free one (default 8000)")
    serve.add_argument("--backend", help="native or keops (default native)")
    commands.add_parser("demo", help="start, predict on real data over HTTP, print a table, stop")
    return parser


def _serve(settings: Settings) -> int:
    from service.serving import Server, listening_socket  # loads the compiled engine: seconds

    try:
        listener = listening_socket(settings.host, settings.port)
    except OSError as error:
        print(
            f"nearfit: cannot listen on {settings.host}:{settings.port} "
            f"({error.strerror or error}); choose another with --host and --port.",
            file=sys.stderr,
        )
        return 1
    return Server(settings).serve_on(listener)


if __name__ == "__main__":
    sys.exit(main())
