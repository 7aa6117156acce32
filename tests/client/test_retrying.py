"""What is tried again, how long is waited, and when it ends: without a network or a clock."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.errors import Deadline, InvalidInput, NearfitError, NoConnection, Unavailable
from service.client.retrying import Retry, answered
from service.client.steps import Body, Call, ConnectionFailed, Pause, Reply

QUESTION = Call("POST", "/predict")
APPEND = Call("POST", "/datasets/a/rows", is_repeatable=False)
DONE = Reply(200, {}, b"{}")
LOST = ConnectionFailed("peer closed connection", was_sent=True, is_timeout=False)
REFUSED = ConnectionFailed("Connection refused", was_sent=False, is_timeout=False)


def problem(status: int, retry_after: str | None = None) -> Reply:
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = retry_after
    return Reply(status, headers, json.dumps({"status": status, "detail": "Not now."}).encode())


@dataclass
class Script:
    """Answers in turn, each after so many seconds of its own clock; and the pauses between."""

    outcomes: list[Reply | ConnectionFailed]
    call_s: float = 0.0
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)

    def play(self, call: Call, *, deadline_s: float | None = None, **options: Any) -> Reply:
        retry = Retry(**{"draw": lambda: 1.0, **options}, now=lambda: self.now)
        steps = answered(call, retry, deadline_s, "http://service")
        step = next(steps)
        try:
            while True:
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    step = steps.send(None)
                    continue
                self.timeouts.append(step.timeout_s)
                self.now += self.call_s
                outcome = self.outcomes.pop(0)
                if isinstance(outcome, Reply):
                    step = steps.send(outcome)
                else:
                    step = steps.throw(outcome)
        except StopIteration as end:
            reply: Reply = end.value
            return reply


@pytest.mark.parametrize("call", [QUESTION, APPEND])
@pytest.mark.parametrize("failure", [problem(503), problem(502), problem(429), REFUSED])
def test_what_was_not_carried_out_is_tried_again(
    call: Call, failure: Reply | ConnectionFailed
) -> None:
    script = Script([failure, failure, DONE])
    assert script.play(call) is DONE
    assert script.pauses == [0.2, 0.4]


def test_what_may_have_been_carried_out_is_tried_again_only_if_twice_is_as_good() -> None:
    assert Script([LOST, DONE]).play(QUESTION) is DONE
    with pytest.raises(NoConnection, match=r"not known whether it was done.*version"):
        Script([LOST, DONE]).play(APPEND)


@pytest.mark.parametrize("status", [400, 404, 413, 422, 500, 504, 507])
def test_other_answers_are_not_tried_again(status: int) -> None:
    script = Script([problem(status), DONE])
    with pytest.raises(NearfitError) as caught:
        script.play(QUESTION)
    assert caught.value.status == status
    assert script.outcomes == [DONE]


def test_retry_after_comes_before_the_pause() -> None:
    script = Script([problem(503, "7"), problem(503, "Wed, 21 Oct 2015 07:28:00 GMT"), DONE])
    script.play(QUESTION)
    assert script.pauses == [7.2, 0.4]


@given(failures=st.integers(1, 40), share=st.floats(0, 1, exclude_max=True))
def test_the_jitter_is_full(failures: int, share: float) -> None:
    pause_s = Retry(base_s=0.5, most_s=8, draw=lambda: share).pause_s(failures, 0.0)
    assert pause_s == share * min(8.0, 0.5 * 2.0 ** (failures - 1))


def test_the_tries_end() -> None:
    script = Script([problem(503)] * 4)
    with pytest.raises(Unavailable, match="Not now"):
        script.play(QUESTION, tries=3)
    assert len(script.outcomes) == 1


def test_the_deadline_is_over_all_tries() -> None:
    script = Script([problem(503, "2")] * 9, call_s=1.0)
    with pytest.raises(Unavailable):
        script.play(QUESTION, deadline_s=7.0, tries=9, base_s=0.0)
    assert script.timeouts == [7.0, 4.0, 1.0]  # the next pause would have been beyond it
    late = ConnectionFailed("timed out", was_sent=True, is_timeout=True)
    with pytest.raises(Deadline, match=r"within 7 s.*deadline_s"):
        Script([late], call_s=7.0).play(QUESTION, deadline_s=7.0)


def test_nobody_at_the_address_is_said_with_the_remedy() -> None:
    with pytest.raises(NoConnection, match=r"nearfit serve.*NEARFIT_URL"):
        Script([REFUSED] * 9).play(QUESTION)


def test_a_dataset_that_an_unanswered_call_has_deleted_is_deleted() -> None:
    assert Script([LOST, problem(404)]).play(Call("DELETE", "/datasets/a")).status == 404
    with pytest.raises(LookupError):
        Script([problem(404)]).play(Call("DELETE", "/datasets/a"))


def test_a_body_that_cannot_be_read_again_is_not_sent_again() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for file, is_repeated in ((io.BytesIO(b"a"), True), (Pipe(b"a"), False)):
        script = Script([problem(503), DONE])
        call = Call("POST", "/datasets", body=Body(file, "text/csv"))
        if is_repeated:
            assert script.play(call) is DONE
        else:
            with pytest.raises(Unavailable):
                script.play(call)


def test_an_answer_from_something_else_says_so() -> None:
    with pytest.raises(NearfitError, match=r"no problem document.*proxy") as caught:
        Script([Reply(403, {"content-type": "text/html"}, b"<html>")]).play(QUESTION)
    assert caught.value.status == 403
    assert not isinstance(caught.value, InvalidInput)
