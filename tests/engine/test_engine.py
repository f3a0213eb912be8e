"""What users can do."""

from __future__ import annotations

from typing import Any

import pytest

from usechat.engine.events import MessageAdded, MessagesReplaced, PartUpdated
from usechat.errors import (
    ChatClosedError,
    ConnectionBrokenError,
    InvalidArgumentError,
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


def conversation(**options: Any) -> Chat:
    return Chat(
        user("one", id="u1"),
        assistant({"type": "text", "text": "1"}, id="a1"),
        user("two", id="u2"),
        assistant({"type": "text", "text": "2"}, id="a2"),
        **options,
    )


def ids(chat: Chat) -> list[str]:
    return [message.id for message in chat.messages]


# --------------------------------------------------------------------- sending


def test_a_message_gets_an_id_and_the_users_role() -> None:
    chat = Chat()
    chat.send({"parts": [], "metadata": {"a": 1}})
    assert chat.dump() == [{"id": "id-0", "role": "user", "parts": [], "metadata": {"a": 1}}]
    assert chat.events(MessageAdded) == [MessageAdded("id-0", 0)]


def test_an_id_and_a_role_of_its_own_are_kept() -> None:
    chat = Chat()
    chat.send({"id": "mine", "role": "system", "parts": []})
    assert chat.dump() == [{"id": "mine", "role": "system", "parts": []}]


def test_null_for_id_and_role_is_none() -> None:
    chat = Chat()
    chat.send({"id": None, "role": None, "parts": []})
    assert chat.dump() == [{"id": "id-0", "role": "user", "parts": []}]


def test_the_id_of_an_edit_never_lands_in_a_message() -> None:
    chat = Chat(user())
    chat.send({"messageId": "u1", "parts": []})
    chat.stop()
    chat.send({"messageId": "u1", "parts": []}, edit="u1")
    assert "messageId" not in chat.dump()[0]


def test_what_is_no_message_is_refused_before_any_change() -> None:
    chat = Chat()
    with pytest.raises(InvalidArgumentError):
        chat.send({"parts": 3})
    assert (chat.messages, chat.status) == ((), "ready")


# --------------------------------------------------------------------- editing


def test_an_edit_replaces_a_users_message_and_drops_what_follows() -> None:
    chat = conversation()
    chat.send({"parts": [{"type": "text", "text": "uno"}], "metadata": {"a": 1}}, edit="u1")
    assert chat.texts() == ["user: uno"]
    assert (ids(chat), chat.messages[0].metadata) == (["u1"], {"a": 1})
    assert (chat.exchange.request.trigger, chat.exchange.request.message_id) == (
        "submit-message",
        "u1",
    )
    assert chat.events(MessagesReplaced) == [MessagesReplaced(1), MessagesReplaced(0)]
    chat.reply(text("1!"))
    assert chat.texts() == ["user: uno", "assistant: 1!"]


def test_an_edit_may_bring_another_id() -> None:
    chat = conversation()
    chat.send({"id": "u9", "parts": []}, edit="u1")
    assert ids(chat) == ["u9"]


@pytest.mark.parametrize(("edit", "match"), [("?", "no message"), ("a1", "not the user's")])
def test_what_cannot_be_edited_is_refused_before_any_change(edit: str, match: str) -> None:
    chat = conversation(when_busy="queue")
    chat.send("three")
    running, waiting = chat.exchange.turn, chat.send("four")
    with pytest.raises(InvalidArgumentError, match=match):
        chat.send("x", edit=edit)
    assert (running.outcome, waiting.outcome, len(chat.messages)) == (None, None, 5)


def test_an_edit_that_is_no_message_is_refused_before_any_change() -> None:
    chat = conversation()
    with pytest.raises(InvalidArgumentError):
        chat.send({"parts": 3}, edit="u1")
    assert len(chat.messages) == 4


def test_an_edit_ends_the_running_turn() -> None:
    chat = conversation()
    turn = chat.send("three")
    chat.receive(text("3"))
    chat.send("uno", edit="u1")
    assert (turn.outcome, chat.texts()) == ("stopped", ["user: uno"])


# ---------------------------------------------------------------- regenerating


@pytest.mark.parametrize(
    ("message_id", "left"),
    [
        (None, ["u1", "a1", "u2"]),
        ("a2", ["u1", "a1", "u2"]),
        ("a1", ["u1"]),
        ("u1", ["u1"]),
        ("u2", ["u1", "a1", "u2"]),
    ],
)
def test_a_reply_is_asked_for_again(message_id: str | None, left: list[str]) -> None:
    chat = conversation()
    turn = chat.regenerate(message_id)
    request = chat.exchange.request
    assert (ids(chat), [m.id for m in request.messages]) == (left, left)
    assert (request.trigger, request.message_id) == ("regenerate-message", message_id)
    chat.reply(text("new"))
    assert (ids(chat), turn.outcome) == ([*left, "id-0"], "completed")


def test_regenerating_after_an_error_is_a_retry() -> None:
    chat = Chat()
    chat.send("one")
    chat.fail(GONE)
    chat.regenerate()
    chat.reply(text("1"))
    assert (chat.texts(), chat.status) == (["user: one", "assistant: 1"], "ready")


@pytest.mark.parametrize(
    ("chat", "message_id", "match"),
    [(Chat(), None, "no message to"), (conversation(), "?", 'no message "\\?" to')],
)
def test_what_is_not_there_cannot_be_regenerated(
    chat: Chat, message_id: str | None, match: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        chat.regenerate(message_id)
    assert chat.status == "ready"


# ------------------------------------------------------------- answers of the user


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


# --------------------------------------------------- other messages, clear, close


def test_other_messages_can_be_put_in_place() -> None:
    chat = conversation()
    turn = chat.send("three")
    chat.receive(text("3"))
    chat.events()
    chat.set_messages(user("one", id="u1"))
    assert (turn.outcome, chat.texts(), chat.status) == ("stopped", ["user: one"], "ready")
    assert chat.events(MessagesReplaced) == [MessagesReplaced(0)]


def test_an_error_can_be_cleared() -> None:
    chat = Chat()
    chat.send()
    chat.fail(GONE)
    chat.engine.clear_error()
    assert (chat.status, chat.error) == ("ready", None)


@pytest.mark.parametrize("status", ["ready", "submitted", "streaming"])
def test_where_there_is_no_error_nothing_is_cleared(status: str) -> None:
    chat = Chat()
    if status != "ready":
        chat.send()
    if status == "streaming":
        chat.receive(text("x"))
    chat.events()
    chat.engine.clear_error()
    assert (chat.status, chat.events()) == (status, [])


def test_clearing_begins_a_new_chat() -> None:
    chat = Chat(user(), assistant(call("approval-requested", **ASKED)))
    chat.approve()
    turn = chat.send(None)
    chat.receive(text("x"), finish("interrupted"))
    chat.clear()
    assert (turn.outcome, chat.messages, chat.status) == ("stopped", (), "ready")
    assert chat.engine.queue.paused is False
    assert chat.engine.chat_id != "chat"
    chat.send(None)
    assert chat.exchange.request.message_id is None


def test_clearing_forgets_an_error_and_what_could_be_resumed() -> None:
    chat = Chat(replays=False)
    chat.send()
    chat.receive(text_start(), text_delta("a"))
    chat.fail(GONE)
    chat.clear()
    assert (chat.status, chat.error) == ("ready", None)
    chat.resume()
    chat.receive(text("new", "t2"))
    assert chat.texts() == ["assistant: new"]


def test_closing_ends_everything_and_a_second_time_nothing() -> None:
    chat = Chat(callbacks={"on_finish": always})
    turn = chat.send()
    chat.receive(text("x"))
    chat.close()
    assert (turn.outcome, chat.status, chat.texts()) == (
        "stopped",
        "ready",
        ["user: Hi", "assistant: x"],
    )
    chat.close()
    assert len(chat.calls) == 1


@pytest.mark.parametrize(
    "action",
    [
        Chat.send,
        Chat.regenerate,
        Chat.resume,
        Chat.output,
        Chat.approve,
        Chat.set_messages,
        Chat.clear,
        lambda chat: chat.send("x", edit="u1"),
        lambda chat: chat.send(None),
        lambda chat: chat.send_now("?"),
    ],
)
def test_nothing_can_be_done_with_a_closed_chat(action) -> None:  # type: ignore[no-untyped-def]
    chat = Chat(user())
    chat.close()
    with pytest.raises(ChatClosedError):
        action(chat)
    chat.stop()
    chat.engine.clear_error()
    assert chat.texts() == ["user: Hi"]
