"""``repair``: tool calls that nobody answered get an end before the user goes on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from usechat.engine.automatic import (
    last_assistant_message_is_complete_with_approval_responses,
    last_assistant_message_is_complete_with_tool_calls,
)
from usechat.engine.events import MessageAdded, MessagesReplaced, StatusChanged
from usechat.engine.repairing import NO_ANSWER
from usechat.engine.tool_rounds import NO_RESULT
from usechat.errors import ConnectionBrokenError, InvalidArgumentError

from .harness import (
    ASKED,
    GRANTED,
    STEP,
    Chat,
    assistant,
    call,
    finish,
    text,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")
REFUSED = {"approval": {"id": "ap1", "approved": False, "reason": "No!"}, "input": {}}
NOT_DONE = {"state": "output-error", "errorText": NO_RESULT}
DENIED = {"id": "ap1", "approved": False, "reason": NO_ANSWER}
OPEN = call("input-available", input={"city": "Rome"})
ENDED = {**OPEN, **NOT_DONE}


def repairing(*messages: dict[str, Any], **options: Any) -> Chat:
    return Chat(*messages, repair=True, **options)


def after(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a reply once the user has sent another message."""
    chat = repairing(user(), assistant(*parts))
    chat.send("Go on")
    return chat.dump()[1]["parts"]


# ------------------------------------------------------------------ which end


@pytest.mark.parametrize("executed", [{}, {"providerExecuted": True}])
@pytest.mark.parametrize(
    ("state", "fields", "end"),
    [
        ("input-available", {"input": {"city": "Rome"}}, {"input": {"city": "Rome"}, **NOT_DONE}),
        ("input-available", {"input": None}, {"input": None, **NOT_DONE}),
        ("input-available", {}, {"input": {}, **NOT_DONE}),
        (
            "input-streaming",
            {"rawInput": '{"city": "Ro', "inputEncoding": "json", "input": {"city": "Ro"}},
            {"input": {"city": "Ro"}, **NOT_DONE},
        ),
        ("input-streaming", {"rawInput": ""}, {"input": {}, **NOT_DONE}),
        ("input-streaming", {}, {"input": {}, **NOT_DONE}),
        ("approval-requested", ASKED, {"input": {}, "state": "output-denied", "approval": DENIED}),
        (
            "approval-requested",
            {"input": {}, "approval": {"id": "ap1", "signature": "s", "requestReason": "Why"}},
            {
                "input": {},
                "state": "output-denied",
                "approval": {**DENIED, "signature": "s", "requestReason": "Why"},
            },
        ),
        ("approval-requested", {}, {"input": {}, **NOT_DONE}),
        ("approval-responded", REFUSED, {**REFUSED, "state": "output-denied"}),
        ("approval-responded", GRANTED, {**GRANTED, **NOT_DONE}),
        ("approval-responded", ASKED, {"input": {}, **NOT_DONE}),
        ("approval-responded", {}, {"input": {}, **NOT_DONE}),
    ],
)
def test_every_open_call_gets_an_end(
    state: str, fields: dict[str, Any], end: dict[str, Any], executed: dict[str, Any]
) -> None:
    more = {"title": "T", "callProviderMetadata": {"p": {"k": 1}}, "other": 1, **executed}
    (part,) = after(call(state, **fields, **more))
    assert part == {"type": "tool-weather", "toolCallId": "c1", **more, **end}


def test_what_has_an_end_and_what_is_no_call_stays() -> None:
    parts = [
        {"type": "step-start"},
        {"type": "text", "text": "Hm", "state": "streaming"},
        call("output-available", "c1", input={}, output=1, preliminary=True),
        call("output-error", "c2", input={}, errorText="No"),
        call("output-denied", "c3", input={}, approval={"id": "x", "approved": False}),
        {"type": "data-x", "data": {"state": "input-available"}},
        {"type": "hologram", "state": "input-available"},
    ]
    chat = repairing(user(), assistant(*parts))
    before = chat.messages[1]
    chat.send("Go on")
    assert chat.messages[1] is before
    dynamic = {"type": "dynamic-tool", "toolName": "x", "toolCallId": "c9", "input": {}}
    assert after(*parts, {**dynamic, "state": "input-available"}) == [
        *parts,
        {**dynamic, **NOT_DONE},
    ]


def test_without_the_option_nothing_is_changed() -> None:
    chat = Chat(user(), assistant(OPEN))
    chat.send("Go on")
    assert chat.dump()[1]["parts"] == [OPEN]


