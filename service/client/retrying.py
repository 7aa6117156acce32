"""Trying again: when it is safe, when it may help, and how long to wait before."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from service.client.errors import Deadline, NoConnection, error_of
from service.client.steps import Call, ConnectionFailed, Pause, Reply, Result, Steps

NOT_DONE: Final = frozenset({429, 502, 503})
"""Statuses that say the request was not carried out, and might be a little later."""


@dataclass(frozen=True)
class Retry:
    """How often a call is tried, and how long is waited between tries.

    The pause before the try k + 1 is drawn evenly from 0 to min(most_s, base_s 2ᵏ), so that
    clients which failed together do not come back together; where the service says
    `Retry-After`, that comes before it.

    Attributes:
        tries: How often at most; 1 never tries again.
        base_s: Seconds, the bound of the first pause.
        most_s: Seconds, the bound of any pause.
        draw: Gives a number from 0 to 1.
        now: Gives the seconds of a clock.

    Source: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015, "full jitter".
    """

    tries: int = 6
    base_s: float = 0.2
    most_s: float = 10.0
    draw: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic

    def pause_s(self, failures: int, retry_after_s: float) -> float:
        """Return how long to wait after so many failures, in seconds.

        >>> Retry(base_s=1, draw=lambda: 0.5).pause_s(3, retry_after_s=2)
        4.0
        """
        bound = min(self.most_s, self.base_s * 2.0 ** (failures - 1))
        return retry_after_s + bound * self.draw()


def answered(call: Call, retry: Retry, deadline_s: float | None, url: str) -> Steps[Reply]:
    """Return the answer to a call, tried again while that is safe and may help.

    A request that was not carried out (`NOT_DONE`, or no connection was made) is repeated; one of
    which that is not known, only if it is as good twice as once.

    Args:
        call: What is asked.
        retry: How often.
        deadline_s: Seconds for all tries and pauses together; None for no end.
        url: Of the service, for errors.

    Raises:
        NearfitError: The answer is an error, or there is none.
    """
    until = None if deadline_s is None else retry.now() + deadline_s
    failures = 0
    may_repeat_body = call.body is None or call.body.can_repeat
    was_sent_before = False
    while True:
        left = None if until is None else until - retry.now()
        if left is not None and left <= 0:
            raise _late(call, deadline_s, url)
        retry_after_s = 0.0
        try:
            reply = yield replace(call, timeout_s=left)
            assert reply is not None  # a call is answered or fails
        except ConnectionFailed as failure:
            error: Exception = _no_answer(call, failure, url)
            if failure.is_timeout and left is not None and failure.was_sent:
                error = _late(call, deadline_s, url)
            may_repeat = call.is_repeatable or not failure.was_sent
            was_sent_before |= failure.was_sent
        else:
            if reply.status < 400:
                return reply
            if was_sent_before and call.method == "DELETE" and reply.status == 404:
                return reply  # the try before has done it
            error = error_of(reply.status, problem_of(reply))
            may_repeat = reply.status in NOT_DONE
            retry_after_s = _retry_after_s(reply)
        failures += 1
        pause_s = retry.pause_s(failures, retry_after_s)
        is_in_time = until is None or retry.now() + pause_s < until
        if not (may_repeat and may_repeat_body and is_in_time and failures < retry.tries):
            raise error
        yield Pause(pause_s)


def persistently(
    steps: Steps[Result], retry: Retry, deadline_s: float | None, url: str
) -> Steps[Result]:
    """Return what the steps return, each of their calls tried again as `answered` does.

    What goes wrong is raised where the steps made the call, so that they can act on it.
    """
    reply: Reply | None = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(reply) if failure is None else steps.throw(failure)
        except StopIteration as end:
            result: Result = end.value
            return result
        reply = failure = None
        try:
            if isinstance(step, Call):
                reply = yield from answered(step, retry, deadline_s, url)
            else:
                yield step
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # an interrupt too: the steps may have a job to cancel
            failure = error


def problem_of(reply: Reply) -> dict[str, Any]:
    """Return the problem document of an answer; `{}` where it has none."""
    if not reply.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    try:
        found = json.loads(reply.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after_s(reply: Reply) -> float:
    """Return the seconds in Retry-After; 0 where there are none, or it is a date."""
    text = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isdecimal() and len(text) < 10 else 0.0


def _late(call: Call, deadline_s: float | None, url: str) -> Deadline:
    return Deadline(
        f"{call.method} {url}{call.path} had no answer within {deadline_s:g} s, over all tries; "
        "give Client a larger deadline_s, or ask for less at once."
    )


def _no_answer(call: Call, failure: ConnectionFailed, url: str) -> NoConnection:
    said = f"{call.method} {url}{call.path}: {failure.reason.rstrip('.')}."
    if not failure.was_sent:
        return NoConnection(
            f"No service answers. {said} Start one with `nearfit serve`, or give its address as "
            "url, or in NEARFIT_URL."
        )
    if call.is_repeatable:
        return NoConnection(
            f"The connection broke before the answer was there. {said} Look whether the service "
            "still runs, and try again."
        )
    return NoConnection(
        f"The connection broke before the answer was there, so it is not known whether it was "
        f"done. {said} Look at the state of the service (the version of the dataset, the list of "
        "jobs) before you try again."
    )
