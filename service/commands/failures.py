"""How a command ends: its exit codes, and the failure that carries one."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, final


class ExitCode(IntEnum):
    """What the shell gets, and scripts may rely on."""

    DONE = 0
    REFUSED = 1
    USAGE = 2  # as argparse has it
    NO_CONNECTION = 3
    DEADLINE = 4
    UNAVAILABLE = 5
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
    NOBODY_READS = 141  # 128 + SIGPIPE


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "the service refused it, or could not start, or doctor found a fault",
    ExitCode.USAGE: "wrong arguments or settings, or a file that cannot be read or written",
    ExitCode.NO_CONNECTION: "no service answers at the address",
    ExitCode.DEADLINE: "the time for it was over",
    ExitCode.UNAVAILABLE: "the service cannot now: it is busy, full, starting or stopping",
    ExitCode.INTERRUPTED: "ended with Ctrl-C",
    ExitCode.NOBODY_READS: "the program that read the output has ended",
}


@final
class Failure(Exception):
    """A command cannot do what it was asked.

    Args:
        code: What the shell gets.
        sentence: What is wrong, and what to do; a line each where there are several.
        problem: The problem document (RFC 9457) of the service, where there is one.
    """

    def __init__(
        self, code: ExitCode, sentence: str, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(sentence)
        self.code: Final = code
        self.sentence: Final = sentence
        self.problem: Final = problem