# ------------------------------------------------------------------------ when


def test_every_message_of_the_history_is_looked_at_and_none_changes() -> None:
    chat = repairing(
        user(), assistant(OPEN), user("More", "u2"), assistant(text_part(), id="a2"), records=True
    )
    first, second = chat.messages[1], chat.messages[3]
    chat.events()
    chat.send("Go on")
    assert chat.messages[1].model_dump()["parts"] == [ENDED]
    assert first.model_dump()["parts"] == [OPEN]
    assert chat.messages[3] is second
    assert chat.exchange.request.messages == chat.messages
    assert chat.exchange.request.messages[1].encoded() != first.encoded()
    assert chat.events() == [
        MessagesReplaced(1),
        MessageAdded("id-0", 4),
        StatusChanged("submitted"),
    ]


def text_part() -> dict[str, Any]:
    return {"type": "text", "text": "Yes", "state": "done"}


def test_an_edit_and_a_regenerate_repair_what_they_keep() -> None:
    history = [user(), assistant(OPEN), user("More", "u2"), assistant(OPEN, id="a2")]
    chat = repairing(*history)
    chat.send("Other", edit="u2")
    assert [m["parts"] for m in chat.dump()][1:2] == [[ENDED]]
    assert len(chat.messages) == 3
    chat = repairing(*history)
    chat.regenerate()
    assert [m["id"] for m in chat.dump()] == ["u1", "a1", "u2"]
    assert chat.dump()[1]["parts"] == [ENDED]


def test_a_stopped_reply_is_repaired_when_the_next_message_goes_out() -> None:
    chat = repairing()
    turn = chat.send()
    chat.receive(tool("input-start"), tool("input-delta", inputTextDelta='{"city": "Ro'))
    chat.stop()
    assert chat.reply_parts()[0]["state"] == "input-streaming"
    chat.send("Go on")
    assert chat.dump()[1]["parts"] == [
        {"type": "tool-weather", "toolCallId": "c1", "input": {"city": "Ro"}, **NOT_DONE}
    ]
    assert turn.message is not None
    assert turn.message.tool_parts[0].state == "input-streaming"


def test_an_interrupting_message_repairs_what_it_stops() -> None:
    chat = repairing(when_busy="interrupt")
    chat.send()
    chat.receive(tool("input-available"))
    chat.send("Go on")
    assert chat.messages[1].tool_parts[0].state == "output-error"


def test_a_message_that_is_none_leaves_all_as_it_is() -> None:
    chat = repairing(user(), assistant(OPEN))
    with pytest.raises(InvalidArgumentError):
        chat.send({"role": "pilot", "parts": []})
    assert chat.dump()[1]["parts"] == [OPEN]


def test_the_history_as_it_is_goes_as_it_is() -> None:
    chat = repairing(user(), assistant(OPEN))
    chat.send(None)
    assert chat.dump()[1]["parts"] == [OPEN]


def test_a_resumed_reply_goes_on_with_its_calls() -> None:
    chat = repairing(user(), assistant(call("input-streaming", rawInput='{"a"')))
    chat.resume()
    chat.receive(tool("input-delta", inputTextDelta=": 1}"))
    assert chat.reply_parts()[0]["rawInput"] == '{"a": 1}'
    assert chat.reply_parts()[0]["state"] == "input-streaming"


def test_automatic_follow_ups_go_as_they_are() -> None:
    chat = repairing(
        callbacks={"send_automatically_when": last_assistant_message_is_complete_with_tool_calls}
    )
    chat.send()
    chat.reply(tool("input-available", "c0", providerExecuted=True), tool("input-available", "c1"))
    chat.output("sun")
    assert [part.state for part in chat.messages[1].tool_parts] == [
        "input-available",
        "output-available",
    ]
    assert chat.status == "submitted"


# ------------------------------------------------------------- what is too late


def test_an_output_that_comes_late_takes_the_place_of_the_error() -> None:
    chat = repairing(user(), assistant(OPEN))
    chat.send("Go on")
    chat.receive(text("Well"))
    chat.output("sun")
    assert chat.dump()[1]["parts"] == [{**OPEN, "state": "output-available", "output": "sun"}]
    assert chat.status == "streaming"


