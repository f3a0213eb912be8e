"""When a conversation goes on by itself, and when it waits for the user."""

from __future__ import annotations

import pytest

from usechat.engine.automatic import (
    has_unsent_approval,
    is_answered,
    waiting_calls,
)
from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_approval_responses as with_approvals,
)
from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_tool_calls as with_tool_calls,
)
from usechat.model.messages import UIMessage

from .harness import ASKED, GRANTED, assistant, call, user

STEP = {"type": "step-start"}
OUTPUT = call("output-available", output=1)
FAILED = call("output-error", errorText="e")
PRELIMINARY = call("output-available", output=1, preliminary=True)
OPEN = call("input-available", "c2")
THEIRS = call("input-available", "c2", providerExecuted=True)
ANSWERED = call("approval-responded", "c3", **GRANTED)
REQUESTED = call("approval-requested", "c3", **ASKED)
DENIED = call("output-denied", "c4")
DONE = {"type": "text", "text": "x", "state": "done"}
STREAMING = {"type": "text", "text": "x", "state": "streaming"}


def history(*messages: dict) -> tuple[UIMessage, ...]:
    return tuple(UIMessage.model_validate(message) for message in messages)


@pytest.mark.parametrize(
    ("parts", "complete"),
    [
        ((), False),
        ((DONE,), False),
        ((OUTPUT,), True),
        ((FAILED,), True),
        ((OUTPUT, OPEN), False),
        ((PRELIMINARY,), False),
        ((OUTPUT, THEIRS), True),
        ((THEIRS,), False),
        ((OPEN, STEP, OUTPUT), True),
        ((OUTPUT, STEP, DONE), False),
        ((STREAMING, OUTPUT), True),
        ((OUTPUT, DONE), True),
        ((OUTPUT, STREAMING), False),
        ((OUTPUT, {"type": "text", "text": "no state"}), False),
        ((DENIED, OUTPUT), False),
    ],
)
def test_complete_with_tool_calls(parts: tuple, complete: bool) -> None:
    assert with_tool_calls(history(user(), assistant(*parts))) is complete


@pytest.mark.parametrize(
    ("parts", "complete"),
    [
        ((), False),
        ((OUTPUT,), False),
        ((ANSWERED,), True),
        ((REQUESTED,), False),
        ((ANSWERED, OUTPUT, FAILED, DENIED), True),
        ((ANSWERED, OPEN), False),
        ((ANSWERED, THEIRS), False),
        ((ANSWERED, PRELIMINARY), False),
        ((REQUESTED, STEP, ANSWERED), True),
        ((ANSWERED, STEP, DONE), False),
    ],
)
def test_complete_with_approval_responses(parts: tuple, complete: bool) -> None:
    assert with_approvals(history(user(), assistant(*parts))) is complete


@pytest.mark.parametrize("predicate", [with_tool_calls, with_approvals])
def test_only_an_assistants_message_at_the_end_counts(predicate) -> None:  # type: ignore[no-untyped-def]
    assert predicate(()) is False
    assert predicate(history(assistant(OUTPUT, ANSWERED), user())) is False


@pytest.mark.parametrize(
    ("part", "waits", "unsent"),
    [
        (OPEN, True, False),
        (call("input-streaming"), True, False),
        (THEIRS, False, False),
        (OUTPUT, False, False),
        (REQUESTED, True, False),
        (ANSWERED, True, True),
        (DONE, False, False),
    ],
)
def test_whom_the_last_message_waits_for(part: dict, waits: bool, unsent: bool) -> None:
    (message,) = history(assistant(part))
    assert (bool(waiting_calls(message)), has_unsent_approval(message)) == (waits, unsent)


@pytest.mark.parametrize(("part", "unsent"), [(OPEN, False), (REQUESTED, False), (OUTPUT, True)])
def test_an_answered_approval_is_not_sent_while_another_call_waits(
    part: dict, unsent: bool
) -> None:
    (message,) = history(assistant({**ANSWERED, "toolCallId": "c9"}, part))
    assert has_unsent_approval(message) is unsent


def test_no_message_and_a_users_wait_for_nobody() -> None:
    (message,) = history(user())
    assert waiting_calls(None) == waiting_calls(message) == frozenset()
    assert (has_unsent_approval(None), has_unsent_approval(message)) == (False, False)


@pytest.mark.parametrize(
    ("parts", "answered"),
    [
        ((OUTPUT,), True),
        ((OUTPUT, OPEN), False),
        ((), False),
        ((ANSWERED, OUTPUT), False),
        ((DENIED,), True),
        ((DENIED, OPEN), False),
        ((DENIED, REQUESTED), False),
        ((DENIED, PRELIMINARY), False),
        (({**ANSWERED, "type": "tool-other"}, DENIED), True),
        (({**ANSWERED, "type": "tool-other"}, OUTPUT), True),
        (({**ANSWERED, "type": "tool-other"}, {**DENIED, "type": "tool-other"}), True),
        (({**DENIED, "type": "tool-other"},), False),
        ((DENIED, STEP, DONE), False),
    ],
)
def test_what_runs_on_this_side_is_answered_here(parts: tuple[dict, ...], answered: bool) -> None:
    """``ANSWERED`` is a call of ``weather``, which runs here: it was allowed, and has not run."""
    assert is_answered(history(user(), assistant(*parts)), {"weather"}) is answered
