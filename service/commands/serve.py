"""`nearfit serve` and `nearfit demo`: the commands that compute in this process."""

import argparse
import logging
from collections.abc import Container, Mapping
from typing import Any

from pydantic import ValidationError

from service.commands.failures import ExitCode, Failure
from service.settings import Settings, prepare_process


def serve(options: argparse.Namespace) -> int:
    """Start the service and keep it running until a signal ends it."""
    settings = settings_of(options)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    prepare_process(settings.cache_dir)  # before anything is imported that computes
    from service.serving import Server, listening_socket  # loads the compiled engine: seconds

    try:
        listener = listening_socket(settings.host, settings.port)
    except OSError as error:
        raise Failure(
            ExitCode.REFUSED,
            f"cannot listen on {settings.host}:{settings.port} "
            f"({error.strerror or error}); choose another with --host and --port.",
        ) from None
    return Server(settings).serve_on(listener)


def demo(options: argparse.Namespace) -> int:
    """Start a service, predict on real data over HTTP, print a table, stop."""
    settings = settings_of(options)
    # Only a service that stays has something to say about itself while all is well.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    prepare_process(settings.cache_dir)
    from service.demo import run_demo  # its table and client are for this command alone

    return run_demo(settings)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of the environment, and of the options above them.

    Raises:
        Failure: One of them is wrong.
    """
    given = {
        name: value
        for name, value in vars(options).items()
        if name in Settings.model_fields and value is not None
    }
    try:
        return Settings(**given)
    except ValidationError as refused:
        complaints = [_complaint(error, given) for error in refused.errors()]
        raise Failure(ExitCode.USAGE, "\n".join(complaints)) from None


def _complaint(error: Mapping[str, Any], given: Container[str]) -> str:
    """Return what is wrong with a setting, named as the person who set it knows it."""
    if not error["loc"]:
        return f"the settings contradict each other: {error['msg'].removeprefix('Value error, ')}"
    name = str(error["loc"][0])
    # An option stands in the arguments, all else in the environment.
    source = f"--{name}" if name in given else f"NEARFIT_{name.upper()}"
    return f"{source} is {error['input']!r}: {error['msg']}"