def test_a_late_yes_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    chat = repairing(user(), assistant(call("approval-requested", **ASKED)))
    chat.send("Go on")
    with caplog.at_level(logging.WARNING, "usechat"):
        chat.approve()
    assert "nothing waits for" in caplog.text
    assert chat.messages[1].tool_parts[0].state == "output-denied"
    assert chat.engine._pending_approval is None


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_that_was_not_sent_is_no_longer_to_be_sent(approved: bool) -> None:
    chat = repairing(user(), assistant(call("approval-requested", **ASKED)))
    chat.approve(approved)
    chat.send("Go on")
    assert chat.messages[1].tool_parts[0].state == ("output-error" if approved else "output-denied")
    chat.reply(text("Well"))
    chat.send(None)
    assert chat.exchange.request.message_id == chat.messages[-1].id
    assert chat.exchange.approval is None


def test_an_approval_whose_request_failed_is_ended_too() -> None:
    chat = repairing(
        user(),
        assistant(call("approval-requested", **ASKED)),
        callbacks={
            "send_automatically_when": last_assistant_message_is_complete_with_approval_responses
        },
    )
    chat.approve()
    chat.fail(ConnectionBrokenError("gone"))
    assert chat.engine._pending_approval == "a1"
    chat.send("Go on")
    assert chat.engine._pending_approval is None
    assert chat.messages[1].tool_parts[0].state == "output-error"


# ------------------------------------------------------------------- the queue


def queueing(*messages: dict[str, Any], **options: Any) -> Chat:
    return repairing(*messages, when_busy="queue", **options)


def waiting() -> Chat:
    """A chat in which a message waits for an output."""
    chat = queueing()
    chat.send()
    chat.send("second")
    chat.reply(STEP, tool("input-available"))
    assert chat.queued() == ["second"]
    return chat


def test_a_message_in_the_queue_waits_for_the_output() -> None:
    chat = waiting()
    assert chat.messages[1].pending
    chat.output("sun")
    assert (chat.queued(), chat.messages[1].tool_parts[0].state) == ([], "output-available")


def test_one_that_is_sent_while_a_call_is_open_waits_too() -> None:
    chat = queueing()
    chat.send()
    chat.reply(tool("input-available"))
    chat.send("second")
    assert (chat.status, chat.queued()) == ("ready", ["second"])
    assert chat.messages[1].pending


def test_what_the_user_wants_sent_now_ends_the_calls() -> None:
    chat = waiting()
    chat.send_now(chat.engine.queue.messages[0].id)
    assert (chat.status, chat.queued()) == ("submitted", [])
    assert chat.messages[1].tool_parts[0].state == "output-error"


def test_after_a_stop_the_next_message_ends_the_calls() -> None:
    chat = waiting()
    chat.stop()
    chat.send("third")
    assert (chat.texts()[-1], chat.queued()) == ("user: second", ["third"])
    assert chat.messages[1].tool_parts[0].state == "output-error"


def test_what_the_provider_runs_is_waited_for_by_nobody() -> None:
    chat = queueing()
    chat.send()
    chat.send("second")
    chat.reply(tool("input-available", providerExecuted=True))
    assert (chat.queued(), chat.messages[1].tool_parts[0].state) == ([], "output-error")


def test_an_answered_approval_goes_before_the_message() -> None:
    chat = queueing(user(), assistant(call("approval-requested", **ASKED)))
    chat.approve()
    chat.send("second")
    assert (chat.exchange.request.message_id, chat.queued()) == ("a1", ["second"])
    chat.reply(tool("output-available", output="sun"), finish())
    assert chat.messages[1].tool_parts[0].state == "output-available"
    assert chat.texts()[-1] == "user: second"


@pytest.mark.parametrize("part", [OPEN, call("approval-requested", **ASKED)])
def test_a_history_that_was_loaded_keeps_nobody_waiting(part: dict[str, Any]) -> None:
    chat = queueing(user(), assistant(part))
    turn = chat.send("Go on")
    assert (turn.queued, chat.status, chat.queued()) == (False, "submitted", [])
    assert not chat.messages[1].pending

    chat = queueing()
    chat.set_messages(user(), assistant(part))
    assert chat.send("Go on").queued is False
    assert not chat.messages[1].pending


def test_one_whose_call_is_answered_goes_on() -> None:
    chat = queueing(
        user(),
        assistant(OPEN),
        callbacks={"send_automatically_when": last_assistant_message_is_complete_with_tool_calls},
    )
    chat.output("sun")
    assert chat.status == "submitted"
    chat.send("second")
    chat.reply(STEP, text("It is sunny."))
    assert (chat.texts()[-1], chat.queued()) == ("user: second", [])


