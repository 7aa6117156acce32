"""A client of the service that the options name, whose errors are failures of the command."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from service.client import Client, errors
from service.commands.failures import ExitCode, Failure


@contextmanager
def connected(options: argparse.Namespace) -> Iterator[Client]:
    """Give a client of `--url`, or of NEARFIT_URL.

    Raises:
        Failure: The url is none, or the service refused a request, could not answer it, or is not
            there.
    """
    try:
        found = Client(options.url, deadline_s=options.timeout)
    except ValueError as error:
        raise Failure(ExitCode.USAGE, str(error)) from error
    try:
        with found as client:
            yield client
    except errors.NearfitError as error:
        raise Failure(exit_code_of(error), str(error), error.problem or None) from error


def exit_code_of(error: errors.NearfitError) -> ExitCode:
    """Return what the shell gets for an error of the client."""
    match error:
        case errors.NoConnection():
            return ExitCode.NO_CONNECTION
        case errors.Deadline():
            return ExitCode.DEADLINE
        case errors.Unavailable() | errors.StoreFull():
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.REFUSED
