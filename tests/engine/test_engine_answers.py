"""Answers of the user to tool calls and approvals, and what they send."""

from __future__ import annotations

from typing import Any

import pytest

from usechat.engine.events import MessagesReplaced, PartUpdated
from usechat.errors import (
    ConnectionBrokenError,
)

from .harness import (
    ASKED,
    GRANTED,
    Chat,
    assistant,
    call,
    finish,
    start,
    text,
    text_delta,
    text_start,
    tool,
    user,
)

GONE = ConnectionBrokenError("gone")


def always(_: object) -> bool:
    return True


def test_an_answer_is_put_into_its_call() -> None:
    chat = Chat(user(), assistant(call("input-available", input={})))
    turn = chat.output({"t": 20})
    assert chat.reply_parts() == [call("output-available", input={}, output={"t": 20})]
    assert (turn.outcome, turn.requests, turn.message) == ("completed", 0, chat.messages[-1])
    assert chat.events() == [MessagesReplaced(1)]


def test_an_answer_that_nothing_waits_for_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    chat = Chat(user(), assistant(call("input-available")), callbacks={"on_finish": always})
    before = chat.messages
    assert chat.output(id="?").outcome == chat.approve(id="?").outcome == "completed"
    assert chat.messages is before
    assert [r.getMessage() for r in caplog.records] == [
        "An answer that nothing waits for changes nothing: 'tool call ?'",
        "An answer that nothing waits for changes nothing: 'approval ?'",
    ]


def test_an_answer_while_the_reply_streams_is_in_the_reply() -> None:
    chat = Chat(callbacks={"send_automatically_when": always})
    chat.send()
    chat.receive(tool("input-available"), text_start())
    chat.events()
    chat.output("sun")
    assert chat.reply_parts()[0]["output"] == "sun"
    assert chat.events() == [PartUpdated("id-1", 0)]
    chat.receive(text_delta("x"))
    assert chat.reply_parts()[0]["output"] == "sun"
    # It is sent when the reply is over, not before.
    assert chat.called("send_automatically_when") == []


def test_an_answer_to_an_earlier_message_does_not_touch_the_reply() -> None:
    chat = Chat(user(), assistant(call("input-available")))
    chat.send("never mind")
    chat.receive(text("x"))
    chat.events()
    chat.output("sun")
    assert chat.messages[1].parts[0].output == "sun"
    assert chat.events() == [MessagesReplaced(1)]


def test_a_call_with_the_same_id_in_the_reply_gets_it_too_with_its_next_write() -> None:
    chat = Chat(user(), assistant(call("input-available")))
    chat.send("again")
    chat.receive(tool("input-available"))
    assert chat.reply_parts()[0]["state"] == "input-available"
    chat.output("sun")
    assert chat.messages[1].parts[0].output == "sun"
    chat.receive(text("x"))
    assert chat.reply_parts()[0]["output"] == "sun"


def test_an_answer_to_the_last_call_sends_where_the_user_wants_it() -> None:
    chat = Chat(
        user(),
        assistant({"type": "text", "text": "x"}, call("input-available")),
        callbacks={"send_automatically_when": always},
    )
    turn = chat.output("sun")
    request = chat.exchange.request
    assert (request.trigger, request.message_id) == ("submit-message", "a1")
    assert request.messages[-1].parts[1].output == "sun"
    assert (turn.requests, turn.first_part) == (1, 2)
    chat.receive(text("y"), finish())
    assert [p["type"] for p in chat.reply_parts()] == ["text", "tool-weather", "text"]


def test_an_answer_takes_the_place_of_a_resume_that_has_not_opened() -> None:
    chat = Chat(
        user(), assistant(call("input-available")), callbacks={"send_automatically_when": always}
    )
    resume = chat.resume()
    turn = chat.output("sun")
    assert (resume.outcome, turn.requests) == ("stopped", 1)


def test_a_predicate_that_stops_the_chat_sends_nothing() -> None:
    def stop(_: object) -> bool:
        chat.stop()
        return True

    chat = Chat(
        user(), assistant(call("input-available")), callbacks={"send_automatically_when": stop}
    )
    assert (chat.output().requests, chat.status) == (0, "ready")


# -------------------------------------------------------------------- approvals


def asked(**options: Any) -> Chat:
    return Chat(
        user(), assistant(call("approval-requested", **ASKED)), user("so?", id="u2"), **options
    )


def test_an_approval_is_answered_and_sent_with_the_next_send() -> None:
    chat = asked()
    turn = chat.approve(False, reason="no")
    part = chat.dump()[1]["parts"][0]
    assert (part["state"], part["approval"]) == (
        "approval-responded",
        {"id": "ap1", "approved": False, "reason": "no"},
    )
    assert (turn.requests, chat.status) == (0, "ready")
    chat.send(None)
    assert (chat.exchange.request.message_id, chat.exchange.approval) == ("a1", "a1")
    chat.reply(tool("output-denied"))
    assert chat.dump()[1]["parts"][0]["state"] == "output-denied"
    # It has been consumed.
    chat.send(None)
    assert chat.exchange.request.message_id == "u2"


def test_an_answered_approval_may_be_sent_at_once() -> None:
    chat = asked(callbacks={"send_automatically_when": always})
    turn = chat.approve()
    assert (turn.requests, chat.exchange.request.message_id, chat.exchange.approval) == (
        1,
        "a1",
        "a1",
    )
    chat.receive(tool("output-available", output=1))
    assert chat.messages[1].parts[0].output == 1


def test_an_approval_is_pending_again_after_an_error() -> None:
    chat = asked()
    chat.approve()
    chat.send(None)
    chat.fail(GONE)
    chat.set_messages(*chat.dump(), user("more", id="u3"))
    chat.send(None)
    assert (chat.exchange.request.message_id, chat.exchange.approval) == ("a1", "a1")
    chat.stop()
    chat.send(None)
    assert chat.exchange.approval is None


def test_after_an_error_it_is_pending_under_the_id_that_its_message_has_now() -> None:
    chat = asked()
    chat.approve()
    chat.send(None)
    chat.receive(start("renamed"))
    chat.fail(GONE)
    chat.send(None)
    assert chat.exchange.request.message_id == "renamed"


def test_an_approval_that_was_answered_meanwhile_is_the_one_that_is_pending() -> None:
    chat = Chat(
        user(),
        assistant(call("approval-requested", **ASKED), id="a1"),
        assistant(call("approval-requested", "c2", approval={"id": "ap2"}), id="a2"),
    )
    chat.approve()
    chat.send(None)
    chat.approve(id="ap2")
    chat.fail(GONE)
    chat.send(None)
    assert chat.exchange.request.message_id == "a2"


def test_a_history_that_came_with_an_answered_approval_is_no_pending_one() -> None:
    chat = Chat(user(), assistant(call("approval-responded", **GRANTED)))
    chat.send(None)
    assert (chat.exchange.request.message_id, chat.exchange.approval) == ("a1", None)