def test_messages_that_wait_go_on_waiting_when_others_are_set() -> None:
    chat = waiting()
    kept = chat.messages[1].model_dump()
    chat.set_messages(user("Hello"), kept)
    assert not chat.engine.queue.paused
    chat.output("sun")
    assert (chat.texts()[-1], chat.queued()) == ("user: second", [])


def test_other_messages_before_the_same_last_one_are_no_other_history() -> None:
    chat = queueing()
    chat.send()
    chat.reply(tool("input-available"))
    chat.run(chat.engine.set_messages(chat.messages[1:]))
    assert chat.send("second").queued


def test_without_the_option_a_loaded_history_is_waited_for() -> None:
    chat = Chat(user(), assistant(OPEN), when_busy="queue")
    assert chat.send("Go on").queued


# ------------------------------------- calls that somebody is about to answer


def asks(chat: Chat) -> None:
    """The reply of the running turn is a call for the client."""
    chat.reply(STEP, tool("input-available", id="live"), finish())


def is_kept_waiting(chat: Chat) -> bool:
    turn = chat.send("by the way")
    state = chat.messages[-1].tool_parts[-1].state
    return bool(turn.queued) and state == "input-available"


def test_after_an_error_a_retry_asks_anew() -> None:
    chat = queueing()
    chat.send()
    chat.fail(GONE)
    chat.regenerate()
    asks(chat)
    assert is_kept_waiting(chat)


def test_after_a_stop_a_retry_asks_anew() -> None:
    chat = waiting()
    chat.stop()
    chat.engine.remove_queued_message(chat.engine.queue.messages[0].id)
    chat.regenerate()
    asks(chat)
    assert is_kept_waiting(chat)


@pytest.mark.parametrize("go_on", ["regenerate", "continue", "resume"])
def test_a_loaded_history_that_goes_on_asks_anew(go_on: str) -> None:
    chat = queueing(user(), assistant(OPEN))
    if go_on == "regenerate":
        chat.regenerate()
    elif go_on == "continue":
        chat.send(None)
    else:
        chat.resume()
    asks(chat)
    assert is_kept_waiting(chat)


def test_to_put_the_same_messages_back_gives_nothing_up() -> None:
    chat = queueing()
    chat.send()
    asks(chat)
    chat.set_messages(*(message.model_dump() for message in chat.messages))
    assert is_kept_waiting(chat)


def test_a_new_chat_has_nothing_given_up() -> None:
    chat = queueing(user(), assistant(OPEN))
    chat.clear()
    chat.send()
    asks(chat)
    assert is_kept_waiting(chat)


def test_what_was_given_up_is_so_after_an_interrupt() -> None:
    chat = queueing(user(), assistant(OPEN))
    chat.engine.restore(chat.engine.checkpoint())
    assert chat.send("Go on").queued is False


def test_a_call_whose_turn_an_interrupt_ends_is_given_up() -> None:
    chat = queueing()
    chat.send()
    chat.receive(tool("input-available"))
    chat.engine.restore(chat.engine.checkpoint())
    assert chat.send("Go on").queued is False


def test_users_and_system_messages_are_left_alone() -> None:
    chat = repairing({"id": "s", "role": "system", "parts": [OPEN]}, user())
    chat.send("Go on")
    assert chat.messages[0].parts[0].state == "input-available"


def test_what_is_known_of_a_whole_input_stays() -> None:
    part = call("input-available", input={"a": 1}, rawInput='{"a":1}', inputEncoding="json")
    chat = repairing(user(), assistant(part))
    chat.send("Go on")
    assert chat.dump()[1]["parts"] == [{**part, **NOT_DONE}]


def test_the_end_of_a_turn_is_told_before_its_calls_are_ended() -> None:
    chat = repairing(when_busy="interrupt", callbacks={"on_finish": lambda finish: None})
    chat.send()
    chat.receive(tool("input-available"))
    chat.send("Go on")
    (finished,) = chat.called("on_finish")
    assert finished.messages[1].tool_parts[0].state == "input-available"
    assert chat.messages[1].tool_parts[0].state == "output-error"


def test_each_message_that_is_repaired_is_a_change_of_its_own() -> None:
    chat = repairing(user(), assistant(OPEN), user("And?", "u2"), assistant(OPEN, id="a2"))
    chat.engine.records = True
    chat.send("Go on")
    states = [batch.state for batch in chat.engine.outbox.take()]
    seen = [[m.tool_parts[0].state for m in s.messages if m.role == "assistant"] for s in states]
    assert ["output-error", "input-available"] in seen
